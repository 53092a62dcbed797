"""Every figure that a README states is the one in the committed JSON that it comes from."""

import json
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
VINTED = REPOSITORY / "data" / "weights" / "vinted"
HEADLINE = ("top1_accuracy", "top2_accuracy", "macro_f1")


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def interval(figure: dict[str, float]) -> str:
    return f"{figure['estimate']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def row(metrics: dict[str, Any]) -> str:
    return " | ".join(interval(metrics[name]) if name in metrics else "" for name in HEADLINE)


@pytest.fixture(scope="module")
def card() -> str:
    return (REPOSITORY / "challenges" / "vinted" / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def front() -> str:
    return (REPOSITORY / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    return read(VINTED / "manifest.json")["metrics"]


def test_vinted_results(card: str, front: str, metrics: dict[str, Any]):
    assert row(metrics["market"]) in card
    for name in HEADLINE:
        assert interval(metrics["market"][name]) in front
    for part in ("market", "patterns"):
        tags = " | ".join(interval(t["f1"]) for t in metrics[part]["tags"].values())
        assert f"{tags} | {interval(metrics[part]['macro_f1'])}" in card
    assert f"{metrics['market']['ece_before_calibration']:.3f} before" in card
    assert f"{metrics['market']['ece']:.3f} after" in card
    for name in ("top1_accuracy", "macro_f1"):
        ours, theirs = (f"{metrics['int8'][kind][name]:.3f}" for kind in ("int8", "float32"))
        assert f"{ours} against {theirs}" in " ".join(card.split())


def test_vinted_baselines_and_experiments(card: str, metrics: dict[str, Any]):
    comparison = read(VINTED / "comparison.json")
    for models in comparison.values():
        for model in models.values():
            assert row(model) in card
    assert comparison["all folds"]["one network for both tasks"] == metrics["market"]
    for experiment in read(VINTED / "experiments.json"):
        figures = [experiment["market"][name] for name in HEADLINE] + [experiment["patterns"]["macro_f1"]]
        assert " | ".join([experiment["recipe"], *map(interval, figures)]) in card


def test_int8_costs_at_most_a_point(metrics: dict[str, Any]):
    for name in ("top1_accuracy", "macro_f1"):
        assert metrics["int8"]["int8"][name] >= metrics["int8"]["float32"][name] - 0.01
