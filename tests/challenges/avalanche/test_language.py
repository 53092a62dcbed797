"""Distinguishing language, against draws from the posterior that its formula approximates."""

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from challenges.avalanche.language import compare, count_terms, log_odds, telling

PRICE = ["too expensive for me", "it is too expensive", "the price rise is too much", "price rise again", "expensive"]
PLACE = ["i am moving abroad", "moving abroad soon", "it is not shown abroad", "moving house", "the move"]


def odds(a: np.ndarray, b: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return log_odds(a, a.sum(), b, b.sum(), prior, prior.sum())


def test_estimate_and_error_are_mean_and_deviation_of_the_posterior() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.poisson([200, 100, 40, 900], 4).astype(float), rng.poisson([100, 100, 80, 2000], 4).astype(float)
    prior = np.array([30.0, 20.0, 10.0, 200.0])
    estimate, error = odds(a, b, prior)
    drawn_a, drawn_b = rng.dirichlet(a + prior, 200_000), rng.dirichlet(b + prior, 200_000)
    drawn = np.log(drawn_a / (1 - drawn_a)) - np.log(drawn_b / (1 - drawn_b))
    np.testing.assert_allclose(estimate, drawn.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(error, drawn.std(axis=0), rtol=0.02)


def test_swapping_the_groups_turns_the_sign_and_a_stronger_prior_says_less() -> None:
    a, b, prior = np.array([9.0, 1.0, 40.0]), np.array([2.0, 8.0, 60.0]), np.array([1.0, 1.0, 5.0])
    estimate, error = odds(a, b, prior)
    turned, same = odds(b, a, prior)
    np.testing.assert_allclose(turned, -estimate)
    np.testing.assert_allclose(same, error)
    assert (np.abs(odds(a, b, 10 * prior)[0]) < np.abs(estimate)).all()


def test_terms_are_counted_by_answer() -> None:
    counts = count_terms(["Don\u2019t go, don't go", "go; we don't", "THE go", "Straße straße", "", "日本 日本"])
    assert counts.terms == ("don't", "go")  # a phrase of one answer is left out
    everybody = counts.total(np.ones(6, dtype=bool))
    assert dict(zip(counts.terms, everybody.tolist(), strict=True)) == {"don't": 2, "go": 3}
    assert counts.total(np.array([False, True, True, False, False, False])).tolist() == [1, 2]
    assert count_terms([]).terms == ()


def test_phrases_tell_themes_apart_and_common_words_do_not() -> None:
    texts = (PRICE + PLACE) * 12
    price = np.array(([True] * 5 + [False] * 5) * 12)
    table = compare(count_terms(texts), price, ~price)
    assert {"too expensive", "price rise"} <= set(telling(table, 4)["term"])
    assert "moving abroad" in set(telling(table, 3, against=True)["term"])
    of = table.set_index("term")
    assert of.at["is", "low"] < 0 < of.at["is", "high"]
    assert of.at["is", "p"] > 0.3
    assert of.at["expensive", "low"] > 0
    assert of.at["expensive", "n_a"] == 36
    assert of.at["expensive", "n_b"] == 0
    assert table["z"].is_monotonic_decreasing
    from scipy.stats import norm

    adjusted = multipletests(2 * norm.sf(np.abs(table["z"])), method="fdr_bh")[1]
    np.testing.assert_allclose(table["p"], adjusted)
    words = " ".join(telling(table, 20)["term"]).split()
    assert len(words) == len(set(words))


def test_nothing_to_compare_is_an_empty_table() -> None:
    counts = count_terms(PRICE)
    nobody, all_ = np.zeros(5, dtype=bool), np.ones(5, dtype=bool)
    of_one = compare(count_terms(["a"]), all_[:1], all_[:1])
    for table in (compare(counts, nobody, all_), compare(counts, all_, nobody), of_one):
        assert isinstance(table, pd.DataFrame)
        assert table.empty
        assert telling(table, 3).empty
