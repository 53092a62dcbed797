"""ONNX says what PyTorch says, for any batch; int8 says nearly the same, smaller; broken models are refused."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import UserError
from common.inference.export import export_onnx, free_axes, quantize_int8
from common.inference.session import create_session

pytestmark = pytest.mark.slow


class TwoHeads(nn.Module):
    def __init__(self, mean: float | torch.Tensor = 0.0, std: float = 255.0, first: float = 1.0) -> None:
        super().__init__()
        self.mean, self.std, self.first = mean, std, first
        self.conv, self.norm = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.a, self.b = nn.Linear(16, 4), nn.Linear(16, 2)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = (
            self.norm(self.conv((pixels.permute(0, 3, 1, 2).float() / self.first - self.mean) / self.std))
            .clamp(0, 6)
            .mean((2, 3))
        )
        return self.a(x).softmax(1), self.b(x).sigmoid()


@pytest.fixture(scope="module")
def network() -> TwoHeads:
    torch.manual_seed(0)
    network = TwoHeads()
    network(torch.randint(0, 256, (8, 12, 10, 3), dtype=torch.uint8))  # batch statistics that are not trivial
    return network.eval()


@pytest.fixture(scope="module")
def exported(network: TwoHeads) -> bytes:
    return export_onnx(network, torch.zeros(2, 12, 10, 3, dtype=torch.uint8), "pixels", ["a", "b"])


def pixels(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 12, 10, 3), dtype=np.uint8)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_onnx_is_the_network_for_any_batch(network: TwoHeads, exported: bytes, n: int):
    found = create_session(exported).run(["a", "b"], {"pixels": pixels(n)})
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels(n)))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def test_freed_axes_take_any_length(network: TwoHeads, exported: bytes):
    freed = free_axes(exported, {1: "height", 2: "width"})
    quantised = quantize_int8(freed, (pixels(16) for _ in range(4)), "pixels")
    for height, width in ((12, 10), (20, 16), (8, 24)):
        images = np.random.default_rng(height).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
        with torch.inference_mode():
            expected = network(torch.from_numpy(images))
        for model, atol in ((freed, 1e-5), (quantised, 0.05)):
            for ours, theirs in zip(create_session(model).run(["a", "b"], {"pixels": images}), expected, strict=True):
                np.testing.assert_allclose(ours, theirs.numpy(), atol=atol)


def test_int8_is_close_and_computes_in_integers(exported: bytes):
    import onnx

    quantised = quantize_int8(exported, (pixels(16) for _ in range(4)), "pixels")
    ours = create_session(quantised).run(["a", "b"], {"pixels": pixels(5)})
    theirs = create_session(exported).run(["a", "b"], {"pixels": pixels(5)})
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=0.05)
    weights = {t.data_type for t in onnx.load_from_string(quantised).graph.initializer if len(t.dims) == 4}
    assert weights == {onnx.TensorProto.INT8}


@pytest.mark.parametrize(
    ("mean", "std", "first", "skipped"),
    [
        (0.0, 255.0, 1.0, True),
        (127.5, 127.5, 1.0, True),
        (torch.tensor([100.0, 120.0, 90.0]).view(1, 3, 1, 1), 60.0, 1.0, False),  # no zero point suits three channels
        (0.45, 0.22, 255.0, False),  # in two steps, as torchvision does
        (-20.0, 60.0, 1.0, False),  # what is 0 then is no pixel
    ],
)
def test_first_layer_takes_pixels_as_they_are(mean: float | torch.Tensor, std: float, first: float, skipped: bool):
    import onnx

    torch.manual_seed(0)
    network = TwoHeads(mean, std, first).eval()
    exported = export_onnx(network, torch.zeros(2, 12, 10, 3, dtype=torch.uint8), "pixels", ["a", "b"])
    quantised = quantize_int8(exported, (pixels(16) for _ in range(4)), "pixels")
    makers = {output: node for node in onnx.load_from_string(quantised).graph.node for output in node.output}
    path = []
    node = next(node for node in makers.values() if node.op_type == "Conv")
    while node is not None:
        path.append(node.op_type)
        node = makers.get(node.input[0])
    assert (path == ["Conv", "DequantizeLinear", "Transpose"]) is skipped
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels(7)))
    for ours, theirs in zip(create_session(quantised).run(["a", "b"], {"pixels": pixels(7)}), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=0.02)


def test_the_level_of_the_programs_log_is_left_as_it_is(exported: bytes, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    quantize_int8(exported, [pixels(2)], "pixels")
    assert logging.getLogger().level == logging.INFO
    caplog.set_level(logging.ERROR)
    quantize_int8(exported, [pixels(2)], "pixels")
    assert logging.getLogger().level == logging.ERROR


def test_broken_model_is_the_users_error(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(UserError, match=r"model\.onnx cannot be loaded"):
        create_session(path)
