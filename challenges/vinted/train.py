"""Data -> artifact: the recipe, cross-validation, calibration and export."""

import tempfile
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader

from challenges.vinted.dataset import CATEGORIES, COLORS, TAGS, Labels
from challenges.vinted.evaluate import score
from challenges.vinted.model import CalibratedNet, GarmentNet, Logits, Targets, TaskWeights, multi_task_loss
from challenges.vinted.predict import Probabilities
from challenges.vinted.training_set import (
    MARKET,
    PATTERNS,
    RENDERS,
    TrainingSet,
    held_out_patterns,
    load_training_set,
    take,
    training_prior,
)
from common.artifacts import load_artifact, save_artifact
from common.data.images import resize_image
from common.inference.export import export_onnx, quantize_int8
from common.metrics.calibration import expected_calibration_error, fit_temperature
from common.metrics.multilabel import best_f1_threshold
from common.models.backbones import PACKAGED_BACKBONE
from common.training.augmentation import Augmentation, augment
from common.training.loop import FitConfig, MixtureSampler, fit

N_QUANTISATION_PHOTOS = 320  # from which the ranges of the int8 activations are taken


@dataclass(frozen=True)
class Stage:
    """One run of the loop: how long, how fast, and how many photos of each source an epoch takes."""

    epochs: int
    learning_rate: float  # peak, of the trunk; the heads learn five times as fast
    rows_per_epoch: dict[int, int]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how the network is trained. Chosen by the experiments in the README."""

    backbone: str = PACKAGED_BACKBONE
    input_size: tuple[int, int] = (256, 192)  # height, width of what the exported network takes
    # Random crops make garments look larger in training than at test; a smaller training size undoes that
    # (Touvron et al., 'Fixing the train-test resolution discrepancy', 2019) and costs a third less.
    training_size: tuple[int, int] = (208, 160)
    n_frozen_stages: int = 3
    batch_size: int = 32
    augmentation: Augmentation = field(default_factory=Augmentation)
    # Worn dresses and renders teach patterns and shapes; then the photos that the network is for.
    pretraining: Stage = Stage(5, 6e-4, {PATTERNS: 2_000, RENDERS: 1_000})
    finetuning: Stage = Stage(8, 4e-4, {MARKET: 520, PATTERNS: 200, RENDERS: 100})
    seed: int = 0


def quick_recipe(seed: int = 0) -> Recipe:
    """Return a recipe that runs every stage for a moment, to see that all of it works."""
    few = {MARKET: 32, PATTERNS: 32, RENDERS: 32}
    return Recipe(
        training_size=(96, 72),
        pretraining=Stage(1, 6e-4, few),
        finetuning=Stage(1, 4e-4, few),
        batch_size=16,
        seed=seed,
    )


class _Batches(torch.utils.data.Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """(row, seed) -> an augmented photo and what is known of it."""

    def __init__(self, data: TrainingSet, recipe: Recipe) -> None:
        self.data, self.recipe = data, recipe

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        row, seed = key
        rng = np.random.default_rng(seed)
        image = augment(self.data.images[row], self.recipe.training_size, self.recipe.augmentation, rng)
        labels = self.data.labels
        return (
            torch.from_numpy(np.ascontiguousarray(image)),  # (H, W, 3) uint8
            torch.from_numpy(labels.categories[row]),  # (5,) bool
            torch.from_numpy(labels.tags[row]),  # (3,)
            torch.tensor(labels.colors[row]),  # ()
        )


def train_stage(
    net: GarmentNet,
    data: TrainingSet,
    rows: NDArray[np.bool_],
    recipe: Recipe,
    stage: Stage,
    *,
    weights: TaskWeights = TaskWeights(),
    checkpoint: Path | None = None,
    description: str = "training",
) -> tuple[GarmentNet, list[dict[str, float]]]:
    """Train a copy of `net` on `rows` (N,) of `data`; return the averaged network and the history."""
    net = deepcopy(net)
    net.freeze_stages(recipe.n_frozen_stages)
    sources = np.where(rows, data.sources, -1)
    sampler = MixtureSampler(sources, stage.rows_per_epoch, recipe.seed)
    loader = DataLoader(
        _Batches(data, recipe),  # type: ignore[arg-type]
        batch_size=recipe.batch_size,
        sampler=sampler,
        drop_last=True,  # a last batch of one photo has no batch statistics
        # A GPU waits for augmentation; two CPU cores are busy with the network anyway.
        num_workers=8 if torch.cuda.is_available() else 0,
    )

    def loss(model: nn.Module, batch: Any) -> Tensor:
        pixels, categories, tags, colors = batch
        return multi_task_loss(model(pixels), Targets(categories, tags, colors), weights)

    config = FitConfig(epochs=stage.epochs, seed=recipe.seed)
    result = fit(
        net,
        net.parameter_groups(stage.learning_rate),
        loader,
        loss,
        config,
        checkpoint=checkpoint,
        description=description,
    )
    assert isinstance(result.model, GarmentNet)
    return result.model, result.history


@torch.inference_mode()
def predict_logits(net: GarmentNet, images: NDArray[np.uint8], input_size: tuple[int, int]) -> Logits:
    """(N, H, W, 3) uint8 RGB -> float32 logits of all tasks, on the device of `net`."""
    device = next(net.parameters()).device
    net.eval()
    if not len(images):
        return Logits(*(torch.empty(0, head.out_features) for head in (net.category, net.tags, net.color)))
    parts = []
    for start in range(0, len(images), 64):
        batch = np.stack([resize_image(image, input_size) for image in images[start : start + 64]])
        parts.append(net(torch.from_numpy(batch).to(device)))
    return Logits(*(torch.cat(columns).float().cpu() for columns in zip(*parts, strict=True)))


def pretrain(data: TrainingSet, recipe: Recipe, runs: Path) -> GarmentNet:
    """First stage: patterns and shapes from worn dresses (but their held-out fold) and renders."""
    torch.manual_seed(recipe.seed)
    net = GarmentNet(backbone=recipe.backbone)
    rows = (data.sources != MARKET) & ~held_out_patterns(data)
    return train_stage(
        net, data, rows, recipe, recipe.pretraining, checkpoint=runs / "pretraining", description="pretraining"
    )[0]


@dataclass(frozen=True)
class HeldOut:
    """Logits of photos by networks that have not seen them, nor any photo of their group."""

    market: Logits  # (N_market, ...): each photo by the network of its fold
    patterns: Logits  # (N_held_out_patterns, ...): by the network of the first fold
    histories: list[list[dict[str, float]]]  # of each fold


def cross_validate(
    data: TrainingSet, pretrained: GarmentNet, recipe: Recipe, runs: Path, weights: TaskWeights = TaskWeights()
) -> HeldOut:
    """Fine-tune one network for each fold without it, and let it predict that fold."""
    market, patterns = data.sources == MARKET, held_out_patterns(data)
    n_folds = int(data.folds.max()) + 1
    nets, histories = [], []
    for fold in range(n_folds):
        rows = ~(market & (data.folds == fold)) & ~patterns
        net, history = train_stage(
            pretrained, data, rows, recipe, recipe.finetuning,
            weights=weights, checkpoint=runs / f"fold-{fold}", description=f"fold {fold + 1} of {n_folds}",
        )  # fmt: skip
        nets.append(net)
        histories.append(history)
    parts = [predict_logits(n, data.images[market & (data.folds == f)], recipe.input_size) for f, n in enumerate(nets)]
    # Back from the order of folds to the order of rows.
    order = np.argsort(np.concatenate([np.flatnonzero(market & (data.folds == f)) for f in range(n_folds)]))
    joined = Logits(*(torch.cat(columns)[order] for columns in zip(*parts, strict=True)))
    return HeldOut(joined, predict_logits(nets[0], data.images[patterns], recipe.input_size), histories)


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities and decisions."""

    category_temperature: float
    tag_temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]  # of the calibrated probability, one a tag, for the best F1


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
    thresholds = tuple(best_f1_threshold(tags[:, t], probabilities[:, t]) for t in range(tags.shape[1]))
    return Calibration(fit_temperature(category_logits, categories), temperatures, thresholds)


