"""BERT as an ONNX graph in int8, built node by node from its weights.

Tracing the network in PyTorch gives a graph of 200 small nodes, of which the optimiser of ONNX Runtime fuses some,
depending on the versions of both. The network is known, so the fused operators are written down here instead.

The graph takes one length a batch and so has no padding and no mask. A text alone in its batch gets a vector that
depends on nothing but the text: the 8-bit range of an activation is taken from the tensor at hand, and in a mixed
batch the neighbours would have a say in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Floats = NDArray[np.float32]

_OPSET: Final = 20
_IR_VERSION: Final = 10  # what ONNX Runtime 1.18 and later read
_CONTRIB: Final = "com.microsoft"  # operators of ONNX Runtime
_USUAL_SHARE: Final = 0.99  # of the channels of an activation; the rest are outliers


class BertGraph:
    """Builds the graph of a `transformers.BertModel` with pooling and unit length at its end.

    Linear layers have 8-bit weights, a scale an output channel, and their inputs are quantised on the run. A few
    channels of BERT's activations are ten times as large as the others, and a scale that reaches them is too coarse
    for the rest. They are divided by what they exceed the usual by, and the weights that meet them multiplied by it:
    SmoothQuant (Xiao et al. 2023), for the outliers only. Word embeddings have 8 bits and a scale a word.

    Args:
        weights: the state dict of the model, without a prefix.
        n_layers: of the transformer.
        n_heads: of its attention.
        epsilon: of its layer normalisation.
        max_tokens: positions to keep.
        pooling: a text's vector is the mean of its tokens' or that of the first.
        largest: largest absolute value of each input channel of a linear layer, by the layer's name, as
            `BertGraph.float_inputs` names them; None builds the graph in float32.
        adapter: mean (D,) and matrix (D, E) by which a text's vector of unit length is changed, (x - mean) matrix,
            before it is brought to unit length again.
    """

    def __init__(
        self,
        weights: Mapping[str, Floats],
        *,
        n_layers: int,
        n_heads: int,
        epsilon: float,
        max_tokens: int,
        pooling: Literal["mean", "cls"] = "mean",
        largest: Mapping[str, Floats] | None = None,
        adapter: tuple[Floats, Floats] | None = None,
    ) -> None:
        self.weights, self.largest, self.epsilon = weights, largest, epsilon
        self.dimensions: int = (weights["embeddings.LayerNorm.weight"] if adapter is None else adapter[1].T).shape[0]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.float_inputs: dict[str, str] = {}
        """Name of the tensor that each linear layer takes, by the layer's name, in a float32 graph."""
        x = self._embed(max_tokens)  # (B, L, D)
        for i in range(n_layers):
            x = self._layer(x, f"encoder.layer.{i}.", n_heads)
        if pooling == "mean":
            pooled = self._node("ReduceMean", [x, self._integers("token_axis", [1])], "pooled", keepdims=0)
        else:
            pooled = self._node("Gather", [x, self._constant("first", np.array(0))], "pooled", axis=1)
        if adapter is not None:
            mean, matrix = (self._constant(f"adapter.{i}", part.astype(np.float32)) for i, part in enumerate(adapter))
            plain = self._node("LpNormalization", [pooled], "plain", axis=-1, p=2)
            pooled = self._node("MatMul", [self._node("Sub", [plain, mean], "centred"), matrix], "adapted")
        self._node("LpNormalization", [pooled], "vector", axis=-1, p=2)  # (B, D), or (B, E)

    def model(self, extra_outputs: Sequence[str] = ()) -> bytes:
        """The ONNX file: `input_ids` (B, L) int64 -> `vector` (B, D) float32 of unit length."""
        from onnx import TensorProto, helper

        def value(name: str, shape: Sequence[str | int] | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, kind, shape)

        graph = helper.make_graph(
            self.nodes,
            "sentence_encoder",
            [value("input_ids", ["batch", "length"], TensorProto.INT64)],
            [value("vector", ["batch", self.dimensions]), *(value(name, None) for name in extra_outputs)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        return bytes(model.SerializeToString())

    def _embed(self, max_tokens: int) -> str:
        from onnx import TensorProto

        words = self.weights["embeddings.word_embeddings.weight"]  # (V, D)
        # Every text is one segment, so its type is a part of the position.
        positions = self.weights["embeddings.position_embeddings.weight"][:max_tokens]
        positions = positions + self.weights["embeddings.token_type_embeddings.weight"][0]  # (max_tokens, D)
        if self.largest is None:
            word = self._node("Gather", [self._constant("words", words), "input_ids"], "word")
        else:
            codes, scale = _quantise(words.T)
            code = self._node("Gather", [self._constant("words", codes.T), "input_ids"], "word_code")
            word = self._node("Cast", [code], "word_float", to=TensorProto.FLOAT)
            scales = self._node("Gather", [self._constant("word_scales", scale[:, None]), "input_ids"], "word_scale")
            word = self._node("Mul", [word, scales], "word")  # (B, L, D)
        length = self._node("Shape", ["input_ids"], "length", start=1, end=2)
        zero = self._integers("zero", [0])
        position = self._node("Slice", [self._constant("positions", positions), zero, length, zero], "position")
        return self._normalise(self._node("Add", [word, position], "embedded"), "embeddings.LayerNorm")

    def _layer(self, x: str, layer: str, n_heads: int) -> str:
        """Attention and feed-forward network, each with its residual: Vaswani et al. 2017. x is (B, L, D)."""
        attention = f"{layer}attention."
        query_key_value = [f"{attention}self.{part}" for part in ("query", "key", "value")]
        joined = self._linear(x, query_key_value)  # (B, L, 3 D)
        parts = [f"{name}.out" for name in query_key_value]
        self._node("Split", [joined], parts, axis=-1, num_outputs=3)
        heads = self._node(
            "MultiHeadAttention", parts, f"{attention}heads", domain=_CONTRIB, num_heads=n_heads
        )  # (B, L, D)
        x = self._residual(self._linear(heads, [f"{attention}output.dense"]), x, f"{attention}output.LayerNorm")
        wide = self._linear(x, [f"{layer}intermediate.dense"])  # (B, L, 4 D)
        wide = self._node("Gelu", [wide], f"{layer}gelu", domain=_CONTRIB)
        return self._residual(self._linear(wide, [f"{layer}output.dense"]), x, f"{layer}output.LayerNorm")

    def _linear(self, x: str, names: Sequence[str]) -> str:
        """The linear layers `names`, side by side in one product."""
        out = names[0]
        weight = np.concatenate([self.weights[f"{name}.weight"].T for name in names], axis=1)  # (D_in, D_out)
        bias = self._constant(f"{out}.bias", np.concatenate([self.weights[f"{name}.bias"] for name in names]))
        if self.largest is None:
            self.float_inputs[out] = x
            product = self._node("MatMul", [x, self._constant(f"{out}.weight", weight)], f"{out}.product")
            return self._node("Add", [product, bias], f"{out}.sum")
        largest = self.largest[out]  # (D_in,)
        usual = max(float(np.quantile(largest, _USUAL_SHARE)), 1e-6)
        excess = np.maximum(1, largest / usual).astype(np.float32)  # (D_in,)
        x = self._node("Mul", [x, self._constant(f"{out}.calm", 1 / excess)], f"{out}.calmed")
        codes, scale = _quantise(weight * excess[:, None])
        inputs = [x, self._constant(f"{out}.weight", codes), self._constant(f"{out}.scale", scale), "", bias]
        return self._node("DynamicQuantizeMatMul", inputs, f"{out}.sum", domain=_CONTRIB)

    def _residual(self, x: str, skipped: str, norm: str) -> str:
        # Not Add, which ONNX Runtime would fuse with the normalisation into an operator several times as slow.
        return self._normalise(self._node("Sum", [x, skipped], f"{norm}.input"), norm)

    def _normalise(self, x: str, norm: str) -> str:
        gain, bias = (self._constant(f"{norm}.{part}", self.weights[f"{norm}.{part}"]) for part in ("weight", "bias"))
        return self._node("LayerNormalization", [x, gain, bias], f"{norm}.out", axis=-1, epsilon=self.epsilon)

    def _node(
        self, operator: str, inputs: Sequence[str], output: str | list[str], domain: str = "", **attributes: Any
    ) -> str:
        from onnx import helper

        outputs = [output] if isinstance(output, str) else output
        node = helper.make_node(operator, inputs, outputs, name=outputs[0], domain=domain, **attributes)
        self.nodes.append(node)
        return outputs[0]

    def _constant(self, name: str, values: NDArray[np.generic]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def _integers(self, name: str, values: Sequence[int]) -> str:
        return self._constant(name, np.array(values, dtype=np.int64))


def _quantise(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """(D_in, D_out) weights as 8-bit integers from -127 to 127, and the scale of each column."""
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-8) / 127  # (D_out,)
    return np.rint(weight / scale).astype(np.int8), scale.astype(np.float32)
