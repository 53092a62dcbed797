"""Data -> artifact: the recipe, its stages, cross-validation and what it measured."""

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from challenges.vinted.augmentation import Augmentation, augment
from challenges.vinted.calibration import UNCALIBRATED, Calibration, apply_calibration, calibrate
from challenges.vinted.dataset import Labels
from challenges.vinted.evaluate import score
from challenges.vinted.export import predict_int8, to_onnx, write_artifact
from challenges.vinted.model import GarmentNet, Logits, Targets, TaskWeights, multi_task_loss
from challenges.vinted.predict import Probabilities
from challenges.vinted.training_set import (
    MARKET,
    PATTERNS,
    RENDERS,
    TrainingSet,
    as_predicted,
    held_out_patterns,
    take,
    training_prior,
)
from common.cli import progress
from common.errors import UserError
from common.inference.batch import stack_alike
from common.metrics.calibration import expected_calibration_error
from common.metrics.classification import top_k_accuracy
from common.metrics.multilabel import tag_scores
from common.models.backbones import PACKAGED_BACKBONE
from common.training.loop import FitConfig, MixtureSampler, fit, flush_denormals, is_main_process

# How long a dress is for its width tells a casual dress from a mini: crops of garments stay mild and keep
# proportions. A pattern is the same on any piece of the cloth, near or far.
WHOLE_GARMENT = Augmentation(min_area=0.7, aspect=1.03)
PIECE_OF_CLOTH = Augmentation(min_area=0.25, aspect=1.2)


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
    # Heights and widths that the exported network takes: multiples of 32, of about as many pixels each. A photo is
    # taken in the one nearest to its shape: none is stretched, and little of it is padding.
    input_sizes: tuple[tuple[int, int], ...] = ((256, 192), (288, 160), (224, 224), (192, 256), (160, 288))
    training_size: tuple[int, int] = (256, 192)
    n_frozen_stages: int = 3
    batch_size: int = 32
    augmentation: dict[int, Augmentation] = field(
        default_factory=lambda: {MARKET: WHOLE_GARMENT, PATTERNS: PIECE_OF_CLOTH, RENDERS: WHOLE_GARMENT}
    )
    mixup: float = 0.2  # alpha of the Beta distribution that photos are mixed by; 0 leaves them unmixed
    # Worn dresses and renders teach patterns and shapes; then the photos that the network is for.
    pretraining: Stage = Stage(6, 6e-4, {PATTERNS: 2_660, RENDERS: 400})
    finetuning: Stage = Stage(10, 4e-4, {MARKET: 520, PATTERNS: 200, RENDERS: 40})
    n_copies: int = 2  # fine-tuned from one start with other random numbers; their mean is the network
    seed: int = 0


def quick_recipe(seed: int = 0) -> Recipe:
    """Return a recipe that runs every stage for a moment, to see that all of it works."""
    few = {MARKET: 32, PATTERNS: 32, RENDERS: 32}
    return Recipe(
        input_sizes=((96, 64), (64, 96)),
        training_size=(96, 64),
        pretraining=Stage(1, 6e-4, few),
        finetuning=Stage(1, 4e-4, few),
        batch_size=16,
        seed=seed,
    )


class _AugmentedPhotos(torch.utils.data.Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """(row, seed) -> an augmented photo and what is known of it."""

    def __init__(self, data: TrainingSet, recipe: Recipe) -> None:
        self.data, self.recipe = data, recipe

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        row, seed = key
        rng = np.random.default_rng(seed)
        augmentation = self.recipe.augmentation[int(self.data.sources[row])]
        image = augment(self.data.images[row], self.recipe.training_size, augmentation, rng)
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
        _AugmentedPhotos(data, recipe),  # type: ignore[arg-type]
        batch_size=recipe.batch_size,
        sampler=sampler,
        drop_last=True,  # a last batch of one photo has no batch statistics
        # A GPU waits for augmentation; two CPU cores are busy with the network anyway.
        num_workers=8 if torch.cuda.is_available() else 0,
    )

    def loss(model: nn.Module, batch: Any) -> Tensor:
        pixels, *targets = batch
        share, partners = draw_mixup(len(pixels), recipe.mixup)
        logits = model(share * pixels + (1 - share) * pixels[partners])
        own = multi_task_loss(logits, Targets(*targets), weights)
        return share * own + (1 - share) * multi_task_loss(logits, Targets(*(t[partners] for t in targets)), weights)

    config = FitConfig(stage.epochs, seed=recipe.seed, identity=_identity(data, rows, recipe, stage, weights))
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


