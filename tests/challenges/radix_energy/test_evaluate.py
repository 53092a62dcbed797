"""The measurements: types that are there are found, chance scores 0, and no method sees the truth."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from challenges.radix_energy import evaluate, model, sample
from challenges.radix_energy.baselines import Method, Series, fill_series, mean_profiles, methods
from challenges.radix_energy.dataset import Readings
from challenges.radix_energy.evaluate import (
    Flaws,
    bootstrap_stability,
    compare_methods,
    score_planted,
    split_weeks,
    week_agreement,
)
from challenges.radix_energy.features import Features
from challenges.radix_energy.model import HouseholdTypes
from common.data.tables import json_text
from common.errors import UserError


@pytest.fixture
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer numbers of types to try, for the sake of time."""
    monkeypatch.setattr(model, "MAX_TYPES", 5)
    monkeypatch.setattr(model, "N_SPLITS", 2)


def blobs(n_types: int, n: int = 120) -> Features:
    """Households of `n_types` that are plainly apart: each busy at other hours, and each of another level."""
    rng = np.random.default_rng(0)
    types = np.arange(n) % n_types
    shape = np.full((n, 48), 0.5)
    for row, kind in enumerate(types):
        shape[row, [4 * kind, 4 * kind + 1, 24 + 4 * kind]] = 4
    return Features(shape * rng.normal(1, 0.03, shape.shape), np.exp(types + rng.normal(0, 0.05, n)))


def test_planted_types_are_found(few_candidates: None) -> None:
    scores = score_planted([0], [4], n_households=200)
    assert scores["ari_given"]["estimate"] > 0.85
    assert scores["ari_given"]["low"] <= scores["ari_given"]["estimate"] <= scores["ari_given"]["high"]
    assert scores["within_one"] == 1
    (row,) = scores["samples"]
    assert row["ari_given"] == scores["lowest_ari_given"] == pytest.approx(scores["ari_given"]["estimate"])
    assert scores["atypical_share_of_outliers"] is None
    json_text(scores)


def test_outliers_are_not_scored_but_counted_as_marked(few_candidates: None) -> None:
    scores = score_planted([0], [4], n_households=200, flaws=Flaws(missing=0.1, outliers=0.1, clock_shifts=0.15))
    assert scores["ari_given"]["estimate"] > 0.6
    assert scores["atypical_share_of_outliers"] > 2 * scores["atypical_share_of_planted"]
    with pytest.raises(ValueError, match="at most 2000"):
        score_planted([0], [4], n_households=2001)


TSLEARN = ("k-shape, profiles", "DTW k-means, profiles")
KINDS = pytest.mark.parametrize(
    "compared",
    [
        pytest.param([method for method in methods() if method.name not in TSLEARN], id="ours and sklearn"),
        # Compiling takes half a minute or more.
        pytest.param([method for method in methods() if method.name in TSLEARN], id="tslearn", marks=pytest.mark.slow),
    ],
)


@KINDS
def test_every_method_is_scored_and_none_sees_the_truth(few_candidates: None, compared: list[Method]) -> None:
    planted = sample.generate(90, 3, seed=1, n_days=28, missing=0.02)
    seen: dict[str, list[np.ndarray]] = {method.name: [] for method in compared}

    def watched(method: Method) -> Method:
        def fit(*arguments: Any) -> Any:
            labels, assign = method.fit(*arguments)
            seen[method.name].append(labels)
            return labels, assign

        return method._replace(fit=fit)

    watched_methods = [watched(method) for method in compared]
    scores = compare_methods(planted.kwh, planted.dates, 3, planted.types, compared=watched_methods)
    by_name = {row["method"]: row["ari"]["estimate"] for row in scores}
    assert list(by_name) == [method.name for method in compared]
    assert np.isfinite([list(row["ari"].values()) for row in scores]).all()
    assert abs(by_name.pop("random labels", 0)) < 0.1
    assert min(by_name.values()) > 0.2
    assert by_name.get("ours", 1) > 0.9
    assert all(row["n_types"] == 3 for row in scores if row["method"] != "HDBSCAN")
    another = np.random.default_rng(0).permutation(planted.types)
    for row in compare_methods(planted.kwh, planted.dates, 3, another, compared=watched_methods):
        assert abs(row["ari"]["estimate"]) < 0.1, row["method"]
    for name, (first, second) in seen.items():  # the same seed, another truth
        np.testing.assert_array_equal(first, second, err_msg=name)


def test_a_simple_method_sees_the_level_as_ours_does() -> None:
    """Else the comparison would credit ours with what the others are not shown."""
    rng = np.random.default_rng(0)
    small_and_large = np.arange(40) % 2
    kwh = rng.normal(1, 0.1, (40, 28, 24)) * (1 + 2 * small_and_large)[:, None, None]
    dates = np.arange("2024-01-01", "2024-01-29", dtype="datetime64[D]")
    simple = [method for method in methods() if method.name in ("k-means, profiles", "k-means, log profiles")]
    blind, sees = compare_methods(kwh.astype(np.float32), dates, 2, small_and_large, compared=simple)
    assert abs(blind["ari"]["estimate"]) < 0.2
    assert sees["ari"]["estimate"] == 1


@KINDS
def test_every_method_assigns_the_even_weeks(few_candidates: None, compared: list[Method]) -> None:
    planted = sample.generate(90, 3, seed=1, n_days=30)
    rows = compare_methods(planted.kwh, planted.dates, 3, compared=compared)
    scores = {row["method"]: row["ari"]["estimate"] for row in rows}
    assert abs(scores.pop("random labels", 0)) < 0.1
    assert np.nanmin(list(scores.values())) > 0.2
    assert scores.get("ours", 1) > 0.85


