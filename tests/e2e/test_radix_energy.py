"""The energy commands, as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from challenges.radix_energy.sample import TABLE, write_sample


def energy(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "challenges.radix_energy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, n_households=120, seed=1)
    return folder / f"{TABLE}.zip"


@pytest.fixture(scope="module")
def clustered(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("types")
    done = energy("cluster", "--data", sample, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


@pytest.mark.slow
def test_cluster_writes_table_report_and_model(clustered: tuple[Path, dict]):
    out, summary = clustered
    assert {"clusters.parquet", "clusters.report.json", "report.html", "manifest.json"} <= {
        p.name for p in out.iterdir()
    }
    table = pd.read_parquet(out / "clusters.parquet")
    assert len(table) == summary["n_households"] == 120
    assert {"household_id", "cluster", "probability", "composition", "activity", "reason"} <= set(table.columns)
    assert set(table["cluster"]) == set(range(summary["n_types"]))
    assert table["probability"].between(0, 1).all()
    assert table["reason"].isna().all()
    assert summary["layout"].startswith("columns")
    assert len(set(summary["types"])) == summary["n_types"]


@pytest.mark.slow
def test_assign_gives_the_same_households_the_same_types(sample: Path, clustered: tuple[Path, dict], tmp_path: Path):
    out, _ = clustered
    done = energy("assign", "--model", out, "--data", sample, "--out", tmp_path / "a.parquet")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), pd.read_parquet(out / "clusters.parquet"))


@pytest.mark.slow
def test_households_that_cannot_be_used_are_in_the_table_with_the_reason(clustered: tuple[Path, dict], tmp_path: Path):
    hours = pd.date_range("2024-03-04", periods=21 * 24, freq="h")
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame({"meter": f"m{i}", "when": hours, "kwh": rng.gamma(2, 0.2, len(hours)).round(3)}) for i in range(8)
    ]
    frames[3]["kwh"] = 0.0
    frames[5] = frames[5].head(60)
    pd.concat(frames).to_csv(tmp_path / "long.csv", index=False, sep=";", decimal=",")
    done = energy("assign", "--model", clustered[0], "--data", tmp_path / "long.csv", "--out", tmp_path / "a.parquet")
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "a.parquet").set_index("household_id")
    assert set(table.index) == {f"m{i}" for i in range(8)}
    assert "0" in table.loc["m3", "reason"]
    assert "days" in table.loc["m5", "reason"]
    assert table.loc[["m3", "m5"], "cluster"].isna().all()
    assert table["cluster"].notna().sum() == 6
    assert "2 could not be used" in done.stdout
    report = json.loads((tmp_path / "a.report.json").read_text())
    assert set(report["unused"]) == {"m3", "m5"}


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path):
    (tmp_path / "empty.csv").write_text("")
    for arguments in (
        ("cluster", "--data", tmp_path / "nowhere.csv"),
        ("cluster", "--data", tmp_path / "empty.csv", "--out", tmp_path / "out"),
        ("assign", "--model", tmp_path, "--data", tmp_path / "empty.csv"),
    ):
        done = energy(*arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_told_before_the_measuring(tmp_path: Path):
    (tmp_path / "empty.csv").write_text("")
    done = energy("evaluate", "--data", tmp_path / "empty.csv", "--out", tmp_path)
    assert done.returncode == 2, done.stderr
    assert "is a folder" in done.stderr


def test_help_answers_at_once_and_names_the_verbs():
    done = energy("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in ("cluster", "assign", "evaluate"))
    heavy = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "challenges.radix_energy", "--help"],
        capture_output=True, text=True, timeout=60, check=True,
    ).stderr  # fmt: skip
    assert not any(name in heavy for name in ("sklearn", "scipy", "pandas", "matplotlib", "torch", "pyarrow"))
