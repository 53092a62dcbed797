"""A trained network -> the artifact that prediction uses, and back."""

from collections.abc import Sequence
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from challenges.vinted.calibration import Calibration
from challenges.vinted.dataset import CATEGORIES, COLORS, TAGS
from challenges.vinted.model import CalibratedNet, GarmentNet, Logits
from common.artifacts import load_artifact, save_artifact
from common.inference.batch import stack_alike
from common.inference.export import export_onnx, free_axes, quantize_int8
from common.inference.folding import fold_columns
from common.inference.session import create_session

_TINY = 1e-7  # float32 cannot tell probabilities that are nearer to 0 or 1
N_QUANTISATION_PHOTOS = 320  # from which the ranges of the int8 activations are taken


def to_onnx(
    net: GarmentNet, calibration: Calibration, images: Sequence[NDArray[np.uint8]], seed: int
) -> tuple[bytes, bytes]:
    """Return the calibrated network as ONNX in float32 and in int8, for photos whose sides are multiples of 32.

    Args:
        net: trained; stays as it is.
        calibration: becomes part of the exported network.
        images: typical photos (H, W, 3) in the sizes they are predicted in; some of them set the ranges of the int8
            activations.
        seed: of the choice of these photos.

    Raises:
        ValueError: a photo has another side.
    """
    if any(side % 32 for image in images for side in image.shape[:2]):
        raise ValueError("a photo with a side that is no multiple of 32, to which the exported padding is not right")
    calibrated = CalibratedNet(
        deepcopy(net).cpu(), calibration.category_temperature, calibration.tag_temperatures
    ).eval()
    pixels = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)  # any size that the strides divide
    exported = export_onnx(calibrated, pixels, "pixels", ["category", "tags", "color"])
    float32 = free_axes(exported, {1: "height", 2: "width"})
    rows = np.random.default_rng(seed).permutation(len(images))[:N_QUANTISATION_PHOTOS]
    batches = (batch for _, batch in stack_alike([images[row] for row in rows], 16))
    return float32, fold_columns(quantize_int8(float32, batches, "pixels"))


def predict_int8(model: bytes, images: Sequence[NDArray[np.uint8]]) -> Logits:
    """Logits of N photos, each in a size it is predicted in, by a network that `to_onnx` wrote uncalibrated."""
    session = create_session(model)
    found = Logits(*(torch.empty(len(images), n) for n in (len(CATEGORIES), len(TAGS), len(COLORS))))
    for rows, pixels in stack_alike(images, 64):
        category, tags, color = map(torch.from_numpy, session.run(["category", "tags", "color"], {"pixels": pixels}))
        found.category[rows], found.color[rows] = category.clamp(_TINY).log(), color.clamp(_TINY).log()
        found.tags[rows] = tags.logit(_TINY)
    return found


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
    trained_on: Sequence[str],
) -> None:
    """Write int8 ONNX for prediction and safetensors for further training into the folder `out`."""
    weights = save({k: v.contiguous().cpu() for k, v in net.state_dict().items()})
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
            "trained_on": trained_on,
        },
        labels={"category": CATEGORIES, "tags": TAGS, "color": COLORS},
        input={"name": "pixels", "dtype": "uint8", "layout": "NHWC, RGB", "sizes": recipe["input_sizes"]},
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
