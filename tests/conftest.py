"""Fixtures that every test may ask for."""

import ctypes
import gc
import os
import runpy
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from common.inference import cluster

REPOSITORY = Path(__file__).resolve().parent.parent
NO_NETWORK = Path(__file__).with_name("no_network")

# Tests run side by side, a process for each core: more threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Connections that pymilvus leaves open are told off by the server, in the middle of other tests' output.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

if str(NO_NETWORK) not in os.environ.get("PYTHONPATH", ""):  # a worker of xdist has it from the process that started it
    runpy.run_path(str(NO_NETWORK / "sitecustomize.py"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(NO_NETWORK), os.environ.get("PYTHONPATH")]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take minutes first, so that no process is left with one of them at the end."""
    items.sort(key=lambda item: item.path.parent.name != "e2e" and item.path.name != "test_notebooks.py")


@pytest.fixture(autouse=True)
def denormal_numbers() -> None:
    """Give denormal numbers their values back, which the first ONNX session takes from the thread that makes it.

    Hypothesis refuses to draw floats without them.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).fesetenv(ctypes.c_void_p(-1))  # FE_DFL_ENV


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: `$CHALLENGES_DATA`, else `../shared/data` beside the repository."""
    folder = Path(os.environ.get("CHALLENGES_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set CHALLENGES_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """The address of a Ray cluster of two workers, started as the engine starts one; this process is connected.

    Its start takes longer than any test on it, so all tests share it. They let Ray's own warnings pass.
    """
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(cluster, "available_cores", lambda: 2)
        patch.delenv("RAY_ADDRESS", raising=False)
        stack.enter_context(cluster.connected())
        import ray

        yield ray.get_runtime_context().gcs_address
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # child processes and sockets that Ray leaves open
            stack.close()
            gc.collect()


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process do what Ray's workers do, last item first: Ray keeps no order either."""

    def map_here(make_function: Callable[[], Callable[[Any], Any]], items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        function = make_function()
        return ((position, function(item)) for position, item in reversed(list(enumerate(items))))

    monkeypatch.setattr(cluster, "map_on_ray", map_here)
