"""Segmenter + images with masks -> how well the masks fit, with intervals and pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.dataset import NAMES, ImageRecord, SmurfDataset, read_intact
from challenges.radix_smurfs.geometry import Rle, mask_to_rle, rle_area, rle_box, rle_to_mask
from challenges.radix_smurfs.overlay import Marked, draw
from challenges.radix_smurfs.segmenter import Segmenter
from common.cli import progress
from common.data.tables import write_json
from common.inference.batch import map_chunks
from common.metrics.masks import MaskScores, mask_average_precision

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORED_FROM: Final = 0.01  # average precision counts faint detections, too; they only ever add to it
FOUND_IOU: Final = 0.5
SIZES: Final = (0.05, 0.2)  # shares of the image's height that part small, middle and large Smurfs
SHOWN_FROM: Final = 0.25  # score of detections that are counted and drawn

Predictions = list[tuple[Rle, float]]  # masks of an image with their scores


@dataclass(frozen=True)
class Evaluation:
    """Images, what is on them and what was found."""

    records: tuple[ImageRecord, ...]
    truth: tuple[tuple[Rle, ...], ...]
    found: tuple[Predictions, ...]

    def take(self, rows: NDArray[np.int64]) -> Evaluation:
        """Some of the images."""
        records, truth, found = (tuple(part[i] for i in rows) for part in (self.records, self.truth, self.found))
        return Evaluation(records, truth, found)  # type: ignore[arg-type]


def predict_masks(dataset: SmurfDataset, records: Sequence[ImageRecord], segmenter: Segmenter) -> list[Predictions]:
    """Masks and scores of each image, down to faint ones."""
    faint = segmenter.at(score_threshold=SCORED_FROM)

    def work(chunk: list[ImageRecord]) -> Predictions:
        record = chunk[0]
        detections = faint(read_intact(dataset, record))
        masks = detections.masks(record.height, record.width)
        return [(mask_to_rle(m), float(s)) for m, s in zip(masks, detections.scores, strict=True) if m.any()]

    with progress("segmenting", total=len(records)) as advance:
        results = []
        for found in map_chunks(work, records, 1):
            results.append(found)
            advance()
    return results


def evaluate(dataset: SmurfDataset, segmenter: Segmenter) -> Evaluation:
    """Segment every image of a data set.

    Raises:
        UserError: an image is damaged.
    """
    return Evaluation(
        dataset.images, truth_of(dataset, dataset.images), tuple(predict_masks(dataset, dataset.images, segmenter))
    )


def image_keys(dataset: SmurfDataset) -> list[str]:
    """Of each image eight hex digits of its file's sha256, by which a model remembers what it was trained on."""
    return [hashlib.sha256(dataset.store.read(record.name)).hexdigest()[:8] for record in dataset.images]


def truth_of(dataset: SmurfDataset, records: Sequence[ImageRecord]) -> tuple[tuple[Rle, ...], ...]:
    """The annotated masks of each image."""
    return tuple(tuple(i.rle for i in dataset.instances_of(record)) for record in records)


def score(evaluation: Evaluation, *, n_resamples: int = 1000) -> dict[str, Any]:
    """Mask mAP50 and mAP50-95 with 95 % intervals over images, and the share of Smurfs found by size."""
    scores = mask_average_precision(evaluation.truth, evaluation.found, n_resamples=n_resamples)
    return {
        "mask_map50": asdict(scores.map50),
        "mask_map50_95": asdict(scores.map50_95),
        "n_images": len(evaluation.records),
        "n_smurfs": sum(map(len, evaluation.truth)),
        "found_by_size": found_by_size(evaluation),
    }


