"""The commands as a user runs them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from challenges.radix_movies.layout import GENRES
from challenges.radix_movies.predict import DEFAULT_MODEL
from challenges.radix_movies.sample import write_sample
from common.artifacts import fingerprint

REPOSITORY = Path(__file__).resolve().parents[2]
WITHOUT_TORCH = (
    "import sys, runpy\n"
    "for name in ('torch', 'sklearn', 'scipy', 'transformers', 'onnx', 'timm'): sys.modules[name] = None\n"
    "sys.argv[0] = 'movies'\n"
    "runpy.run_module('challenges.radix_movies', run_name='__main__')\n"
)


def run(*arguments: object, python: tuple[str, ...] = ("-m", "challenges.radix_movies")) -> subprocess.CompletedProcess:
    command = [sys.executable, *python, *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("films"), n_films=72)


@pytest.mark.slow
def test_predicting_needs_no_torch_and_writes_five_genres_a_film(films: Path, tmp_path: Path):
    out = tmp_path / "predictions.parquet"
    done = run("predict", "--data", films, "--out", out, "--json", python=("-c", WITHOUT_TORCH))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    report = json.loads((tmp_path / "predictions.report.json").read_text())
    frame = pd.read_parquet(out)
    assert summary["n_films"] == len(frame) == 72
    assert frame["movie_id"].tolist() == [f"tt{9_000_000 + i}" for i in range(72)]
    assert set(frame["genre1"]) <= set(GENRES)
    assert frame["probability1"].between(0, 1).all()
    assert set(frame["modalities"]) == {"synopsis+poster", "synopsis", "poster"}
    assert summary["flaws"] == {
        "missing_poster": 2, "unreadable_poster": 1, "empty_synopsis": 2, "foreign_synopsis": 1,
    }  # fmt: skip
    assert report["flaws"]["unreadable_poster"]["examples"] == ["tt9000017: truncated JPEG"]


@pytest.mark.slow
def test_train_and_evaluate_on_the_sample(films: Path, tmp_path: Path):
    # The network is the shipped one: exporting it anew takes a minute, and `test_export.py` compares it with torch's.
    kept = tmp_path / "runs" / fingerprint([films / "movies_dataset.csv", films / "movie_posters.zip"])[:16]
    kept.mkdir(parents=True)
    shutil.copy(DEFAULT_MODEL / "poster.onnx", kept / "poster-0.onnx")
    done = run("train", "--data", films, "--out", tmp_path / "model", "--runs", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    report = tmp_path / "model" / "manifest.report.json"
    assert "so few teach little more than how common each genre is" in done.stdout  # of 72
    assert f"6 flaws, see {report}" in done.stdout
    flaws = {kind: flaw["count"] for kind, flaw in json.loads(report.read_text())["flaws"].items()}
    assert flaws == {"missing_poster": 2, "unreadable_poster": 1, "empty_synopsis": 2, "foreign_synopsis": 1}
    done = run("evaluate", "--data", films, "--model", tmp_path / "model", "--out", tmp_path / "metrics", "--json")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert metrics["seen_in_training"]
    assert metrics["map_at_5"]["estimate"] > 0.7
    assert (tmp_path / "metrics" / "reliability.png").stat().st_size > 10_000


def test_a_mistake_is_one_line(tmp_path: Path):
    done = run("predict", "--data", tmp_path / "nowhere")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no such file" in done.stderr


@pytest.mark.parametrize(
    ("verb", "out", "words"),
    [("train", "file", "cannot write"), ("evaluate", "file", "cannot write"), ("compare", "", "is a folder")],
)
def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, verb: str, out: str, words: str):
    (tmp_path / "file").touch()
    (tmp_path / "data").mkdir()
    done = run(verb, "--data", tmp_path / "data", "--out", tmp_path / out)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("content", [None, "{}", "[]", "{"])
def test_metrics_that_compare_did_not_write_are_a_mistake_told_first(tmp_path: Path, content: str | None):
    (tmp_path / "data").mkdir()
    metrics = tmp_path / "metrics.json"
    if content is not None:
        metrics.write_text(content)
    done = run("train", "--data", tmp_path / "data", "--out", tmp_path / "model", "--metrics", metrics)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"{metrics}: no scores in it" in done.stderr


@pytest.mark.slow
def test_every_method_is_compared_on_the_same_folds(films: Path, tmp_path: Path):
    kept = tmp_path / "runs" / fingerprint([films / "movies_dataset.csv", films / "movie_posters.zip"])[:16]
    kept.mkdir(parents=True)
    shutil.copy(DEFAULT_MODEL / "poster.onnx", kept / "poster-0.onnx")
    out = tmp_path / "comparison.json"
    done = run(
        "compare", "--data", films, "--runs", tmp_path / "runs", "--folds", 2, "--fine-tune", 1, "--out", out, "--json"
    )
    assert done.returncode == 0, done.stderr
    table = json.loads(out.read_text())
    scores = {name: method["map_at_5"] for name, method in table["methods"].items()}
    for score in scores.values():
        assert score["low"] <= score["estimate"] <= score["high"]
    prior = scores.pop("genre prior")["estimate"]
    assert all(score["estimate"] > prior for score in scores.values())
    assert table["fine_tuned_poster"]["folds"] == [0]
    assert json.loads(done.stdout)["generated_sample"] is False
    assert json.loads((tmp_path / "comparison.report.json").read_text())["flaws"]["unreadable_poster"]["count"] == 1
