"""Every figure that the README states of outlining is the one in the committed JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
FLOORS = {"mask_map50": 0.82, "mask_map50_95": 0.50}


def read(*parts: str) -> Any:
    return json.loads(REPOSITORY.joinpath(*parts).read_text("utf-8"))


def interval(figure: dict[str, float]) -> str:
    return f"{figure['estimate']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


@pytest.fixture(scope="module")
def page() -> str:
    return (REPOSITORY / "challenges" / "radix_smurfs" / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    metrics = read("data", "weights", "radix_smurfs", "segmenter", "manifest.json")["metrics"]
    assert metrics["protocol"].startswith("5-fold")
    return metrics


def test_masks(page: str, measured: dict[str, Any]):
    for kind in ("float32", "int8"):
        assert f"{interval(measured[kind]['mask_map50'])} | {interval(measured[kind]['mask_map50_95'])}" in page
        assert (measured[kind]["n_images"], measured[kind]["n_smurfs"]) == (42, 185)
    for counts in measured["int8"]["found_by_size"].values():
        assert f"{counts['found']} of {counts['of']}" in page


def test_masks_meet_their_floors(measured: dict[str, Any]):
    for name, floor in FLOORS.items():
        assert measured["int8"][name]["estimate"] >= floor


def test_speed(page: str):
    result = read("benchmarks", "radix_smurfs.json")
    for run in (result["whole_command"], result["eager_ultralytics_predict"], result["four_times_as_long"]):
        milliseconds = 1000 * run["cpu_seconds"] / run["frames"]
        assert f"| {run['frames_per_second']:g} | {milliseconds:.0f} | {run['peak_mb']:,} |" in page
    assert f"{result['times_faster']:g} times as fast" in page
    assert all(promise in page for promise in result["limits_broken"])  # among what is left


def test_what_is_shipped_is_small():
    folder = REPOSITORY / "data" / "weights" / "radix_smurfs"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 12e6


def test_networks(page: str):
    for name, network in read("benchmarks", "radix_smurfs_networks.json").items():
        assert f"| {name} | {network['n_parameters'] / 1e6:.1f} | {network['n_epochs']} | " in page
        assert f"| {interval(network['mask_map50'])} | {interval(network['mask_map50_95'])} |" in page
