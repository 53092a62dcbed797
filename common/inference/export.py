"""PyTorch -> ONNX -> int8."""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
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


def quantize_int8(model: bytes, batches: Iterable[NDArray[Any]], input_name: str) -> bytes:
    """Quantise weights (per channel) and activations to 8 bits, with ranges calibrated on real inputs.

    Static quantisation in the QDQ format: Jacob et al., 'Quantization and training of neural networks for
    efficient integer-arithmetic-only inference' (2018). Linear layers and convolutions are quantised; what
    comes after the last one (softmax, sigmoid) stays in float32.

    Args:
        model: a float32 ONNX model.
        batches: a few hundred typical inputs in batches, as the model takes them.
        input_name: the model's input.
    """
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

    logging.getLogger().setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "float.onnx").write_bytes(model)
        quant_pre_process(folder / "float.onnx", folder / "prepared.onnx", skip_symbolic_shape=True)
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
        )
        return (folder / "int8.onnx").read_bytes()
