"""Labels, weak or reviewed -> a classifier, and how well each kind of label does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.augmentation import Figure as Look
from challenges.radix_smurfs.augmentation import add_flower, augment
from challenges.radix_smurfs.classifier import N_EVIDENCE, Head, describe, predict_proba
from challenges.radix_smurfs.classify import read_figures
from challenges.radix_smurfs.dataset import NAMES, SmurfDataset, folds
from challenges.radix_smurfs.drawing import draw_gnome, draw_lots
from challenges.radix_smurfs.weak_labels import (
    LABELLING_FUNCTIONS,
    SIDE,
    SMURF,
    VANITY,
    Evidence,
    LabelModel,
    WeakLabels,
    weak_labels,
)
from common.artifacts import save_artifact
from common.cli import progress
from common.errors import UserError
from common.inference.session import create_session
from common.metrics.bootstrap import bootstrap_interval
from common.metrics.classification import confusion_matrix

if TYPE_CHECKING:
    import onnxruntime
    from torch import nn

N_LOOKS: Final = 10  # of each figure, beside itself
N_DRAWN: Final = 10  # gnomes of each name that join the training, so that the sample shows what the model can do
_DRAWN_STREAM: Final = 2**20  # of random numbers; the sample's gnomes with the same seed are others
LEAST_FLOWER_SIDE: Final = 56  # pixels: on smaller figures nobody sees a flower
INVERSE_PENALTY: Final = 0.01  # of the logistic regression, on standardised features
N_STAGES: Final = 5  # of the network's seven: textures and parts, and 0.7 of its 3.4 million weights


@dataclass(frozen=True)
class Looks:
    """Features of M looks at N figures: each as it is, other looks of it, and Smurfs that were given a flower."""

    features: NDArray[np.float32]  # (M, F)
    figure: NDArray[np.int64]  # (M,) which of the N figures
    flowered: NDArray[np.bool_]  # (M,) a flower was drawn on it
    original: NDArray[np.bool_]  # (M,) as it is

    def of_originals(self) -> NDArray[np.float32]:
        """(N, F), in the order of the figures."""
        return self.features[self.original]


def build_backbone() -> nn.Module:
    """The ImageNet network's first stages: uint8 (B, SIDE, SIDE, 3) -> (B, 2 C), mean and maximum of each channel."""
    import torch

    from common.models.backbones import load_backbone

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            network: Any = load_backbone()
            self.stages = torch.nn.Sequential(network.conv_stem, network.bn1, *network.blocks[:N_STAGES])
            self.mean, self.std = (
                torch.nn.Buffer(255 * torch.tensor(network.pretrained_cfg[name]).reshape(3, 1, 1))
                for name in ("mean", "std")
            )

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            images = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std  # (B, 3, H, W)
            maps = self.stages(images)  # (B, C, H / 16, W / 16)
            return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)  # (B, 2 C)

    return Features().eval()


def export_backbone() -> bytes:
    """The backbone as ONNX, from `pixels` to `features`."""
    import torch

    from common.inference.export import export_onnx

    return export_onnx(build_backbone(), torch.zeros(2, SIDE, SIDE, 3, dtype=torch.uint8), "pixels", ["features"])


def draw_figures(seed: int) -> tuple[list[Look], NDArray[np.int64]]:
    """N_DRAWN gnomes of each name on grey, and (4 * N_DRAWN,) their names."""
    labels = np.arange(len(NAMES) * N_DRAWN) % len(NAMES)
    drawn = []
    for k, label in enumerate(labels):
        rng = np.random.default_rng((seed, _DRAWN_STREAM, k))
        drawn.append(draw_gnome(draw_lots(rng, NAMES[label], style=int(rng.integers(2))), int(rng.integers(70, 260))))
    return drawn, labels


def look(session: onnxruntime.InferenceSession, found: list[Look], seed: int) -> Looks:
    """Describe every figure as it is, in N_LOOKS other ways, and once with a flower where its hat is white."""
    parts: list[NDArray[np.float32]] = []
    rows: list[tuple[int, bool, bool]] = []
    with progress("looking at figures in other ways", total=len(found)) as advance:
        for k, (crop, mask) in enumerate(found):
            rng = np.random.default_rng((seed, k))
            looks = [(crop, mask)] + [augment(rng, crop, mask) for _ in range(N_LOOKS)]
            if (flowered := add_flower(rng, crop, mask)) is not None:
                looks.append(augment(rng, *flowered, least_side=LEAST_FLOWER_SIDE))
            parts.append(describe(session, [seen for seen, _ in looks], [covered for _, covered in looks]))
            rows += [(k, j > N_LOOKS, j == 0) for j in range(len(looks))]
            advance()
    figures, flowered_rows, original = (np.array(column) for column in zip(*rows, strict=True))
    return Looks(np.concatenate(parts), figures, flowered_rows, original)


