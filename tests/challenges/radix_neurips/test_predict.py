"""The table of finds: the ranking of the model, without the query itself, the twin named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from challenges.radix_neurips.dataset import Corpus, load
from challenges.radix_neurips.lexical import Tfidf
from challenges.radix_neurips.model import hybrid_scores, represent
from challenges.radix_neurips.predict import rank, tabulate
from common.data.tables import write_with_report
from common.models.text import TextEncoder, load_text_encoder


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return load_text_encoder()


@pytest.fixture(scope="module")
def corpus(sample_file: Path) -> Corpus:
    return load(sample_file).select(np.r_[0:40, -2:0])  # the last two: a twin and a near twin of the first


def test_queries_of_the_corpus_find_all_but_themselves(corpus: Corpus, encoder: TextEncoder, tmp_path: Path):
    found, scores = rank(corpus, corpus, encoder, None, 1000)
    assert found.shape == (42, 41)
    table, identical = tabulate(corpus, corpus, found, scores)
    assert list(table.columns) == ["query_id", "rank", "paper_id", "score"]
    assert (table["query_id"] != table["paper_id"]).all()
    for _, part in table.groupby("query_id"):
        assert part["rank"].tolist() == list(range(1, 42))
        assert part["score"].is_monotonic_decreasing
        assert part["paper_id"].is_unique
    first, twin = str(corpus.ids[0]), "twin"
    assert {"query_id": first, "paper_id": twin} in identical
    assert {"query_id": twin, "paper_id": first} in identical
    assert len(identical) == 2
    write_with_report(table, tmp_path / "t.parquet", {"identical_abstracts": identical})
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table)
    assert (tmp_path / "t.report.json").is_file()


def test_other_queries_are_ranked_as_the_model_says(corpus: Corpus, encoder: TextEncoder):
    asked = corpus.select(np.arange(3))
    others = Corpus(
        np.array(["q0", str(asked.ids[1]), "q2"]), asked.years, asked.titles, ["", *asked.abstracts[1:]], {}
    )
    found, scores = rank(corpus, others, encoder, None, 5)
    tfidf = Tfidf().fit(corpus.papers())
    expected = hybrid_scores(represent(others.papers(), tfidf, encoder), represent(corpus.papers(), tfidf, encoder))
    expected[1, 1] = -np.inf  # the query with an id of the corpus is that paper
    np.testing.assert_array_equal(found, np.argsort(-expected, axis=1, kind="stable")[:, :5])
    np.testing.assert_allclose(scores, np.take_along_axis(expected, found, axis=1), atol=1e-6)
    assert found[2, 0] == 2  # under another id its own text is a find


def test_row_numbers_are_ids_within_one_corpus_only(sample_file: Path, encoder: TextEncoder, tmp_path: Path):
    papers = pd.read_csv(sample_file).head(8).drop(columns="paper_id")
    papers.to_csv(tmp_path / "papers.csv", index=False)
    papers[::-1].head(3).to_csv(tmp_path / "queries.csv", index=False)
    corpus, queries = load(tmp_path / "papers.csv"), load(tmp_path / "queries.csv")
    found, _ = rank(corpus, queries, encoder, None, 8)
    assert found.shape == (3, 8)  # no paper is barred
    assert found[:, 0].tolist() == [7, 6, 5]
    found, _ = rank(corpus, corpus, encoder, None, 8)
    assert found.shape == (8, 7)
    assert not (found == np.arange(8)[:, None]).any()
