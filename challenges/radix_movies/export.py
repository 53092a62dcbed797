"""Fitted models -> the artifact that prediction uses. Needs torch and onnx; prediction needs neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.features import N_POSTER, N_POSTER_MIDDLE, N_TEXT, POSTER_SIZE
from challenges.radix_movies.layout import GENRES
from challenges.radix_movies.model import MODALITIES, POSTER_VIEWS, TEXT_VIEWS, GenreModel
from common.artifacts import save_artifact
from common.data.tables import json_text
from common.inference.export import export_onnx, quantize_int8

if TYPE_CHECKING:
    import onnx
    import torch

CHALLENGE = "radix_movies"
POSTER_FILE, HEAD_FILE, LEXICON_FILE = "poster.onnx", "head.onnx", "lexicon.json"
N_CALIBRATION = 160
"""Posters from which the ranges of the int8 activations are taken."""
_OPSET, _IR_VERSION = 20, 10  # what ONNX Runtime 1.18 and later read


def poster_network() -> torch.nn.Module:
    """EfficientNet-Lite0 with ImageNet weights: (B, 288, 192, 3) uint8 RGB -> (B, 1392) means over the picture."""
    import torch
    from torch import Tensor, nn

    from common.models.backbones import load_backbone

    class PosterNet(nn.Module):
        mean: Tensor
        std: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.trunk: Any = load_backbone()
            scale: Any = self.trunk.pretrained_cfg
            self.register_buffer("mean", 255 * torch.tensor(scale["mean"]).view(1, 3, 1, 1))
            self.register_buffer("std", 255 * torch.tensor(scale["std"]).view(1, 3, 1, 1))

        def forward(self, pixels: Tensor) -> Tensor:
            x = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std  # (B, 3, 288, 192)
            x = self.trunk.bn1(self.trunk.conv_stem(x))
            for stage in self.trunk.blocks[:5]:
                x = stage(x)
            middle = x.mean((2, 3))  # (B, 112), of maps of 18 x 12
            for stage in self.trunk.blocks[5:]:
                x = stage(x)
            top = self.trunk.bn2(self.trunk.conv_head(x)).mean((2, 3))  # (B, 1280), of maps of 9 x 6
            return torch.cat([middle, top], 1)

    return PosterNet().eval()


def export_poster_network(posters: Sequence[NDArray[np.uint8]]) -> bytes:
    """The network in int8.

    Args:
        posters: typical ones, (288, 192, 3), from which the ranges of activations are taken.
    """
    import torch

    float32 = export_onnx(poster_network(), torch.zeros(2, *POSTER_SIZE, 3, dtype=torch.uint8), "pixels", ["features"])
    chosen = posters[:N_CALIBRATION]
    batches = (np.stack(chosen[i : i + 8]) for i in range(0, len(chosen), 8))
    return quantize_int8(float32, batches, "pixels")


class HeadGraph:
    """The kernel machines and stacks as an ONNX graph: features in, probabilities for each set of modalities out.

    The training films' points, and the weight of each term, have 8 bits: a kernel machine is two matrix products with
    an exponential between.
    """

    def __init__(self, model: GenreModel) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        recipe = model.recipe
        self._scalar("radius2", 2 * recipe.radius)
        layers = zip(recipe.layers, TEXT_VIEWS, strict=True)
        text = self._node("Sum", [self._scaled(self._radial(v), w) for w, v in layers], "text_kernel")
        poster = self._node("Mean", [self._radial(view) for view in POSTER_VIEWS], "poster_kernel")
        joint = self._node("Sum", [text, self._scaled(poster, recipe.poster)], "joint_kernel")
        lexical = self._lexical()
        scores = {
            "text": self._score("text", text, lexical["text"]),
            "poster": self._score("poster", poster, None),
            "joint": self._score("joint", joint, lexical["joint"]),
        }
        for i, (name, asked) in enumerate(MODALITIES.items()):
            stack = model.stacks[name]
            joined = self._node("Concat", [scores[machine] for machine in asked], f"joined{i}", axis=1)
            weight, bias = self._constant(f"stack{i}", stack.weight), self._constant(f"bias{i}", stack.bias)
            self._node("Sigmoid", [self._node("Gemm", [joined, weight, bias], f"logits{i}")], name)

    def serialized(self) -> bytes:
        """The ONNX file."""
        from onnx import TensorProto, helper

        def value(name: str, shape: Sequence[str | int], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, kind, shape)

        inputs = [
            *(value(view, ["films", N_TEXT]) for view in TEXT_VIEWS),
            value("vector", ["films", N_POSTER]),
            value("columns", ["films", "terms"], TensorProto.INT64),
            value("weights", ["films", "terms"]),
        ]
        outputs = [value(name, ["films", len(GENRES)]) for name in MODALITIES]
        graph = helper.make_graph(self.nodes, "genres", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        return bytes(model.SerializeToString())

    def _radial(self, view: str) -> str:
        """(N, M) radial kernel with the training films' points in a view; 0 beside what is missing."""
        fitted, points = self.model.space.views[view], self.model.films.points[view]  # (M, D)
        source = view
        if view.startswith("poster"):
            start, stop = (0, N_POSTER_MIDDLE) if view == "poster_middle" else (N_POSTER_MIDDLE, N_POSTER)
            limits = [
                self._constant(f"{view}.{k}", np.array([v])) for k, v in (("from", start), ("to", stop), ("axis", 1))
            ]
            source = self._node("Slice", ["vector", *limits], f"{view}.vectors")
        centred = self._node("Sub", [source, self._constant(f"{view}.mean", fitted.mean)], f"{view}.centred")
        standard = self._node("Div", [centred, self._constant(f"{view}.scale", fitted.scale)], f"{view}.standard")
        placed = self._node("LpNormalization", [standard], f"{view}.placed", axis=1, p=2)  # (N, D)
        products = self._node("MatMul", [placed, self._eight_bits(f"{view}.points", points.T)], f"{view}.products")
        less = self._node("Sub", [products, self._scalar(f"{view}.one", 1.0)], f"{view}.less")
        kernel = self._node("Exp", [self._node("Mul", [less, "radius2"], f"{view}.exponent")], f"{view}.exp")
        there = self._constant(f"{view}.there", np.asarray(points.any(axis=1, keepdims=True), np.float32).T)  # (1, M)
        size = self._node("ReduceMax", [self._node("Abs", [source], f"{view}.abs"), self._axis()], f"{view}.size")
        here = self._node("Sign", [size], f"{view}.here")  # (N, 1)
        return self._node("Mul", [self._node("Mul", [kernel, there], f"{view}.known"), here], f"{view}.kernel")

    def _lexical(self) -> dict[str, str]:
        """(N, G) what the terms say to each machine that reads: kernels of cosines are linear, so weights suffice."""
        terms, recipe = self.model.films.terms, self.model.recipe
        tables = [recipe.grams * (terms.T @ self.model.machines[name].dual) for name in ("text", "joint")]  # (V, G)
        table = np.vstack([np.hstack(tables), np.zeros((1, 2 * len(GENRES)))]).astype(np.float32)  # (V + 1, 2 G)
        rows = self._node("Gather", [self._eight_bits("terms", table), "columns"], "term_rows")  # (N, T, 2 G)
        axis = self._constant("last_axis", np.array([2]))
        weighted = self._node("Mul", [rows, self._node("Unsqueeze", ["weights", axis], "term_weights")], "weighted")
        summed = self._node("ReduceSum", [weighted, self._axis()], "lexical", keepdims=0)  # (N, 2 G)
        self.nodes.append(
            _helper().make_node("Split", [summed], ["lexical.text", "lexical.joint"], axis=1, num_outputs=2)
        )
        return {"text": "lexical.text", "joint": "lexical.joint"}

    def _score(self, name: str, kernel: str, lexical: str | None) -> str:
        machine = self.model.machines[name]
        dual, offset = self._constant(f"{name}.dual", machine.dual), self._constant(f"{name}.offset", machine.offset)
        score = self._node("Gemm", [kernel, dual, offset], f"{name}.dense")
        return self._node("Add", [score, lexical], f"{name}.score") if lexical else score

    def _eight_bits(self, name: str, values: NDArray[Any]) -> str:
        """A matrix as integers from -127 to 127 with a scale a column."""
        scale = np.maximum(np.abs(values).max(axis=0), 1e-9) / 127
        codes = self._constant(f"{name}.codes", np.rint(values / scale).astype(np.int8))
        scales = self._constant(f"{name}.scales", scale.astype(np.float32))
        return self._node("DequantizeLinear", [codes, scales], name, axis=1)

    def _scaled(self, x: str, factor: float) -> str:
        return self._node("Mul", [x, self._scalar(f"{x}.weight", factor)], f"{x}.scaled")

    def _axis(self) -> str:
        return self._constant(f"axis{len(self.constants)}", np.array([1]))

    def _scalar(self, name: str, value: float) -> str:
        return self._constant(name, np.array(value, np.float32))

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _node(self, operator: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        self.nodes.append(_helper().make_node(operator, inputs, [output], name=output, **attributes))
        return output


def _helper() -> Any:
    from onnx import helper

    return helper


def write_artifact(
    out: Path,
    model: GenreModel,
    poster_onnx: bytes,
    *,
    metrics: dict[str, Any],
    data_fingerprint: str,
    text_encoder: Mapping[str, str],
) -> None:
    """Write poster network, head and lexicon with their manifest into the folder `out`."""
    lexicon = model.space.lexicon
    words = {"terms": list(lexicon.terms), "idf": lexicon.idf.round(4)}
    save_artifact(
        out,
        challenge=CHALLENGE,
        files={
            POSTER_FILE: poster_onnx,
            HEAD_FILE: HeadGraph(model).serialized(),
            LEXICON_FILE: json_text(words).encode(),
        },
        config={
            "recipe": model.recipe._asdict(),
            "n_films": len(model.films.points["poster_top"]),
            "prior": model.machines["text"].offset,
            "text_encoder": dict(text_encoder),
        },
        labels={"genres": GENRES},
        input={"poster_height": POSTER_SIZE[0], "poster_width": POSTER_SIZE[1], "text": "title and synopsis, English"},
        data_fingerprint=data_fingerprint,
        metrics=metrics,
        packages={name: version(name) for name in ("numpy", "onnx", "onnxruntime", "scipy", "timm", "torch")},
    )