def fit_head(looks: Looks, labels: NDArray[np.int64], used: NDArray[np.bool_]) -> Head:
    """Fit the layer on all looks of the figures in use, and on Smurfs with a flower as Vanities.

    Args:
        looks: of N figures.
        labels: (N,) index into NAMES, -1 where unknown.
        used: (N,) figures to learn from.

    Raises:
        UserError: fewer than two names among them.
    """
    from sklearn.linear_model import LogisticRegression

    known = used & (labels >= 0)
    rows = known[looks.figure] & (~looks.flowered | (labels[looks.figure] == SMURF))
    answers = np.where(looks.flowered, VANITY, labels[looks.figure])[rows]
    if len(np.unique(answers)) < 2:
        raise UserError("fewer than two names among the labelled figures: give labels of more of them")
    features = looks.features[rows]
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-6, scale, 1).astype(np.float32)
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=500)
    model.fit((features - mean) / scale, answers)
    weights = np.zeros((features.shape[1], len(NAMES)), np.float32)
    bias = np.full(len(NAMES), -30, np.float32)  # a name that nobody had is never given
    if len(model.classes_) == 2:  # one row of coefficients, for the second name
        weights[:, model.classes_[1]], bias[model.classes_] = model.coef_[0], (0, model.intercept_[0])
    else:
        weights[:, model.classes_], bias[model.classes_] = model.coef_.T, model.intercept_
    return Head(mean, scale, weights, bias)


def cross_validate(looks: Looks, labels: NDArray[np.int64], fold: NDArray[np.int64]) -> list[Head]:
    """A head for each fold 0, 1, ... that saw no figure of it."""
    return [fit_head(looks, labels, fold != k) for k in range(int(fold.max()) + 1)]


def predict_held_out(
    heads: list[Head], looks: Looks, fold: NDArray[np.int64], label_model: LabelModel | None = None
) -> NDArray[np.float32]:
    """(M, 4) probabilities of every look by the head that did not see its figure.

    Args:
        heads: from `cross_validate`.
        looks: at N figures.
        fold: (N,); -1 for figures that are in every training set, which get zeros.
        label_model: joins in where given, as it does in the classifier; it has seen no label either way.
    """
    probabilities = np.zeros((len(looks.features), len(NAMES)), np.float32)
    for k, head in enumerate(heads):
        rows = fold[looks.figure] == k
        features = looks.features[rows]
        probabilities[rows] = (
            head.predict_proba(features) if label_model is None else predict_proba(head, label_model, features)
        )
    return probabilities


def score(truth: NDArray[np.int64], predicted: NDArray[np.int64], images: NDArray[np.int64]) -> dict[str, Any]:
    """Macro F1 and accuracy with intervals over whole images, F1 of each name, and the confusion.

    Where nobody judged any figure there is nothing but `n_figures`, 0.

    Args:
        truth: (N,) index into NAMES, -1 where nobody judged, which is not counted.
        predicted: (N,).
        images: (N,) the image of each figure.
    """
    judged = truth >= 0
    truth, predicted, images = truth[judged], predicted[judged], images[judged]
    n = len(truth)
    if n == 0:
        return {"n_figures": 0}

    def macro_f1(rows: NDArray[np.int64]) -> float:
        return float(np.mean(f1_of_names(truth[rows], predicted[rows])))  # NaN where a name is not drawn

    return {
        "n_figures": n,
        "macro_f1": asdict(bootstrap_interval(macro_f1, n, images)),
        "accuracy": asdict(bootstrap_interval(lambda rows: float((truth[rows] == predicted[rows]).mean()), n, images)),
        "f1": dict(zip(NAMES, f1_of_names(truth, predicted), strict=True)),
        "confusion": confusion_matrix(truth, predicted, len(NAMES)).tolist(),
    }


