"""Artifact + labelled photos -> metrics with intervals, and figures. Needs no torch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from challenges.vinted.dataset import CATEGORIES, TAGS, Dataset, Labels, contributors, encode, photo_key
from challenges.vinted.predict import Model, Probabilities, predict_photos, top_two
from common.data.images import decode_image, letterbox_image
from common.data.tables import write_json
from common.metrics.bootstrap import Interval, bootstrap_interval
from common.metrics.calibration import expected_calibration_error, reliability_curve
from common.metrics.classification import confusion_matrix, top_k_accuracy
from common.metrics.multilabel import average_precision, tag_scores
from common.plots import image_grid, plot_confusion_matrix, plot_precision_recall, plot_reliability, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_MISTAKES = 20  # in the picture of the worst ones


def score(
    labels: Labels, probabilities: Probabilities, decisions: NDArray[np.bool_], groups: NDArray[Any]
) -> dict[str, Any]:
    """Return the assignment's metrics, as plain values, each headline with its 95 % bootstrap interval.

    Whole groups are resampled, because photos of one contributor resemble each other.

    Args:
        labels: of N photos. Categories are scored where every photo has exactly one, colours where known.
        probabilities: of the same photos.
        decisions: (N, 3) which tags are given.
        groups: (N,) e.g. the contributor.
    """
    n = len(groups)
    tags = labels.tags.astype(bool)

    def interval(statistic: Any) -> dict[str, float]:
        return asdict(bootstrap_interval(statistic, n, groups))

    scores = tag_scores(tags, decisions)
    precision_averages = average_precision(tags, probabilities.tags)
    result: dict[str, Any] = {
        "n_photos": n,
        "n_groups": len(np.unique(groups)),
        "macro_f1": interval(lambda rows: tag_scores(tags[rows], decisions[rows]).macro_f1),
        "macro_precision": scores.macro_precision,
        "macro_recall": scores.macro_recall,
        "tags": {
            tag: {
                "precision": scores.precision[t],
                "recall": scores.recall[t],
                "f1": interval(lambda rows, t=t: tag_scores(tags[rows][:, [t]], decisions[rows][:, [t]]).macro_f1),
                "average_precision": precision_averages[t],
                "support": scores.support[t],
                "ece": expected_calibration_error(tags[:, t].astype(int), probabilities.tags[:, t]),
            }
            for t, tag in enumerate(TAGS)
        },
    }
    if (labels.categories.sum(1) == 1).all():
        truth, category = labels.categories.argmax(1), probabilities.category
        for k in (1, 2):
            result[f"top{k}_accuracy"] = interval(lambda rows, k=k: top_k_accuracy(truth[rows], category[rows], k))
        result["ece"] = expected_calibration_error(truth, category)
        matrix = confusion_matrix(truth, top_two(category)[:, 0], len(CATEGORIES))
        with np.errstate(invalid="ignore"):  # nan for a category without photos, as for a tag
            result["recall_by_category"] = dict(zip(CATEGORIES, np.diag(matrix) / matrix.sum(1), strict=True))
        result["confusion"] = matrix
    colored = np.flatnonzero(labels.colors >= 0)
    if len(colored):
        result["color_accuracy"] = top_k_accuracy(labels.colors[colored], probabilities.color[colored], 1)
    return result


def evaluate(model: Model, dataset: Dataset, out: Path, trained_on: Collection[str] = ()) -> dict[str, Any]:
    """Predict the labelled photos of `dataset`, and write `metrics.json` and figures into the folder `out`.

    Photos that cannot be read are scored as predictions are made for them (the training prior), and counted.

    Args:
        model: from `predict.load_model`.
        dataset: with its labelled part.
        out: folder.
        trained_on: `photo_key` of the photos that the model was trained on; `seen_in_training` in the result counts
            those that are among these, of which the metrics say nothing.
    """
    assert dataset.labelled is not None
    uuids = dataset.labelled["uuid"].tolist()
    probabilities, unreadable = predict_photos(model, uuids, dataset.photos.read, description="evaluating")
    labels = encode(dataset.labelled)
    decisions = probabilities.tags >= model.thresholds
    metrics = score(labels, probabilities, decisions, contributors(dataset.labelled["uuid"]))
    metrics["unreadable"] = {uuids[row]: reason for row, reason in unreadable.items()}
    metrics |= dataset.report
    metrics["seen_in_training"] = sum(photo_key(uuid) in trained_on for uuid in uuids)
    write_json(metrics, out / "metrics.json")
    for name, figure in figures(labels, probabilities, model.thresholds).items():
        save_figure(figure, out / f"{name}.png")
    readable = np.array([row not in unreadable for row in range(len(uuids))])
    rows = worst_mistakes(labels, probabilities, readable)
    if len(rows):
        images = [letterbox_image(decode_image(dataset.photos.read(uuids[row])), (256, 192)) for row in rows]
        captions = [describe_mistake(labels, probabilities, row) for row in rows]
        save_figure(image_grid(images, captions, title="The surest wrong categories"), out / "mistakes.png")
    return metrics


def figures(labels: Labels, probabilities: Probabilities, thresholds: NDArray[np.float32]) -> dict[str, Figure]:
    """Confusion matrix, precision-recall curves and reliability diagram of N photos with known category."""
    truth, predicted = labels.categories.argmax(1), top_two(probabilities.category)[:, 0]
    tags = labels.tags.astype(bool)
    curves = {"category": reliability_curve(truth, probabilities.category)}
    curves |= {t: reliability_curve(tags[:, i].astype(int), probabilities.tags[:, i]) for i, t in enumerate(TAGS)}
    return {
        "confusion": plot_confusion_matrix(confusion_matrix(truth, predicted, len(CATEGORIES)), CATEGORIES, "Category"),
        "precision_recall": plot_precision_recall(tags, probabilities.tags, TAGS, thresholds.tolist(), "Pattern tags"),
        "reliability": plot_reliability(curves, "Is 80 % right 8 times in 10?"),
    }


def worst_mistakes(
    labels: Labels, probabilities: Probabilities, readable: NDArray[np.bool_], n: int = N_MISTAKES
) -> NDArray[np.int64]:
    """Rows of the wrong categories of which the network was surest, the surest first."""
    truth, predicted = labels.categories.argmax(1), top_two(probabilities.category)[:, 0]
    confidence = np.where((truth != predicted) & readable, probabilities.category.max(1), -1.0)
    order = np.argsort(-confidence, kind="stable")[:n]
    return order[confidence[order] >= 0]


def describe_mistake(labels: Labels, probabilities: Probabilities, row: int) -> str:
    """Two lines: what was said, how surely, and what it is."""
    predicted = probabilities.category[row].argmax()
    truth = CATEGORIES[labels.categories[row].argmax()]
    return f"{CATEGORIES[predicted]} {probabilities.category[row].max():.0%}\nis {truth}"


def headline(metrics: dict[str, Any]) -> str:
    """One line of the headline metrics with their intervals."""
    names = {"top1_accuracy": "top-1", "top2_accuracy": "top-2", "macro_f1": "macro tag F1"}
    return ", ".join(f"{text} {Interval(**metrics[name])}" for name, text in names.items() if name in metrics)
