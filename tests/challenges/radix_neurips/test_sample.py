"""The sample is the same every time, in the official layout, with topics that words tell apart."""

from pathlib import Path

import pandas as pd

from challenges.radix_neurips.dataset import load
from challenges.radix_neurips.sample import TABLE, TOPICS, generate, write_sample


def test_same_seed_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        write_sample(tmp_path / name, 60)
    for file in (f"{TABLE}.zip", "topics.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert generate(60, seed=1) != generate(60, seed=2)


def test_official_layout_with_topics_and_flaws(tmp_path: Path):
    write_sample(tmp_path)
    table = pd.read_csv(tmp_path / f"{TABLE}.zip")
    assert list(table.columns) == ["paper_id", "year", "title", "abstract"]
    truth = pd.read_csv(tmp_path / "topics.csv")
    assert truth["paper_id"].tolist() == table["paper_id"].tolist()
    assert truth["topic"].value_counts().between(26, 27).all()
    assert len(truth["topic"].unique()) == len(TOPICS) == 15
    assert table["abstract"].is_unique
    report = load(tmp_path / f"{TABLE}.zip").report
    assert {"latex", "soft_hyphen", "ligature"} <= set(report["mended"])
    assert report["papers"] == 400
