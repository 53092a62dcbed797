"""PyTorch -> ONNX -> int8."""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx
    import torch


def export_onnx(
    module: "torch.nn.Module", example: "torch.Tensor", input_name: str, output_names: Sequence[str]
) -> bytes:
    """Export `module` in evaluation mode; the first axis of input and outputs is the batch, of any size.

    Args:
        module: takes one tensor like `example` and returns one tensor for each of `output_names`.
        example: an input with a batch of at least 2.
        input_name: name of the input in the graph.
        output_names: names of the outputs, in order.
    """
    import torch

    # The exporter reports every pass at INFO level and its own deprecations; neither is the user's business.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module.eval(),
            (example,),
            str(path),
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        return path.read_bytes()


def free_axes(model: bytes, axes: Mapping[int, str]) -> bytes:
    """Let axes of the input be of any length, by name, in a graph that was exported with one.

    Right where nothing in the graph depends on the length: convolutions and means over space do not, if the padding is
    the same. That of TensorFlow, of which some pretrained networks are, is so where every stride divides the length.
    """
    import onnx

    loaded = onnx.load_model_from_string(model)
    for axis, name in axes.items():
        loaded.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    del loaded.graph.value_info[:]  # the shapes between input and output, as they were
    return bytes(loaded.SerializeToString())


def quantize_int8(model: bytes, batches: Iterable[NDArray[Any]], input_name: str) -> bytes:
    """Quantise weights (per channel) and activations to 8 bits, with ranges calibrated on real inputs.

    Static quantisation in the QDQ format: Jacob et al., 'Quantization and training of neural networks for
    efficient integer-arithmetic-only inference' (2018). Linear layers and convolutions are quantised; what
    comes after the last one (softmax, sigmoid) stays in float32. Where a network begins by scaling uint8 pixels, its
    first layer takes the pixels as they are: they are 8-bit numbers already (see `_find_scaling`).

    Args:
        model: a float32 ONNX model.
        batches: a few hundred typical inputs in batches, as the model takes them.
        input_name: the model's input.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches: Iterator[NDArray[Any]] = iter(batches)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {input_name: np.ascontiguousarray(batch)}

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "float.onnx").write_bytes(model)
        quant_pre_process(folder / "float.onnx", folder / "prepared.onnx", skip_symbolic_shape=True)
        scaling = _find_scaling(onnx.load(folder / "prepared.onnx").graph, input_name)
        quantize_static(
            folder / "prepared.onnx",
            folder / "int8.onnx",
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "Clip", "GlobalAveragePool"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={} if scaling is None else {"TensorQuantOverrides": scaling.as_quantisation()},
        )
        if scaling is None:
            return (folder / "int8.onnx").read_bytes()
        quantised = onnx.load(folder / "int8.onnx")
        _skip_scaling(quantised.graph, scaling)
        return bytes(quantised.SerializeToString())


class _Scaling(NamedTuple):
    """The nodes that turn `pixels` (uint8) into `scaled` = (pixels - mean) / std (float32)."""

    pixels: str
    scaled: str
    mean: float
    std: float

    def as_quantisation(self) -> dict[str, Any]:
        """The scale and zero point with which `scaled`, in 8 bits, is `pixels`, or half a level off."""
        from onnxruntime.quantization import QuantType

        scale, zero_point = np.array(1 / self.std, np.float32), np.array(round(self.mean), np.uint8)
        return {self.scaled: [{"quant_type": QuantType.QUInt8, "scale": scale, "zero_point": zero_point}]}


def _find_scaling(graph: "onnx.GraphProto", input_name: str) -> _Scaling | None:
    """Follow the input through Transpose, Cast, Sub and Div to a convolution.

    None where it is not scaled so, or not alike in all channels.
    """
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    pixels, here, mean, std = "", input_name, 0.0, 0.0
    while not std:
        users = [node for node in graph.node if here in node.input and node.op_type != "Shape"]
        if len(users) != 1 or users[0].op_type not in ("Transpose", "Cast", "Sub", "Div"):
            return None
        (node,) = users
        if node.op_type == "Cast":
            pixels = here
        elif node.op_type in ("Sub", "Div"):
            constant = constants.get(node.input[1])
            if not pixels or node.input[0] != here or constant is None or np.ptp(constant) > 0:
                return None
            mean, std = (float(constant.flat[0]), 0.0) if node.op_type == "Sub" else (mean, float(constant.flat[0]))
        here = node.output[0]
    takers = [node.op_type for node in graph.node if here in node.input]
    return _Scaling(pixels, here, mean, std) if set(takers) == {"Conv"} and 0 <= mean <= 255 and std > 0 else None


def _skip_scaling(graph: "onnx.GraphProto", scaling: _Scaling) -> None:
    """Give `pixels` to whatever takes the quantised `scaled`, and drop the nodes between, in place."""
    makers = {output: node for node in graph.node for output in node.output}
    (quantise,) = (n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == scaling.scaled)
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == quantise.output[0]:
                node.input[i] = scaling.pixels
    graph.node.remove(quantise)
    here = scaling.scaled
    while here != scaling.pixels:
        node = makers[here]
        here = node.input[0]
        graph.node.remove(node)
