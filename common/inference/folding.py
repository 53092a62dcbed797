"""The same int8 network with a faster first layer."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx


def fold_columns(model: bytes, n_columns: int = 4) -> bytes:
    """Let the first convolution take `n_columns` neighbouring pixels as one, of so many times the channels.

    Three channels fill little of a vector register, so the first layer of a small network is its slowest. In memory
    pixels (B, H, W, 3) are also pixels (B, H, W / 4, 12). A convolution over those adds up the same products, if it has
    zeros among its weights and computes as one the columns of the output that four pixels lead to: every answer stays
    as it was, to the last bit. It is the space-to-depth stem of ResNets on TPUs (Ying et al., 'Image classification at
    supercomputer scale', 2018), of columns alone, for which nothing has to be moved.

    Args:
        model: from `quantize_int8`, of uint8 pixels (B, H, W, C). If its first convolution does not take them as they
            are, or its stride does not divide `n_columns`, it is returned as it is.
        n_columns: must divide the width of every input from now on.
    """
    import onnx
    from onnx import helper, numpy_helper

    loaded = onnx.load_model_from_string(model)
    graph = loaded.graph
    start = _follow(graph, graph.input[0].name, ("Transpose", "DequantizeLinear", "Conv", "QuantizeLinear"))
    if start is None:
        return model
    transpose, _, convolution, quantize = start
    makers = {name: node for node in graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    values = {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()}
    weight, *bias = (list(makers[name].input) for name in convolution.input[1:])  # each: integers, scale, zero point
    form: dict[str, Any] = {"group": 1, "dilations": (1, 1), "strides": (1, 1), "pads": (0, 0, 0, 0)}  # by default
    form |= {a.name: helper.get_attribute_value(a) for a in convolution.attribute}
    (stride_y, stride), (top, left, bottom, right) = form["strides"], form["pads"]
    n_out, _, _, kernel = values[weight[0]].shape
    whole = 0 <= left + right + stride - kernel < stride  # the output is as wide as the pixels, but for the stride
    if n_columns % stride or not whole or form["group"] > 1 or max(form["dilations"]) > 1:
        return model

    folded, n_before = _fold_weight(values[weight[0]], stride, left, n_columns)
    tiled = {name: np.tile(values[name], n_columns // stride) for name in (*weight[1:], *chain(*bias))}
    for name, array in {weight[0]: folded, **tiled}.items():
        tensors[name].CopyFrom(numpy_helper.from_array(array, name))
    _, n_channels, height, width = folded.shape
    pads = (top, n_before, bottom, width - 1 - n_before)
    form |= {"kernel_shape": (height, width), "strides": (stride_y, 1), "pads": pads}
    convolution.CopyFrom(helper.make_node("Conv", convolution.input, convolution.output, convolution.name, **form))

    pixels, output = transpose.input[0], quantize.output[0]
    transpose.input[0], quantize.output[0] = "folded_pixels", "folded_output"
    for name, channels in (("folded_shape", n_channels), ("unfolded_shape", n_out)):
        graph.initializer.append(numpy_helper.from_array(np.array([0, 0, -1, channels]), name))  # 0: as it is
    fold = [helper.make_node("Reshape", [pixels, "folded_shape"], ["folded_pixels"])]
    unfold = [
        helper.make_node("Transpose", ["folded_output"], ["folded_rows"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["folded_rows", "unfolded_shape"], ["unfolded_rows"]),
        helper.make_node("Transpose", ["unfolded_rows"], [output], perm=[0, 3, 1, 2]),
    ]
    nodes = list(graph.node)
    before, after = nodes.index(transpose), nodes.index(quantize) + 1
    del graph.node[:], graph.value_info[:]  # the shapes between input and output, as they were
    graph.node.extend([*nodes[:before], *fold, *nodes[before:after], *unfold, *nodes[after:]])
    onnx.checker.check_model(loaded)
    return bytes(loaded.SerializeToString())


def _follow(graph: "onnx.GraphProto", name: str, kinds: Sequence[str]) -> list["onnx.NodeProto"] | None:
    """The node that takes `name`, the one that takes what it makes, and so on; None if they are of other kinds."""
    found = []
    for kind in kinds:
        users = [node for node in graph.node if name in node.input and node.op_type != "Shape"]
        if [node.op_type for node in users] != [kind] or any(name == output.name for output in graph.output):
            return None
        found += users
        name = users[0].output[0]
    return found


def _fold_weight(weight: NDArray[np.int8], stride: int, left: int, n_columns: int) -> tuple[NDArray[np.int8], int]:
    """(C_out, C_in, kernel_h, kernel_w) -> the same for folded columns, 0 where a column is out of its reach.

    Its channels are (column, C_out) and (column, C_in). Also how many folded columns it reaches to the left.
    """
    c_out, c_in, height, width = weight.shape
    n_outputs = n_columns // stride
    first, last = -left // n_columns, (stride * (n_outputs - 1) + width - 1 - left) // n_columns
    folded = np.zeros((n_outputs, c_out, n_columns, c_in, height, last - first + 1), weight.dtype)
    for output in range(n_outputs):
        for tap in range(width):
            at, column = divmod(stride * output + tap - left, n_columns)
            folded[output, :, column, :, :, at - first] = weight[..., tap]
    return folded.reshape(n_outputs * c_out, n_columns * c_in, height, last - first + 1), -first
