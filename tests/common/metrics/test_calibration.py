"""Calibration against torchmetrics, scikit-learn and temperatures that are known."""

import math

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from torch import from_numpy
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from common.metrics.calibration import (
    TEMPERATURE_RANGE,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)


def softmax_problem(temperature: float, n_rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, 4) that are `temperature` times too large for the labels drawn."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(n_rows, 4)) * 2
    labels = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((n_rows, 1))).sum(axis=1)
    return logits * temperature, labels


def sigmoid_problem(temperature: float, n_rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=n_rows) * 2 - 1
    return logits * temperature, (rng.random(n_rows) < expit(logits)).astype(int)


def test_error_agrees_with_torchmetrics() -> None:
    logits, labels = softmax_problem(2.0, 1000)
    probabilities = softmax(logits, axis=1)
    expected = multiclass_calibration_error(from_numpy(probabilities), from_numpy(labels), num_classes=4, n_bins=15)
    assert expected_calibration_error(labels, probabilities) == pytest.approx(expected.item(), abs=1e-6)


def test_error_of_one_tag_agrees_with_torchmetrics() -> None:
    logits, labels = sigmoid_problem(2.0, 1000)
    expected = binary_calibration_error(from_numpy(expit(logits)), from_numpy(labels), n_bins=10)
    assert expected_calibration_error(labels, expit(logits), 10) == pytest.approx(expected.item(), abs=1e-6)


def test_curve_agrees_with_scikit_learn_and_counts_every_row() -> None:
    logits, labels = sigmoid_problem(3.0, 300)
    curve = reliability_curve(labels, expit(logits), n_bins=20)
    accuracy, confidence = calibration_curve(labels, expit(logits), n_bins=20)
    occupied = curve.count > 0
    np.testing.assert_allclose(curve.accuracy[occupied], accuracy)
    np.testing.assert_allclose(curve.confidence[occupied], confidence)
    assert curve.count.sum() == 300
    assert len(reliability_curve(labels, expit(logits)).count) == 15  # as many as the error has


def test_empty_bins_are_undefined_and_do_not_count() -> None:
    curve = reliability_curve(np.array([1, 0]), np.array([1.0, 0.0]), n_bins=4)
    assert curve.count.tolist() == [1, 0, 0, 1]
    assert np.isnan(curve.accuracy[1:3]).all()
    assert expected_calibration_error(np.array([1, 0]), np.array([1.0, 0.0]), n_bins=4) == 0


def test_error_without_rows_is_undefined() -> None:
    assert math.isnan(expected_calibration_error(np.zeros(0, dtype=int), np.zeros((0, 3))))


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_what_is_no_probability_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        reliability_curve(np.array([0]), np.array([bad]))


@pytest.mark.parametrize("probabilities", [np.array([0.2, 0.8]), np.eye(2)])
@pytest.mark.parametrize("label", [-1, 2])
def test_a_curve_of_what_is_no_class_is_refused(label: int, probabilities: np.ndarray) -> None:
    with pytest.raises(ValueError, match="classes 0 to 1"):
        reliability_curve(np.array([0, label]), probabilities)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        reliability_curve(np.array([0, 1]), np.array([[0.5, 0.5]]))
    with pytest.raises(ValueError, match="do not fit"):
        fit_temperature(np.zeros((2, 3)), np.array([0]))
    with pytest.raises(ValueError, match="do not fit"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int))


@pytest.mark.parametrize("label", [-1, 2, 0.5])
def test_no_temperature_is_fitted_to_labels_that_are_no_class(label: float) -> None:
    for logits in (np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([-2.0, 2.0])):
        with pytest.raises(ValueError, match="classes 0 to 1"):
            fit_temperature(logits, np.array([0, label]))


@pytest.mark.parametrize("logit", [np.nan, np.inf])
def test_no_temperature_is_fitted_to_logits_that_are_no_numbers(logit: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        fit_temperature(np.array([[2.0, logit], [0.0, 2.0]]), np.array([0, 1]))
    masked = np.array([[2.0, 1.0, -np.inf], [0.0, 1.0, -np.inf]])
    assert fit_temperature(masked, np.array([1, 1])) == fit_temperature(masked[:, :2], np.array([1, 1]))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(temperature: float) -> None:
    assert fit_temperature(*softmax_problem(temperature)) == pytest.approx(temperature, rel=0.05)
    assert fit_temperature(*sigmoid_problem(temperature)) == pytest.approx(temperature, rel=0.05)


def test_temperature_of_a_tag_agrees_with_logistic_regression() -> None:
    # The same model: one slope 1 / T, no intercept, no penalty.
    logits, labels = sigmoid_problem(1.7, 500)
    slope = LogisticRegression(C=np.inf, fit_intercept=False).fit(logits[:, None], labels).coef_[0, 0]
    assert fit_temperature(logits, labels) == pytest.approx(1 / slope, rel=1e-3)


def test_temperature_is_the_best_of_a_grid_and_mends_the_error() -> None:
    logits, labels = softmax_problem(2.5, 2000)
    found = fit_temperature(logits, labels)

    def likelihood(temperature: float) -> float:
        return float(log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean())

    assert likelihood(found) >= max(likelihood(t) for t in np.geomspace(*TEMPERATURE_RANGE, 200))
    before = expected_calibration_error(labels, softmax(logits, axis=1))
    after = expected_calibration_error(labels, softmax(logits / found, axis=1))
    assert after < before / 3


def test_temperature_stays_in_range_where_the_likelihood_has_no_maximum() -> None:
    low, high = TEMPERATURE_RANGE
    separable = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert low <= fit_temperature(separable, np.array([0, 1])) <= high  # always right: towards 0
    assert low <= fit_temperature(separable, np.array([1, 0])) <= high  # always wrong: towards infinity
    assert low <= fit_temperature(np.full(4, 1e4), np.array([1, 1, 1, 0])) <= high
