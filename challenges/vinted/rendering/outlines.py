"""Outlines of the pieces of a garment, in the units of its `Cut`."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from challenges.vinted.rendering.arrays import Points, Rng
from challenges.vinted.rendering.cuts import Cut


@dataclass(frozen=True)
class Panel:
    """A piece of cloth."""

    outline: Points  # closed
    cloth: str = "main"  # a tile of `Cloth`, or 'label'
    angle: float = 0.0  # of the print, radians
    raised: bool = False  # casts a shadow on what lies under it
    pleats: float = 0.0  # their strength


@dataclass(frozen=True)
class Seam:
    """A line on the cloth; with `dots`, the radius of a button, buttons along it."""

    line: Points
    dots: float = 0.0


Pieces: TypeAlias = list[Panel | Seam]


def curve(points: ArrayLike, n: int = 6) -> Points:
    """Uniform Catmull-Rom spline through points (k, 2): ((k - 1) * n + 1, 2).

    Source: E. Catmull and R. Rom, A class of local interpolating splines, 1974. The ends are extrapolated.
    """
    p = np.asarray(points, float)
    padded = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, 1, n, endpoint=False)[:, None, None]
    a, b, c, d = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    q = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.vstack([q.swapaxes(0, 1).reshape(-1, 2), p[-1:]])


def mirror(half: Points) -> Points:
    """A line on the right, and back on the left: (2 n, 2)."""
    return np.vstack([half, half[::-1] * (-1, 1)])


def neckline(cut: Cut) -> Points:
    """Right half of the front neckline, from the middle up to the shoulder."""
    w, d = cut.neck_width, cut.neck_depth
    if cut.neck == "v":
        return curve([(0, d), (w * 0.6, d * 0.42), (w, 0)], 4)
    if cut.neck == "square":
        return np.array([(0, d), (w * 0.92, d * 0.95), (w, 0)])
    if cut.neck == "cami":
        return curve([(0, d), (0.3, d - 0.09), (0.5, cut.armhole)], 4)
    if cut.neck == "off":
        return curve([(0, d), (0.3, d * 0.7), (cut.shoulder, cut.slope)], 4)
    t = np.linspace(0, np.pi / 2, 9)
    return np.column_stack([w * np.sin(t) ** 0.8, d * np.cos(t) ** 0.8])


def body_side(cut: Cut) -> Points:
    """Right edge of the body from the shoulder to the hem (or to the seam of a skirt)."""
    bottom = cut.skirt_y or cut.length
    width = cut.waist / 2 if cut.skirt_y else cut.hem
    down = [(0.5, cut.armhole), (cut.waist / 2, cut.waist_y), (width, bottom)]
    down = down if cut.waist_y < bottom - 0.1 else [down[0], down[2]]
    if cut.neck == "cami":
        return curve(down)
    if cut.sleeve > 0.02:
        return np.vstack([[(cut.shoulder, cut.slope)], curve(down)])
    inner = min(cut.shoulder - 0.015, 0.46)
    arm = curve([(cut.shoulder, cut.slope), (inner, cut.armhole * 0.6), (0.5, cut.armhole)], 5)
    return np.vstack([arm, curve(down)[1:]])


def ruffle(rng: Rng, line: Points, depth: float, waves: int, angle: float = 0.0) -> Panel:
    """A gathered band that hangs from a line, its lower edge wavy."""
    t = np.linspace(0, 1, 6 * waves)
    at = np.linspace(0, 1, len(line))
    upper = np.column_stack([np.interp(t, at, line[:, k]) for k in (0, 1)])
    along = np.gradient(upper, axis=0)
    normal = np.column_stack([-along[:, 1], along[:, 0]]) / (np.linalg.norm(along, axis=1)[:, None] + 1e-9)
    normal *= 1.0 if normal[:, 1].sum() >= 0 else -1.0  # down
    wave = 1 + 0.16 * np.sin(2 * np.pi * waves * t + rng.uniform(0, 6)) + 0.06 * rng.standard_normal(len(t))
    lower = upper * (1.03, 1) + normal * depth * wave[:, None]
    return Panel(np.vstack([upper, lower[::-1]]), "main", angle, raised=True, pleats=0.9)
