"""Calibrated probabilities mean what they say, and thresholds decide new photos well."""

import numpy as np
import torch
from sklearn.metrics import f1_score, log_loss

from challenges.vinted.calibration import UNCALIBRATED, apply_calibration, calibrate
from challenges.vinted.model import Logits


def overconfident(n: int, factor: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Logits that are `factor` times those which the labels were drawn from."""
    rng = np.random.default_rng(seed)
    category_logits, tag_logits = rng.normal(0, 1.5, (n, 5)), rng.normal(-1, 1.5, (n, 3))
    odds = np.exp(category_logits) / np.exp(category_logits).sum(1, keepdims=True)
    categories = (odds.cumsum(1) > rng.random((n, 1))).argmax(1)
    tags = rng.random((n, 3)) < 1 / (1 + np.exp(-tag_logits))
    return (factor * category_logits).astype(np.float32), categories, (factor * tag_logits).astype(np.float32), tags


def as_logits(category: np.ndarray, tags: np.ndarray) -> Logits:
    return Logits(torch.from_numpy(category), torch.from_numpy(tags), torch.zeros(len(category), 2))


def test_finds_the_temperature_that_the_logits_were_scaled_by():
    found = calibrate(*overconfident(4_000, factor=3.0))
    assert abs(found.category_temperature - 3) < 0.3
    assert np.allclose(found.tag_temperatures, 3, atol=0.45)


def test_fits_on_some_photos_and_helps_on_others():
    found = calibrate(*overconfident(1_000, factor=4.0, seed=1))
    category, categories, tag_logits, _ = overconfident(1_000, factor=4.0, seed=2)
    before, after = (apply_calibration(as_logits(category, tag_logits), c).category for c in (UNCALIBRATED, found))
    assert log_loss(categories, after) < log_loss(categories, before)
    assert (before.argmax(1) == after.argmax(1)).all()  # a temperature changes no answer


def test_thresholds_are_about_the_best_for_other_photos():
    found = calibrate(*overconfident(1_000, factor=3.0, seed=3))
    category, _, tag_logits, tags = overconfident(20_000, factor=3.0, seed=4)
    probabilities = apply_calibration(as_logits(category, tag_logits), found).tags
    for t, threshold in enumerate(found.thresholds):
        best = max(f1_score(tags[:, t], probabilities[:, t] >= other) for other in np.linspace(0, 1, 101))
        assert f1_score(tags[:, t], probabilities[:, t] >= threshold) > best - 0.01


def test_a_tag_that_no_photo_has_is_decided_at_one_half():
    category, categories, tag_logits, tags = overconfident(200, factor=1.0)
    tags[:, 1] = False
    found = calibrate(category, categories, tag_logits, tags)
    assert found.thresholds[1] == 0.5
    assert found.thresholds[0] < 0.5
