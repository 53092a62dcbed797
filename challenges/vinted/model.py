"""One trunk, three heads: the category of a garment, its pattern tags and its colour."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.models.backbones import PACKAGED_BACKBONE, load_backbone


class Logits(NamedTuple):
    """What the network says before any softmax or sigmoid."""

    category: Tensor  # (B, 5)
    tags: Tensor  # (B, 3)
    color: Tensor  # (B, 28)


class Targets(NamedTuple):
    """What is known of a batch; an unknown part does not contribute to the loss."""

    category: Tensor  # (B, 5) bool: the categories that are possible; all True when nothing is known
    tags: Tensor  # (B, 3) float: 0 or 1, nan where unknown
    color: Tensor  # (B,) int64: index of the colour, -1 where unknown


class GarmentNet(nn.Module):
    """A pretrained trunk with one linear head for each task.

    The pixels' scale is part of the network (`mean`, `std` are buffers), so that whoever calls it cannot
    get it wrong: it takes uint8 RGB as decoded.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        n_categories: int = 5,
        n_tags: int = 3,
        n_colors: int = 28,
        backbone: str = PACKAGED_BACKBONE,
        dropout: float = 0.2,
        *,
        pretrained: bool = True,
    ) -> None:
        super().__init__()
        self.trunk = load_backbone(backbone, pretrained=pretrained)
        n_features: int = self.trunk.num_features  # type: ignore[assignment]
        scale: dict[str, tuple[float, ...]] = self.trunk.pretrained_cfg  # type: ignore[assignment]
        self.register_buffer("mean", 255 * torch.tensor(scale["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(scale["std"]).view(1, 3, 1, 1), persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.category = nn.Linear(n_features, n_categories)
        self.tags = nn.Linear(n_features, n_tags)
        self.color = nn.Linear(n_features, n_colors)
        self.n_frozen_stages = 0

    def features(self, pixels: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 RGB (or float32, of the same range) -> (B, n_features) float32."""
        x = pixels.permute(0, 3, 1, 2).float()  # (B, 3, H, W); the permuted view is channels-last already
        features: Tensor = self.trunk((x - self.mean) / self.std)  # (B, n_features)
        return features

    def forward(self, pixels: Tensor) -> Logits:
        """(B, H, W, 3) uint8 RGB -> logits of the three tasks."""
        x = self.dropout(self.features(pixels))  # (B, n_features)
        return Logits(self.category(x), self.tags(x), self.color(x))

    def freeze_stages(self, n_stages: int) -> None:
        """Keep the stem and the first `n_stages` stages of the trunk as they are, batch statistics included.

        The first stages hold edges and colours, which ImageNet knows; they also cost most of a step on a
        CPU, because their maps are the largest. Frozen, they need no backward pass.
        """
        self.n_frozen_stages = n_stages
        for module in self._frozen_modules():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "GarmentNet":
        """Switch to training (or evaluation), leaving frozen stages in evaluation."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def _frozen_modules(self) -> Iterator[nn.Module]:
        if self.n_frozen_stages:
            yield from (self.trunk.conv_stem, self.trunk.bn1, *self.trunk.blocks[: self.n_frozen_stages])  # type: ignore[misc,index]

    def parameter_groups(self, learning_rate: float, head_factor: float = 5.0) -> list[dict[str, object]]:
        """Two groups for an optimiser: the pretrained trunk, and the new heads at a larger rate."""
        trunk = [p for p in self.trunk.parameters() if p.requires_grad]
        heads = [p for head in (self.category, self.tags, self.color) for p in head.parameters()]
        return [
            {"params": trunk, "lr": learning_rate},
            {"params": heads, "lr": learning_rate * head_factor},
        ]


class TaskWeights(NamedTuple):
    """How much each task counts in the loss; 0 leaves a task out."""

    category: float = 1.0
    tags: float = 1.0
    color: float = 0.2


def multi_task_loss(logits: Logits, targets: Targets, weights: TaskWeights = TaskWeights()) -> Tensor:
    """Weighted sum of the three tasks' losses, each the mean over what is known of it; a scalar."""
    return (
        weights.category * partial_label_loss(logits.category, targets.category)
        + weights.tags * masked_binary_loss(logits.tags, targets.tags)
        + weights.color * known_class_loss(logits.color, targets.color)
    )


def partial_label_loss(logits: Tensor, possible: Tensor) -> Tensor:
    """-log of the probability that falls on the possible classes, over rows that exclude any class.

    With one possible class this is cross-entropy; with all it is 0. `logits` (B, C), `possible` (B, C) bool.
    It is the maximum-likelihood loss of Jin and Ghahramani, 'Learning with multiple labels' (2002).
    """
    excluded = torch.where(possible, logits, torch.finfo(logits.dtype).min)
    nll = logits.logsumexp(1) - excluded.logsumexp(1)  # (B,)
    return _mean_where(nll, ~possible.all(1))


def masked_binary_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy over the entries that are not nan; `logits` and `targets` (B, T)."""
    known = ~targets.isnan()  # (B, T)
    loss = F.binary_cross_entropy_with_logits(logits, targets.nan_to_num(0.0), reduction="none")
    return _mean_where(loss, known)


def known_class_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over the rows whose class is not -1; `logits` (B, C), `targets` (B,) int64."""
    loss = F.cross_entropy(logits, targets.clamp(min=0), reduction="none")  # (B,)
    return _mean_where(loss, targets >= 0)


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask`; 0, with a gradient of 0, where nothing is known."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


class CalibratedNet(nn.Module):
    """What is exported: pixels in, probabilities out, calibrated but for the colour's.

    Logits are divided by a temperature for the category and one for each tag (Guo et al., 'On calibration
    of modern neural networks', 2017).
    """

    category_temperature: Tensor
    tag_temperatures: Tensor

    def __init__(self, net: GarmentNet, category_temperature: float, tag_temperatures: tuple[float, ...]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("category_temperature", torch.tensor(category_temperature))
        self.register_buffer("tag_temperatures", torch.tensor(tag_temperatures))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H, W, 3) uint8 RGB -> probabilities: category (B, 5), tags (B, 3), colour (B, 28)."""
        logits = self.net(pixels)
        return (
            (logits.category / self.category_temperature).softmax(1),
            (logits.tags / self.tag_temperatures).sigmoid(),
            logits.color.softmax(1),
        )
