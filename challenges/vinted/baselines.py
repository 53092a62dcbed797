"""What the model must beat, on the same folds: class prior, linear probe, one network for each task."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from challenges.vinted.dataset import CATEGORIES, COLORS, TAGS, Labels
from challenges.vinted.evaluate import score
from challenges.vinted.model import GarmentNet, TaskWeights
from challenges.vinted.predict import Probabilities
from challenges.vinted.train import HeldOut, Recipe, cross_validate, cross_validated_metrics, pretrain
from challenges.vinted.training_set import MARKET, TrainingSet, as_predicted, take
from common.cli import progress
from common.data.splits import grouped_folds
from common.inference.batch import stack_alike
from common.metrics.multilabel import best_f1_threshold
from common.training.loop import flush_denormals

SINGLE_TASK_FOLDS = (0, 1)
METRICS_OF = {
    "category": ("n_photos", "top1_accuracy", "top2_accuracy", "ece"),
    "tags": ("n_photos", "macro_f1", "macro_precision", "macro_recall", "tags"),
}
PROBE_PENALTIES = np.logspace(-4, 0, 5)  # inverse L2 penalties of the probe, chosen inside the training folds


def compare(data: TrainingSet, runs: Path, recipe: Recipe, *, single_task: bool = True) -> dict[str, dict[str, Any]]:
    """Score the shipped recipe and its three baselines on the market photos; return the metrics by folds and model.

    The networks for a single task start from the same pretrained trunk, and train as long on the same photos,
    each with the other tasks' losses left out. They are two more trainings, so two folds have to do; without
    `single_task` they are left out. Stages that `train` finished under `runs` are not repeated.
    """
    pretrained = pretrain(data, recipe, runs)

    def market_metrics(held_out: HeldOut) -> dict[str, Any]:
        metrics: dict[str, Any] = cross_validated_metrics(data, held_out)["market"]
        return metrics

    def single(name: str, weights: TaskWeights) -> dict[str, Any]:
        found = cross_validate(data, pretrained, recipe, runs / f"only-{name}", weights, SINGLE_TASK_FOLDS)
        metrics = market_metrics(found)
        return {key: metrics[key] for key in METRICS_OF[name]}

    table = {
        "all folds": {
            "class prior": score_folds(data, prior_by_fold(data)),
            "linear probe": score_folds(data, probe_by_fold(data, recipe)),
            "one network for both tasks": market_metrics(cross_validate(data, pretrained, recipe, runs)),
        }
    }
    if single_task:
        both = cross_validate(data, pretrained, recipe, runs, folds=SINGLE_TASK_FOLDS)
        table["two folds"] = {
            "one network for both tasks": market_metrics(both),
            "one network for category alone": single("category", TaskWeights(tags=0.0, color=0.0)),
            "one network for tags alone": single("tags", TaskWeights(category=0.0, color=0.0)),
        }
    return table


def prior_by_fold(data: TrainingSet) -> tuple[Probabilities, NDArray[np.bool_]]:
    """Every photo gets the shares of the other folds, and the tags that more than half of these have."""
    market = np.flatnonzero(data.sources == MARKET)
    folds, labels = data.folds[market], take(data.labels, market)
    category, tags = np.empty((len(market), len(CATEGORIES))), np.empty((len(market), len(TAGS)))
    for fold in np.unique(folds):
        inside = folds == fold
        category[inside] = labels.categories[~inside].mean(0)
        tags[inside] = labels.tags[~inside].mean(0)
    return _probabilities(category, tags), tags > 0.5


def probe_by_fold(data: TrainingSet, recipe: Recipe) -> tuple[Probabilities, NDArray[np.bool_]]:
    """Logistic regressions on the features of the ImageNet trunk, which is left as it is.

    The penalty is chosen by cross-validation inside the training folds, grouped as the folds are; a tag's
    threshold is the best of the training folds' own held-out probabilities, which are not calibrated.
    """
    rows = np.flatnonzero(data.sources == MARKET)
    folds, groups, labels = data.folds[rows], data.groups[rows], take(data.labels, rows)
    features = frozen_features(as_predicted(data, rows, recipe.input_sizes), recipe.backbone)
    category, tags = np.zeros((len(rows), len(CATEGORIES))), np.zeros((len(rows), len(TAGS)))
    decisions = np.zeros(tags.shape, dtype=bool)
    with progress("linear probe", total=len(np.unique(folds))) as advance:
        for fold in np.unique(folds):
            inside, outside = folds == fold, folds != fold
            probe, _ = fit_probe(features[outside], labels.categories[outside].argmax(1), groups[outside])
            category[np.ix_(inside, probe.classes_)] = probe.predict_proba(features[inside])
            for t in range(len(TAGS)):
                truth = labels.tags[outside, t].astype(int)
                if truth.min() == truth.max():  # all photos have the tag, or none
                    tags[inside, t] = decisions[inside, t] = truth[0]
                    continue
                probe, own = fit_probe(features[outside], truth, groups[outside])
                tags[inside, t] = probe.predict_proba(features[inside])[:, 1]
                decisions[inside, t] = tags[inside, t] >= best_f1_threshold(truth.astype(bool), own[:, 1])
            advance()
    return _probabilities(category, tags), decisions


def fit_probe(x: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
    """Return a logistic regression of `y` (N,) on `x` (N, D), and its held-out probabilities of these rows (N, C).

    Where a fold holds all rows of every class but one, nothing can be learned without it: the shares of the classes are
    the answer.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = grouped_folds(y, groups, n_folds=4)
    if any(len(np.unique(y[folds != fold])) == 1 for fold in range(4)):
        prior = DummyClassifier(strategy="prior").fit(x, y)
        return prior, prior.predict_proba(x)
    inner = PredefinedSplit(folds)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    search = GridSearchCV(probe, {"logisticregression__C": PROBE_PENALTIES}, scoring="accuracy", cv=inner).fit(x, y)
    own = cross_val_predict(search.best_estimator_, x, y, cv=inner, method="predict_proba")
    return search.best_estimator_, own


@torch.inference_mode()
def frozen_features(images: Sequence[NDArray[np.uint8]], backbone: str) -> NDArray[np.float32]:
    """N photos (H, W, 3) -> (N, n_features) of the pretrained trunk."""
    net = GarmentNet(backbone=backbone).eval()
    features = np.empty((len(images), net.category.in_features), np.float32)
    with flush_denormals():
        for rows, pixels in stack_alike(images, 32):
            features[rows] = net.features(torch.from_numpy(pixels)).numpy()
    return features


def score_folds(data: TrainingSet, answer: tuple[Probabilities, NDArray[np.bool_]]) -> dict[str, Any]:
    """Score held-out answers on the market photos."""
    market = np.flatnonzero(data.sources == MARKET)
    labels = take(data.labels, market)
    known = Labels(labels.categories, labels.tags, np.full(len(market), -1))  # baselines say nothing of colours
    return score(known, *answer, data.groups[market])


def _probabilities(category: NDArray[np.float64], tags: NDArray[np.float64]) -> Probabilities:
    return Probabilities(
        category.astype(np.float32), tags.astype(np.float32), np.zeros((len(tags), len(COLORS)), np.float32)
    )
