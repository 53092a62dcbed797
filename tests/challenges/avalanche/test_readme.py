"""Every figure that the README states is the one in the committed JSON."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
METRICS = ("n_themes", "ami", "ari", "homogeneity", "completeness", "best_match_f1")
FLOOR_AMI, FLOOR_F1 = 0.62, 0.78


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    metrics = json.loads((REPOSITORY / "benchmarks" / "avalanche_metrics.json").read_text("utf-8"))
    assert metrics["n_seeds"] == 10
    return metrics["questions"][0]


@pytest.fixture(scope="module")
def page() -> str:
    return (REPOSITORY / "challenges" / "avalanche" / "README.md").read_text("utf-8")


def test_discovery(page: str, measured: dict[str, Any]):
    for method in measured["discovery"].values():
        n_themes, *scores = (method[name] for name in METRICS)
        row = [f"{n_themes['mean']:.1f}", *(f"{score['mean']:.3f} ({score['sd']:.3f})" for score in scores)]
        assert " | ".join(row) in page
    assert f"leaves {measured['discovery']['bertopic']['nowhere']['mean']:.0%} of the answers out" in page
    assert measured["discovery"]["consensus"]["ami"]["mean"] >= FLOOR_AMI


def test_themes(page: str, measured: dict[str, Any]):
    matches = measured["best_match_f1"]
    assert len(matches) == measured["n_themes"]
    best_first = sorted(matches, key=lambda theme: -matches[theme]["mean"])
    assert ", ".join(f"{theme} {matches[theme]['mean']:.2f}" for theme in best_first) in page


def test_coding(page: str, measured: dict[str, Any]):
    coding = measured["coding"]
    for name in ("asked", "random"):
        pairs = zip(coding[name]["mean"], coding[name]["sd"], strict=True)
        assert " | ".join(f"{mean:.3f} ({sd:.3f})" for mean, sd in pairs) in page
    assert f"calibration error of the probabilities is {coding['expected_calibration_error']['mean']:.3f}" in page
    at = coding["n_coded"].index(120)
    assert coding["asked"]["mean"][at] >= FLOOR_F1
    assert coding["asked"]["mean"][at] - coding["random"]["mean"][at] > 3 * coding["asked"]["sd"][at]


def test_the_notebook_reads_its_figures_and_tells_none_by_hand():
    """A share or score in its prose would be measured by no command."""
    cells = json.loads((REPOSITORY / "notebooks" / "avalanche.ipynb").read_text("utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert re.findall(r"\d\.\d+", prose) == []


@pytest.fixture(scope="module")
def timed() -> dict[str, Any]:
    return json.loads((REPOSITORY / "benchmarks" / "avalanche.json").read_text("utf-8"))


def test_speed(page: str, timed: dict[str, Any]):
    for run in timed["discovery"]["runs"]:
        figures = (f"{run[name]:,.0f}" for name in ("seconds", "encoding_seconds", "texts_per_second"))
        assert f"| {run['answers']:,} | {' | '.join(figures)} | {run['peak_mb']:,.0f} |" in page
    assert max(timed["discovery"]["runs"], key=lambda run: run["answers"])["seconds"] < 600


def test_bertopic(page: str, timed: dict[str, Any]):
    (run,) = timed["bertopic"]["runs"]
    assert run["survey"] == "coded_responses"
    for method in (run["ours"], run["bertopic"]):
        figures = [f"{method[name]:.1f}" for name in ("seconds", "cpu_seconds", "n_themes")] + [f"{method['ami']:.3f}"]
        assert f"| {' | '.join(figures)} |" in page
    assert run["ours"]["ami"] > run["bertopic"]["ami"]


def test_dashboard(page: str):
    run = json.loads((REPOSITORY / "benchmarks" / "avalanche_dashboard.json").read_text("utf-8"))
    assert run["answers"] == 20_000
    assert len(run["views"]) == 14
    for name, timings in run["views"].items():
        later = [t for what, t in timings.items() if "first" not in what and what != "after_a_code"]
        slowest = max(later, key=lambda timing: timing["seconds"])
        assert slowest["seconds"] < 1
        cells = [timings["first"]["seconds"], *slowest.values(), timings["after_a_code"]["seconds"]]
        assert f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |" in page
