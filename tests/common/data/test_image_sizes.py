"""Pictures made smaller or larger: stretched, letterboxed, and which of some sizes suits a shape."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from common.data.images import decode_image, encode_jpeg, letterbox_image, nearest_size, resize_image


def photo(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Something smooth with structure, as a photo is."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(int) - b).max())


def test_resize_and_encode() -> None:
    image = photo()
    assert resize_image(image, (48, 64)) is image
    for size in ((24, 32), (100, 90), (10, 100), (1, 1)):
        assert resize_image(image, size).shape == (*size, 3)
    bilinear = cv2.resize(image, (50, 40), interpolation=cv2.INTER_LINEAR)
    assert difference(resize_image(image, (40, 50)), np.asarray(bilinear, np.uint8)) == 0  # by less than 1.5
    box = np.asarray(Image.fromarray(photo()).resize((32, 24), Image.Resampling.BOX))
    assert difference(resize_image(image, (24, 32)), box) <= 1
    assert np.abs(decode_image(encode_jpeg(image, 95)).astype(int) - image).mean() < 3
    assert len(encode_jpeg(image, 20)) < len(encode_jpeg(image, 95))


def test_resize_keeps_the_axis_of_one_channel() -> None:
    grey = photo()[:, :, :1]
    for size in ((48, 64), (24, 32), (60, 70)):
        assert resize_image(grey, size).shape == (*size, 1)
        assert difference(resize_image(grey, size)[:, :, 0], resize_image(grey[:, :, 0], size)) == 0


@given(st.tuples(*[st.integers(1, 90)] * 2), st.tuples(*[st.integers(1, 40)] * 2))
def test_a_letterbox_keeps_proportions(shape: tuple[int, int], size: tuple[int, int]) -> None:
    fitted = letterbox_image(np.full((*shape, 3), 250, np.uint8), size)
    assert fitted.shape == (*size, 3)
    rows, columns = (np.flatnonzero((fitted == 250).all(2).any(axis)) for axis in (1, 0))
    found = (len(rows), len(columns))
    scale = min(side / whole for side, whole in zip(size, shape, strict=True))
    for side, whole, here in zip(found, shape, size, strict=True):
        assert abs(side - max(1, whole * scale)) <= 0.5  # as large as fits, no side stretched
        assert side <= here
    for place, side, here in ((rows, found[0], size[0]), (columns, found[1], size[1])):
        assert abs(place[0] - (here - 1 - place[-1])) <= 1  # in the middle
        assert len(place) == side
    assert (fitted == 127).all(2).sum() == size[0] * size[1] - found[0] * found[1]


def test_a_letterbox_is_that_of_pillow() -> None:
    for shape in ((64, 48), (533, 400), (500, 100), (120, 480)):
        image = photo(*shape)
        theirs = ImageOps.pad(Image.fromarray(image), (24, 32), Image.Resampling.BOX, color=(127, 127, 127))
        assert difference(letterbox_image(image, (32, 24)), np.asarray(theirs)) <= 4
    assert letterbox_image(image, (120, 480)) is image


SIZES = ((32, 24), (36, 20), (28, 28), (24, 32), (20, 36))


def test_the_nearest_size_is_that_of_nearest_proportions() -> None:
    for shape, size in (((533, 400), (32, 24)), ((400, 533), (24, 32)), ((533, 300), (36, 20)), ((9, 9), (28, 28))):
        assert nearest_size(shape, SIZES) == size
    assert nearest_size((9000, 10), SIZES) == (36, 20)
    assert nearest_size((0, 0), SIZES) == (28, 28)  # of what has no size any will do


@given(st.tuples(*[st.integers(1, 9000)] * 2))
def test_a_picture_on_its_side_has_the_nearest_size_on_its_side(shape: tuple[int, int]) -> None:
    height, width = nearest_size(shape, SIZES)
    upright = [abs(np.log(h / w) - np.log(shape[0] / shape[1])) for h, w in SIZES]
    if sorted(upright)[0] < sorted(upright)[1] - 1e-9:  # not half-way between two
        assert nearest_size(shape[::-1], SIZES) == (width, height)
