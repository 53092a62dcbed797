"""The segmentation network: YOLO11's neck and head on a pretrained EfficientNet-Lite0, or YOLO11n as it is.

A box carries 32 coefficients; its mask is the sigmoid of that mixture of 32 prototype maps which all boxes share
(Bolya et al., 'YOLACT: real-time instance segmentation', 2019). ultralytics (AGPL-3.0) brings neck, head and loss.
"""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import UserError, first_line
from common.models.backbones import PACKAGED_BACKBONE, load_backbone

CONFIG: Final = Path(__file__).with_name("yolo_lite0.yaml")
LITE0: Final = "yolo-lite0"
SCRATCH: Final = "yolo11n-seg.yaml"
BACKBONE_NAME: Final = "efficientnet_lite0_stages"  # in yolo_lite0.yaml
STRIDE: Final = 32  # both sides of an input are multiples of it
MASK_STRIDE: Final = 4  # of the prototypes
BACKBONE_FACTOR: Final = 0.2  # of the learning rate: what is pretrained learns more slowly


def import_ultralytics() -> Any:
    """Import ultralytics so that it asks nobody anything: no network, no telemetry, no installs, no settings at home.

    Raises:
        UserError: it is not installed.
    """
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / "ml-challenges-ultralytics"))
    os.environ.setdefault("YOLO_VERBOSE", "false")
    Path(os.environ["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)
    try:
        with np.printoptions():  # it prints everybody's arrays its own way from then on
            import ultralytics
            import ultralytics.utils
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed: run make setup") from error
    return ultralytics


class _Stem(nn.Module):
    """(B, 3, H, W) pixels in 0..1, as YOLO gives them -> (B, 24, H/4, W/4)."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.conv, self.norm, self.blocks = backbone.conv_stem, backbone.bn1, backbone.blocks[:2]

    def forward(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.blocks(self.norm(self.conv(pixels * 2 - 1)))  # Lite0 expects -1..1
        return out


def lite0_stages(weights: str | None = "DEFAULT", **_: Any) -> nn.Sequential:
    """EfficientNet-Lite0 in four parts, whose outputs have 24, 40, 112 and 320 channels at 1/4, 1/8, 1/16 and 1/32.

    The signature is a torchvision builder's: ultralytics' `TorchVision` block calls it.
    """
    net: Any = load_backbone(PACKAGED_BACKBONE, pretrained=weights is not None)
    _fix_padding(net)
    blocks = net.blocks
    # In a list of its own: the TorchVision block opens the first child that is a Sequential.
    return nn.Sequential(nn.Sequential(_Stem(net), blocks[2], blocks[3:5], blocks[5:7]))


def _fix_padding(module: nn.Module) -> None:
    """Let strided convolutions pad as TensorFlow does for even sides, without asking for the size each time.

    TensorFlow pads one pixel more behind than in front. A kernel with an empty row and column before its first does
    the same under equal padding. All sides are even, being multiples of STRIDE.
    """
    from timm.layers.conv2d_same import Conv2dSame

    for name, child in module.named_children():
        if not isinstance(child, Conv2dSame):
            _fix_padding(child)
            continue
        side = child.kernel_size[0] + 1
        conv = nn.Conv2d(child.in_channels, child.out_channels, side, 2, side // 2 - 1, groups=child.groups, bias=False)
        with torch.no_grad():
            conv.weight.zero_()[..., 1:, 1:] = child.weight
        setattr(module, name, conv)


def fuse_norms(module: nn.Module) -> None:
    """Make every batch normalisation of timm's blocks part of the convolution before it, as it is in evaluation."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    training = module.training
    module.eval()
    for part in list(module.modules()):
        for (name, conv), (norm_name, norm) in pairwise(list(part.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(part, name, fuse_conv_bn_eval(conv, norm))
                setattr(part, norm_name, getattr(norm, "act", nn.Identity()))  # timm's normalisation holds the ReLU
    module.train(training)


class SmurfNet(nn.Module):
    """Any of ultralytics' segmentation networks, with what training and export need around it.

    Args:
        config: LITE0, a YAML of ultralytics (trained from scratch), or weights of it as `yolo11n-seg.pt` (fetched
            from its hub by ultralytics, which needs a network and YOLO_OFFLINE=false).
        pretrained: whether LITE0's backbone gets its ImageNet weights; False where a state is loaded anyway.
        n_frozen_stages: how many of LITE0's four parts stay as they are.
    """

    def __init__(self, config: str = LITE0, *, pretrained: bool = True, n_frozen_stages: int = 2) -> None:
        super().__init__()
        self.yolo: Any = build_yolo(config, pretrained=pretrained)
        self.is_pretrained = config == LITE0
        for stage in self.backbone[:n_frozen_stages]:
            fuse_norms(stage)
            stage.requires_grad_(False)

    @property
    def backbone(self) -> nn.Sequential:
        """LITE0's four parts; of the other networks nothing."""
        stages: nn.Sequential = self.yolo.model[0].m if self.is_pretrained else nn.Sequential()
        return stages

    def train(self, mode: bool = True) -> SmurfNet:
        """Switch the mode; a pretrained backbone keeps its batch statistics, which 8 pictures would only blur."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Groups for an optimiser."""
        inside = {id(p) for p in self.backbone.parameters()}
        groups: dict[float, list[nn.Parameter]] = {1.0: [], BACKBONE_FACTOR: []}
        for parameter in self.parameters():
            if parameter.requires_grad:
                groups[BACKBONE_FACTOR if id(parameter) in inside else 1.0].append(parameter)
        return [{"params": params, "lr": learning_rate * f} for f, params in groups.items() if params]

    def forward(self, pixels: Tensor) -> Any:
        """(B, H, W, 3) uint8 RGB -> what ultralytics' network says: raw predictions in training, else decoded ones."""
        return self.yolo(pixels.permute(0, 3, 1, 2).float() / 255)


def build_yolo(config: str, *, pretrained: bool = True) -> Any:
    """Make a `SegmentationModel` of ultralytics for one class; see `SmurfNet` for the names.

    Raises:
        UserError: ultralytics is not installed, the weights cannot be had, or `config` describes no network.
    """
    ultralytics = import_ultralytics()
    from torchvision.models import list_models
    from torchvision.models._api import register_model
    from ultralytics.cfg import get_cfg
    from ultralytics.nn import tasks
    from ultralytics.utils import YAML

    make: Any = tasks.SegmentationModel  # without types
    read_yaml: Any = YAML.load
    if BACKBONE_NAME not in list_models():
        register_model(BACKBONE_NAME)(lite0_stages)
    if config.endswith(".pt"):
        try:
            found = ultralytics.YOLO(config)
        except (OSError, ConnectionError) as error:
            raise UserError(f"{config} cannot be had ({type(error).__name__}): train {LITE0}, or connect") from error
        net = make(found.model.yaml, nc=1, verbose=False)
        net.load(found.model, verbose=False)
    elif config == LITE0:
        description = read_yaml(CONFIG)
        description["backbone"][0][3][2] = "DEFAULT" if pretrained else None
        net = make(description, nc=1, verbose=False)
    else:
        try:
            net = make(config, nc=1, verbose=False)
        except (OSError, AssertionError, ValueError, LookupError) as error:
            why = f"{config!r} is not a network of ultralytics ({first_line(error)})"
            raise UserError(f"{why}: name {LITE0} or {SCRATCH}") from error
    net.args = get_cfg()  # the loss takes its weights from there
    return net


def segmentation_loss(net: nn.Module, batch: Any) -> Tensor:
    """Mean of ultralytics' segmentation loss: boxes, masks, scores and distances of box edges.

    Args:
        net: a SmurfNet in training mode.
        batch: pixels (B, H, W, 3) uint8; instance map (B, H/4, W/4) uint8, 0 for none, i + 1 for the i-th box;
            boxes (B, M, 4) as x0, y0, x1, y1 from 0 to 1, those that are there first, the rest zeros.
    """
    pixels, instance_map, boxes = batch
    there = boxes[..., 2] > boxes[..., 0]  # (B, M)
    corners = boxes[there]  # (N, 4)
    targets = {
        "batch_idx": there.nonzero()[:, 0].float(),
        "cls": torch.zeros(len(corners), 1, device=boxes.device),
        "bboxes": torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1),
        "masks": instance_map,
    }
    yolo: Any = net.yolo
    if getattr(yolo, "criterion", None) is None:
        yolo.criterion = yolo.init_criterion()
    losses, _ = yolo.criterion(net(pixels), targets)  # times the number of pictures
    loss: Tensor = losses.sum() / len(pixels)
    return loss
