"""Smurfs outlined and named on a picture, and many pictures on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.dataset import NAMES

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Color = tuple[int, int, int]

COLORS: Final[dict[str, Color]] = dict(
    zip(NAMES, ((226, 30, 30), (0, 215, 255), (255, 205, 0), (255, 60, 190)), strict=True)
)
"""Of outline and label: what is unlike on each is its colour, and plain Smurfs are cyan."""
TALLEST: Final = 3  # times as high as wide: a tile on a sheet
_INK: Final = (15, 15, 20)


@dataclass(frozen=True)
class Marked:
    """A Smurf to be drawn."""

    name: str
    probability: float
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels
    mask: NDArray[np.bool_]  # (H, W) of the picture


def draw(image: Image, smurfs: Sequence[Marked]) -> Image:
    """A copy of the picture on which every Smurf is tinted, outlined and named with the name's probability."""
    result = image.copy()
    thickness = max(1, round(max(image.shape[:2]) / 500))
    for smurf in smurfs:
        color = COLORS.get(smurf.name, (255, 255, 255))
        mask = smurf.mask.astype(np.uint8)
        x, y, w, h = cv2.boundingRect(mask)
        if w == 0:
            continue
        part = result[y : y + h, x : x + w]
        # A table of what each level becomes is far quicker than arithmetic on the pixels inside.
        tint = 0.75 * np.arange(256)[:, None] + 0.25 * np.array(color)  # (256, 3)
        cv2.copyTo(cv2.LUT(part, tint.astype(np.uint8)[None]), mask[y : y + h, x : x + w], part)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(result, outlines, -1, color, thickness, cv2.LINE_AA)
    for smurf in smurfs:  # after all outlines, so that no label is drawn over
        _label(result, smurf, thickness)
    return result


def _label(image: Image, smurf: Marked, thickness: int) -> None:
    text = f"{smurf.name} {smurf.probability:.0%}"
    scale = max(image.shape[:2]) / 1800
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    x = int(np.clip(smurf.box[0], 0, max(0, image.shape[1] - width - 4)))
    y = int(np.clip(smurf.box[1], height + base + 2, image.shape[0] - 2))
    color = COLORS.get(smurf.name, (255, 255, 255))
    cv2.rectangle(image, (x, y - height - base - 2), (x + width + 4, y), color, -1)
    cv2.putText(image, text, (x + 2, y - base), cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, thickness, cv2.LINE_AA)


def tile_size(shape: tuple[int, ...], width: int) -> tuple[int, int]:
    """Width and height of a picture of `shape`, (height, width), on a sheet: narrower where it would be too high."""
    scale = min(width / shape[1], TALLEST * width / shape[0])
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def contact_sheet(frames: Sequence[tuple[float, Image]], columns: int = 5, width: int = 384) -> Image:
    """Pictures side by side with their time in seconds, row by row.

    Raises:
        ValueError: there is no picture.
    """
    if not frames:
        raise ValueError("a contact sheet of no frames")
    width, height = tile_size(frames[0][1].shape, width)
    columns = min(columns, len(frames))
    rows = -(-len(frames) // columns)
    sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for k, (time_s, image) in enumerate(frames):
        tile = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        cv2.rectangle(tile, (0, height - 18), (70, height), _INK, -1)
        cv2.putText(
            tile, f"{time_s:.1f} s", (4, height - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA
        )
        y, x = k // columns * height, k % columns * width
        sheet[y : y + height, x : x + width] = tile
    return sheet
