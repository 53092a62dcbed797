"""Mask AP by hand, against torchmetrics, and its intervals."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torchmetrics.detection import MeanAveragePrecision

from common.metrics.masks import MaskScores, mask_average_precision

SIDE = 24
Boxes = list[tuple[int, int, int, int]]


def rle(x0: int, y0: int, x1: int, y1: int) -> dict[str, Any]:
    return coco_mask.encode(np.asfortranarray(pixels(x0, y0, x1, y1)))  # type: ignore[no-any-return]


def pixels(x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


def score(truth: list[Boxes], found: list[list[tuple[tuple[int, int, int, int], float]]], **more: Any) -> MaskScores:
    predictions = [[(rle(*box), s) for box, s in image] for image in found]
    return mask_average_precision([[rle(*box) for box in image] for image in truth], predictions, **more)


def test_everything_found_is_one_and_nothing_found_is_zero() -> None:
    truth = [[(0, 0, 4, 4)], [(1, 1, 9, 9), (12, 12, 20, 20)], []]
    perfect = score(truth, [[(box, 0.9) for box in image] for image in truth])
    assert (perfect.map50.estimate, perfect.map50_95.estimate) == (1.0, 1.0)
    assert (perfect.precision50 == 1).all()
    nothing = score(truth, [[], [], []])
    assert (nothing.map50.estimate, nothing.map50_95.estimate) == (0.0, 0.0)


def test_half_as_wide_counts_at_one_threshold_only() -> None:
    """Intersection over union of exactly 0.5: found at 0.5, missed at the nine thresholds above."""
    half = score([[(0, 0, 8, 4)]], [[((0, 0, 4, 4), 1.0)]])
    assert half.map50.estimate == pytest.approx(1)
    assert half.map50_95.estimate == pytest.approx(0.1)
    assert half.precision50 == pytest.approx(1)


def test_a_false_alarm_counts_by_its_rank() -> None:
    truth: list[Boxes] = [[(0, 0, 8, 8)], [(0, 0, 8, 8)]]
    late = score(truth, [[((0, 0, 8, 8), 0.9), ((10, 10, 20, 20), 0.1)], [((0, 0, 8, 8), 0.8)]])
    assert late.map50.estimate == 1
    early = score(truth, [[((0, 0, 8, 8), 0.8), ((10, 10, 20, 20), 0.9)], [((0, 0, 8, 8), 0.7)]])
    assert early.map50.estimate == pytest.approx(2 / 3, abs=1e-3)


def test_a_false_alarm_on_an_empty_image_counts() -> None:
    scores = score([[(0, 0, 8, 8)], []], [[((0, 0, 8, 8), 0.8)], [((10, 10, 20, 20), 0.9)]])
    assert scores.map50.estimate == pytest.approx(0.5)


def test_agrees_with_torchmetrics() -> None:
    """On images with something on them: it forgets false alarms on others."""
    rng = np.random.default_rng(1)
    truth: list[Boxes] = []
    found: list[list[tuple[tuple[int, int, int, int], float]]] = []
    for _ in range(8):
        corners = rng.integers(0, 12, (int(rng.integers(1, 4)), 2))
        truth.append([(int(x), int(y), int(x) + 9, int(y) + 9) for x, y in corners])
        moved = [(max(0, x0 + int(rng.integers(-2, 3))), y0, x1, y1) for x0, y0, x1, y1 in truth[-1]]
        found.append([(box, float(rng.random())) for box in [*moved, (14, 14, 20, 20)]])
    ours = score(truth, found, n_resamples=0)
    theirs = MeanAveragePrecision(iou_type="segm")

    def stack(boxes: Boxes) -> torch.Tensor:
        return torch.from_numpy(np.stack([pixels(*box) for box in boxes])).bool()

    theirs.update(
        [
            {
                "masks": stack([box for box, _ in image]),
                "scores": torch.tensor([s for _, s in image]),
                "labels": torch.zeros(len(image), dtype=torch.long),
            }
            for image in found
        ],
        [{"masks": stack(image), "labels": torch.zeros(len(image), dtype=torch.long)} for image in truth],
    )
    expected = theirs.compute()
    assert ours.map50.estimate == pytest.approx(float(expected["map_50"]), abs=1e-6)
    assert ours.map50_95.estimate == pytest.approx(float(expected["map"]), abs=1e-6)
    assert 0 < ours.map50_95.estimate < ours.map50.estimate < 1


def test_intervals_are_of_images_and_repeatable() -> None:
    box = (0, 0, 8, 8)
    truth: list[Boxes] = [[box]] * 20
    found = [[(box, 0.9)] if k % 2 else [] for k in range(20)]
    first, again = (score(truth, found, n_resamples=200, seed=3) for _ in range(2))
    assert first.map50 == again.map50
    assert first.map50.low < first.map50.estimate < first.map50.high
    # Half of 20 images are found: the share found in a resample is binomial with a deviation of 0.11.
    assert 0.15 < first.map50.high - first.map50.low < 0.6
    none = score(truth, found, n_resamples=0)
    assert none.map50.estimate == first.map50.estimate
    assert np.isnan([none.map50.low, none.map50.high]).all()
    once = score(truth, found, n_resamples=1)
    assert once.map50.low == once.map50.high


def test_no_truth_is_not_a_number_and_no_images_an_error() -> None:
    scores = score([[], []], [[], [((0, 0, 4, 4), 0.5)]])
    assert np.isnan(scores.map50.estimate)
    assert np.isnan(scores.map50_95.low)
    with pytest.raises(ValueError, match="cannot score 0 images"):
        mask_average_precision([], [])
    with pytest.raises(ValueError, match="cannot score 1 images against 2"):
        score([[], []], [[]])
