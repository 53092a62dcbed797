"""From logits to probabilities that mean what they say, and to decisions."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from challenges.vinted.dataset import TAGS
from challenges.vinted.model import Logits
from challenges.vinted.predict import Probabilities
from common.metrics.calibration import fit_temperature
from common.metrics.multilabel import expected_f1_threshold


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities and decisions."""

    category_temperature: float
    tag_temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]  # of the calibrated probability, one a tag, for the best expected F1


UNCALIBRATED = Calibration(1.0, (1.0,) * len(TAGS), (0.5,) * len(TAGS))


def calibrate(
    category_logits: NDArray[np.float32],
    categories: NDArray[np.int64],
    tag_logits: NDArray[np.float32],
    tags: NDArray[np.bool_],
) -> Calibration:
    """Fit temperatures and thresholds on held-out photos.

    Args:
        category_logits: (N, 5).
        categories: (N,) true classes.
        tag_logits: (M, 3); photos that have tags but no category may be among them.
        tags: (M, 3).
    """
    temperatures = tuple(fit_temperature(tag_logits[:, t], tags[:, t].astype(int)) for t in range(tags.shape[1]))
    probabilities = 1 / (1 + np.exp(-tag_logits / np.array(temperatures)))
    # A tag that no photo has says nothing of where to decide.
    thresholds = tuple(
        expected_f1_threshold(probabilities[:, t]) if tags[:, t].any() else 0.5 for t in range(tags.shape[1])
    )
    return Calibration(fit_temperature(category_logits, categories), temperatures, thresholds)


def apply_calibration(logits: Logits, calibration: Calibration) -> Probabilities:
    """Logits -> probabilities as the exported network computes them: calibrated, but for the colour's."""
    category = (logits.category / calibration.category_temperature).softmax(1)
    tags = (logits.tags / torch.tensor(calibration.tag_temperatures)).sigmoid()
    return Probabilities(category.numpy(), tags.numpy(), logits.color.softmax(1).numpy())
