"""Backgrounds without a Smurf: colour fields, textures, drawn scenes with what is easily taken for a Smurf.

A network that has seen 42 pictures takes any blue or white blob for a Smurf. So the drawn scenes are full of these:
clouds, ponds, blue bushes, white stones, red caps of toadstools, mushroom houses, wizards in black robes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Color = tuple[int, int, int]

INK: Final[Color] = (25, 20, 25)


def random_color(rng: np.random.Generator, hue: tuple[float, float], value: tuple[float, float] = (0.3, 1.0)) -> Color:
    """A saturated colour with a hue from `hue` (degrees) and a brightness from `value` (0 to 1)."""
    hsv = np.array([[[rng.uniform(*hue) / 2 % 180, rng.uniform(90, 255), 255 * rng.uniform(*value)]]])
    return _color(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)[0, 0])


def _color(values: NDArray[np.generic]) -> Color:
    red, green, blue = (int(v) for v in values)
    return red, green, blue


def color_field(rng: np.random.Generator, height: int, width: int) -> Image:
    """One colour, or a gradient between two; now and then black or white, as around clip art."""
    if rng.random() < 0.3:
        return np.full((height, width, 3), 0 if rng.random() < 0.4 else 255, np.uint8)
    start, stop = (np.array(random_color(rng, (0, 360), (0.1, 1.0)), np.float32) for _ in range(2))
    if rng.random() < 0.3:
        stop = start
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    share = np.cos(angle) * x / width + np.sin(angle) * y / height  # (H, W)
    share = (share - share.min()) / max(float(np.ptp(share)), 1e-6)
    field: Image = (start + share[..., None] * (stop - start)).astype(np.uint8)
    return field


def texture(rng: np.random.Generator, height: int, width: int) -> Image:
    """Clouds of noise in two colours, at a coarse and a fine grain."""
    noise = np.zeros((height, width), np.float32)
    for cells, weight in ((int(rng.integers(3, 12)), 1.0), (int(rng.integers(16, 64)), rng.uniform(0.1, 0.6))):
        grain = rng.standard_normal((cells, cells)).astype(np.float32)
        noise += weight * cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    share = 1 / (1 + np.exp(-rng.uniform(1, 4) * noise))
    colors = [np.array(random_color(rng, (0, 360), (0.1, 1.0)), np.float32) for _ in range(2)]
    mixed: Image = (colors[0] + share[..., None] * (colors[1] - colors[0])).astype(np.uint8)
    return mixed


def drawn_scene(rng: np.random.Generator, height: int, width: int) -> Image:
    """A landscape in the manner of an animated film: sky, hills, and a dozen things with black outlines."""
    night = rng.random() < 0.2
    sky = random_color(rng, (170, 240), (0.2, 0.4) if night else (0.6, 1.0))
    scene = np.full((height, width, 3), sky, np.uint8)
    for depth in sorted(rng.uniform(0.3, 0.9, int(rng.integers(1, 4)))):
        ground = random_color(rng, (25, 150), (0.2, 0.85))
        _hill(rng, scene, int(depth * height), ground)
    for _ in range(int(rng.integers(4, 14))):
        size = int(height * rng.uniform(0.08, 0.5))
        center = (int(rng.uniform(0, width)), int(rng.uniform(0.15, 1.0) * height))
        THINGS[int(rng.integers(len(THINGS)))](rng, scene, center, size)
    return scene


def _hill(rng: np.random.Generator, scene: Image, top: int, color: Color) -> None:
    height, width = scene.shape[:2]
    x = np.linspace(0, width, 12)
    y = top + np.cumsum(rng.normal(0, height * 0.03, 12))
    outline = np.concatenate([np.stack([x, y], 1), [[width, height], [0, height]]])
    _fill(rng, scene, outline, color)


def _fill(rng: np.random.Generator, scene: Image, points: NDArray[np.floating], color: Color) -> None:
    """Fill a polygon (P, 2), and outline it in ink more often than not."""
    corners = np.rint(points).astype(np.int32)
    cv2.fillPoly(scene, [corners], color, cv2.LINE_AA)
    if rng.random() < 0.8:
        cv2.polylines(scene, [corners], True, INK, 1 + scene.shape[0] // 300, cv2.LINE_AA)


def _blob(rng: np.random.Generator, size: float, points: int = 24, roughness: float = 0.15) -> NDArray[np.floating]:
    """(P, 2) a wavy outline around (0, 0), about `size` across."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    waves = int(rng.integers(3, 9))
    radius = size / 2 * (1 + roughness * np.sin(waves * angles + rng.uniform(0, 6)) + rng.normal(0, 0.02, points))
    return np.stack([radius * np.cos(angles) * rng.uniform(0.7, 1.4), radius * np.sin(angles)], 1)


def _bush(rng: np.random.Generator, scene: Image, center: tuple[int, int], size: int) -> None:
    hue = (190.0, 230.0) if rng.random() < 0.3 else (70.0, 160.0)
    leaves = random_color(rng, hue, (0.2, 0.8))
    _fill(rng, scene, _blob(rng, size, 48, 0.12) + center, leaves)
    dark = _color(np.array(leaves) * 0.75)
    for _ in range(6):
        spot = _blob(rng, size * 0.15, 10, 0.4) + center + rng.normal(0, size * 0.2, 2)
        cv2.fillPoly(scene, [np.rint(spot).astype(np.int32)], dark)


