"""Masks that end where the picture has an edge: a guided filter with the colours around a Smurf as its guide.

The network's masks are coarse, a cell of its prototypes is four pixels of a small input, and drawn Smurfs have sharp
outlines. The filter takes a mask, locally, for a linear function of colour: it may change where colours do.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RADIUS: Final = 8  # cells of a mask's grid
EPSILON: Final = 1e-4  # of colours from 0 to 1: what varies less is taken for one colour
_PAIRS: Final = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def guided_filter(guide: Floats, values: Floats, radius: int = RADIUS, epsilon: float = EPSILON) -> Floats:
    """Smooth (h, w) values, but for the edges of a guide (h, w, 3) from 0 to 1.

    He, Sun and Tang, 'Guided image filtering' (2013), with a guide of three colours (their equation 19): in every
    window of 2 radius + 1, values = a guide + b by least squares, epsilon holding a down; a and b are then averaged.
    """

    def mean(image: Any) -> Any:
        return cv2.boxFilter(image, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)

    colors, level = mean(guide), mean(values)
    covariance = mean(guide * values[..., None]) - colors * level[..., None]  # (h, w, 3) of values and colours
    rr, rg, rb, gg, gb, bb = (
        mean(guide[..., i] * guide[..., j]) - colors[..., i] * colors[..., j] + epsilon * (i == j) for i, j in _PAIRS
    )
    # The inverse of a symmetric matrix of 3 x 3, written out: a solver called for every cell takes six times as long.
    inverse = np.array([
        [gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg],
        [rb * gb - rg * bb, rr * bb - rb * rb, rg * rb - rr * gb],
        [rg * gb - rb * gg, rg * rb - rr * gb, rr * gg - rg * rg],
    ])  # fmt: skip
    determinant = rr * inverse[0, 0] + rg * inverse[0, 1] + rb * inverse[0, 2]
    a = np.einsum("ijhw,hwj->hwi", inverse, covariance) / determinant[..., None]  # (h, w, 3)
    b = level - (a * colors).sum(-1)
    smooth: Floats = (mean(a) * guide).sum(-1) + mean(b)
    return smooth


def follow_edges(grids: Floats, boxes: Floats, image: NDArray[np.uint8]) -> Floats:
    """Filter (N, G, G) masks in their boxes (N, 4), pixels of an (H, W, 3) image, by what is seen there."""
    height, width = image.shape[:2]
    filtered = np.empty_like(grids)
    for out, grid, (x0, y0, x1, y1) in zip(filtered, grids, boxes, strict=True):
        left, top = min(int(x0), width - 1), min(int(y0), height - 1)
        seen = image[top : max(int(np.ceil(y1)), top + 1), left : max(int(np.ceil(x1)), left + 1)]
        guide = cv2.resize(seen, grid.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
        out[:] = np.clip(guided_filter(guide, grid), 0, 1)
    return filtered
