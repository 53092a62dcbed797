"""Convolution and pooling against torch and SciPy; sizes off by one, groups, padding of negative images."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d, correlate2d
from torch.nn import functional as F

from challenges.ml_coding.convolution import Pooling, conv2d, conv2d_loops, im2col, pool2d, pool2d_loops


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_convolution_agrees_with_torch(data: st.DataObject) -> None:
    n, depth, n_out, groups = (data.draw(st.integers(1, 3)) for _ in range(4))
    height, width, stride, padding = (data.draw(st.integers(*b)) for b in ((1, 9), (1, 9), (1, 3), (0, 2)))
    size = (data.draw(st.integers(1, min(4, height + 2 * padding))), data.draw(st.integers(1, width + 2 * padding)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    images = rng.normal(size=(n, depth * groups, height, width))
    kernels = rng.normal(size=(n_out * groups, depth, *size))
    bias = rng.normal(size=n_out * groups) if data.draw(st.booleans()) else None
    tensors = [None if a is None else torch.from_numpy(a) for a in (images, kernels, bias)]
    expected = F.conv2d(*tensors, stride=stride, padding=padding, groups=groups).numpy()
    for ours in (conv2d, conv2d_loops):
        np.testing.assert_allclose(ours(images, kernels, bias, stride, padding, groups), expected, atol=1e-10)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    height=st.integers(4, 9),
    width=st.integers(4, 9),
    size=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    kind=st.sampled_from(["max", "mean"]),
)
def test_pooling_agrees_with_torch(
    seed: int, height: int, width: int, size: int, stride: int, padding: int, kind: Pooling
) -> None:
    padding = min(padding, size // 2)  # torch's limit
    images = np.random.default_rng(seed).normal(-3, 1, (2, 3, height, width))  # 0 would win over most of them
    function = F.max_pool2d if kind == "max" else F.avg_pool2d
    expected = function(torch.from_numpy(images), size, stride, padding).numpy()
    np.testing.assert_allclose(pool2d(images, size, stride, padding, kind), expected, atol=1e-12)
    np.testing.assert_allclose(pool2d_loops(images, size, stride, padding, kind), expected, atol=1e-12)


@pytest.mark.parametrize("convolve", [conv2d, conv2d_loops])
def test_no_images_give_none(convolve: Callable[..., np.ndarray]) -> None:
    assert convolve(np.zeros((0, 4, 5, 6)), np.zeros((6, 2, 3, 2)), stride=2, padding=1, groups=2).shape == (0, 6, 3, 4)


def test_the_kernel_is_not_flipped() -> None:
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(6, 7)), rng.normal(size=(3, 2))
    ours = conv2d(image[None, None], kernel[None, None])[0, 0]
    np.testing.assert_allclose(ours, correlate2d(image, kernel, mode="valid"))
    np.testing.assert_allclose(ours, convolve2d(image, kernel[::-1, ::-1], mode="valid"))


@pytest.mark.parametrize(
    ("side", "size", "stride", "padding", "expected"),
    [(5, 3, 1, 0, 3), (5, 3, 1, 1, 5), (5, 2, 2, 0, 2), (6, 3, 2, 1, 3)],
)
def test_sizes_of_the_output(side: int, size: int, stride: int, padding: int, expected: int) -> None:
    images = np.zeros((1, 1, side, side + 1))
    shape = conv2d(images, np.zeros((2, 1, size, size)), stride=stride, padding=padding).shape
    assert shape == (1, 2, expected, (side + 1 + 2 * padding - size) // stride + 1)
    assert pool2d(images, size, stride, padding).shape == (1, 1, *shape[2:])


def test_a_column_holds_a_window() -> None:
    images = np.arange(24.0).reshape(1, 2, 3, 4)
    columns = im2col(images, (2, 2), stride=2)  # windows start at columns 0 and 2 of row 0
    assert columns.shape == (1, 1, 8, 2)
    assert columns[0, 0, :, 1].tolist() == images[0, :, 0:2, 2:4].ravel().tolist()


def test_depthwise_groups_keep_channels_apart() -> None:
    images = np.random.default_rng(1).normal(size=(1, 3, 5, 5))
    kernels = np.zeros((3, 1, 1, 1))
    kernels[:, 0, 0, 0] = 1, 10, 100
    np.testing.assert_allclose(conv2d(images, kernels, groups=3), images * kernels[:, 0])


def test_inputs_are_left_as_they_are() -> None:
    images = np.random.default_rng(2).normal(size=(1, 1, 4, 4))
    before = images.copy()
    pool2d(images, 2, 1, 0, "max")
    pool2d(images, 2, 1, 0, "mean")
    conv2d(images, np.ones((1, 1, 2, 2)), np.ones(1))
    assert (images == before).all()


@pytest.mark.parametrize(
    ("kernel_shape", "parameters"),
    [
        ((1, 1, 4, 4), {}),  # larger than the image
        ((1, 1, 4, 4), {"stride": 0, "padding": 1}),
        ((2, 2, 2, 2), {}),  # two channels deep, and the image has one
        ((3, 1, 2, 2), {"groups": 2}),
        ((1, 2, 2), {}),
    ],
)
def test_shapes_that_do_not_fit_are_refused(kernel_shape: tuple[int, ...], parameters: dict[str, int]) -> None:
    for ours in (conv2d, conv2d_loops):
        with pytest.raises(ValueError, match=r"fit|stride|kernels"):
            ours(np.zeros((1, 1, 3, 3)), np.zeros(kernel_shape), **parameters)
    with pytest.raises(ValueError, match="fit"):
        pool2d(np.zeros((1, 1, 3, 3)), 4, 1)


@pytest.mark.parametrize("pool", [pool2d, pool2d_loops])
def test_pooling_offers_two_kinds_and_pads_half_of_a_window_at_most(pool: Callable[..., np.ndarray]) -> None:
    images = np.zeros((1, 1, 4, 4))
    with pytest.raises(ValueError, match=r"^kind = 'Max' is none of 'max', 'mean'$"):
        pool(images, 2, 2, kind="Max")
    for size, padding in ((2, 2), (3, 2), (1, 1)):
        with pytest.raises(RuntimeError, match="half"):
            F.max_pool2d(torch.from_numpy(images), size, 1, padding)
        for kind in ("max", "mean"):
            with pytest.raises(ValueError, match=rf"^padding {padding} is more than half of the window of {size}"):
                pool(images, size, 1, padding, kind)


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 1), ()])
def test_a_bias_that_would_broadcast_is_refused(shape: tuple[int, ...]) -> None:
    for ours in (conv2d, conv2d_loops):
        with pytest.raises(ValueError, match=r"^bias .* does not fit 2 kernels"):
            ours(np.zeros((1, 1, 3, 3)), np.zeros((2, 1, 2, 2)), np.ones(shape))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"groups": 2}, "groups"), ({"groups": 0}, "groups"), ({"stride": -1}, "stride"), ({"size": (4, 1)}, "fit")],
)
def test_columns_of_what_does_not_fit_are_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):  # groups of one channel and a half; columns from right to left
        im2col(np.zeros((1, 3, 3, 3)), **{"size": (2, 2), **parameters})


def test_bytes_do_not_overflow() -> None:
    images = np.full((1, 1, 4, 4), 200, dtype=np.uint8)
    kernels = np.ones((1, 1, 2, 2), dtype=np.uint8)
    for convolve in (conv2d, conv2d_loops):
        assert (convolve(images, kernels) == 800).all()
    for pool in (pool2d, pool2d_loops):
        assert (pool(images, 2, 2, kind="mean") == 200).all()
        assert (pool(images, 2, 1, 1, kind="max") == 200).all()
    assert conv2d(images.astype(np.float32), kernels.astype(np.float32)).dtype == np.float32  # no wider than it came
