"""Other looks of one figure, so that a classifier learned from drawings holds for video: smaller, blurred, cut off."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.geometry import mask_box
from common.data.images import decode_image, encode_jpeg

Figure = tuple[NDArray[np.uint8], NDArray[np.bool_]]  # RGB (H, W, 3) and its mask (H, W)

PINKS: Final = ((240, 130, 170), (235, 100, 150), (245, 165, 190), (225, 120, 160), (250, 245, 240))  # one is white


def augment(
    rng: np.random.Generator, crop: NDArray[np.uint8], mask: NDArray[np.bool_], least_side: float = 36
) -> Figure:
    """Mirror, turn, cut off, shrink, blur, tint and compress a figure, and draw its outline less exactly.

    Args:
        rng: decides everything.
        crop: RGB (H, W, 3) around the figure.
        mask: (H, W) its pixels, at least one.
        least_side: pixels, to which the mask's longer side may shrink.
    """
    crop, mask = _shrink(crop, mask, 256)  # no larger than needed: what follows is slow
    if rng.random() < 0.5:
        crop, mask = np.ascontiguousarray(crop[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
    crop, mask = _turn(crop, mask, float(rng.uniform(-15, 15)))
    if rng.random() < 0.35:
        mask = _cut(rng, mask)
    crop, mask = _shrink(crop, mask, float(np.exp(rng.uniform(np.log(least_side), np.log(200)))))
    mask = _redraw(rng, mask)
    if rng.random() < 0.5:
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), float(rng.uniform(0.3, 1.1))), np.uint8)
    if rng.random() < 0.15:
        crop = turn_purple(crop, hue=136, brightness=0.6)
    crop = _tint(rng, crop)
    if rng.random() < 0.3:
        crop = decode_image(encode_jpeg(crop, int(rng.integers(40, 90))))
    return crop, mask


def add_flower(rng: np.random.Generator, crop: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Figure | None:
    """Draw a flower on a white hat, which makes a Vanity of a Smurf; None where no hat is found.

    Vanity is one Smurf in 25, and the flower is all that tells him from the others.
    """
    crop, mask = _shrink(crop, mask, 256)
    y0, y1 = int(mask_box(mask)[1]), int(mask_box(mask)[3])
    hsv = cv2.cvtColor(crop, cv2.COLOR_RGB2HSV)
    white = (mask & (hsv[:, :, 1] < 60) & (hsv[:, :, 2] > 150)).astype(np.uint8)
    white[y0 + (y1 - y0) // 2 :] = 0
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(
        cv2.morphologyEx(white, cv2.MORPH_OPEN, np.ones((3, 3)))
    )
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    hat = numbers == largest
    width = int(stats[largest, cv2.CC_STAT_WIDTH])
    if width < 12 or hat.sum() < 0.05 * mask.sum():
        return None
    depth = cv2.distanceTransform(hat.astype(np.uint8), cv2.DIST_L2, 3)
    rows, columns = np.nonzero(depth >= 0.4 * depth.max())
    at = int(rng.integers(len(rows)))
    return _paint_flower(rng, crop, (int(columns[at]), int(rows[at])), width * float(rng.uniform(0.14, 0.24))), mask


def _paint_flower(
    rng: np.random.Generator, crop: NDArray[np.uint8], centre: tuple[int, int], radius: float
) -> NDArray[np.uint8]:
    """Five or six petals with inked outlines around a middle, smoothed."""
    fine = 4
    painted = np.ascontiguousarray(np.repeat(np.repeat(crop, fine, axis=0), fine, axis=1))
    petal = PINKS[int(rng.choice(len(PINKS), p=[0.25, 0.2, 0.25, 0.2, 0.1]))]
    middle = ((250, 210, 70), (250, 235, 120), (230, 90, 120))[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]
    n_petals, start, ink = int(rng.integers(5, 7)), float(rng.uniform(0, 6)), max(1, round(fine * radius * 0.09))
    x, y = ((c + 0.5) * fine for c in centre)
    for turn in start + np.linspace(0, 2 * np.pi, n_petals, endpoint=False):
        at = (
            round(x + 0.62 * radius * fine * float(np.cos(turn))),
            round(y + 0.62 * radius * fine * float(np.sin(turn))),
        )
        for colour, thickness in ((petal, -1), ((40, 25, 35), ink)):
            cv2.circle(painted, at, max(1, round(0.42 * radius * fine)), colour, thickness, cv2.LINE_AA)
    cv2.circle(painted, (round(x), round(y)), max(1, round(0.3 * radius * fine)), middle, -1, cv2.LINE_AA)
    return np.asarray(cv2.resize(painted, crop.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _turn(crop: NDArray[np.uint8], mask: NDArray[np.bool_], degrees: float) -> Figure:
    height, width = mask.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    turned = cv2.warpAffine(crop, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    turned_mask = cv2.warpAffine(mask.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST) > 0
    return (np.asarray(turned, np.uint8), turned_mask) if turned_mask.any() else (crop, mask)


def _cut(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Hide what is below, or to one side, as the edge of a picture or a neighbour does."""
    x0, y0, x1, y1 = (int(v) for v in mask_box(mask))
    kept = mask.copy()
    if rng.random() < 0.6:
        kept[y0 + int((y1 - y0) * rng.uniform(0.45, 0.9)) :] = False
    elif rng.random() < 0.5:
        kept[:, : x0 + int((x1 - x0) * rng.uniform(0.1, 0.35))] = False
    else:
        kept[:, x1 - int((x1 - x0) * rng.uniform(0.1, 0.35)) :] = False
    return kept if kept.sum() > 0.3 * mask.sum() else mask


def _shrink(crop: NDArray[np.uint8], mask: NDArray[np.bool_], side: float) -> Figure:
    """Scale down so that the mask's longer side is `side` pixels; never up."""
    x0, y0, x1, y1 = mask_box(mask)
    scale = side / max(x1 - x0, y1 - y0)
    if scale >= 1:
        return crop, mask
    size = max(8, round(crop.shape[1] * scale)), max(8, round(crop.shape[0] * scale))
    small = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
    small_mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return (small, small_mask) if small_mask.any() else (crop, mask)


def _redraw(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Grow or shrink by up to a thirtieth of the figure, and smooth, as a network's masks are."""
    x0, y0, x1, y1 = mask_box(mask)
    reach = 1 + int(max(x1 - x0, y1 - y0) * rng.uniform(0, 1 / 30))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    method = (cv2.MORPH_DILATE, cv2.MORPH_ERODE, cv2.MORPH_OPEN, cv2.MORPH_CLOSE)[int(rng.integers(4))]
    drawn = cv2.morphologyEx(mask.astype(np.uint8), method, disc) > 0
    return drawn if drawn.sum() > 0.5 * mask.sum() else mask


def turn_purple(image: NDArray[np.uint8], hue: int, brightness: float) -> NDArray[np.uint8]:
    """Blue skin becomes purple, and nothing else: whoever was bitten by the fly keeps its name."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    blue = (hsv[:, :, 0] > 90) & (hsv[:, :, 0] < 130) & (hsv[:, :, 1] > 60)
    hsv[:, :, 0][blue] = hue
    hsv[:, :, 2][blue] = (hsv[:, :, 2][blue] * brightness).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def _tint(rng: np.random.Generator, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness, saturation and a colour cast."""
    pixels = crop.astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * rng.uniform(0.75, 1.2)
    pixels = pixels * rng.uniform(0.75, 1.1) * rng.uniform(0.95, 1.05, size=3)
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)
