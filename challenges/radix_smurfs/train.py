"""Images with masks -> the artifact of the segmenter. Resumable, and cheap enough for two cores.

What makes it cheap: the pretrained backbone's first half is frozen and its batch statistics stay (no gradient is
computed below), inputs of 384 pixels, ReLU, channels last, an average of the weights in place of a longer schedule.
Every picture is composed when it is needed, from a seed of its own: none is seen twice, and nothing is stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from challenges.radix_smurfs.compositing import (
    MAX_INSTANCES,
    Example,
    Material,
    augment,
    boxes_of,
    compose,
    gather,
    instance_map,
)
from challenges.radix_smurfs.dataset import SmurfDataset, folds, load, read_intact
from challenges.radix_smurfs.evaluate import (
    Evaluation,
    Predictions,
    curve,
    image_keys,
    predict_masks,
    score,
    truth_of,
)
from challenges.radix_smurfs.export import exported, segmenter_of, write_artifact
from challenges.radix_smurfs.geometry import rle_to_mask
from challenges.radix_smurfs.model import LITE0, MASK_STRIDE, SmurfNet, segmentation_loss
from challenges.radix_smurfs.sample import render_image
from common.artifacts import fingerprint
from common.errors import UserError
from common.training.loop import FitConfig, MixtureSampler, fit, is_main_process

REAL: Final = 0
DRAWN: Final = 1
COMPOSED: Final = 2
N_DRAWN: Final = 24  # pictures of the sample's gnomes, so that the sample shows what the model can do
MAX_SIDE: Final = 1024  # of the pictures that training keeps in memory
N_FOLDS: Final = 5


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; what the choices rest on is in the README."""

    config: str = LITE0  # also yolo11n-seg.yaml (from scratch), or yolo11n-seg.pt for who is connected
    size: int = 384  # of training pictures, both sides
    n_frozen_stages: int = 2
    batch_size: int = 8
    epochs: int = 40  # each a checkpoint
    rows_per_epoch: dict[int, int] = field(default_factory=lambda: {REAL: 44, DRAWN: 12, COMPOSED: 72})
    learning_rate: float = 1.5e-3
    ema_decay: float = 0.99
    seed: int = 0


def quick_recipe(seed: int = 0) -> Recipe:
    """Return a recipe that runs every stage for a moment, to see that all of it works."""
    return Recipe(size=96, batch_size=4, epochs=1, rows_per_epoch={REAL: 4, DRAWN: 4, COMPOSED: 4}, seed=seed)


@dataclass(frozen=True)
class TrainingSet:
    """Pictures with masks, and which fold each belongs to."""

    examples: tuple[Example, ...]
    folds: NDArray[np.int64]  # (n_examples,)
    dataset: SmurfDataset
    fingerprint: str


def load_training_set(path: Path, seed: int = 0) -> TrainingSet:
    """Read every image that can be read, shrunk to at most MAX_SIDE.

    Raises:
        UserError: as `dataset.load`, or an image is damaged: leave it out, since folds count images.
    """
    dataset = load(path)
    examples = tuple(_example(dataset, row) for row in range(len(dataset.images)))
    return TrainingSet(examples, folds(dataset, N_FOLDS, seed), dataset, fingerprint([path]))


def _example(dataset: SmurfDataset, row: int) -> Example:
    record = dataset.images[row]
    image = read_intact(dataset, record)
    placed = instance_map([rle_to_mask(i.rle) for i in dataset.instances_of(record)], record.height, record.width)
    scale = MAX_SIDE / max(record.height, record.width)
    if scale >= 1:
        return Example(image, placed)
    size = (max(1, round(record.width * scale)), max(1, round(record.height * scale)))
    return Example(
        cv2.resize(image, size, interpolation=cv2.INTER_AREA),  # type: ignore[arg-type]
        cv2.resize(placed, size, interpolation=cv2.INTER_NEAREST_EXACT),  # type: ignore[arg-type]
    )


class Pictures(torch.utils.data.Dataset[tuple[Tensor, Tensor, Tensor]]):
    """(row, seed) -> a picture seen another way, or a composition: rows behind real and drawn ones are compositions."""

    def __init__(self, material: Material, drawn: Sequence[Example], size: int) -> None:
        self.material, self.whole, self.size = material, (*material.examples, *drawn), (size, size)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        row, seed = key
        rng = np.random.default_rng(seed)
        if row < len(self.whole):
            example = augment(self.whole[row], self.size, rng)
        else:
            example = compose(self.material, self.size, rng)
        boxes = np.zeros((MAX_INSTANCES, 4), np.float32)
        found = boxes_of(example.instance_map)[:MAX_INSTANCES]
        boxes[: len(found)] = found
        half = MASK_STRIDE // 2  # the middle of the pixels that a pixel of the prototypes covers
        return (
            torch.from_numpy(np.ascontiguousarray(example.image)),  # (S, S, 3) uint8
            torch.from_numpy(np.ascontiguousarray(example.instance_map[half::MASK_STRIDE, half::MASK_STRIDE])),
            torch.from_numpy(boxes),  # (MAX_INSTANCES, 4)
        )


