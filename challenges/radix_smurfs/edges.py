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


def guided_filter(guide: Floats, values: Floats, radius: int = RADIUS, epsilon: float = EPSILON) -> Floats:
    """Smooth (h, w) values, but for the edges of a guide (h, w, 3) from 0 to 1.

    He, Sun and Tang, 'Guided image filtering' (2013), with a guide of three colours (their equation 19): in every
    window of 2 radius + 1, values = a guide + b by least squares, epsilon holding a down; a and b are then averaged.
    """

    def mean(image: Any) -> Any:
        return cv2.boxFilter(image, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)

    # Plane by plane, and the inverse of each cell's symmetric matrix of 3 x 3 written out: arrays with the colours
    # last and a solver called for every cell are both slower.
    colors = r, g, b = cv2.split(guide)
    level, mean_r, mean_g, mean_b = map(mean, (values, r, g, b))
    with_r, with_g, with_b = (  # covariance of values and colours
        mean(color * values) - middle * level for color, middle in zip(colors, (mean_r, mean_g, mean_b), strict=True)
    )
    rr, gg, bb = mean(r * r) - mean_r**2 + epsilon, mean(g * g) - mean_g**2 + epsilon, mean(b * b) - mean_b**2 + epsilon
    rg, rb, gb = mean(r * g) - mean_r * mean_g, mean(r * b) - mean_r * mean_b, mean(g * b) - mean_g * mean_b
    in_rr, in_rg, in_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    in_gg, in_gb, in_bb = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    determinant = rr * in_rr + rg * in_rg + rb * in_rb
    a_r = (in_rr * with_r + in_rg * with_g + in_rb * with_b) / determinant
    a_g = (in_rg * with_r + in_gg * with_g + in_gb * with_b) / determinant
    a_b = (in_rb * with_r + in_gb * with_g + in_bb * with_b) / determinant
    offset = level - a_r * mean_r - a_g * mean_g - a_b * mean_b
    smooth: Floats = mean(a_r) * r + mean(a_g) * g + mean(a_b) * b + mean(offset)
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
