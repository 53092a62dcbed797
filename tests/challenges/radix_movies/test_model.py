"""The kernel machines against scikit-learn and against leaving groups out in earnest."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression

from challenges.radix_movies.dataset import related_films
from challenges.radix_movies.features import Features
from challenges.radix_movies.model import (
    View,
    drop,
    fit_logistic,
    fit_machine,
    fit_model,
    fit_stack,
    radial,
)
from common.errors import UserError

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(40, 6)).astype(np.float32)
POINTS /= np.linalg.norm(POINTS, axis=1, keepdims=True)
LABELS = RNG.random((40, 3)) < 0.4
GROUPS = np.arange(40) // 3
KERNEL = radial(POINTS, POINTS, 0.5)


def test_a_machine_is_kernel_ridge_regression():
    machine = fit_machine(KERNEL, LABELS, GROUPS, ridge=0.7)
    reference = KernelRidge(alpha=0.7, kernel="rbf", gamma=0.5).fit(POINTS, LABELS - LABELS.mean(0))
    others = POINTS[:5] + 0.1
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    found = radial(others, POINTS, 0.5) @ machine.dual + machine.offset
    np.testing.assert_allclose(found, reference.predict(others) + LABELS.mean(0), atol=1e-4)


def test_held_out_scores_are_those_of_machines_without_the_group():
    machine = fit_machine(KERNEL, LABELS, GROUPS, ridge=0.7)
    for group in (0, 5):
        inside = group == GROUPS
        # The offset stays that of all films: it is what the identity holds for.
        residual = LABELS[~inside] - machine.offset
        dual = np.linalg.solve(KERNEL[np.ix_(~inside, ~inside)] + 0.7 * np.eye((~inside).sum()), residual)
        expected = KERNEL[np.ix_(inside, ~inside)] @ dual + machine.offset
        np.testing.assert_allclose(machine.held_out[inside], expected, atol=1e-4)


def test_logistic_regression_is_scikit_learns():
    x = RNG.normal(size=(80, 4)).astype(np.float32)
    labels = (x[:, :2] + RNG.normal(size=(80, 2))) > 0
    stack = fit_logistic(x, labels, l2=0.01)
    scaled = (x - x.mean(0)) / x.std(0)
    for g in range(2):
        reference = LogisticRegression(C=1 / (0.01 * 80), tol=1e-8).fit(scaled, labels[:, g])
        np.testing.assert_allclose(stack(x)[:, g], reference.decision_function(scaled), atol=5e-3)


def test_genres_vouch_for_each_other_only_where_they_may():
    scores = RNG.random((60, 4)).astype(np.float32)  # two machines, two genres
    apart = fit_stack(scores, scores[:, ::2] > 0.5, 0.01, own_only=True)
    assert (apart.weight[[0, 2], 1] == 0).all()
    assert (apart.weight[[1, 3], 0] == 0).all()


def test_what_is_missing_is_like_nothing():
    view = View(np.ones(6, np.float32), np.ones(6, np.float32))
    placed = view.place(np.vstack([np.zeros((1, 6), np.float32), POINTS[:3]]))
    assert not placed[0].any()
    assert (radial(placed, POINTS, 0.5)[0] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(placed[1:], axis=1), 1, rtol=1e-5)


def test_modality_dropout_never_takes_both():
    n = 400
    features = Features(
        ["x"] * n, np.ones((n, 3, 2), np.float32), np.ones((n, 4), np.float32), np.ones(n, bool), np.ones(n, bool)
    )
    lost = drop(features, 0.25, np.random.default_rng(0))
    assert (lost.has_text | lost.has_poster).all()
    assert 0.15 < (~lost.has_text).mean() < 0.35
    assert not lost.text[~lost.has_text].any()
    assert [text == "" for text in lost.texts] == (~lost.has_text).tolist()


def test_films_that_all_lack_one_thing_cannot_teach_a_model(sample, seen):
    features, pictures = seen
    groups = related_films(sample.films, pictures.hashes)
    nobody = np.zeros(len(features), dtype=bool)
    with pytest.raises(UserError, match="has a poster"):
        fit_model(replace(features, has_poster=nobody), sample.labels, groups)
