"""What the segmenter is compared with, on the same pictures: another network on its backbone, and none pretrained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from challenges.radix_smurfs.compositing import Example
from challenges.radix_smurfs.dataset import read_image
from challenges.radix_smurfs.evaluate import Evaluation, Predictions, predict_masks, score, truth_of
from challenges.radix_smurfs.export import IMAGE_SIZE, segmenter_of, to_onnx
from challenges.radix_smurfs.geometry import mask_to_rle
from challenges.radix_smurfs.model import LITE0, SCRATCH, lite0_stages
from challenges.radix_smurfs.segmenter import letterbox
from challenges.radix_smurfs.train import Recipe, TrainingSet, batches, train_part
from common.cli import progress
from common.training.loop import FitConfig, fit

N_PYRAMID_CHANNELS: Final = 128


class _Pyramid(nn.Module):
    """Lite0's stages under a feature pyramid (Lin et al., 2017), narrower than Mask R-CNN's usual 256 channels."""

    out_channels = N_PYRAMID_CHANNELS

    def __init__(self) -> None:
        super().__init__()
        from torchvision.ops import FeaturePyramidNetwork
        from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

        stages: Any = lite0_stages()[0]
        self.stages = stages
        self.pyramid = FeaturePyramidNetwork([24, 40, 112, 320], N_PYRAMID_CHANNELS, LastLevelMaxPool())
        for stage in stages[:2]:
            stage.requires_grad_(False)

    def train(self, mode: bool = True) -> _Pyramid:
        super().train(mode)
        for module in self.stages.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, images: Tensor) -> Any:
        outputs: dict[str, Tensor] = {}
        for k, stage in enumerate(self.stages.children()):
            images = outputs[str(k)] = stage(images)
        return self.pyramid(outputs)


def mask_rcnn(size: int) -> nn.Module:
    """Torchvision's Mask R-CNN (He et al., 2017) on EfficientNet-Lite0, with a narrow pyramid and box head."""
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    sizes = ((16,), (32,), (64,), (128,), (256,))
    net: nn.Module = MaskRCNN(
        _Pyramid(),
        min_size=size,
        max_size=size,
        image_mean=[0.0, 0.0, 0.0],  # the stem brings its own
        image_std=[1.0, 1.0, 1.0],
        rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes)),
        box_roi_pool=MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2),
        box_head=TwoMLPHead(N_PYRAMID_CHANNELS * 49, 256),
        box_predictor=FastRCNNPredictor(256, 2),
        mask_head=MaskRCNNHeads(N_PYRAMID_CHANNELS, (N_PYRAMID_CHANNELS,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(N_PYRAMID_CHANNELS, N_PYRAMID_CHANNELS, 2),
        rpn_pre_nms_top_n_train=500, rpn_post_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=300, rpn_post_nms_top_n_test=150,
        box_batch_size_per_image=128, box_detections_per_img=100, box_score_thresh=0.01,
    )  # fmt: skip
    return net


def mask_rcnn_loss(net: nn.Module, batch: Any) -> Tensor:
    """Sum of Mask R-CNN's five losses on a batch of `train.Pictures`; its maps are a quarter of the pictures' size."""
    pixels, instance_map, boxes = batch
    side = pixels.shape[1]
    targets = []
    for placed, corners in zip(instance_map, boxes, strict=True):
        n = int((corners[:, 2] > corners[:, 0]).sum())
        labels = torch.arange(1, n + 1, device=placed.device)
        masks = (placed[None] == labels[:, None, None]).to(torch.uint8)  # (n, S/4, S/4)
        whole = masks.new_zeros(0, side, side)
        if n:
            whole = nn.functional.interpolate(masks[None], size=(side, side), mode="nearest")[0]
        wide = ((corners[:n, 2:] - corners[:n, :2]) * side > 1).all(1)
        targets.append(
            {"boxes": corners[:n][wide] * side, "labels": torch.ones_like(labels)[wide], "masks": whole[wide]}
        )
    losses = net(list(pixels.permute(0, 3, 1, 2).float() / 255), targets)
    return torch.stack(list(losses.values())).sum()


def train_mask_rcnn(
    examples: Sequence[Example], recipe: Recipe, *, identity: str, checkpoint: Path | None
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train it as `train.train_network` trains the YOLO networks: same pictures, schedule and averaging."""
    torch.manual_seed(recipe.seed)
    net = mask_rcnn(recipe.size)
    loader = batches(examples, recipe)
    groups = [{"params": [p for p in net.parameters() if p.requires_grad], "lr": recipe.learning_rate / 3}]
    config = FitConfig(recipe.epochs, ema_decay=recipe.ema_decay, seed=recipe.seed, identity=identity)
    result = fit(net, groups, loader, mask_rcnn_loss, config, checkpoint=checkpoint, description="Mask R-CNN")
    return result.model, result.history


@torch.inference_mode()
def predict_mask_rcnn(net: nn.Module, image: NDArray[np.uint8], size: int) -> Predictions:
    """Masks and scores of (H, W, 3) uint8 RGB, seen with its longer side at `size`."""
    height, width = image.shape[:2]
    pixels, scale = letterbox(image, size)
    net.eval()
    net.transform.min_size, net.transform.max_size = (min(pixels.shape[:2]),), max(pixels.shape[:2])  # type: ignore[union-attr]
    found = net([torch.from_numpy(pixels).permute(2, 0, 1).float() / 255])[0]
    inner = round(height * scale), round(width * scale)
    results = []
    for mask, s in zip(found["masks"][:, 0].numpy(), found["scores"].tolist(), strict=True):
        whole = cv2.resize(mask[: inner[0], : inner[1]], (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
        if whole.any():
            results.append((mask_to_rle(whole), float(s)))
    return results


def compare(data: TrainingSet, runs: Path, recipe: Recipe, fold: int = 0) -> dict[str, Any]:
    """Train each on the images outside one fold with the same recipe, and score it on the fold.

    A step of Mask R-CNN costs more than one of the others, so it gets half the epochs.
    """
    rows = np.flatnonzero(data.folds == fold)
    records = [data.dataset.images[row] for row in rows]
    truth = truth_of(data.dataset, records)
    table: dict[str, Any] = {}
    for name, config in (("EfficientNet-Lite0 under YOLO11", LITE0), ("YOLO11n from scratch", SCRATCH)):
        net, history = train_part(data, f"fold-{fold}", replace(recipe, config=config), runs / config.split(".")[0])
        found = predict_masks(data.dataset, records, segmenter_of(to_onnx(net)))
        table[name] = _row(Evaluation(tuple(records), truth, tuple(found)), net, history)
    inside = [example for example, f in zip(data.examples, data.folds, strict=True) if f != fold]
    recipe = replace(recipe, epochs=max(1, recipe.epochs // 2))
    settings = json.dumps(["mask r-cnn", asdict(recipe), data.fingerprint, fold], sort_keys=True)
    rcnn, history = train_mask_rcnn(
        inside, recipe, identity=hashlib.sha256(settings.encode()).hexdigest(), checkpoint=runs / "mask-rcnn"
    )
    with progress("segmenting", total=len(records)) as advance:
        found = []
        for record in records:
            found.append(predict_mask_rcnn(rcnn, read_image(data.dataset, record), IMAGE_SIZE))
            advance()
    table["Mask R-CNN on EfficientNet-Lite0"] = _row(Evaluation(tuple(records), truth, tuple(found)), rcnn, history)
    return table


def _row(evaluation: Evaluation, net: nn.Module, history: list[dict[str, float]]) -> dict[str, Any]:
    return score(evaluation) | {
        "n_parameters": sum(p.numel() for p in net.parameters()),
        "n_epochs": len(history),
    }
