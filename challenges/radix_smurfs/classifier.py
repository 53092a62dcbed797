"""Which Smurf is it? From pixels and mask to the four names; needs no torch.

A figure is described twice: by the measurements that the labelling functions look at, and by what the first five
stages of an ImageNet network see. A linear layer on both says how likely each name is. The label model behind the
functions has a say as well: it was told what makes a Vanity, of whom there are too few to learn it from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.dataset import NAMES
from challenges.radix_smurfs.weak_labels import (
    LABELLING_FUNCTIONS,
    SHARES,
    SIDE,
    Evidence,
    LabelModel,
    measure,
    scale_figure,
    vote,
)
from common.artifacts import load_artifact
from common.errors import UserError
from common.inference.session import create_session

if TYPE_CHECKING:
    import onnxruntime

GREY: Final = 128  # of the background, so that only the figure itself is seen
RULES_COUNT: Final = 0.5  # as an exponent: the layer has seen their evidence too
RULES_FLOOR: Final = 0.02  # no rule is so sure that the layer cannot overrule it
BATCH: Final = 8  # figures in one pass: their activations stay in a core's cache
N_EVIDENCE: Final = len(fields(Evidence))


@dataclass(frozen=True)
class Head:
    """Multinomial logistic regression on standardised features."""

    mean: NDArray[np.float32]  # (F,)
    scale: NDArray[np.float32]  # (F,) standard deviation
    weights: NDArray[np.float32]  # (F, 4)
    bias: NDArray[np.float32]  # (4,)

    def predict_proba(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, F) -> (N, 4); rows sum to 1."""
        logits = (features - self.mean) / self.scale @ self.weights + self.bias  # (N, 4)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)


@dataclass(frozen=True)
class Classifier:
    """The exported network, the layer on top of it, and the labelling functions with how far to trust them."""

    session: onnxruntime.InferenceSession
    head: Head
    label_model: LabelModel
    names: tuple[str, ...] = NAMES

    def predict(self, crops: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float32]:
        """Name N figures.

        Args:
            crops: RGB (H, W, 3) around each figure, of any size.
            masks: (H, W) the pixels of each; one without any pixel gets the usual shares of the names.

        Returns:
            (N, 4) probabilities in the order of `names`.
        """
        probabilities = np.tile(np.array(SHARES, np.float32), (len(masks), 1))  # (N, 4)
        rows = [row for row, mask in enumerate(masks) if mask.any()]
        features = describe(self.session, [crops[row] for row in rows], [masks[row] for row in rows])
        probabilities[rows] = predict_proba(self.head, self.label_model, features)
        return probabilities


def predict_proba(head: Head, label_model: LabelModel, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, F) features -> (N, 4): product of what the layer and the rules say (Hinton's product of experts, 1999)."""
    ruled = label_model.predict_proba(vote([Evidence(*row) for row in features[:, :N_EVIDENCE].tolist()]))
    joint = head.predict_proba(features) * np.maximum(ruled, RULES_FLOOR) ** RULES_COUNT  # (N, 4)
    return np.asarray(joint / joint.sum(axis=1, keepdims=True), np.float32)


def load_classifier(directory: Path) -> Classifier:
    """Load and check an artifact.

    Raises:
        UserError: it is missing, damaged or of something else.
    """
    from safetensors.numpy import load_file

    artifact = load_artifact(directory, "radix_smurfs")
    if tuple(artifact.manifest.labels.get("name", [])) != NAMES:
        raise UserError(f"the model in {directory} does not tell {', '.join(NAMES)} apart: give a classifier")
    tensors = load_file(artifact.path("head.safetensors"))
    head = Head(tensors["mean"], tensors["scale"], tensors["weights"], tensors["bias"])
    if list(artifact.manifest.labels["function"]) != [function.name for function in LABELLING_FUNCTIONS]:
        raise UserError(f"the classifier in {directory} was trained with other labelling functions: train it anew")
    label_model = LabelModel.of_rates(tensors["rates"])
    return Classifier(create_session(artifact.path("backbone.onnx")), head, label_model)


def describe(
    session: onnxruntime.InferenceSession, crops: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.bool_]]
) -> NDArray[np.float32]:
    """(N, F) features: evidence, then what the network sees."""
    evidence = np.array([astuple(measure(c, m)) for c, m in zip(crops, masks, strict=True)], np.float32)
    pictures = [picture(c, m) for c, m in zip(crops, masks, strict=True)]
    seen = [
        session.run(["features"], {"pixels": np.stack(pictures[k : k + BATCH])})[0]
        for k in range(0, len(pictures), BATCH)
    ]
    if not seen:
        return np.empty((0, N_EVIDENCE + session.get_outputs()[0].shape[1]), np.float32)
    return np.concatenate([evidence, np.concatenate(seen)], axis=1)


def picture(crop: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(SIDE, SIDE, 3) the figure alone, in the middle of grey."""
    crop, mask = scale_figure(crop, mask)
    height, width = mask.shape
    canvas = np.full((max(SIDE, height), max(SIDE, width), 3), GREY, np.uint8)
    top, left = (canvas.shape[0] - height) // 2, (canvas.shape[1] - width) // 2
    canvas[top : top + height, left : left + width][mask] = crop[mask]
    top, left = (canvas.shape[0] - SIDE) // 2, (canvas.shape[1] - SIDE) // 2
    return np.ascontiguousarray(canvas[top : top + SIDE, left : left + SIDE])