def test_one_type_for_all_is_no_agreement() -> None:
    planted = sample.generate(60, 3, seed=1, n_days=28)
    one = Method("one", "nothing", lambda readings, *_: (np.zeros(60, int), lambda others: np.zeros(60, int)))
    (row,) = compare_methods(planted.kwh, planted.dates, 3, compared=[one])
    assert row["n_types"] == 1
    assert np.isnan(row["ari"]["estimate"])


def test_weeks_agree_on_clean_households(few_candidates: None) -> None:
    planted = sample.generate(150, 4, seed=0, n_days=28)
    kwh = planted.kwh.copy()
    kwh[3, :7] = kwh[3, 14:21] = np.nan  # nothing in odd weeks
    agreement = week_agreement(kwh, planted.dates)
    assert agreement["ari"]["estimate"] > 0.85
    assert (agreement["n_types"], agreement["n_households"], agreement["n_left_out"]) == (4, 149, 1)
    assert -0.1 < agreement["k_means_ari"]["estimate"] < 1


def test_weeks_are_split_at_the_same_day_of_the_week() -> None:
    kwh = np.random.default_rng(0).random((2, 30, 24), dtype=np.float32)
    dates = np.datetime64("2009-04-01") + np.arange(30)
    odd, even, used = split_weeks(kwh, dates)
    assert used.all()
    assert odd.dates.tolist() == [*dates[:7].tolist(), *dates[14:21].tolist(), *dates[28:].tolist()]
    assert sorted([*odd.dates.tolist(), *even.dates.tolist()]) == dates.tolist()
    np.testing.assert_array_equal(odd.kwh[:, 7], kwh[:, 14])
    np.testing.assert_array_equal((even.dates - odd.dates[: len(even.dates)]).astype(int), 7)


def test_too_few_weeks_are_told_before_the_long_work(monkeypatch: pytest.MonkeyPatch) -> None:
    kwh = np.random.default_rng(0).random((2, 10, 24), dtype=np.float32)
    monkeypatch.setattr(evaluate, "generate", None)
    with pytest.raises(UserError, match=r"10 days: no household .* give two weeks or more"):
        evaluate.evaluate(Readings(np.array(["a", "b"]), np.datetime64("2009-04-01") + np.arange(10), kwh))


def test_gaps_take_the_usual_value_of_the_hour() -> None:
    dates = np.datetime64("2024-03-04") + np.arange(14)
    kwh = np.random.default_rng(0).random((3, 14, 24), dtype=np.float32)
    kwh[0, 2, 5] = kwh[0, 5, 7] = np.nan
    kwh[1, [5, 6, 12, 13], 3] = np.nan  # no such hour on any weekend
    series = Series(kwh, dates)
    filled = fill_series(series)
    weekdays, saturday = [0, 1, 3, 4, 7, 8, 9, 10, 11], [6, 12, 13]
    assert filled[0, 2, 5] == pytest.approx(kwh[0, weekdays, 5].mean())
    assert filled[0, 5, 7] == pytest.approx(kwh[0, saturday, 7].mean())
    np.testing.assert_allclose(filled[1, [5, 13], 3], np.nanmean(kwh[1]), rtol=1e-5)
    np.testing.assert_array_equal(filled[2], kwh[2])
    np.testing.assert_allclose(
        mean_profiles(series)[2, :24], kwh[2, [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]].mean(0), rtol=1e-5
    )


def test_types_far_apart_are_stable_and_split_noise_is_not(few_candidates: None) -> None:
    features = blobs(4, 80)
    apart = HouseholdTypes(4).fit(features)
    assert (bootstrap_stability(apart, features, 4) > 0.97).all()
    rng = np.random.default_rng(0)
    noise = Features(rng.normal(1, 0.1, (80, 48)), np.exp(rng.normal(0, 0.012, 80)))
    split = HouseholdTypes(4).fit(noise)
    unstable = bootstrap_stability(split, noise, 4)
    assert unstable.shape == (4,)
    assert unstable.mean() < 0.6
    np.testing.assert_array_equal(unstable, bootstrap_stability(split, noise, 4))


def test_all_measurements_fit_into_json(few_candidates: None, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = sample.generate(80, 4, seed=0, n_days=28)
    cheap = [method for method in methods() if method.name in ("random labels", "k-means, profiles")]
    monkeypatch.setattr(evaluate, "methods", lambda: cheap)
    monkeypatch.setattr(evaluate, "bootstrap_stability", partial(bootstrap_stability, n_resamples=2))
    monkeypatch.setattr(evaluate, "PLANTED_TYPES", (4,))
    monkeypatch.setattr(evaluate, "generate", lambda *_, **flaws: planted)
    metrics = evaluate.evaluate(planted, seeds=[0])
    json_text(metrics)
    assert len(metrics["types"]["jaccard"]) == metrics["types"]["n_types"] == len(metrics["types"]["shares"])
    assert [len(metrics[key]) for key in ("methods_on_planted", "methods_on_data")] == [2, 2]
    assert evaluate.headline(metrics).startswith("planted types: ARI 0.")


@pytest.mark.real_data
@pytest.mark.slow
def test_real_households_keep_their_type_from_odd_to_even_weeks(few_candidates: None, shared_data: Path) -> None:
    from challenges.radix_energy.dataset import load

    readings = load(shared_data / "energy").readings
    agreement = week_agreement(readings.kwh, readings.dates)
    assert agreement["ari"]["estimate"] >= 0.55
    assert agreement["n_types"] >= 4
    assert agreement["n_left_out"] < 20