def found_by_size(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """Of the annotated Smurfs of each size, how many a detection of SHOWN_FROM or more overlaps by FOUND_IOU."""
    limits = dict(zip(("small", "middle", "large"), ((0.0, SIZES[0]), SIZES, (SIZES[1], np.inf)), strict=True))
    counts = {name: [0, 0] for name in limits}
    for record, truth, found in zip(evaluation.records, evaluation.truth, evaluation.found, strict=True):
        best = mask_iou(truth, [rle for rle, s in found if s >= SHOWN_FROM]).max(1, initial=0.0)  # (n_truth,)
        for rle, overlap in zip(truth, best, strict=True):
            _, top, _, bottom = rle_box(rle)
            share = (bottom - top) / record.height
            name = next(n for n, (low, high) in limits.items() if low <= share < high)
            counts[name][0] += overlap >= FOUND_IOU
            counts[name][1] += 1
    return {name: {"found": int(hits), "of": n} for name, (hits, n) in counts.items()}


def mask_iou(truth: Sequence[Rle], found: Sequence[Rle]) -> NDArray[np.float64]:
    """(N, M) intersection over union of masks."""
    from pycocotools import mask as coco_mask

    if not truth or not found:
        return np.zeros((len(truth), len(found)))
    return np.asarray(coco_mask.iou(list(truth), list(found), [0] * len(found)), dtype=np.float64)


def curve(evaluation: Evaluation) -> MaskScores:
    """The scores without intervals, for their precision-recall curve."""
    return mask_average_precision(evaluation.truth, evaluation.found, n_resamples=0)


def worst_images(
    dataset: SmurfDataset, evaluation: Evaluation, n: int = 12
) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """The images with the most Smurfs missed or invented, with what was found on them, and captions."""
    mistakes = []
    for row, (truth, found) in enumerate(zip(evaluation.truth, evaluation.found, strict=True)):
        shown = [rle for rle, s in found if s >= SHOWN_FROM]
        overlap = mask_iou(truth, shown)
        missed = int((overlap.max(1, initial=0.0) < FOUND_IOU).sum())
        invented = int((overlap.max(0, initial=0.0) < FOUND_IOU).sum())
        mistakes.append((missed + invented, missed, invented, row))
    pictures, captions = [], []
    for _, missed, invented, row in sorted(mistakes, key=lambda m: (-m[0], m[3]))[:n]:
        record = evaluation.records[row]
        marked = [
            Marked(NAMES[1], s, (0, 0, 0, 0), rle_to_mask(rle))
            for rle, s in evaluation.found[row]
            if s >= SHOWN_FROM and rle_area(rle)
        ]
        pictures.append(draw(read_intact(dataset, record), marked))
        captions.append(f"{missed} of {len(evaluation.truth[row])} missed\n{invented} invented")
    return pictures, captions


def precision_recall_figure(evaluation: Evaluation) -> Figure:
    """Precision against recall at an overlap of 0.5."""
    from matplotlib.figure import Figure

    from common.plots import use_style

    scores = curve(evaluation)
    with use_style():
        figure = Figure(figsize=(5, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(np.linspace(0, 1, 101), scores.precision50)
        axes.set(
            title=f"Masks at an overlap of 0.5: mAP50 {scores.map50.estimate:.3f}",
            xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02),
        )  # fmt: skip
    return figure


def write(dataset: SmurfDataset, evaluation: Evaluation, metrics: dict[str, Any], out: Path) -> None:
    """Write `metrics.json`, the precision-recall curve and the worst images into the folder `out`."""
    from common.plots import image_grid, save_figure

    write_json(metrics, out / "metrics.json")
    save_figure(precision_recall_figure(evaluation), out / "precision_recall.png")
    pictures, captions = worst_images(dataset, evaluation)
    save_figure(image_grid(pictures, captions, n_columns=4, title="Most mistakes"), out / "mistakes.png")


def headline(metrics: dict[str, Any]) -> str:
    """The two figures of the issue, with intervals."""
    if not metrics["n_smurfs"]:
        return "no Smurf is annotated, so nothing is scored"
    return ", ".join(
        f"{name} {m['estimate']:.3f} [{m['low']:.3f}, {m['high']:.3f}]"
        for name, m in (("mask mAP50", metrics["mask_map50"]), ("mAP50-95", metrics["mask_map50_95"]))
    )
