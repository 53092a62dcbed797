"""A trained network -> the artifact that prediction uses, and back."""

import tempfile
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from challenges.vinted.calibration import Calibration
from challenges.vinted.dataset import CATEGORIES, COLORS, TAGS
from challenges.vinted.model import CalibratedNet, GarmentNet
from common.artifacts import load_artifact, save_artifact
from common.data.images import resize_image
from common.inference.export import export_onnx, quantize_int8

N_QUANTISATION_PHOTOS = 320  # from which the ranges of the int8 activations are taken


def to_onnx(
    net: GarmentNet, calibration: Calibration, images: NDArray[np.uint8], input_size: tuple[int, int], seed: int
) -> tuple[bytes, bytes]:
    """Return the calibrated network as ONNX in float32 and in int8.

    Args:
        net: trained; stays as it is.
        calibration: becomes part of the exported network.
        images: (N, H, W, 3) RGB, typical photos; some of them set the ranges of the int8 activations.
        input_size: (height, width) that the exported network takes.
        seed: of the choice of these photos.
    """
    calibrated = CalibratedNet(
        deepcopy(net).cpu(), calibration.category_temperature, calibration.tag_temperatures
    ).eval()
    pixels = torch.zeros(2, *input_size, 3, dtype=torch.uint8)
    float32 = export_onnx(calibrated, pixels, "pixels", ["category", "tags", "color"])
    rows = np.random.default_rng(seed).permutation(len(images))[:N_QUANTISATION_PHOTOS]
    batches = (
        np.stack([resize_image(images[row], input_size) for row in chunk])
        for chunk in np.array_split(rows, max(1, len(rows) // 16))
    )
    return float32, quantize_int8(float32, batches, "pixels")


def write_artifact(
    out: Path,
    net: GarmentNet,
    int8: bytes,
    calibration: Calibration,
    *,
    recipe: dict[str, Any],
    prior: dict[str, list[float]],
    metrics: dict[str, Any],
    data_fingerprint: str,
) -> None:
    """Write int8 ONNX for prediction and safetensors for further training into the folder `out`."""
    height, width = recipe["input_size"]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "model.safetensors"
        save_file({k: v.contiguous().cpu() for k, v in net.state_dict().items()}, weights)
        save_artifact(
            out,
            challenge="vinted",
            files={"model.onnx": int8, "model.safetensors": weights},
            config={
                "recipe": recipe,
                "thresholds": dict(zip(TAGS, calibration.thresholds, strict=True)),
                "temperatures": {"category": calibration.category_temperature}
                | dict(zip(TAGS, calibration.tag_temperatures, strict=True)),
                "prior": prior,
            },
            labels={"category": CATEGORIES, "tags": TAGS, "color": COLORS},
            input={"name": "pixels", "dtype": "uint8", "layout": "NHWC, RGB", "height": height, "width": width},
            packages={name: version(name) for name in ("torch", "timm", "onnx", "onnxruntime", "numpy")},
            metrics=metrics,
            data_fingerprint=data_fingerprint,
        )


def load_net(directory: Path) -> GarmentNet:
    """Load the float32 network of an artifact, to train on or to look into."""
    artifact = load_artifact(directory, "vinted")
    net = GarmentNet(backbone=artifact.manifest.config["recipe"]["backbone"], pretrained=False)
    net.load_state_dict(load_file(artifact.path("model.safetensors")))
    return net.eval()
