"""The exported network says what the network says, of photos of every size it is made for."""

import numpy as np
import pytest
import torch

from challenges.vinted.calibration import UNCALIBRATED
from challenges.vinted.export import predict_int8, to_onnx
from challenges.vinted.model import GarmentNet
from challenges.vinted.sample import render_garments
from challenges.vinted.train import Recipe, predict_logits
from common.data.images import letterbox_image
from common.inference.session import create_session


@pytest.fixture(scope="module")
def net() -> GarmentNet:
    torch.manual_seed(0)
    return GarmentNet().eval()


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    """Two of each size of the recipe."""
    sizes = [size for size in Recipe().input_sizes for _ in range(2)]
    drawn = (image for image, *_ in render_garments(len(sizes), (903,)))
    return [letterbox_image(image, size) for image, size in zip(drawn, sizes, strict=True)]


def test_float32_and_int8_are_the_network_at_every_size(net: GarmentNet, photos: list[np.ndarray]):
    float32, int8 = to_onnx(net, UNCALIBRATED, photos, seed=0)
    expected = predict_logits(net, photos)
    session = create_session(float32)
    for row, photo in enumerate(photos):
        category, tags = session.run(["category", "tags"], {"pixels": photo[None]})
        assert np.allclose(category[0], expected.category[row].softmax(0), atol=1e-4)
        assert np.allclose(tags[0], expected.tags[row].sigmoid(), atol=1e-4)
    found = predict_int8(int8, photos)
    assert (found.tags.sigmoid() - expected.tags.sigmoid()).abs().mean() < 0.05
    assert (found.category.softmax(1) - expected.category.softmax(1)).abs().mean() < 0.05


def test_photos_of_other_sides_are_refused(net: GarmentNet):
    with pytest.raises(ValueError, match="multiple of 32"):
        to_onnx(net, UNCALIBRATED, [np.zeros((250, 192, 3), np.uint8)], seed=0)