def finetune(
    pretrained: GarmentNet,
    data: TrainingSet,
    rows: NDArray[np.bool_],
    recipe: Recipe,
    checkpoint: Path,
    description: str,
    weights: TaskWeights = TaskWeights(),
) -> tuple[GarmentNet, list[list[dict[str, float]]]]:
    """Second stage: copies of `pretrained`, each with random numbers of its own; their mean, and each one's history.

    Wortsman et al., 'Model soups: averaging weights of multiple fine-tuned models improves accuracy without
    increasing inference time' (2022): so few photos leave much to chance, which the mean takes less of.
    """
    mean, histories = AveragedModel(pretrained, use_buffers=True), []
    for copy in range(recipe.n_copies):
        net, history = train_stage(
            pretrained, data, rows, replace(recipe, seed=recipe.seed + copy), recipe.finetuning,
            weights=weights, checkpoint=checkpoint / f"copy-{copy}",
            description=f"{description}, copy {copy + 1} of {recipe.n_copies}",
        )  # fmt: skip
        mean.to(next(net.parameters()).device)
        mean.update_parameters(net)
        histories.append(history)
    assert isinstance(mean.module, GarmentNet)
    return mean.module.eval(), histories


def draw_mixup(n: int, alpha: float) -> tuple[float, Tensor]:
    """Draw how much each of `n` photos keeps of itself, 0.5 to 1, and the (n,) photos that the rest is taken from.

    Zhang et al., 'mixup: beyond empirical risk minimization' (2018). It keeps the network from learning wrong
    labels by heart, of which the worn dresses have many.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample()) if alpha else 1.0
    return max(share, 1 - share), torch.randperm(n)


def _identity(data: TrainingSet, rows: NDArray[np.bool_], recipe: Recipe, stage: Stage, weights: TaskWeights) -> str:
    """Hash of what decides a stage's weights, so that no stage goes on from another's checkpoint."""
    settings = asdict(replace(recipe, pretraining=stage, finetuning=stage))
    del settings["n_copies"], settings["input_sizes"]  # what is made of the stages, not how one is trained
    digest = hashlib.sha256(json.dumps([settings, weights, data.fingerprint]).encode())
    digest.update(np.packbits(rows).tobytes())
    labels = data.labels
    for row in np.flatnonzero(rows):
        for known in (data.images[row], labels.categories[row], labels.tags[row], labels.colors[row]):
            digest.update(np.ascontiguousarray(known).tobytes())
    return digest.hexdigest()


@torch.inference_mode()
def predict_logits(net: GarmentNet, images: Sequence[NDArray[np.uint8]]) -> Logits:
    """N photos (H, W, 3) of any sizes -> float32 logits of all tasks, computed on the device of `net`."""
    device = next(net.parameters()).device
    net.eval()
    found = Logits(*(torch.empty(len(images), head.out_features) for head in (net.category, net.tags, net.color)))
    with flush_denormals():
        for rows, pixels in stack_alike(images, 64):
            for whole, part in zip(found, net(torch.from_numpy(pixels).to(device)), strict=True):
                whole[rows] = part.float().cpu()
    return found


def pretrain(data: TrainingSet, recipe: Recipe, runs: Path) -> GarmentNet:
    """First stage: patterns and shapes from worn dresses (but their held-out fold) and renders; without any, none."""
    torch.manual_seed(recipe.seed)
    net = GarmentNet(backbone=recipe.backbone)
    rows = (data.sources != MARKET) & ~held_out_patterns(data)
    if not rows.any():
        return net
    return train_stage(
        net, data, rows, recipe, recipe.pretraining, checkpoint=runs / "pretraining", description="pretraining"
    )[0]


def fit_fold(
    data: TrainingSet,
    pretrained: GarmentNet,
    recipe: Recipe,
    runs: Path,
    fold: int,
    weights: TaskWeights = TaskWeights(),
) -> tuple[GarmentNet, list[list[dict[str, float]]]]:
    """Fine-tune without the photos of one fold."""
    rows = ~((data.sources == MARKET) & (data.folds == fold)) & ~held_out_patterns(data)
    description = f"fold {fold + 1} of {data.n_folds}"
    return finetune(pretrained, data, rows, recipe, runs / f"fold-{fold}", description, weights)


@dataclass(frozen=True)
class HeldOut:
    """Logits of photos by networks that have not seen them, nor any photo of their group."""

    rows: NDArray[np.int64]  # (N,) the market photos of the folds
    market: Logits  # (N, ...) of these: each photo by the network of its fold
    patterns: Logits  # (N_held_out_patterns, ...): by the network of the first fold
    nets: dict[int, GarmentNet]  # of each fold
    histories: list[list[list[dict[str, float]]]]  # of each fold and copy, a row an epoch


def cross_validate(
    data: TrainingSet,
    pretrained: GarmentNet,
    recipe: Recipe,
    runs: Path,
    weights: TaskWeights = TaskWeights(),
    folds: Sequence[int] | None = None,
) -> HeldOut:
    """Fine-tune one network for each fold (by default of all) without it, and let it predict that fold."""
    folds = range(data.n_folds) if folds is None else folds
    fitted = {fold: fit_fold(data, pretrained, recipe, runs, fold, weights) for fold in folds}
    nets = {fold: net for fold, (net, _) in fitted.items()}
    members = [np.flatnonzero((data.sources == MARKET) & (data.folds == fold)) for fold in folds]
    parts = [
        predict_logits(net, as_predicted(data, rows, recipe.input_sizes))
        for net, rows in zip(nets.values(), members, strict=True)
    ]
    rows = np.concatenate(members)
    order = np.argsort(rows)  # back from the order of folds to that of rows
    joined = Logits(*(torch.cat(columns)[order] for columns in zip(*parts, strict=True)))
    patterns = predict_logits(nets[folds[0]], as_predicted(data, held_out_patterns(data), recipe.input_sizes))
    return HeldOut(rows[order], joined, patterns, nets, [history for _, history in fitted.values()])


def pooled(data: TrainingSet, held_out: HeldOut) -> tuple[Logits, Labels, NDArray[np.int64], NDArray[np.bool_]]:
    """All held-out photos: logits, labels, folds, and which of them are market photos (the others have tags only)."""
    n_market, patterns = len(held_out.rows), np.flatnonzero(held_out_patterns(data))
    rows = np.concatenate([held_out.rows, patterns])
    logits = Logits(*(torch.cat(pair) for pair in zip(held_out.market, held_out.patterns, strict=True)))
    # The patterns all stand in fold 0; to calibrate on some and score others they are dealt out by group.
    folds = data.folds[rows].copy()
    folds[n_market:] = data.groups[patterns] % data.n_folds
    return logits, take(data.labels, rows), folds, np.arange(len(rows)) < n_market


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
    raw = apply_calibration(logits, UNCALIBRATED)
    fitted = Probabilities(*(np.empty_like(a) for a in (raw.category, raw.tags, raw.color)))
    decisions = np.zeros(labels.tags.shape, dtype=bool)
    for fold in np.unique(folds):
        inside = folds == fold
        calibration = calibrate_pooled(Logits(*(x[~inside] for x in logits)), take(labels, ~inside), market[~inside])
        part = apply_calibration(Logits(*(x[inside] for x in logits)), calibration)
        for name in ("category", "tags", "color"):
            getattr(fitted, name)[inside] = getattr(part, name)
        decisions[inside] = part.tags >= np.array(calibration.thresholds, dtype=np.float32)
    groups = np.concatenate([data.groups[held_out.rows], data.groups[held_out_patterns(data)]])
    result: dict[str, Any] = {"protocol": f"{data.n_folds}-fold cross-validation grouped by contributor"}
    for name, rows in (("market", market), ("patterns", ~market)):
        if rows.any():
            chosen = Probabilities(fitted.category[rows], fitted.tags[rows], fitted.color[rows])
            result[name] = score(take(labels, rows), chosen, decisions[rows], groups[rows])
    truth = labels.categories[market].argmax(1)
    result["market"]["ece_before_calibration"] = expected_calibration_error(truth, raw.category[market])
    result["histories"] = held_out.histories
    return result


def quantise(data: TrainingSet, held_out: HeldOut, recipe: Recipe) -> HeldOut:
    """The same photos, by the folds' networks in int8: what is shipped is int8, too."""
    market, patterns = Logits(*(torch.empty_like(x) for x in held_out.market)), held_out.patterns
    known = (data.sources != RENDERS) & ~held_out_patterns(data)
    with progress("int8", total=len(held_out.nets)) as advance:
        for fold, net in held_out.nets.items():
            inside = (data.sources == MARKET) & (data.folds == fold)
            typical = as_predicted(data, known & ~inside, recipe.input_sizes)
            _, int8 = to_onnx(net, UNCALIBRATED, typical, recipe.seed)
            found = predict_int8(int8, as_predicted(data, inside, recipe.input_sizes))
            for whole, part in zip(market, found, strict=True):
                whole[torch.from_numpy(inside[held_out.rows])] = part
            if patterns is held_out.patterns:  # of the first fold
                patterns = predict_int8(int8, as_predicted(data, held_out_patterns(data), recipe.input_sizes))
            advance()
    return replace(held_out, market=market, patterns=patterns)