def batches(examples: Sequence[Example], recipe: Recipe) -> DataLoader[tuple[Tensor, Tensor, Tensor]]:
    """Batches for `segmentation_loss`, of these pictures, of compositions of them, and of drawn gnomes."""
    drawn = [_drawn(k, recipe.seed) for k in range(N_DRAWN)]
    n_composed = recipe.rows_per_epoch[COMPOSED] * recipe.epochs
    sources = np.array([REAL] * len(examples) + [DRAWN] * N_DRAWN + [COMPOSED] * n_composed)
    return DataLoader(
        Pictures(gather(examples), drawn, recipe.size),  # type: ignore[arg-type]
        batch_size=recipe.batch_size,
        sampler=MixtureSampler(sources, recipe.rows_per_epoch, recipe.seed),
        drop_last=True,
        num_workers=8 if torch.cuda.is_available() else 0,
    )


def _drawn(k: int, seed: int) -> Example:
    image, gnomes = render_image(np.random.default_rng((seed, 77, k)), k)
    return Example(image, instance_map([mask for _, mask in gnomes], *image.shape[:2]))


def train_network(
    examples: Sequence[Example], recipe: Recipe, *, identity: str, checkpoint: Path | None, description: str
) -> tuple[SmurfNet, list[dict[str, float]]]:
    """Train on these pictures alone; return the averaged network and the history.

    Args:
        examples: the training part: cut-outs and backgrounds come from it, too.
        recipe: how.
        identity: of the data, so that no run goes on from another's checkpoint.
        checkpoint: folder, written after every epoch.
        description: of the progress bar.
    """
    torch.manual_seed(recipe.seed)
    net = SmurfNet(recipe.config, n_frozen_stages=recipe.n_frozen_stages)
    loader = batches(examples, recipe)
    config = FitConfig(recipe.epochs, ema_decay=recipe.ema_decay, seed=recipe.seed, identity=identity, clip_norm=10.0)
    groups = net.parameter_groups(recipe.learning_rate)
    result = fit(net, groups, loader, segmentation_loss, config, checkpoint=checkpoint, description=description)
    assert isinstance(result.model, SmurfNet)
    return result.model, result.history


def parts(data: TrainingSet) -> tuple[str, ...]:
    """What is trained: a network without each fold, then the one that is shipped."""
    return (*(f"fold-{fold}" for fold in range(int(data.folds.max()) + 1)), "final")


def train_part(data: TrainingSet, part: str, recipe: Recipe, runs: Path) -> tuple[SmurfNet, list[dict[str, float]]]:
    """Train `fold-0`, `fold-1`, ... (without that fold) or `final` (on all); resumable through `runs`."""
    if part not in parts(data):
        raise UserError(f"no part of the training is called {part!r}; choose {', '.join(parts(data))}")
    left_out = int(part.removeprefix("fold-")) if part != "final" else -1
    chosen = [example for example, fold in zip(data.examples, data.folds, strict=True) if fold != left_out]
    settings = json.dumps([asdict(recipe), data.fingerprint, part], sort_keys=True)
    identity = hashlib.sha256(settings.encode()).hexdigest()
    return train_network(chosen, recipe, identity=identity, checkpoint=runs / part, description=part)


def cross_validate(data: TrainingSet, recipe: Recipe, runs: Path) -> dict[str, Any]:
    """Train a network without each fold, let it segment that fold, and score all images together.

    Each network is exported and runs as the shipped one does, in float32 and in 8 bits.
    """
    found: dict[str, dict[int, Predictions]] = {"float32": {}, "int8": {}}
    histories = {}
    for part in parts(data)[:-1]:
        net, histories[part] = train_part(data, part, recipe, runs)
        inside = data.folds == int(part.removeprefix("fold-"))
        for name, model in zip(
            found, exported(net, [data.examples[row].image for row in np.flatnonzero(~inside)]), strict=True
        ):
            records = [data.dataset.images[row] for row in np.flatnonzero(inside)]
            predictions = predict_masks(data.dataset, records, segmenter_of(model))
            found[name] |= dict(zip(np.flatnonzero(inside).tolist(), predictions, strict=True))
    images = data.dataset.images
    truth = truth_of(data.dataset, images)
    result: dict[str, Any] = {}
    for name, by_row in found.items():
        pooled = Evaluation(images, truth, tuple(by_row[row] for row in range(len(images))))
        by_fold = [curve(pooled.take(np.flatnonzero(data.folds == fold))) for fold in range(len(histories))]
        result[name] = score(pooled) | {
            "folds": [{"mask_map50": s.map50.estimate, "mask_map50_95": s.map50_95.estimate} for s in by_fold]
        }
    return {"protocol": f"{len(histories)}-fold cross-validation by image", **result, "histories": histories}


def train(data: TrainingSet, out: Path, runs: Path, recipe: Recipe) -> dict[str, Any]:
    """The whole way from images to an artifact in `out`; return its metrics. Resumable through `runs`.

    A single image leaves nothing to hold out: "float32" and "int8" are missing then.
    """
    metrics = cross_validate(data, recipe, runs) if len(parts(data)) > 2 else {}
    net, history = train_part(data, "final", recipe, runs)
    _, int8 = exported(net, [example.image for example in data.examples])
    metrics = metrics | {"final_history": history}
    if is_main_process():
        write_artifact(
            out, int8, recipe=asdict(recipe), metrics=metrics, data_fingerprint=data.fingerprint,
            trained_on=image_keys(data.dataset),
        )  # fmt: skip
    return metrics