def apply_calibration(logits: Logits, calibration: Calibration) -> Probabilities:
    """Logits -> calibrated probabilities, as the exported network computes them."""
    category = (logits.category / calibration.category_temperature).softmax(1)
    tags = (logits.tags / torch.tensor(calibration.tag_temperatures)).sigmoid()
    return Probabilities(category.numpy(), tags.numpy(), logits.color.softmax(1).numpy())


def pooled(data: TrainingSet, held_out: HeldOut) -> tuple[Logits, Labels, NDArray[np.int64], NDArray[np.bool_]]:
    """All held-out photos: logits, labels, folds, and which of them are market photos (the others have tags only)."""
    market = np.flatnonzero(data.sources == MARKET)
    patterns = np.flatnonzero(held_out_patterns(data))
    rows = np.concatenate([market, patterns])
    logits = Logits(*(torch.cat(pair) for pair in zip(held_out.market, held_out.patterns, strict=True)))
    # The patterns all stand in fold 0; to calibrate on some and score others they are dealt out by group.
    folds = data.folds[rows].copy()
    folds[len(market) :] = data.groups[patterns] % (int(data.folds.max()) + 1)
    return logits, take(data.labels, rows), folds, np.arange(len(rows)) < len(market)


def calibrate_pooled(logits: Logits, labels: Labels, market: NDArray[np.bool_]) -> Calibration:
    """Calibrate categories on market photos and tags on all."""
    return calibrate(
        logits.category.numpy()[market],
        labels.categories[market].argmax(1),
        logits.tags.numpy(),
        labels.tags.astype(bool),
    )