def score_at_own_thresholds(data: TrainingSet, held_out: HeldOut) -> dict[str, float]:
    """Top-1 accuracy and macro F1 of the market photos, with the thresholds that are fitted to these networks.

    For comparing float32 and int8: thresholds that were fitted to one would fit that one only.
    """
    logits, labels, _, market = pooled(data, held_out)
    calibration = calibrate_pooled(logits, labels, market)
    found = apply_calibration(logits, calibration)
    decisions = found.tags[market] >= np.array(calibration.thresholds, dtype=np.float32)
    return {
        "top1_accuracy": top_k_accuracy(labels.categories[market].argmax(1), found.category[market], 1),
        "macro_f1": tag_scores(labels.tags[market].astype(bool), decisions).macro_f1,
    }


def fit_final(data: TrainingSet, pretrained: GarmentNet, recipe: Recipe, runs: Path) -> GarmentNet:
    """Fine-tune the network that is shipped: on all photos."""
    everything = np.ones(len(data.sources), dtype=bool)
    return finetune(pretrained, data, everything, recipe, runs / "final", "final fit")[0]


def train_part(part: str, data: TrainingSet, recipe: Recipe, runs: Path) -> None:
    """Train `pretraining`, `fold-0`, `fold-1`, ... or `final` alone, so that processes can share the work."""
    folds = {f"fold-{fold}": fold for fold in range(data.n_folds)}
    if part not in {"pretraining", "final", *folds}:
        raise UserError(f"no part of the training is called {part!r}; choose pretraining, {', '.join(folds)} or final")
    pretrained = pretrain(data, recipe, runs)
    if part in folds:
        fit_fold(data, pretrained, recipe, runs, folds[part])
    elif part == "final":
        fit_final(data, pretrained, recipe, runs)


def train(data: TrainingSet, out: Path, runs: Path, recipe: Recipe) -> dict[str, Any]:
    """The whole way from photos to an artifact in `out`; return its held-out metrics. Resumable through `runs`."""
    pretrained = pretrain(data, recipe, runs)
    held_out = cross_validate(data, pretrained, recipe, runs)
    net = fit_final(data, pretrained, recipe, runs)
    metrics = cross_validated_metrics(data, held_out)
    quantised = quantise(data, held_out, recipe)
    pair = {"float32": held_out, "int8": quantised}
    metrics["int8"] = {name: score_at_own_thresholds(data, found) for name, found in pair.items()}
    logits, labels, _, market = pooled(data, quantised)
    calibration = calibrate_pooled(logits, labels, market)
    typical = as_predicted(data, data.sources != RENDERS, recipe.input_sizes)
    _, int8 = to_onnx(net, calibration, typical, recipe.seed)
    if is_main_process():
        write_artifact(
            out, net, int8, calibration, trained_on=data.trained_on,
            recipe=asdict(recipe), prior=training_prior(data), metrics=metrics, data_fingerprint=data.fingerprint,
        )  # fmt: skip
    return metrics
