"""Shading of cloth: folds, pleats and grain. A shading is a uint8 image that multiplies; 128 is 1.0, flat."""

from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from challenges.vinted.rendering.arrays import Floats, Image, Rng

_SIDE: Final = 256  # of a map of folds, pixels: they are soft, half the resolution of a photo is enough


def smooth_noise(rng: Rng, cells: tuple[int, int], side: int) -> Floats:
    """Seamless smooth noise, (side, side), about unit variance; `cells` (rows, columns) divide `side`."""
    small = np.pad(rng.standard_normal(cells).astype(np.float32), 2, mode="wrap")
    step_y, step_x = side // cells[0], side // cells[1]
    big = cv2.resize(small, (small.shape[1] * step_x, small.shape[0] * step_y), interpolation=cv2.INTER_CUBIC)
    return np.asarray(big[2 * step_y :, 2 * step_x :][:side, :side] * 1.3, np.float32)


def _creases(rng: Rng, n: int, heading: float, spread: float) -> Floats:
    """Relief of `n` creases, (256, 256): each is bright on one side, dark on the other, and fades along."""
    y, x = np.indices((_SIDE, _SIDE), np.float32)
    relief = 0.25 * smooth_noise(rng, (4, 4), _SIDE) + 0.06 * smooth_noise(rng, (16, 16), _SIDE)
    for _ in range(n):
        angle = heading + rng.normal(0, spread)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        at = rng.uniform(0, _SIDE, 2)
        width, reach = np.exp(rng.uniform(np.log(2.5), np.log(16))), rng.uniform(20, 130)
        along = (c * (x - at[0]) + s * (y - at[1])) * np.float32(1 / reach)
        bow = np.float32(rng.normal(0, 0.12) * reach / width)
        across = (c * (y - at[1]) - s * (x - at[0])) * np.float32(1 / width) + bow * along * along
        sharp = np.float32(rng.uniform(-3, 3))  # steeper on one side: a crease, not a wave
        relief += sharp * across * np.exp(-np.abs(across) * 1.5 - along * along)
    return relief


def _as_shading(relief: Floats, steepness: float) -> Image:
    return np.asarray(128 + 60 * np.tanh(steepness * relief / relief.std())).astype(np.uint8)


# The banks are the same in every process: their seeds are fixed. Drawing them for each photo costs too much.
@lru_cache(maxsize=1)
def _fold_bank() -> tuple[tuple[Image, ...], tuple[Image, ...]]:
    """Shadings of (crumpled or draped cloth, pleats), each (256, 256)."""
    rng = np.random.default_rng(20)
    # crumpled, laid by hand, draped: number of creases, and how far they turn from straight down, radians
    kinds = ((45, 3.0), (22, 0.7), (34, 0.16), (28, 3.0), (14, 0.7), (26, 0.25))
    cloth = tuple(_as_shading(_creases(rng, n, np.pi / 2, spread), 0.7) for n, spread in kinds)
    pleats: list[Image] = []
    for columns in (8, 16, 32, 32):
        row = smooth_noise(rng, (1, columns), _SIDE)[:1].repeat(_SIDE, 0)
        row = row + 0.4 * smooth_noise(rng, (4, 32), _SIDE)
        pleats.append(_as_shading(np.asarray(cv2.Sobel(row, cv2.CV_32F, 1, 0), np.float32), 0.6))
    return cloth, tuple(pleats)


@lru_cache(maxsize=1)
def _grain_bank() -> Floats:
    """White noise of unit variance, (1024, 1024)."""
    return np.random.default_rng(21).standard_normal((1024, 1024), np.float32)


def grain(rng: Rng, size: tuple[int, int]) -> Floats:
    """White noise of unit variance, (h, w): a random cut of a bank, repeated where the bank is too small."""
    y, x = (int(v) for v in rng.integers(0, 512, 2))
    cut = _grain_bank()[y : y + size[0], x : x + size[1]]
    if cut.shape != size:
        cut = np.tile(cut, (size[0] // cut.shape[0] + 1, size[1] // cut.shape[1] + 1))[: size[0], : size[1]]
    return np.asarray(cut)


def fold_shading(rng: Rng, size: tuple[int, int], strength: float, zoom: float) -> Image:
    """Shading of cloth that lies or hangs, (h, w): a random view of one map of folds."""
    bank = _fold_bank()[0]
    picture = bank[int(rng.integers(len(bank)))]
    h, w = (size[0] + 1) // 2, (size[1] + 1) // 2
    view = np.asarray(cv2.getRotationMatrix2D((128, 128), float(rng.normal(0, 25)), zoom), np.float64)
    view[:, 2] += rng.uniform(-100, 100, 2)
    out = cv2.warpAffine(picture, view, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    out = cv2.convertScaleAbs(out, alpha=strength, beta=128 * (1 - strength))
    return np.asarray(cv2.resize(out, size[::-1]), np.uint8)


def pleat_lines(rng: Rng) -> Image:
    """Shading of pleats that run straight down, (256, 256)."""
    bank = _fold_bank()[1]
    return bank[int(rng.integers(len(bank)))]


def shade(image: Image, shading: Image, glow: float = 0.0) -> Image:
    """Multiply an RGB image by a shading; `glow` also adds it, so that black cloth has folds."""
    triple = cv2.merge([shading] * 3)
    out = cv2.multiply(image, triple, scale=1 / 128)
    return np.asarray(cv2.addWeighted(out, 1.0, triple, glow, -128 * glow) if glow else out, np.uint8)
