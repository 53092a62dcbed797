"""A trained network -> ONNX, in float32 and in 8 bits -> the artifact that prediction uses."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from challenges.radix_smurfs.model import STRIDE, SmurfNet, fuse_norms
from challenges.radix_smurfs.segmenter import Segmenter, letterbox
from common.artifacts import save_artifact
from common.inference.export import quantize_int8
from common.inference.session import create_session

OUTPUTS: Final = ("distances", "scores", "coefficients", "prototypes")
IMAGE_SIZE: Final = 512  # a 16:9 frame is then 512 x 288, without a margin
SCORE_THRESHOLD: Final = 0.25
IOU_THRESHOLD: Final = 0.65


class RawNet(nn.Module):
    """What is exported: the network up to its last convolution.

    Which anchor lies where, and what a distribution of distances amounts to, is left to NumPy: it is asked of a few
    anchors only, and a graph without coordinates takes inputs of any size.
    """

    def __init__(self, net: SmurfNet) -> None:
        super().__init__()
        self.layers: Any = net.yolo.model
        self.keep = set(net.yolo.save)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, H, W, 3) uint8 -> (B, A, 64) logits of distances, (B, A) scores, (B, A, 32), (B, 32, H/4, W/4)."""
        out: Any = pixels.permute(0, 3, 1, 2).float() / 255
        outputs: list[Any] = []
        for layer in self.layers[:-1]:  # as ultralytics' BaseModel does
            if layer.f != -1:
                out = (
                    outputs[layer.f] if isinstance(layer.f, int) else [out if j == -1 else outputs[j] for j in layer.f]
                )
            out = layer(out)
            outputs.append(out if layer.i in self.keep else None)
        head: Any = self.layers[-1]
        levels = [outputs[j] for j in head.f]
        found = head.forward_head(levels, head.cv2, head.cv3, head.cv4)
        return (
            found["boxes"].transpose(1, 2),
            found["scores"][:, 0].sigmoid(),
            found["mask_coefficient"].transpose(1, 2),
            head.proto(levels[0]),
        )


def fuse(net: SmurfNet) -> SmurfNet:
    """A copy for prediction: every batch normalisation is part of the convolution before it."""
    net = deepcopy(net).cpu().eval()
    net.yolo.fuse(verbose=False)  # ultralytics' own layers
    fuse_norms(net)
    return net


def to_onnx(net: SmurfNet) -> bytes:
    """Export in float32; batch, height and width are free, the sides multiples of STRIDE."""
    net = fuse(net)
    example = torch.zeros(2, 5 * STRIDE, 7 * STRIDE, 3, dtype=torch.uint8)
    graph: Any = io.BytesIO()  # the older exporter writes into any file
    with warnings.catch_warnings():
        # Traced in a second, which the newer exporter takes forty for; it warns of being the older one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            RawNet(net).eval(),
            (example,),
            graph,
            input_names=["pixels"],
            output_names=list(OUTPUTS),
            dynamic_axes={"pixels": {0: "batch", 1: "height", 2: "width"}},
            opset_version=17,
            dynamo=False,
        )
    return bytes(graph.getvalue())


def exported(net: SmurfNet, typical: Sequence[NDArray[np.uint8]]) -> tuple[bytes, bytes]:
    """A network as ONNX in float32 and in 8 bits, whose ranges come from `typical` pictures (H, W, 3)."""
    float32 = to_onnx(net)
    return float32, to_int8(float32, typical, IMAGE_SIZE)


def to_int8(model: bytes, images: Iterable[NDArray[np.uint8]], size: int) -> bytes:
    """Quantise to 8 bits, with ranges taken from these pictures as the network will see them."""
    return quantize_int8(model, (letterbox(image, size)[0][None] for image in images), "pixels")


def write_artifact(
    out: Path,
    model: bytes,
    *,
    recipe: Mapping[str, Any],
    metrics: Mapping[str, Any],
    data_fingerprint: str,
    trained_on: Sequence[str],
) -> None:
    """Write the segmenter into the folder `out`; `trained_on` are the `evaluate.image_keys` of its images."""
    save_artifact(
        out,
        challenge="radix_smurfs",
        files={"model.onnx": model},
        config={
            "recipe": dict(recipe), "score_threshold": SCORE_THRESHOLD, "iou_threshold": IOU_THRESHOLD,
            "trained_on": sorted(trained_on),
        },
        labels={"segment": ["smurf"]},
        input={
            "layout": "NHWC, uint8, RGB", "multiple": STRIDE, "image_size": IMAGE_SIZE,
        },
        data_fingerprint=data_fingerprint,
        metrics=metrics,
        packages={p: version(p) for p in ("torch", "timm", "ultralytics", "onnx", "onnxruntime")},
    )  # fmt: skip


def segmenter_of(model: bytes | Path, *, image_size: int = IMAGE_SIZE) -> Segmenter:
    """An exported network as prediction uses it, without an artifact."""
    return Segmenter(create_session(model), image_size, SCORE_THRESHOLD, IOU_THRESHOLD)


def weights_of(model: bytes | Path) -> dict[str, Tensor]:
    """The weights of an exported network by their names in `fuse`d PyTorch, those of 8 bits as the floats they mean.

    With them the shipped network runs in PyTorch, too: benchmarks/radix_smurfs.py compares the two.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(model).graph if isinstance(model, bytes) else onnx.load(str(model)).graph
    stored = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    values = {name: (name, array) for name, array in stored.items()}  # by tensor: whose it is, and what
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored:
            codes, scale, zero = (stored[name] for name in node.input)
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            shape = [-1 if k == axis and scale.ndim else 1 for k in range(codes.ndim)]
            means = (codes.astype(np.float32) - zero.astype(np.float32).reshape(shape)) * scale.reshape(shape)
            values[node.output[0]] = node.input[0].removesuffix("_quantized"), means
    weights: dict[str, Tensor] = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        name, array = values[node.input[1]]
        module = name.removeprefix("layers.").removesuffix(".weight")
        weights[f"yolo.model.{module}.weight"] = torch.from_numpy(np.array(array))
        if len(node.input) > 2:  # equal biases are stored once, under the name of the first
            weights[f"yolo.model.{module}.bias"] = torch.from_numpy(np.array(values[node.input[2]][1]))
    return weights