def f1_of_names(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> NDArray[np.float64]:
    """(4,) F1; NaN for a name that the truth does not have."""
    n = len(NAMES)
    right = np.bincount(truth[truth == predicted], minlength=n)
    true, given = np.bincount(truth, minlength=n), np.bincount(predicted, minlength=n)
    return np.where(true > 0, 2 * right / np.maximum(true + given, 1), np.nan)


def train_classifier(
    dataset: SmurfDataset,
    out: Path,
    fingerprint: str,
    reviewed: Mapping[int, int] | None = None,
    seed: int = 0,
    n_folds: int = 5,
) -> dict[str, Any]:
    """Label weakly, take a person's word where there is one, fit, cross-validate and write the artifact.

    Args:
        dataset: the masks.
        out: folder to write.
        fingerprint: of the data.
        reviewed: index into NAMES by annotation id; figures that nobody judged keep a confident weak label.
        seed: of folds and looks.
        n_folds: of the cross-validation.

    Returns:
        What was measured against the reviewed labels, or how far weak labels reach where there are none.

    Raises:
        UserError: no figures, labels of too few, or of annotations that are not there.
    """
    strangers = set(reviewed or ()) - {instance.id for instance in dataset.instances}
    if strangers:
        raise UserError(f"the labels are of another data set: annotation {min(strangers)} is not in this one")
    backbone = export_backbone()
    unreadable: dict[str, str] = {}
    found = [figure for group in read_figures(dataset, unreadable) for figure in group]
    if not found:
        raise UserError("the data set has no figure to learn from")
    drawn, drawn_names = draw_figures(seed)
    looks = look(create_session(backbone), [(f.crop, f.mask) for f in found] + drawn, seed)
    weak = weak_labels([Evidence(*row) for row in looks.of_originals()[: len(found), :N_EVIDENCE].tolist()])
    truth = np.array([(reviewed or {}).get(figure.instance.id, -1) for figure in found])
    labels = np.where(truth >= 0, truth, weak.labels)
    metrics = {
        "n_figures": len(found),
        "n_confident": int((weak.labels >= 0).sum()),
        "n_reviewed": int((truth >= 0).sum()),
        "unreadable": unreadable,
    }
    if (truth >= 0).any():
        images = np.array([figure.instance.image_id for figure in found])
        by_image = dict(zip((record.id for record in dataset.images), folds(dataset, n_folds, seed), strict=True))
        fold = np.array([by_image[image] for image in images])
        metrics |= score_weak_labels(weak, truth, images)
        for kind, given in (("weak", weak.labels), ("reviewed", labels)):
            known = np.concatenate([given, drawn_names])
            metrics |= _score_classifier(looks, known, truth, images, fold, weak.model, kind)
    everything = np.concatenate([labels, drawn_names])
    head = fit_head(looks, everything, everything >= 0)
    _write(out, backbone, head, weak.model, metrics, fingerprint, bool(reviewed), seed)
    return metrics


def score_weak_labels(weak: WeakLabels, truth: NDArray[np.int64], images: NDArray[np.int64]) -> dict[str, Any]:
    """All weak labels, the confident ones, and each function, against (N,) judged names."""
    confident = np.where(weak.labels >= 0, truth, -1)
    return {
        "weak_labels": score(truth, weak.probabilities.argmax(axis=1), images),
        "weak_labels_where_confident": score(confident, weak.labels, images),
        "labelling_functions": _describe_functions(weak.votes, truth),
    }


def _score_classifier(
    looks: Looks,
    labels: NDArray[np.int64],
    truth: NDArray[np.int64],
    images: NDArray[np.int64],
    fold: NDArray[np.int64],
    label_model: LabelModel,
    kind: str,
) -> dict[str, Any]:
    """Held-out scores of the head alone and of the classifier, on N figures as they are and in other looks.

    `labels` goes on beyond the N figures: drawn gnomes are learned from in every fold, and never scored.
    """
    n_drawn = len(labels) - len(fold)
    beyond = np.full(n_drawn, -1)
    everywhere, judged, of_image = (np.concatenate([array, beyond]) for array in (fold, truth, images))
    heads = cross_validate(looks, labels, everywhere)
    judged, of_image = judged[looks.figure], of_image[looks.figure]  # (M,)
    scores: dict[str, Any] = {}
    for name, model in (("head", None), ("classifier", label_model)):
        named = predict_held_out(heads, looks, everywhere, model).argmax(axis=1)
        for suffix, rows in (("", looks.original), ("_other_looks", ~looks.original & ~looks.flowered)):
            scores[f"{name}_on_{kind}_labels{suffix}"] = score(judged[rows], named[rows], of_image[rows])
    return scores


def _describe_functions(votes: NDArray[np.bool_], truth: NDArray[np.int64]) -> list[dict[str, Any]]:
    """How often each votes, and is right, on judged figures."""
    rows = []
    for function, voted in zip(LABELLING_FUNCTIONS, votes[truth >= 0].T, strict=True):
        own = truth[truth >= 0] == function.label
        rows.append(
            {
                "function": function.name,
                "label": NAMES[function.label],
                "votes": int(voted.sum()),
                "precision": float(own[voted].mean()) if voted.any() else None,
                "recall": float(voted[own].mean()) if own.any() else None,
            }
        )
    return rows


def _write(
    out: Path,
    backbone: bytes,
    head: Head,
    label_model: LabelModel,
    metrics: dict[str, Any],
    fingerprint: str,
    reviewed: bool,
    seed: int,
) -> None:
    from safetensors.numpy import save

    save_artifact(
        out,
        challenge="radix_smurfs",
        files={"backbone.onnx": backbone, "head.safetensors": save(asdict(head) | {"rates": label_model.rates_})},
        config={
            "labels": "reviewed" if reviewed else "weak",
            "looks": N_LOOKS,
            "stages": N_STAGES,
            "inverse_penalty": INVERSE_PENALTY,
            "seed": seed,
        },
        labels={"name": NAMES, "function": [function.name for function in LABELLING_FUNCTIONS]},
        input={"name": "pixels", "dtype": "uint8", "layout": "NHWC, RGB", "height": SIDE, "width": SIDE},
        data_fingerprint=fingerprint,
        metrics=metrics,
        packages={name: version(name) for name in ("torch", "timm", "onnx", "onnxruntime", "numpy", "scikit-learn")},
    )
