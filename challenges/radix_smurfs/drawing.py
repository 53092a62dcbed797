"""Drawn gnomes and the scenes they stand in: stand-ins for Smurfs, told apart by hat, beard, hair and flower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Mask = NDArray[np.bool_]  # (H, W)
Colour = tuple[int, int, int]

# As flat in comics as in the challenge's drawings, duller and more violet as in its television frames.
SKINS: Final[tuple[Colour, ...]] = ((60, 180, 232), (45, 160, 225), (86, 116, 205), (72, 96, 190))
WHITE: Final = (248, 247, 244)
RED: Final = (208, 32, 38)
YELLOW: Final = (247, 208, 60)
PINK: Final = (238, 120, 160)
INK: Final = (22, 22, 26)

WIDTH: Final = 0.96  # of the canvas of a gnome, as a share of its height
_FINER: Final = 3  # drawn this much larger and averaged, which smooths the lines


@dataclass(frozen=True)
class Gnome:
    """What stays the same of a gnome while it moves."""

    name: str  # one of dataset.NAMES
    skin: Colour
    lean: float  # degrees
    arms: tuple[float, float]  # degrees from hanging down, left and right
    mirrored: bool
    smile: float  # -1 to 1


def draw_lots(rng: np.random.Generator, name: str, style: int) -> Gnome:
    """A gnome of this name; `style` 0 or 1 is the drawing style, which decides its skin."""
    return Gnome(
        name,
        skin=SKINS[2 * style + int(rng.integers(2))],
        lean=float(rng.uniform(-9, 9)),
        arms=(float(rng.uniform(10, 130)), float(rng.uniform(10, 130))),
        mirrored=bool(rng.integers(2)),
        smile=float(rng.uniform(-1, 1)),
    )


def draw_gnome(gnome: Gnome, height: int, phase: float = 0.0) -> tuple[Image, Mask]:
    """Draw a gnome from hat to shoes.

    Args:
        gnome: which.
        height: of the picture in pixels; its width is WIDTH times that.
        phase: of its walk, in steps; 0 stands still.

    Returns:
        RGB (H, W, 3) and (H, W) where it covers what is behind.
    """
    canvas = _Canvas(height, gnome.lean)
    papa, smurfette = gnome.name == "Papa Smurf", gnome.name == "Smurfette"
    clothes = RED if papa else WHITE
    swing = 0.05 * float(np.sin(2 * np.pi * phase))
    if smurfette:
        _draw_hair(canvas)
    for side, lift in ((-1, swing), (1, -swing)):
        leg = gnome.skin if smurfette else clothes
        canvas.limb((0.06 * side, 0.78), (0.075 * side + lift, 0.93), 0.055, leg)
        canvas.ellipse((0.1 * side + lift, 0.95), (0.095, 0.045), clothes)
    canvas.ellipse((0, 0.64), (0.125, 0.15), gnome.skin)
    if smurfette:
        canvas.polygon(
            [(-0.1, 0.6), (0.1, 0.6), (0.19, 0.84), (0.07, 0.8), (0, 0.85), (-0.08, 0.8), (-0.19, 0.84)], WHITE
        )
    else:
        canvas.ellipse((0, 0.77), (0.125, 0.075), clothes)
    for side, angle in zip((-1, 1), gnome.arms, strict=True):
        turn = np.deg2rad(angle + 400 * swing)
        hand = (side * (0.11 + 0.19 * float(np.sin(turn))), 0.57 + 0.19 * float(np.cos(turn)))
        canvas.limb((0.1 * side, 0.57), hand, 0.035, gnome.skin)
        canvas.ellipse(hand, (0.048, 0.042), gnome.skin)
    _draw_head(canvas, gnome)
    return canvas.finish(gnome.mirrored)


def _draw_hair(canvas: _Canvas) -> None:
    """Long, behind the head and over both shoulders."""
    side = [(0, 0.22), (0.25, 0.26), (0.34, 0.42), (0.32, 0.58), (0.42, 0.72), (0.24, 0.8), (0.1, 0.74), (0, 0.5)]
    canvas.polygon(side, YELLOW, smooth=True)
    canvas.polygon([(-x, y) for x, y in side], YELLOW, smooth=True)


def _draw_head(canvas: _Canvas, gnome: Gnome) -> None:
    papa = gnome.name == "Papa Smurf"
    for side in (-1, 1):
        canvas.ellipse((0.205 * side, 0.41), (0.055, 0.06), gnome.skin)
    canvas.ellipse((0, 0.41), (0.19, 0.155), gnome.skin)
    if papa:
        beard = [
            (-0.2, 0.4),
            (-0.1, 0.46),
            (0, 0.45),
            (0.1, 0.46),
            (0.2, 0.4),
            (0.2, 0.54),
            (0.1, 0.63),
            (-0.1, 0.63),
            (-0.2, 0.54),
        ]
        canvas.polygon(beard, WHITE, smooth=True)
    for side in (-1, 1):
        canvas.ellipse((0.055 * side, 0.375), (0.05, 0.062), WHITE)
        canvas.ellipse((0.055 * side + 0.015, 0.385), (0.016, 0.026), INK)
    mouth = [
        (x, 0.5 + (0.04 if papa else 0) + 0.03 * gnome.smile * (1 - (x / 0.07) ** 2))
        for x in np.linspace(-0.07, 0.07, 7)
    ]
    canvas.line(mouth)
    canvas.ellipse((0.03, 0.44), (0.06, 0.045), gnome.skin)
    if gnome.name == "Smurfette":
        fringe = [(-0.23, 0.25), (0.23, 0.25), (0.25, 0.42), (0.14, 0.33), (-0.02, 0.37), (-0.14, 0.33), (-0.25, 0.42)]
        canvas.polygon(fringe, YELLOW, smooth=True)
    hat = [
        (-0.23, 0.3),
        (-0.22, 0.19),
        (-0.12, 0.07),
        (0.04, 0.02),
        (0.2, 0.03),
        (0.31, 0.1),
        (0.33, 0.19),
        (0.25, 0.2),
        (0.22, 0.3),
        (0, 0.27),
    ]
    canvas.polygon(hat, RED if papa else WHITE, smooth=True)
    canvas.line([(0.25, 0.19), (0.19, 0.16), (0.12, 0.15)])
    if gnome.name == "Vanity Smurf":
        turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        reach = 0.115 * (0.7 + 0.3 * np.abs(np.cos(2.5 * turns)))  # five petals
        canvas.polygon(np.stack([reach * np.cos(turns) - 0.07, reach * np.sin(turns) + 0.165], axis=1), PINK)
        canvas.ellipse((-0.07, 0.165), (0.022, 0.022), YELLOW)


class _Canvas:
    """Shapes with inked outlines in units of the gnome's height: x from its middle, y from the tip of the hat."""

    def __init__(self, height: int, lean: float) -> None:
        self.height, self.width = height, round(height * WIDTH)
        self.unit = height * _FINER
        shape = (height * _FINER, self.width * _FINER)
        self.pixels = np.zeros((*shape, 3), np.uint8)
        self.cover = np.zeros(shape, np.uint8)
        self.ink = max(1, round(0.012 * self.unit))
        turn = np.deg2rad(lean)
        self.turn = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])

    def _place(self, points: Sequence[tuple[float, float]] | NDArray[np.float64]) -> NDArray[np.int32]:
        about_feet = (np.asarray(points, float) - (0, 0.95)) @ self.turn * 0.96 + (0, 0.95)
        return np.asarray(np.rint(about_feet * self.unit + np.array([self.pixels.shape[1] / 2, 0])), np.int32)

    def polygon(
        self, points: Sequence[tuple[float, float]] | NDArray[np.float64], fill: Colour, smooth: bool = False
    ) -> None:
        """Fill and outline; smooth rounds the corners off."""
        placed = self._place(_round_corners(np.asarray(points, float)) if smooth else points)
        for target, colour, ink in ((self.pixels, fill, INK), (self.cover, 255, 255)):
            cv2.fillPoly(target, [placed], colour)
            cv2.polylines(target, [placed], True, ink, self.ink, cv2.LINE_AA)

    def ellipse(self, centre: tuple[float, float], radii: tuple[float, float], fill: Colour) -> None:
        """Axes along x and y."""
        turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        self.polygon(np.array(centre) + np.array(radii) * np.stack([np.cos(turns), np.sin(turns)], axis=1), fill)

    def limb(self, start: tuple[float, float], end: tuple[float, float], radius: float, fill: Colour) -> None:
        """A bar of this half-width."""
        a, b = np.array(start), np.array(end)
        along = (b - a) / np.linalg.norm(b - a)
        across = radius * np.array([-along[1], along[0]])
        self.polygon(np.array([a - across, a + across, b + across, b - across]), fill)

    def line(self, points: Sequence[tuple[float, float]]) -> None:
        """Ink only."""
        cv2.polylines(self.pixels, [self._place(points)], False, INK, self.ink, cv2.LINE_AA)

    def finish(self, mirrored: bool) -> tuple[Image, Mask]:
        """Average down to the picture's size."""
        size = (self.width, self.height)
        pixels = cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)
        cover = cv2.resize(self.cover, size, interpolation=cv2.INTER_AREA)
        # Where a pixel is covered in part, the black of the empty canvas is in it; it belongs to the ink line.
        step = -1 if mirrored else 1
        return np.ascontiguousarray(pixels[:, ::step]), np.ascontiguousarray(cover[:, ::step] > 127)


