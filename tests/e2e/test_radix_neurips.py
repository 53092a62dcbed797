"""The batch command, as a user and as a scorer runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from challenges.radix_neurips.sample import TABLE, write_sample


def neurips(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "challenges.radix_neurips", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, n_papers=60)
    return folder


@pytest.mark.slow
def test_batch_writes_what_the_scorer_reads(sample: Path, tmp_path: Path):
    papers = pd.read_csv(sample / f"{TABLE}.zip")
    odd = pd.DataFrame(
        {
            "paper_id": ["empty", "japanese", "noise", "long", papers["paper_id"][0]],
            "title": ["", "日本語の論文", "\x07\u202e", "Graphs", "twice"],
            "abstract": ["", "強化学習を研究する。", "\U0001f642 \\{}$", "graph neural network " * 50_000, "twice"],
        }
    )
    queries = pd.concat([papers[["paper_id", "title", "abstract"]].head(8), odd])
    queries.to_csv(tmp_path / "queries.csv", index=False)
    out = tmp_path / "found.parquet"
    tables = ("--corpus", sample / f"{TABLE}.zip", "--queries", tmp_path / "queries.csv")
    done = neurips("batch", *tables, "--k", 100, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    summary = json.loads(done.stdout)
    assert (summary["n_papers"], summary["n_unusable"]) == (60, 2)
    table = pd.read_parquet(out)
    assert list(table.columns) == ["query_id", "rank", "paper_id", "score"]
    assert table["query_id"].nunique() == summary["n_queries"] == 11
    assert (table["query_id"] != table["paper_id"]).all()
    assert table["score"].between(-0.5, 1.0001).all()
    own = table[table["query_id"] == papers["paper_id"][0]]
    assert own["rank"].tolist() == list(range(1, len(own) + 1))
    assert set(own["paper_id"]) == set(papers["paper_id"][1:])
    assert set(table[table["query_id"] == "long"].head(3)["paper_id"]) <= set(papers["paper_id"])
    report = json.loads(out.with_suffix(".report.json").read_text())
    assert set(report["queries_report"]["unusable"].values()) == {
        "neither title nor abstract",
        f"paper id {papers['paper_id'][0]!r} stands twice; the first is kept",
    }
    assert report["queries_report"]["mended"]["cut"]["papers"] == 1
    # The finds of most papers are of their own topic.
    topics = pd.read_csv(sample / "topics.csv").set_index("paper_id")["topic"]
    known = table[table["query_id"].isin(topics.index) & (table["rank"] <= 3)]
    assert (topics[known["query_id"]].to_numpy() == topics[known["paper_id"]].to_numpy()).mean() > 0.7


@pytest.mark.slow
def test_a_query_is_mended_by_the_words_of_the_corpus(sample: Path, tmp_path: Path):
    papers = pd.read_csv(sample / f"{TABLE}.zip").iloc[[0]]
    word = max(papers["abstract"][0].split(), key=len)
    broken = papers.assign(paper_id="broken", abstract=papers["abstract"].str.replace(word, f"{word[:4]}- {word[4:]}"))
    pd.concat([papers.assign(paper_id="whole"), broken]).to_csv(tmp_path / "queries.csv", index=False)
    tables = ("--corpus", sample / f"{TABLE}.zip", "--queries", tmp_path / "queries.csv")
    done = neurips("batch", *tables, "--k", 5, "--out", tmp_path / "found.parquet")
    assert done.returncode == 0, done.stderr
    whole, mended = (part for _, part in pd.read_parquet(tmp_path / "found.parquet").groupby("query_id", sort=False))
    assert whole[["paper_id", "score"]].to_numpy().tolist() == mended[["paper_id", "score"]].to_numpy().tolist()
    assert mended["score"].iloc[0] > 0.8  # the paper itself


@pytest.mark.slow
def test_mistakes_end_in_one_line(sample: Path, tmp_path: Path):
    (tmp_path / "columns.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").write_text("")
    corpus = sample / f"{TABLE}.zip"
    for arguments in (
        ["--corpus", tmp_path / "nowhere.csv"],
        ["--corpus", tmp_path / "empty.csv"],
        ["--corpus", corpus, "--queries", tmp_path / "columns.csv"],
        ["--corpus", corpus, "--model", tmp_path],
        ["--corpus", corpus, "--abstract-column", "text"],
    ):
        done = neurips("batch", *arguments, "--out", tmp_path / "x.parquet")
        assert done.returncode == 2, (arguments, done.stderr)
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    assert not (tmp_path / "x.parquet").exists()


@pytest.mark.slow
def test_searching_many_needs_no_torch(sample: Path, tmp_path: Path):
    code = (
        "import sys; from challenges.radix_neurips.cli import app\n"
        f"app(['batch', '--corpus', {str(sample / f'{TABLE}.zip')!r}, '--out', {str(tmp_path / 'o.parquet')!r}],"
        " standalone_mode=False)\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