def _cloud(rng: np.random.Generator, scene: Image, center: tuple[int, int], size: int) -> None:
    color = (255, 255, 255) if rng.random() < 0.6 else random_color(rng, (180, 320), (0.6, 1.0))
    _fill(rng, scene, _blob(rng, size, 60, 0.2) * (1.3, 0.7) + center, color)


def _stone(rng: np.random.Generator, scene: Image, center: tuple[int, int], size: int) -> None:
    grey = int(rng.uniform(90, 255))
    _fill(rng, scene, _blob(rng, size * 0.6, 9, 0.05) + center, (grey, grey, min(255, grey + 15)))


def _pond(rng: np.random.Generator, scene: Image, center: tuple[int, int], size: int) -> None:
    _fill(rng, scene, _blob(rng, size, 30, 0.1) * (1.6, 0.45) + center, random_color(rng, (185, 235), (0.5, 1.0)))


def _ball(rng: np.random.Generator, scene: Image, center: tuple[int, int], size: int) -> None:
    """A blue body without hat: flowers, birds, dragons and water are as blue as a Smurf."""
    _fill(rng, scene, _blob(rng, size * 0.6, 20, 0.25) + center, random_color(rng, (190, 250), (0.4, 1.0)))


def _tree(rng: np.random.Generator, scene: Image, center: tuple[int, int], size: int) -> None:
    x, y = center
    w = size * rng.uniform(0.1, 0.3)
    trunk = np.array([[x - w, y + size], [x - w / 2, y - size], [x + w / 2, y - size], [x + w, y + size]])
    _fill(rng, scene, trunk, random_color(rng, (15, 40), (0.2, 0.6)))
    _bush(rng, scene, (x, y - size), int(size * 1.2))


def _mushroom(rng: np.random.Generator, scene: Image, center: tuple[int, int], size: int) -> None:
    """A toadstool, or a house made of one."""
    x, y = center
    w = size * rng.uniform(0.25, 0.4)
    wall = np.array([[x - w, y + size * 0.5], [x - w * 0.8, y], [x + w * 0.8, y], [x + w, y + size * 0.5]])
    _fill(rng, scene, wall, random_color(rng, (30, 60), (0.75, 1.0)) if rng.random() < 0.6 else (250, 248, 240))
    angles = np.linspace(np.pi, 2 * np.pi, 20)
    cap = np.stack([x + size * 0.55 * np.cos(angles), y + size * 0.08 + size * 0.6 * np.sin(angles)], 1)
    cap_color = random_color(rng, (-20, 20), (0.5, 1.0)) if rng.random() < 0.7 else random_color(rng, (0, 360))
    _fill(rng, scene, cap, cap_color)
    for _ in range(int(rng.integers(0, 5))):
        spot = (int(x + rng.normal(0, size * 0.2)), int(y - size * rng.uniform(0.1, 0.4)))
        cv2.circle(scene, spot, max(1, int(size * 0.06)), (250, 245, 235), -1, cv2.LINE_AA)
    if size > 60 and rng.random() < 0.7:
        left, right, top, bottom = x - w / 3, x + w / 3, y + size * 0.2, y + size * 0.5
        door = np.array([[left, bottom], [left, top], [right, top], [right, bottom]])
        _fill(rng, scene, door, (120, 75, 40))


def _wizard(rng: np.random.Generator, scene: Image, center: tuple[int, int], size: int) -> None:
    """A large figure with a skin-coloured face in a dark or coloured robe, sometimes in red shoes or a cap."""
    x, y = center
    robe = (35, 30, 40) if rng.random() < 0.5 else random_color(rng, (0, 360), (0.2, 0.8))
    w = size * 0.35
    body = np.array([[x - w, y + size], [x - w * 0.5, y], [x + w * 0.5, y], [x + w, y + size]])
    _fill(rng, scene, body + rng.normal(0, size * 0.04, body.shape), robe)
    skin = random_color(rng, (18, 32), (0.85, 1.0))
    head = (x, int(y - size * 0.15))
    _fill(rng, scene, _blob(rng, size * 0.4, 24, 0.06) + head, skin)
    for side in (-1, 1):
        arm = np.array([[x, y + size * 0.2], [x + side * w * 2, y + size * rng.uniform(0, 0.6)]])
        start, stop = (tuple(int(v) for v in point) for point in arm)
        cv2.line(scene, start, stop, robe, max(2, int(size * 0.12)), cv2.LINE_AA)
        cv2.circle(scene, stop, max(2, int(size * 0.07)), skin, -1, cv2.LINE_AA)
        cv2.circle(scene, (head[0] + int(side * size * 0.07), head[1]), max(1, int(size * 0.04)), (255, 255, 255), -1)
        if rng.random() < 0.5:
            foot = np.array([x + side * w, y + size])
            _fill(rng, scene, _blob(rng, size * 0.25, 16, 0.05) + foot, (200, 30, 30))
    hair = INK if rng.random() < 0.5 else random_color(rng, (0, 60))
    _fill(rng, scene, _blob(rng, size * 0.3, 16, 0.2) * (1, 0.5) + (head[0], head[1] - size * 0.2), hair)


Thing = Callable[[np.random.Generator, Image, tuple[int, int], int], None]
THINGS: Final[tuple[Thing, ...]] = (_bush, _cloud, _stone, _pond, _ball, _tree, _mushroom, _wizard)
