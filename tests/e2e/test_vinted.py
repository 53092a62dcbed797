"""The real commands in real processes, as a user types them."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from challenges.vinted.dataset import CATEGORIES, TAGS

REPOSITORY = Path(__file__).resolve().parents[2]


def vinted(*arguments: object, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "challenges.vinted", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    from challenges.vinted.sample import write_sample

    return write_sample(tmp_path_factory.mktemp("e2e") / "with spaces ü", n_labelled=60, n_test=20, seed=8)


def test_predict_writes_the_assignments_file(sample: Path, tmp_path: Path):
    out = tmp_path / "predictions.parquet"
    done = vinted("predict", "--data", sample, "--out", out, "--json", "--probabilities")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    summary = json.loads(done.stdout)
    assert (summary["n_photos"], summary["n_unreadable"], summary["generated_sample"]) == (20, 0, False)
    frame, example = pd.read_parquet(out), pd.read_parquet(sample / "example_predictions.parquet")
    assert frame["uuid"].tolist() == pd.read_parquet(sample / "test.parquet")["uuid"].tolist()
    assert frame.dtypes.to_dict() == example.dtypes.to_dict()
    assert list(frame.columns) == list(example.columns)
    assert (frame["category1"] != frame["category2"]).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "predictions.parquet", "predictions.probabilities.parquet", "predictions.report.json"
    ]  # fmt: skip


def test_same_command_same_bytes(sample: Path, tmp_path: Path):
    for name in ("a", "b"):
        assert vinted("predict", "--data", sample, "--out", tmp_path / f"{name}.parquet").returncode == 0
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_make_predicts_without_any_data(tmp_path: Path):
    """The README's first command: nothing given, so the sample is generated and the summary says so."""
    out = tmp_path / "predictions.parquet"
    done = subprocess.run(
        ["make", "--no-print-directory", "vinted-predict", f"OUT={out}"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "generated sample" in done.stdout or "official" in done.stdout
    assert len(pd.read_parquet(out)) > 0


def test_runs_from_another_directory_with_a_relative_path(sample: Path, tmp_path: Path):
    done = vinted("predict", "--data", sample.name, "--out", "here.parquet", cwd=sample.parent)
    assert done.returncode == 0, done.stderr
    assert (sample.parent / "here.parquet").is_file()


def test_strict_fails_but_still_writes(sample: Path, tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.zip").write_bytes((sample / "data.zip").read_bytes())
    uuids = [*pd.read_parquet(sample / "test.parquet")["uuid"], "nowhere"]
    pd.DataFrame({"uuid": uuids}).to_parquet(folder / "test.parquet")
    out = tmp_path / "p.parquet"
    done = vinted("predict", "--data", folder, "--out", out, "--strict")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(pd.read_parquet(out)) == 21
    report = json.loads((tmp_path / "p.report.json").read_text())
    assert report["unreadable"] == [{"row": 20, "uuid": "nowhere", "reason": "no photo of this uuid"}]


def test_single_photos_print_names_and_probabilities(tmp_path: Path):
    import numpy as np

    from challenges.vinted.sample import render_photo
    from common.data.images import encode_jpeg

    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encode_jpeg(render_photo(np.random.default_rng(1), "SHIRTS", "RED", frozenset())))
    done = vinted("predict", photo)
    assert done.returncode == 0, done.stderr
    assert sum(name in done.stdout for name in CATEGORIES) == 2
    assert "%" in done.stdout
    answer = json.loads(vinted("predict", photo, "--json").stdout)
    assert set(answer["tags"]) == set(TAGS)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    done = vinted("predict", broken, photo, tmp_path / "none.jpg")
    assert done.returncode == 2
    assert "photo.jpg:" in done.stdout
    assert "broken.jpg" in done.stderr
    assert "none.jpg" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "--data", "/no/such/folder"], "no such file or folder"),
        (["predict", "--data", REPOSITORY / "common"], "test.parquet"),
        (["predict", "--model", REPOSITORY / "common"], "manifest.json"),
        (["evaluate", "--data", REPOSITORY / "pyproject.toml"], "pyproject.toml"),
        (["data", "--source", "nowhere"], "official"),
        (["predict", "--no-such-option"], "No such option"),
        (["predict", "a.jpg", "--data", "here", "--strict"], "--data, --strict"),
        (["predict", "a.jpg", "--out", "predictions.parquet"], "--out"),  # also where it is the default
        (["predict", "a.jpg", "--engine", "ray", "--probabilities"], "--engine, --probabilities"),
        (["train", "--renders", "-1"], "--renders"),
        (["compare", "--renders", "-1"], "--renders"),
        (["train", "--seed", "-1"], "--seed"),
        (["train", "--out", "pyproject.toml"], "cannot write pyproject.toml/manifest.json"),
        (["train", "--runs", "pyproject.toml"], "cannot write pyproject.toml/left_out.json"),
        (["evaluate", "--out", "pyproject.toml"], "cannot write pyproject.toml/metrics.json"),
        (["compare", "--out", "common"], "common is a folder"),
        (["fly"], "No such command"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(arguments: list, words: str, tmp_path: Path):
    done = vinted(*arguments, cwd=REPOSITORY)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_help_teaches_and_answers_at_once():
    done = vinted("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in ("predict", "train", "evaluate", "data", "compare"))


def test_predicting_does_not_import_torch_or_tables(tmp_path: Path):
    code = (
        "import sys; from challenges.vinted.predict import load_model; load_model(); "
        "print([m for m in ('torch', 'pandas', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_evaluate_scores_what_the_generator_knows(sample: Path, tmp_path: Path):
    done = vinted("evaluate", "--data", sample, "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["top1_accuracy"]["low"] <= metrics["top1_accuracy"]["estimate"] <= metrics["top1_accuracy"]["high"]
    assert metrics["top2_accuracy"]["estimate"] >= metrics["top1_accuracy"]["estimate"] > 0.5
    assert metrics["seen_in_training"] == 0
    assert {"confusion.png", "precision_recall.png", "reliability.png"} <= {p.name for p in tmp_path.iterdir()}


def test_evaluate_tells_what_is_odd_in_the_data(sample: Path, tmp_path: Path):
    rows = pd.read_parquet(sample / "data.parquet").drop_duplicates().head(4).reset_index(drop=True)
    rows.loc[0, "uuid"] = "nowhere"
    pd.concat([rows, rows.tail(1)]).to_parquet(tmp_path / "data.parquet")
    (tmp_path / "data.zip").symlink_to(sample / "data.zip")
    done = vinted("evaluate", "--data", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "1 could not be read" in done.stdout
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["unreadable"], metrics["exact_repeats_dropped"]) == ({"nowhere": "no photo of this uuid"}, 1)


def test_compare_tells_of_photos_that_it_left_out(sample: Path, tmp_path: Path, monkeypatch, capsys):
    from challenges.vinted import baselines
    from challenges.vinted.cli import compare

    rows = pd.read_parquet(sample / "data.parquet")
    rows.loc[0, "uuid"] = "nowhere"
    rows.to_parquet(tmp_path / "data.parquet")
    (tmp_path / "data.zip").symlink_to(sample / "data.zip")
    monkeypatch.setattr(baselines, "compare", lambda *_, **__: {})
    compare(data=tmp_path, out=tmp_path / "comparison.json", runs=tmp_path / "runs", renders=0)
    assert "1 photos were left out" in capsys.readouterr().out
    assert json.loads((tmp_path / "runs" / "left_out.json").read_text()) == {"nowhere": "no photo of this uuid"}


@pytest.mark.slow
def test_train_makes_a_model_that_predicts(sample: Path, tmp_path: Path):
    """Every stage of training for a moment, on the sample."""
    model, runs = tmp_path / "model", tmp_path / "runs"
    train = ["train", "--quick", "--data", sample, "--out", model, "--runs", runs, "--renders", "24", "--json"]
    done = vinted(*train)
    assert done.returncode == 0, done.stderr
    assert 0 <= json.loads(done.stdout)["metrics"]["top1_accuracy"]["estimate"] <= 1
    manifest = json.loads((model / "manifest.json").read_text())
    assert set(manifest["metrics"]["int8"]) == {"float32", "int8"}
    out = tmp_path / "predictions.parquet"
    predicted = vinted("predict", "--data", sample, "--out", out, "--model", model)
    assert predicted.returncode == 0, predicted.stderr
    assert len(pd.read_parquet(out)) == 20
    evaluated = vinted("evaluate", "--data", sample, "--out", tmp_path / "seen", "--model", model)
    assert f"{len(manifest['config']['trained_on'])} of them were trained on" in evaluated.stdout
    assert len(list(runs.rglob("state.safetensors"))) == 7  # pretraining, and two copies of two folds and the final fit
