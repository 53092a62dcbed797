"""What a garment lies on or hangs before: sheets, wood, carpets, walls, tiles, printed cloth; RGB (H, W, 3)."""

from typing import Final

import cv2
import numpy as np

from challenges.vinted.rendering.arrays import Floats, Image, Rng, floats
from challenges.vinted.rendering.cloth import weave
from challenges.vinted.rendering.colors import cloth_color
from challenges.vinted.rendering.folds import fold_shading, grain, shade
from challenges.vinted.rendering.prints import TILE

# sRGB of floors and carpets
_WOODS: Final = (
    (202, 164, 120), (150, 104, 66), (92, 62, 44), (188, 180, 172), (222, 208, 190), (170, 124, 70),
    (126, 116, 110), (214, 176, 112),
)  # fmt: skip
_PILES: Final = ((190, 186, 180), (215, 205, 190), (120, 116, 118), (160, 140, 115), (120, 150, 90))
_SHEETS: Final = (
    "BURGUNDY", "RED", "PINK", "WHITE", "WHITE", "CREAM", "NAVY", "BLACK", "GREY", "LIGHT-BLUE", "APRICOT",
)  # fmt: skip


def _plain(size: tuple[int, int], color: Floats) -> Image:
    pixel = np.clip(color, 0, 255).astype(np.uint8)[None, None]
    return np.asarray(cv2.resize(pixel, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def _wood(rng: Rng, size: tuple[int, int]) -> Image:
    """Boards or parquet, in any direction."""
    side = int(np.hypot(*size)) + 2  # of a square that covers the picture when it is turned
    fibres = cv2.resize(rng.standard_normal((side // 3, 14)).astype(np.float32), (side, side))
    level = 128 + fibres * rng.uniform(5, 14)
    board, spread = int(rng.integers(22, 95)), rng.uniform(3, 16)
    for y in range(0, side, board):
        joints = np.sort(rng.integers(0, side, int(rng.integers(1, 4))))
        for start, stop in zip([0, *joints], [*joints, side], strict=True):
            level[y : y + board, start:stop] += rng.normal(0, spread)
            level[y : y + board, max(start - 1, 0) : start + 1] -= 35
        level[y : y + 2] -= rng.uniform(10, 45)
    tone = floats(_WOODS[int(rng.integers(len(_WOODS)))]) * rng.uniform(0.8, 1.1)
    table = np.clip(np.arange(256)[:, None] / 128 * tone, 0, 255).astype(np.uint8)[None]
    gray = np.clip(level, 0, 255).astype(np.uint8)
    angle = rng.choice([0, 90, 45]) if rng.random() < 0.25 else rng.choice([0.0, 90.0])
    view = np.asarray(cv2.getRotationMatrix2D((side / 2, side / 2), float(angle + rng.normal(0, 4)), 1.0), np.float64)
    view[:, 2] -= np.array((side - size[1], side - size[0])) / 2
    flat = cv2.warpAffine(gray, view, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.LUT(cv2.merge([flat] * 3), table), np.uint8)


def _sheet(rng: Rng, size: tuple[int, int]) -> Image:
    """A bed sheet: plain, with large folds, at times quilted."""
    image = _plain(size, cloth_color(rng, str(rng.choice(_SHEETS))))
    if rng.random() < 0.2:
        y, x = np.indices(size, np.float32)
        step = rng.uniform(22, 60)
        u, v = (np.abs(np.sin((x + s * y) * np.pi / step / 2)) for s in (1, -1))
        image = shade(image, (90 + 45 * np.minimum(np.minimum(u, v) * 3, 1)).astype(np.uint8))
    return shade(image, fold_shading(rng, size, rng.uniform(0.06, 0.4), rng.uniform(1.2, 3.5)), 0.1)


def _carpet(rng: Rng, size: tuple[int, int]) -> Image:
    """A shaggy carpet."""
    tone = floats(rng.choice(_PILES))
    noise = grain(rng, ((size[0] + 1) // 2, (size[1] + 1) // 2))
    noise = floats(cv2.resize(cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.5, 1.6)), size[::-1]))
    pile = 128 + noise / noise.std() * rng.uniform(7, 20)
    return shade(_plain(size, tone), np.clip(pile, 0, 255).astype(np.uint8))


def _printed(rng: Rng, size: tuple[int, int]) -> Image:
    """A patterned bedspread, carpet or wallpaper: what the background shows is no tag of the garment."""
    tags = frozenset([("floral",), ("checker",), ("polka dot",), ()][int(rng.choice(4, p=[0.4, 0.15, 0.05, 0.4]))])
    cloth = weave(rng, str(rng.choice([*_SHEETS, "VARIOUS", "BROWN"])), tags)
    view = cv2.getRotationMatrix2D((TILE / 2, TILE / 2), float(rng.normal(0, 30)), rng.uniform(0.8, 2.4))
    image = cv2.warpAffine(cloth.main, view, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return shade(np.asarray(image), fold_shading(rng, size, rng.uniform(0.1, 0.4), rng.uniform(1, 3)))


def _wall(rng: Rng, size: tuple[int, int]) -> Image:
    """A wall, door or curtain to hang things on."""
    tone = floats(rng.choice([228, 205, 180, 150, 60]) + rng.normal(0, 9, 3) + np.array((6, 0, -6)))
    image = _plain(size, tone)
    if rng.random() < 0.25:  # curtain
        return shade(image, fold_shading(rng, size, 0.5, 1.5), 0.1)
    for _ in range(int(rng.integers(0, 4))):  # edges of doors, frames and furniture
        x, width = int(rng.integers(0, size[1])), int(rng.integers(3, 120))
        image[:, x : x + width] = np.clip(tone * rng.uniform(0.55, 1.1) + rng.normal(0, 8, 3), 0, 255)
    return image


def _tiles(rng: Rng, size: tuple[int, int]) -> Image:
    """Floor tiles with joints."""
    image = _plain(size, floats((214, 208, 198)) * rng.uniform(0.75, 1.08))
    step, turn = rng.uniform(90, 220), rng.choice([0.0, 0.785]) + rng.normal(0, 0.05)
    c, s = np.cos(turn), np.sin(turn)
    for axis in (np.array((c, s)), np.array((-s, c))):
        across = np.array((-axis[1], axis[0]))
        for k in range(-9, 10):
            ends = np.array((size[1], size[0])) / 2 + across * k * step + axis[None] * np.array([[-900], [900]])
            cv2.polylines(image, [ends.astype(np.int32)], False, (120, 112, 104), 2, cv2.LINE_AA)
    return image


def _clutter(rng: Rng, image: Image) -> None:
    """Something else that reaches into the picture from its edge."""
    h, w = image.shape[:2]
    color = tuple(float(v) for v in cloth_color(rng, "VARIOUS") * 0.8)
    depth = rng.uniform(0.03, 0.18, 2) * (h if rng.random() < 0.5 else w)
    corners = np.array([(0, 0), (w, 0), (w, depth[0]), (0, depth[1])])
    corners = corners if rng.random() < 0.5 else corners[:, ::-1] * (w / h, h / w)
    corners = corners if rng.random() < 0.5 else (w, h) - corners
    cv2.fillPoly(image, [corners.astype(np.int32)], color, cv2.LINE_AA)


def draw_background(rng: Rng, size: tuple[int, int]) -> tuple[Image, bool]:
    """What lies behind, (H, W, 3), and whether the garment hangs there."""
    kind = int(rng.choice(6, p=[0.3, 0.24, 0.1, 0.1, 0.2, 0.06]))
    draw = (_sheet, _wood, _carpet, _printed, _wall, _tiles)[kind]
    image = draw(rng, size)
    if rng.random() < 0.2:
        _clutter(rng, image)
    return image, draw is _wall or rng.random() < 0.06
