"""Average precision of instance masks, by pycocotools, with bootstrap intervals over images."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.metrics.bootstrap import Interval, bootstrap_interval

MAX_DETECTIONS = 100
"""Detections of an image that count, the best first, as in COCO's own results."""

Rle = Mapping[str, Any]  # pycocotools' run-length encoding: size, counts


@dataclass(frozen=True)
class MaskScores:
    """How well masks of one class are found."""

    map50: Interval  # average precision where a mask counts as found from an intersection over union of 0.5
    map50_95: Interval  # mean over 0.5, 0.55, ..., 0.95: COCO's headline
    precision50: NDArray[np.float64]  # (101,) highest precision at recalls of at least 0, 0.01, ..., 1, at 0.5


def mask_average_precision(
    truth: Sequence[Sequence[Rle]],
    predictions: Sequence[Sequence[tuple[Rle, float]]],
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> MaskScores:
    """Score predicted masks of one class against the true ones.

    Images are drawn anew for the intervals, with all that is on them: masks of one image succeed or fail together.

    Args:
        truth: for each image, its true masks.
        predictions: for each image, masks and scores, in any order.
        n_resamples: of the bootstrap; 0 gives intervals of NaN.
        seed: same seed, same intervals.

    Returns:
        The scores; NaN where there is not one true mask.

    Raises:
        ValueError: no images, or other numbers of images.
    """
    if len(truth) == 0 or len(truth) != len(predictions):
        raise ValueError(f"cannot score {len(predictions)} images against {len(truth)}")
    evaluation = _evaluate(truth, predictions)
    matches = evaluation.evalImgs  # one for each image, None where it has neither truth nor predictions

    def precision(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(10, 101) precision by threshold and recall on the images `rows`, with repeats."""
        evaluation.evalImgs = [matches[row] for row in rows]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
        found: NDArray[np.float64] = evaluation.eval["precision"][:, :, 0, 0, 0]
        return np.where(found < 0, np.nan, found)  # -1: no truth

    everything = precision(np.arange(len(truth)))
    # Both scores come from one accumulation, so the second statistic reads what the first one kept.
    resampled: dict[bytes, tuple[float, float]] = {}

    def both(rows: NDArray[np.int64]) -> tuple[float, float]:
        key = rows.tobytes()
        if key not in resampled:
            values = precision(rows)
            resampled[key] = float(values[0].mean()), float(values.mean())
        return resampled[key]

    def interval(which: int) -> Interval:
        return bootstrap_interval(lambda rows: both(rows)[which], len(truth), n_resamples=n_resamples, seed=seed)

    return MaskScores(interval(0), interval(1), everything[0])


def _evaluate(truth: Sequence[Sequence[Rle]], predictions: Sequence[Sequence[tuple[Rle, float]]]) -> Any:
    """Match every image's predictions to its truth."""
    from pycocotools.cocoeval import COCOeval

    expected = _coco([[(rle, None) for rle in rles] for rles in truth])
    found = _coco(predictions)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(expected, found, "segm")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
    return evaluation


def _coco(images: Sequence[Sequence[tuple[Rle, float | None]]]) -> Any:
    """The masks as pycocotools' data set of one category."""
    from pycocotools import mask as coco_mask
    from pycocotools.coco import COCO

    annotations: list[dict[str, Any]] = []
    for image_id, masks in enumerate(images):
        for rle, score in masks:
            annotation = {
                "id": len(annotations) + 1,  # pycocotools takes a match with the id 0 for none
                "image_id": image_id,
                "category_id": 1,
                "segmentation": dict(rle),
                "area": float(coco_mask.area(dict(rle))),
                "bbox": coco_mask.toBbox(dict(rle)).tolist(),
                "iscrowd": 0,
            }
            annotations.append(annotation if score is None else annotation | {"score": float(score)})
    coco = COCO()
    coco.dataset = {
        # asked for, and not used: the masks bring their size
        "images": [{"id": i, "height": 0, "width": 0} for i in range(len(images))],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco
