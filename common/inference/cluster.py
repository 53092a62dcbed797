"""Run a function over many items on a Ray cluster; over the rows of parquet files so that a killed run resumes.

Ray Data sends the items through a pool of actors; it starts a lost actor again and repeats what that one had in
hand. Results come back to the driver: they are small beside what was read for them (150 bytes a photo of 50 kB),
and so workers need no storage in common to write to.

Rows are cut into numbered shards before anything runs, and the driver writes each shard's table by an atomic
rename. Ray Data's own parquet writer is not used: it names files by task, so after a kill nothing would tell which
rows are done, nor in which order they belong.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from common.cli import progress
from common.data.remote import kind, list_files, open_file
from common.data.tables import replace_atomically
from common.errors import UserError
from common.inference.batch import available_cores

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Item = TypeVar("Item")
Result = TypeVar("Result")

_HIDDEN = re.compile(r"(?:^|/)[._]")  # what writers of tables leave beside them, and half-written parts
_RUN_KEY = b"run"  # in the schema of a shard's file: to which run it belongs
_SETTINGS = {  # what the user sets in the environment goes before
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anyone
    "RAY_raylet_start_wait_time_s": "180",  # a busy machine needs more than the 30 s of default
    "RAY_worker_niceness": "0",  # as this process; by default a worker lets every other process go first
    # Ray's C++ side prints to our stderr what it takes for errors, such as that Ray Data's own actors have arguments.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of one parquet file: `start` to `stop`, without `stop`."""

    address: str
    start: int
    stop: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.stop - self.start

    def read(self) -> pd.DataFrame:
        """Return the rows, with their positions in the file as index.

        Raises:
            UserError: the file cannot be read.
        """
        import pyarrow.parquet as pq

        with open_file(self.address) as source, pq.ParquetFile(source) as file:
            sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
            starts = [0, *accumulate(sizes)]
            groups = [g for g in range(len(sizes)) if starts[g] < self.stop and starts[g + 1] > self.start]
            before = starts[groups[0]] if groups else 0
            table = file.read_row_groups(groups).slice(self.start - before, len(self))
        frame: pd.DataFrame = table.to_pandas()
        return frame.set_axis(range(self.start, self.stop), axis=0)


Worker = Callable[[Shard], "pa.Table"]  # raises UserError where the data are at fault


