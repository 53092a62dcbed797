"""What `make bench` writes."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
RUN = {"frames_per_second": 20.0, "peak_mb": 1}
# What is measured, as short as it can be.
STUBS = {
    "avalanche": {"measure_bertopic": {}},
    "radix_neurips": {"measure_index": {}, "measure_search": {}},
    "radix_smurfs": {"drawn_video": "", "cut_or_repeat": "", "probe": type("", (), RUN | {"width": 1, "height": 1})}
    | {"segment": RUN, "eager": RUN},
}
PART = {"avalanche": ["--part", "bertopic"], "radix_neurips": ["--part", "corpus"], "radix_smurfs": []}
REAL = {"avalanche": "--data", "radix_neurips": "--data", "radix_smurfs": "--video"}


def benchmark(name: str, result: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for function, returned in STUBS[name].items():
        monkeypatch.setattr(module, function, lambda *_, returned=returned: returned)
    monkeypatch.setattr(module, "RESULT", result)
    monkeypatch.setattr(module, "REAL", result.parent / "nowhere", raising=False)
    return module


@pytest.mark.parametrize("name", list(STUBS))
def test_figures_of_a_generated_sample_do_not_replace_those_of_real_data(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    result = tmp_path / "result.json"
    module = benchmark(name, result, monkeypatch)
    out = ["--out", str(result)] if name == "avalanche" else []
    for given, written in (([], False), ([REAL[name], "real"], True)):
        monkeypatch.setattr(sys, "argv", [name, *PART[name], *given, *out])
        module.main()
        assert result.is_file() == written
