"""Scores of rankings agree with ranx; what is better is found to be better."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import pytrec_eval

from challenges.radix_neurips.cli import SHIPPED
from challenges.radix_neurips.dataset import Corpus
from challenges.radix_neurips.evaluate import (
    OURS,
    check_unseen,
    difference,
    evaluate,
    headline,
    score_queries,
    summarise,
    topic_view,
)
from challenges.radix_neurips.relevance import sketch_papers
from challenges.radix_neurips.sample import generate
from common.artifacts import save_artifact
from common.data.text_tables import read_text_table
from common.errors import UserError
from common.models.text import CHALLENGE as TEXT_ENCODER
from common.models.text import TextEncoder, load_text_encoder


def test_metrics_agree_with_trec_eval():
    rng = np.random.default_rng(0)
    n = 150
    scores = rng.random((n, n)).astype(np.float32)
    relevant = {q: sorted({int(r) for r in rng.integers(0, n, rng.integers(1, 15))} - {q}) for q in range(0, n, 3)}
    relevant = {q: rows for q, rows in relevant.items() if rows}
    ours = score_queries(scores, relevant)
    oracle = pytrec_eval.RelevanceEvaluator(
        {str(q): {str(r): 1 for r in rows} for q, rows in relevant.items()},
        {"ndcg_cut.10", "recip_rank", "recall.10,100", "map_cut.100"},
    )
    run = {str(q): {str(r): float(scores[q, r]) for r in range(n) if r != q} for q in relevant}
    theirs = oracle.evaluate(run)
    names = {"ndcg@10": "ndcg_cut_10", "recall@10": "recall_10", "recall@100": "recall_100", "map@100": "map_cut_100"}
    for mine, their in names.items():
        expected = [theirs[str(q)][their] for q in relevant]
        np.testing.assert_allclose(ours[mine], expected, atol=1e-9, err_msg=mine)
    reciprocal = np.array([theirs[str(q)]["recip_rank"] for q in relevant])
    np.testing.assert_allclose(ours["mrr"], np.where(reciprocal >= 0.01, reciprocal, 0), atol=1e-9)  # of 100 places


def test_difference_is_paired():
    rng = np.random.default_rng(1)
    hard = rng.random(300)  # queries differ by much, methods by little
    ours, same = {"ndcg@10": hard + 0.01 + rng.normal(0, 0.02, 300)}, {"ndcg@10": hard}
    better = difference(ours, same)
    assert better["low"] > 0
    assert better["p"] < 0.01
    noise = difference({"ndcg@10": hard + rng.normal(0, 0.02, 300)}, same)
    assert noise["low"] < 0 < noise["high"]
    assert noise["p"] > 0.05
    assert summarise({OURS: ours, "other": same})["other"]["ours_minus_this"]["metric"] == "ndcg@10"


@pytest.mark.parametrize("asked", [2022, 1900])
def test_years_without_similar_papers_are_refused_before_anything_is_encoded(asked: int):
    papers, nothing = generate(4), cast("TextEncoder", None)
    texts = [p.title for p in papers], [p.abstract for p in papers]
    corpus = Corpus(np.array([p.paper_id for p in papers]), np.full(4, 2022, np.int32), *texts, {})
    with pytest.raises(UserError, match=f"papers of {asked} share a rare keyword"):
        evaluate(corpus, corpus, {}, nothing, nothing, (2021, asked))


def test_an_encoder_is_not_asked_about_what_it_has_learned(tmp_path: Path):
    papers = [replace(paper, title=f"{paper.title} {i}") for i, paper in enumerate(generate(900))]
    years = np.array([2021 + i % 2 for i in range(len(papers))], np.int32)
    ids = np.array([paper.paper_id for paper in papers])
    corpus = Corpus(ids, years, [paper.title for paper in papers], [""] * len(papers), {})
    # In another file: other ids, a part of the papers, titles in capitals.
    other = corpus.select(np.arange(100, 300))
    other = replace(other, ids=np.arange(200).astype(str), titles=[title.upper() for title in other.titles])
    for learned, refused in (
        (corpus, True),
        (corpus.select(years == 2022), True),
        (corpus.select(years == 2021), False),
    ):
        save_artifact(
            tmp_path, challenge=TEXT_ENCODER, files={}, config={"learned_from": sketch_papers(learned)}, labels={},
            input={}, data_fingerprint="x", metrics={}, packages={},
        )  # fmt: skip
        with pytest.raises(UserError, match="--held-out 2022") if refused else nullcontext():
            check_unseen(tmp_path, other, 2022)
    check_unseen(SHIPPED, other, 2022)  # of other keywords it has learned


@pytest.mark.real_data
def test_the_shipped_encoder_is_not_asked_about_the_papers_it_learned_from(shared_data: Path):
    table = read_text_table(shared_data / "neurips" / "neurips_papers.zip")
    position = {name: table.columns.index(name) for name in ("paper_id", "year", "title")}
    rows = [row for row in table.rows if row[position["year"]] in ("2021", "2022")]
    cells = {name: [row[i] for row in rows] for name, i in position.items()}
    years = np.array(cells["year"], np.int32)
    corpus = Corpus(np.array(cells["paper_id"]), years, cells["title"], [""] * len(rows), {})
    for year in (2021, 2022):
        with pytest.raises(UserError, match=f"--held-out {year}"):
            check_unseen(SHIPPED, corpus, year)


@pytest.mark.slow
def test_known_topics_and_planted_keywords():
    encoder = load_text_encoder()
    papers = generate(90)
    topics = topic_view(papers, encoder, encoder)
    assert topics["random"]["ndcg@10"]["estimate"] < 0.2
    for method in ("TF-IDF", "BM25", "dense", OURS):
        assert topics[method]["ndcg@10"]["estimate"] > 0.6
    years = np.array([2021 if i < 45 else 2022 for i in range(90)], np.int32)
    report = {"mended": {"latex": {"papers": 3}}, "identical_abstracts": [], "near_duplicates": []}
    corpus = Corpus(
        np.array([p.paper_id for p in papers]), years, [p.title for p in papers], [p.abstract for p in papers], report
    )
    keywords = {p.paper_id: frozenset({p.topic}) for p in papers}
    metrics = evaluate(corpus, corpus, keywords, encoder, encoder, (2021, 2022))
    assert metrics["n_queries"] == metrics["n_papers"] == 45
    assert metrics["methods"][OURS]["ndcg@10"]["estimate"] > metrics["methods"]["random"]["ndcg@10"]["estimate"] + 0.4
    assert metrics["titles"][OURS]["mrr"]["estimate"] > 0.3
    assert metrics["cleaning"]["without_minus_with"]["estimate"] == 0
    assert "0." in headline(metrics)