def cut_into_shards(address: str, rows_per_shard: int | None = None) -> list[Shard]:
    """Cut a parquet file, or all parquet files under a folder in order of their names.

    Args:
        address: absolute path or fsspec address.
        rows_per_shard: at most so many; a shard never reaches into the next file. By default 64 to 4,096, for
            some 32 shards or more: it must not depend on the cluster, or no run would resume on another.

    Raises:
        UserError: there is no parquet file, or one cannot be read.
    """
    import pyarrow.parquet as pq

    files = [address]
    if kind(address) == "directory":
        names = [n for n in list_files(address) if n.endswith(".parquet") and not _HIDDEN.search(n)]
        files = [f"{address}/{name}" for name in names]
    if not files:
        raise UserError(f"{address}: no parquet file in it")
    sizes = []
    for file in files:
        with open_file(file) as source:
            sizes.append(pq.read_metadata(source).num_rows)
    rows_per_shard = rows_per_shard or min(4_096, max(64, sum(sizes) // 32))
    shards = [
        Shard(file, start, min(start + rows_per_shard, size))
        for file, size in zip(files, sizes, strict=True)
        for start in range(0, size, rows_per_shard)
    ]
    return shards or [Shard(files[0], 0, 0)]  # so that an empty table has an answer, too: an empty one


def map_shards(
    make_worker: Callable[[], Worker], shards: Sequence[Shard], folder: Path, run: str, *, description: str
) -> list[Path]:
    """Work on every shard that `folder` does not hold yet; return the files of all, in order.

    Args:
        make_worker: called once in each actor; Ray carries it and what it holds, so name modules' functions.
        shards: from `cut_into_shards`.
        folder: gets one parquet file a shard. Shards of another run that lie there are removed.
        run: identifies everything the results depend on: data, model, shards. A file of the same run is kept.
        description: of the progress bar, which counts rows.

    Raises:
        UserError: Ray is missing or its cluster cannot be reached, or a worker raised it.
    """
    paths = [folder / f"{i:05d}-of-{len(shards):05d}.parquet" for i in range(len(shards))]
    finished = _keep_only(folder, set(paths), run)
    missing = [i for i, path in enumerate(paths) if path not in finished]
    with progress(description, total=sum(map(len, shards))) as advance:
        advance(sum(len(shard) for shard, path in zip(shards, paths, strict=True) if path in finished))
        for k, table in map_on_ray(make_worker, [shards[i] for i in missing]):
            _write(table, paths[missing[k]], run)
            advance(len(shards[missing[k]]))
    return paths


def _keep_only(folder: Path, paths: set[Path], run: str) -> set[Path]:
    """Remove what is not of this run, half-written files of a killed driver too; return the shards that are."""
    found = set(folder.glob("*-of-*.parquet"))
    kept = {path for path in found & paths if _run_of(path) == run.encode()}
    for path in found - kept:
        path.unlink()
    return kept


def _run_of(path: Path) -> bytes | None:
    """The run that a shard's file belongs to; None where it is damaged, as by a machine that lost its power."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return (pq.read_schema(path).metadata or {}).get(_RUN_KEY)
    except (OSError, pa.ArrowException):
        return None


def _write(table: pa.Table, path: Path, run: str) -> None:
    import pyarrow.parquet as pq

    with replace_atomically(path) as temporary:
        pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), _RUN_KEY: run}), temporary)


def map_on_ray(
    make_function: Callable[[], Callable[[Item], Result]], items: Sequence[Item]
) -> Iterator[tuple[int, Result]]:
    """Yield the position of each item and `make_function()(item)`, as they are finished.

    Args:
        make_function: called once in each actor, for what is costly to set up. There is an actor for each CPU of
            the cluster, but no more than items.
        items: any number of anything that Ray can carry, and so must the results be.

    Raises:
        UserError: Ray is missing or its cluster cannot be reached, or the function raised it. Any other error of
            the function comes wrapped by Ray.
    """
    if not items:
        return
    with connected() as n_cpus:
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        # A block for each: no item waits for another. Boxed, so that none is taken for a column of numbers.
        rows = [{"position": i, "item": _Box(item)} for i, item in enumerate(items)]
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor,  # type: ignore[arg-type]  # a class is made once an actor, then called
            fn_constructor_args=(make_function,),
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=min(n_cpus, len(rows))),
        )
        for row in done.iter_rows():
            if row["error"]:
                raise UserError(row["error"])
            yield row["position"], row["result"].content


@dataclass(frozen=True)
class _Box:
    """What Ray carries as it is."""

    content: Any


class _Actor:
    """Lives in a process of the cluster and calls the function there."""

    def __init__(self, make_function: Callable[[], Callable[[Any], Any]]) -> None:
        self.make_function = make_function
        self.function: Callable[[Any], Any] | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            # Here and not in the constructor: Ray would start an actor that cannot begin again and again.
            self.function = self.function or self.make_function()
            result, error = self.function(row["item"].content), ""
        except UserError as mistake:  # as a value: it reaches the driver as it is, without Ray's wrapping
            result, error = None, str(mistake)
        return {"position": row["position"], "result": _Box(result), "error": error}


@contextmanager
def connected() -> Iterator[int]:
    """Join the cluster that RAY_ADDRESS names, else start one on this machine; yields its number of CPUs.

    A connection that is already open is used and left open.

    Raises:
        UserError: Ray is missing, or the cluster cannot be reached.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UserError("the engine 'ray' needs Ray; run: pip install -e '.[distributed]'") from error
    started = not ray.is_initialized()
    if started:
        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        address = os.environ.get("RAY_ADDRESS")
        try:
            with _stderr_closed():  # the same C++ side prints that it has seen its log level
                if address:
                    ray.init(address, **quiet)
                else:
                    ray.init("local", num_cpus=available_cores(), include_dashboard=False, **quiet)
        except Exception as error:  # Ray's own errors of start-up are plain ones
            where = f"the Ray cluster at RAY_ADDRESS={address}" if address else "Ray on this machine"
            raise UserError(f"{where} cannot be reached: {' '.join(str(error).split())}") from error
    try:
        yield max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
    finally:
        if started:
            ray.shutdown()


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """Drop what this process, C++ code included, prints to stderr."""
    sys.stderr.flush()
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
