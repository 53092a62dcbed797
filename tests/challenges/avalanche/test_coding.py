"""Suggestions from codes: right ones, with reasons, in a useful order."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info

from challenges.avalanche.coding import MIN_TO_CALIBRATE, Suggestions, suggest
from challenges.avalanche.dataset import Question, Survey
from challenges.avalanche.embedding import Embedder
from challenges.avalanche.evaluate import evaluate, headline, learning_curves, micro_f1
from common.errors import UserError

TEXTS = [f"{a} price {b}" for a in "abcdef" for b in ("up", "rise")] + [
    f"{a} maps {b}" for a in "abcdef" for b in ("gone", "bad")
]


def test_it_learns_says_why_and_asks_for_what_it_does_not_know(embedder: Embedder):
    vectors = embedder(TEXTS)
    codes = {0: frozenset({"price"}), 1: frozenset({"price"}), 12: frozenset({"maps"}), 13: frozenset({"maps"})}
    found = suggest(vectors, TEXTS, codes)
    assert found.themes == ("maps", "price")
    assert [found.of(row) for row in range(24)] == [("price",)] * 12 + [("maps",)] * 12
    assert found.probabilities.shape == found.nearest.shape == (24, 2)
    assert found.probabilities.min() >= 0
    assert found.probabilities.max() <= 1
    assert set(found.nearest[:, 1]) == {0, 1}  # the reason for 'price' is an answer coded so
    assert found.nearest[0, 1] == 1  # and never the answer itself
    assert sorted(found.order) == sorted(set(range(24)) - set(codes))


def test_nothing_known_one_code_and_none_of_the_themes(embedder: Embedder):
    vectors = embedder(TEXTS)
    blank = suggest(vectors, TEXTS, {})
    assert blank.themes == ()
    assert sorted(blank.order) == list(range(24))
    assert {"price" in TEXTS[row] for row in blank.order[:6]} == {True, False}  # the first ones asked are varied
    none = suggest(vectors, TEXTS, {3: frozenset()})
    assert none.of(0) == ()
    one = suggest(vectors, TEXTS, {3: frozenset({"price"})})
    assert one.nearest[3].tolist() == [-1]
    assert one.nearest[0].tolist() == [3]
    everything = suggest(vectors, TEXTS, dict.fromkeys(range(24), frozenset({"price"})))
    assert len(everything.order) == 0


def test_many_codes_that_are_all_alike_teach_that_every_answer_has_the_theme(embedder: Embedder):
    texts = [*TEXTS, *TEXTS]
    codes = dict.fromkeys(range(MIN_TO_CALIBRATE), frozenset({"price"}))
    assert {suggest(embedder(texts), texts, codes).of(row) for row in range(48)} == {("price",)}


def test_the_same_text_is_asked_about_once(embedder: Embedder):
    texts = [*TEXTS, *TEXTS]
    found = suggest(embedder(texts), texts, {0: frozenset({"price"})})
    assert set(found.order[:23] % 24) == set(range(1, 24))


def test_more_answers_than_are_compared_with_each_other(monkeypatch: pytest.MonkeyPatch, embedder: Embedder):
    monkeypatch.setattr("challenges.avalanche.coding.POOL", 10)
    monkeypatch.setattr("challenges.avalanche.coding._BLOCK", 7)
    found = suggest(embedder(TEXTS), TEXTS, {0: frozenset({"price"}), 12: frozenset({"maps"})})
    assert [found.of(row)[:1] for row in range(24)] == [("price",)] * 12 + [("maps",)] * 12
    assert len(found.order) == 22


def test_codes_teach_and_asking_is_no_worse_than_chance(sample: Survey, embedder: Embedder):
    question = sample.questions[0]
    curves = learning_curves(question, embedder(question.answers["response"].tolist()), n_seeds=1)
    assert curves["n_coded"] == [20, 40, 60]
    asked, random = curves["asked"]["mean"], curves["random"]["mean"]
    assert asked[-1] > asked[0] + 0.1
    assert asked[-1] > random[-1] - 0.03
    assert curves["expected_calibration_error"]["mean"] < 0.08


def test_the_curves_do_not_hang_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch, embedder: Embedder):
    answers = {"response": TEXTS, "themes": [("price",)] * 12 + [("maps",)] * 12, "usable": True}
    question = Question("Why?", pd.DataFrame(answers), pd.DataFrame(index=range(24)))
    n_threads = set()

    def watched(*given: Any) -> Suggestions:
        n_threads.update(pool["num_threads"] for pool in threadpool_info())
        return suggest(*given)

    monkeypatch.setattr("challenges.avalanche.evaluate.suggest", watched)
    monkeypatch.setattr("challenges.avalanche.evaluate.SIZES", (10,))
    monkeypatch.setattr("challenges.avalanche.evaluate.STEP", 10)
    learning_curves(question, embedder(TEXTS), n_seeds=1)
    assert n_threads == {1}


def test_micro_f1_is_that_of_all_pairs(embedder: Embedder):
    found = suggest(embedder(TEXTS), TEXTS, {0: frozenset({"price"}), 12: frozenset({"maps"})})
    truth = {row: frozenset({"price"} if row < 12 else {"maps", "more"}) for row in range(24)}
    # 22 themes are suggested, all right; 11 + 2 * 11 are true.
    assert micro_f1(found, truth, {0, 12}) == pytest.approx(2 * 22 / (22 + 33))


def test_evaluation_needs_codes_and_says_what_it_found(
    sample: Survey, monkeypatch: pytest.MonkeyPatch, embedder: Embedder
):
    monkeypatch.setattr("challenges.avalanche.evaluate.embed", embedder)
    monkeypatch.setattr("challenges.avalanche.evaluate.find_spec", lambda name: None)  # BERTopic takes a minute
    metrics = evaluate(sample, n_seeds=1)
    assert [q["n_themes"] for q in metrics["questions"]] == [10, 6]
    methods = metrics["questions"][0]["discovery"]
    assert set(methods) == {"consensus", "k_means_10", "tf_idf_k_means_10"}
    assert methods["k_means_10"]["n_themes"]["mean"] == 10
    assert "themes found (10 coded)" in headline(metrics)
    monkeypatch.setattr("challenges.avalanche.evaluate._n_themes", lambda question: np.zeros(1))
    with pytest.raises(UserError, match="no question has 60 answers"):
        evaluate(sample)
