"""2-D convolution and pooling: one small window slides over an image and gives a number at each place.

The loops say what is meant. im2col says it fast: copy each window into a column, and all places become one
matrix product; the columns take kernel height x width times the memory of the image.

As in every network library the kernel is not flipped, so a mathematician would call it cross-correlation.
Sizes of the output: (H + 2 padding - kernel height) // stride + 1, and alike for the width; a rest that no
whole window covers is left out.

Complexity for N images, C channels in, O out, G groups, kernels k x k and H' x W' places: O(N O C/G k² H' W')
time, O(N C k² H' W') memory for im2col and O(N O H' W') for the loops. Pooling: O(N C k² H' W') time.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from challenges.ml_coding.parameters import check_option

Floats = NDArray[np.float64]
Pooling = Literal["max", "mean"]


def _pad(images: Floats, padding: int, value: float = 0.0) -> Floats:
    """`padding` pixels of `value` on all four sides of (N, C, H, W), as floats: the sums of bytes would overflow."""
    floats = images if np.issubdtype(images.dtype, np.floating) else images.astype(np.float64)
    return np.pad(floats, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=value)


def _check(images: Floats, size: tuple[int, int], stride: int, padding: int) -> None:
    if images.ndim != 4 or stride < 1 or padding < 0:
        raise ValueError(f"images {images.shape} are not (N, C, H, W), stride {stride} < 1 or padding {padding} < 0")
    if any(not 1 <= window <= side + 2 * padding for window, side in zip(size, images.shape[2:], strict=True)):
        raise ValueError(f"a window of {size} does not fit into images {images.shape} with padding {padding}")


def _check_kernels(
    images: Floats, kernels: Floats, bias: Floats | None, stride: int, padding: int, groups: int
) -> None:
    if kernels.ndim != 4:
        raise ValueError(f"kernels {kernels.shape} are not (O, C / groups, kernel height, kernel width)")
    if bias is not None and bias.shape != (len(kernels),):
        raise ValueError(f"bias {bias.shape} does not fit {len(kernels)} kernels")
    _check(images, kernels.shape[2:], stride, padding)
    if groups < 1 or len(kernels) % groups or images.shape[1] != kernels.shape[1] * groups:
        raise ValueError(f"{images.shape[1]} channels and kernels {kernels.shape} do not fit {groups} groups")


def _check_pooling(images: Floats, size: int, stride: int, padding: int, kind: Pooling) -> None:
    _check(images, (size, size), stride, padding)
    check_option("kind", kind, get_args(Pooling))
    if padding > size / 2:  # some windows would hold nothing else
        raise ValueError(f"padding {padding} is more than half of the window of {size}")


def conv2d_loops(
    images: Floats, kernels: Floats, bias: Floats | None = None, stride: int = 1, padding: int = 0, groups: int = 1
) -> Floats:
    """What `conv2d` computes, one output number at a time."""
    _check_kernels(images, kernels, bias, stride, padding, groups)
    padded = _pad(images, padding)  # (N, C, H + 2 padding, W + 2 padding)
    n_out, depth, height, width = kernels.shape
    rows = (padded.shape[2] - height) // stride + 1
    columns = (padded.shape[3] - width) // stride + 1
    output = np.zeros((len(images), n_out, rows, columns))
    for n, o, i, j in np.ndindex(output.shape):
        first = o // (n_out // groups) * depth  # of the channels that this kernel's group sees
        window = padded[
            n, first : first + depth, i * stride : i * stride + height, j * stride : j * stride + width
        ]  # (C / G, kernel height, kernel width)
        output[n, o, i, j] = (window * kernels[o]).sum() + (0.0 if bias is None else bias[o])
    return output


def im2col(images: Floats, size: tuple[int, int], stride: int = 1, groups: int = 1) -> Floats:
    """Every window as a column: (N, G, C / G x window height x window width, H' x W').

    Raises:
        ValueError: a window that does not fit, a stride below 1, or groups that do not divide the channels.
    """
    _check(images, size, stride, padding=0)
    if groups < 1 or images.shape[1] % groups:
        raise ValueError(f"{images.shape[1]} channels do not fit {groups} groups")
    windows = sliding_window_view(images, size, axis=(2, 3))[:, :, ::stride, ::stride]  # (N, C, H', W', h, w), a view
    n, channels, rows, columns, height, width = windows.shape
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(n, groups, channels // groups * height * width, rows * columns)


def conv2d(
    images: Floats, kernels: Floats, bias: Floats | None = None, stride: int = 1, padding: int = 0, groups: int = 1
) -> Floats:
    """Convolve by im2col.

    Args:
        images: (N, C, H, W).
        kernels: (O, C / groups, kernel height, kernel width).
        bias: (O,), or none.
        stride: pixels from one window to the next.
        padding: rows and columns of zeros on each side.
        groups: kernels o of group g see the channels of group g only; groups = C is a depthwise convolution.

    Returns:
        (N, O, H', W').

    Raises:
        ValueError: shapes that do not fit each other or the groups, or a stride below 1.
    """
    _check_kernels(images, kernels, bias, stride, padding, groups)
    padded = _pad(images, padding)
    n_out, _, height, width = kernels.shape
    rows, columns = (padded.shape[2] - height) // stride + 1, (padded.shape[3] - width) // stride + 1
    windows = im2col(padded, (height, width), stride, groups)  # (N, G, C/G h w, H' W')
    output = kernels.reshape(groups, n_out // groups, -1) @ windows  # (N, G, O/G, H' W')
    output = output.reshape(len(images), n_out, rows, columns)  # (N, O, H', W')
    return output if bias is None else output + bias[:, None, None]


def pool2d_loops(images: Floats, size: int, stride: int, padding: int = 0, kind: Pooling = "max") -> Floats:
    """What `pool2d` computes, one output number at a time."""
    _check_pooling(images, size, stride, padding, kind)
    padded = _pad(images, padding, -np.inf if kind == "max" else 0.0)
    rows = (padded.shape[2] - size) // stride + 1
    columns = (padded.shape[3] - size) // stride + 1
    output = np.zeros((*images.shape[:2], rows, columns))
    for n, c, i, j in np.ndindex(output.shape):
        window = padded[n, c, i * stride : i * stride + size, j * stride : j * stride + size]  # (size, size)
        output[n, c, i, j] = window.max() if kind == "max" else window.mean()
    return output


def pool2d(images: Floats, size: int, stride: int, padding: int = 0, kind: Pooling = "max") -> Floats:
    """Largest or mean value of each size x size window of images (N, C, H, W): (N, C, H', W').

    Padding is -inf for "max", so that it never wins over negative values, and 0 for "mean", where it counts.

    Raises:
        ValueError: a window that does not fit, a stride below 1, another kind, or padding above half of the size.
    """
    _check_pooling(images, size, stride, padding, kind)
    padded = _pad(images, padding, -np.inf if kind == "max" else 0.0)
    rows = (padded.shape[2] - size) // stride + 1
    columns = (padded.shape[3] - size) // stride + 1
    # size² strided slices, each (N, C, H', W'): far fewer passes of Python than windows
    slices = (
        padded[:, :, i : i + rows * stride : stride, j : j + columns * stride : stride]
        for i, j in np.ndindex(size, size)
    )
    output = next(slices).copy()
    for piece in slices:
        np.maximum(output, piece, out=output) if kind == "max" else np.add(output, piece, out=output)
    return output if kind == "max" else output / size**2
