"""A folded first layer gives the same numbers, and only what can be folded is."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from common.inference.folding import fold_columns
from common.inference.session import create_session


def quantised(
    weight: np.ndarray, stride: int, pads: tuple[int, int], zero_point: int = 127, *, bias: bool = True, groups: int = 1
) -> bytes:
    """What `quantize_int8` makes of a convolution of pixels with `weight` (C_out, C_in, kernel_h, kernel_w)."""
    n_out, n_in = weight.shape[0], weight.shape[1] * groups
    rng = np.random.default_rng(0)
    constants = {
        "pixel_scale": np.float32(1 / 128),
        "pixel_zero": np.uint8(zero_point),
        "weight": weight,
        "weight_scale": rng.uniform(0.001, 0.01, n_out).astype(np.float32),
        "weight_zero": np.zeros(n_out, np.int8),
        "bias": rng.integers(-1000, 1000, n_out).astype(np.int32),
        "bias_zero": np.zeros(n_out, np.int32),
        "output_scale": np.float32(0.02),
        "output_zero": np.uint8(100),
    }
    constants["bias_scale"] = constants["weight_scale"] / 128
    taken = ["x", "w", "b"] if bias else ["x", "w"]
    form = {"kernel_shape": weight.shape[2:], "strides": [stride, stride], "dilations": [1, 1], "group": groups}
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("DequantizeLinear", ["channels", "pixel_scale", "pixel_zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["w"], axis=0),
        helper.make_node("DequantizeLinear", ["bias", "bias_scale", "bias_zero"], ["b"], axis=0),
        helper.make_node("Conv", taken, ["y"], pads=[1, pads[0], 1, pads[1]], **form),
        helper.make_node("QuantizeLinear", ["y", "output_scale", "output_zero"], ["levels"]),
        helper.make_node("DequantizeLinear", ["levels", "output_scale", "output_zero"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "first_layer",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", "height", "width", n_in])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * 4)],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


def weights(n_out: int, n_in: int, kernel: int) -> np.ndarray:
    return np.random.default_rng(kernel).integers(-127, 128, (n_out, n_in, 3, kernel), dtype=np.int8)


def answer(model: bytes, width: int) -> np.ndarray:
    pixels = np.random.default_rng(width).integers(0, 256, (2, 9, width, 3), dtype=np.uint8)
    return create_session(model).run(["out"], {"pixels": pixels})[0]


@given(
    stride=st.sampled_from([1, 2, 4]),
    kernel=st.integers(1, 9),
    left=st.integers(0, 4),
    spare=st.integers(0, 3),
    n_columns=st.sampled_from([4, 8]),
    n_groups=st.integers(2, 5),
    zero_point=st.integers(0, 255),
    bias=st.booleans(),
)
def test_every_number_stays_the_same(stride, kernel, left, spare, n_columns, n_groups, zero_point, bias):
    right = max(0, kernel - stride - left + min(spare, stride - 1))
    model = quantised(weights(5, 3, kernel), stride, (left, right), zero_point, bias=bias)
    width = n_columns * n_groups
    np.testing.assert_array_equal(answer(fold_columns(model, n_columns), width), answer(model, width))


def test_pixels_are_taken_four_at_a_time():
    folded = onnx.load_model_from_string(fold_columns(quantised(weights(8, 3, 3), 2, (0, 1))))
    (weight,) = (tensor for tensor in folded.graph.initializer if tensor.name == "weight")
    assert list(weight.dims) == [16, 12, 3, 2]  # two columns of the output; four of the pixels; two steps to the right


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(quantised(weights(8, 3, 3), 3, (0, 0)), id="a stride that does not divide four"),
        pytest.param(quantised(weights(8, 3, 3), 2, (0, 0)), id="an output that loses a column at the edge"),
        pytest.param(quantised(weights(9, 1, 3), 2, (0, 1), groups=3), id="a convolution of each channel by itself"),
    ],
)
def test_what_cannot_be_folded_is_left_as_it_is(model: bytes):
    assert fold_columns(model) is model


def test_a_folded_network_is_left_as_it_is():
    folded = fold_columns(quantised(weights(8, 3, 3), 2, (0, 1)))
    assert fold_columns(folded) is folded