def _round_corners(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut the corners of a closed polygon three times (Chaikin, 1974)."""
    for _ in range(3):
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1).reshape(-1, 2)
    return points


def draw_scene(rng: np.random.Generator, height: int, width: int, style: int) -> Image:
    """A clearing with hills, trees and mushroom houses: (H, W, 3) without anybody in it."""
    dull = 1.0 if style == 0 else 0.78
    scene = np.empty((height, width, 3), np.uint8)
    sky, ground = ((140, 205, 245), (150, 200, 90)) if rng.random() < 0.7 else ((235, 200, 120), (205, 165, 95))
    horizon = int(height * rng.uniform(0.3, 0.5))
    scene[:horizon] = _shade(sky, dull)
    scene[horizon:] = _shade(ground, dull)
    for _ in range(3):
        centre = (int(rng.integers(width)), horizon + int(0.05 * height))
        axes = (int(rng.uniform(0.2, 0.5) * width), int(rng.uniform(0.08, 0.2) * height))
        cv2.ellipse(
            scene, centre, axes, 0, 0, 360, _shade((95, 160, 70), dull * rng.uniform(0.8, 1.1)), -1, cv2.LINE_AA
        )
    scene[horizon + int(0.05 * height) :] = _shade(ground, dull)
    for _ in range(int(rng.integers(2, 5))):
        x, y = int(rng.integers(width)), int(rng.uniform(horizon / height, 0.62) * height)
        (_draw_house if rng.random() < 0.5 else _draw_tree)(scene, rng, x, y, rng.uniform(0.18, 0.32) * height, dull)
    for _ in range(25):
        x, y = int(rng.integers(width)), int(rng.integers(horizon + height // 10, height))
        cv2.line(scene, (x, y), (x + int(rng.integers(-4, 5)), y - 7), _shade((70, 130, 50), dull), 2, cv2.LINE_AA)
    if style == 1:  # painted backgrounds are uneven
        noise = cv2.resize(
            rng.normal(0, 10, (9, 12)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        scene = np.clip(scene + noise[:, :, None], 0, 255).astype(np.uint8)
    return scene


def _draw_house(scene: Image, rng: np.random.Generator, x: int, y: int, size: float, dull: float) -> None:
    """A mushroom with a door: red, yellow and white without being anybody."""
    cap = _shade(((205, 60, 50), (230, 180, 70), (190, 110, 60))[int(rng.integers(3))], dull)
    wall, ink = _shade((240, 228, 190), dull), _shade(INK, 1)
    half = int(size / 2)
    cv2.rectangle(scene, (x - half // 2, y - half), (x + half // 2, y), wall, -1)
    cv2.rectangle(scene, (x - half // 2, y - half), (x + half // 2, y), ink, 2)
    cv2.ellipse(scene, (x, y - half), (int(0.8 * half), int(0.75 * half)), 0, 180, 360, cap, -1, cv2.LINE_AA)
    cv2.ellipse(scene, (x, y - half), (int(0.8 * half), int(0.75 * half)), 0, 180, 360, ink, 2, cv2.LINE_AA)
    for dx in (-0.4, 0.05, 0.45):
        cv2.circle(
            scene, (x + int(dx * half), y - int(1.3 * half)), max(2, half // 9), _shade(WHITE, dull), -1, cv2.LINE_AA
        )
    cv2.ellipse(scene, (x, y), (half // 5, half // 2), 0, 180, 360, _shade((120, 78, 45), dull), -1, cv2.LINE_AA)


def _draw_tree(scene: Image, rng: np.random.Generator, x: int, y: int, size: float, dull: float) -> None:
    trunk, leaves = _shade((115, 78, 48), dull), _shade((60, 125, 55), dull * rng.uniform(0.8, 1.2))
    cv2.rectangle(scene, (x - int(0.06 * size), y - int(0.7 * size)), (x + int(0.06 * size), y), trunk, -1)
    for dx, dy in ((-0.25, -0.8), (0.25, -0.8), (0, -1.05)):
        cv2.circle(scene, (x + int(dx * size), y + int(dy * size)), int(0.33 * size), leaves, -1, cv2.LINE_AA)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(np.clip(channel * factor, 0, 255)) for channel in colour)
    return red, green, blue


def paste(scene: Image, gnome: Image, cover: Mask, left: int, top: int) -> Mask:
    """Draw a gnome into a scene, in place, cut off at the edge; returns the (H, W) pixels that it covers."""
    height, width = scene.shape[:2]
    covered = np.zeros((height, width), bool)
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(height, top + cover.shape[0]), min(width, left + cover.shape[1])
    if y0 < y1 and x0 < x1:
        window = cover[y0 - top : y1 - top, x0 - left : x1 - left]
        covered[y0:y1, x0:x1] = window
        scene[y0:y1, x0:x1][window] = gnome[y0 - top : y1 - top, x0 - left : x1 - left][window]
    return covered
