"""ONNX Runtime sessions, set up for throughput and without surprises."""

from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError, first_line

if TYPE_CHECKING:
    import onnxruntime


def create_session(model: Path | bytes, n_threads: int = 1) -> "onnxruntime.InferenceSession":
    """Return a session on the CPU; its `run` may be called from many threads at once.

    Args:
        model: an ONNX file or its bytes.
        n_threads: threads inside one `run`. 1 is best for batches spread over several callers
            (`common.inference.batch`); more shortens the answer to a single call.

    Raises:
        UserError: the model cannot be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only: warnings are about the exporter's graph, not the user's data
    # Dead channels give denormal numbers, on which a CPU is several times slower; as zeros they mean the same.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # Idle threads sleep instead of spinning, so they take nothing from those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base class but Exception
        what = "the model" if isinstance(model, bytes) else str(model)
        raise UserError(f"{what} cannot be loaded by ONNX Runtime: {first_line(error)}") from error