def cross_validated_metrics(data: TrainingSet, held_out: HeldOut) -> dict[str, Any]:
    """Score the held-out photos, each with temperatures and thresholds that were fitted on the other folds."""
    logits, labels, folds, market = pooled(data, held_out)
    raw = apply_calibration(logits, Calibration(1.0, (1.0,) * len(TAGS), (0.5,) * len(TAGS)))
    fitted = Probabilities(*(np.empty_like(a) for a in (raw.category, raw.tags, raw.color)))
    decisions = np.zeros(labels.tags.shape, dtype=bool)
    for fold in np.unique(folds):
        inside = folds == fold
        calibration = calibrate_pooled(Logits(*(x[~inside] for x in logits)), take(labels, ~inside), market[~inside])
        part = apply_calibration(Logits(*(x[inside] for x in logits)), calibration)
        for name in ("category", "tags", "color"):
            getattr(fitted, name)[inside] = getattr(part, name)
        decisions[inside] = part.tags >= np.array(calibration.thresholds, dtype=np.float32)
    groups = np.concatenate([data.groups[data.sources == MARKET], data.groups[held_out_patterns(data)]])
    result: dict[str, Any] = {"protocol": f"{len(np.unique(folds))}-fold cross-validation grouped by contributor"}
    for name, rows in (("market", market), ("patterns", ~market)):
        if rows.any():
            chosen = Probabilities(fitted.category[rows], fitted.tags[rows], fitted.color[rows])
            result[name] = score(take(labels, rows), chosen, decisions[rows], groups[rows])
    truth = labels.categories[market].argmax(1)
    result["market"]["ece_before_calibration"] = expected_calibration_error(truth, raw.category[market])
    result["histories"] = held_out.histories
    return result


def export(
    net: GarmentNet, calibration: Calibration, data: TrainingSet, recipe: Recipe, out: Path, **manifest: Any
) -> tuple[bytes, bytes]:
    """Write the artifact: int8 ONNX for prediction, safetensors for further training; return both ONNX models.

    `manifest` holds `metrics` and `data_fingerprint`.
    """
    pixels = torch.zeros(2, *recipe.input_size, 3, dtype=torch.uint8)
    calibrated = CalibratedNet(
        deepcopy(net).cpu(), calibration.category_temperature, calibration.tag_temperatures
    ).eval()
    float32 = export_onnx(calibrated, pixels, "pixels", ["category", "tags", "color"])
    rows = np.random.default_rng(recipe.seed).permutation(np.flatnonzero(data.sources != RENDERS))[
        :N_QUANTISATION_PHOTOS
    ]
    batches = (
        np.stack([resize_image(data.images[row], recipe.input_size) for row in chunk])
        for chunk in np.array_split(rows, max(1, len(rows) // 16))
    )
    int8 = quantize_int8(float32, batches, "pixels")
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "model.safetensors"
        save_file({k: v.contiguous().cpu() for k, v in net.state_dict().items()}, weights)
        save_artifact(
            out,
            challenge="vinted",
            files={"model.onnx": int8, "model.safetensors": weights},
            config={
                "recipe": asdict(recipe),
                "thresholds": dict(zip(TAGS, calibration.thresholds, strict=True)),
                "temperatures": {"category": calibration.category_temperature}
                | dict(zip(TAGS, calibration.tag_temperatures, strict=True)),
                "prior": training_prior(data),
            },
            labels={"category": CATEGORIES, "tags": TAGS, "color": COLORS},
            input={
                "name": "pixels",
                "dtype": "uint8",
                "layout": "NHWC, RGB",
                "height": recipe.input_size[0],
                "width": recipe.input_size[1],
            },
            packages={name: version(name) for name in ("torch", "timm", "onnx", "onnxruntime", "numpy")},
            **manifest,
        )
    return float32, int8


def load_net(directory: Path) -> GarmentNet:
    """Load the float32 network of an artifact, to train on or to look into."""
    artifact = load_artifact(directory, "vinted")
    net = GarmentNet(backbone=artifact.manifest.config["recipe"]["backbone"], pretrained=False)
    net.load_state_dict(load_file(artifact.path("model.safetensors")))
    return net.eval()


def train(
    data_path: Path, out: Path, runs: Path, *, patterns: Path | None = None, n_renders: int = 1_500, recipe: Recipe
) -> dict[str, Any]:
    """The whole way from photos to an artifact in `out`, with its metrics; resumable through `runs`."""
    data = load_training_set(data_path, patterns, n_renders=n_renders, seed=recipe.seed)
    pretrained = pretrain(data, recipe, runs)
    held_out = cross_validate(data, pretrained, recipe, runs)
    everything = np.ones(len(data.sources), dtype=bool)
    net, _ = train_stage(
        pretrained, data, everything, recipe, recipe.finetuning, checkpoint=runs / "final", description="final fit"
    )
    metrics = cross_validated_metrics(data, held_out)
    logits, labels, _, market = pooled(data, held_out)
    calibration = calibrate_pooled(logits, labels, market)
    export(net, calibration, data, recipe, out, metrics=metrics, data_fingerprint=data.fingerprint)
    return metrics
