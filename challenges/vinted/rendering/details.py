"""What lies on the body of a garment: collar, placket, pockets, bow, ruffles, belt."""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from challenges.vinted.rendering.arrays import Rng
from challenges.vinted.rendering.cuts import Cut
from challenges.vinted.rendering.outlines import Panel, Pieces, Seam, curve, mirror, neckline, ruffle


def collar(rng: Rng, cut: Cut) -> Pieces:
    """A shirt's collar: the stand seen from inside and two leaves; 'stand' has no leaves, 'peter' round ones."""
    w, d = cut.neck_width, cut.neck_depth
    cloth = "trim" if "trim" in cut.details else "main"
    stand = curve([(-w, 0), (-w * 0.9, -0.06), (0, -0.085), (w * 0.9, -0.06), (w, 0)], 4)
    fold = curve([(w, 0), (0, -0.03), (-w, 0)], 4)
    behind = [Panel(np.vstack([stand, [(0, d * 0.8)]]), "inside"), Panel(np.vstack([stand, fold]), cloth)]
    if "stand" in cut.details:
        band = np.array([(w * 0.95, -0.06), (w + 0.02, 0), (0.01, d + 0.045), (0, d)])
        return [*behind, *(Panel(band * (s, 1), cloth, s * 0.7, raised=True) for s in (1, -1))]
    reach = rng.uniform(0.05, 0.13)
    if "peter" in cut.details:
        leaf = curve([(w * 0.8, -0.05), (0.02, d), (0.08, d + reach), (w, d * 0.8 + reach), (w + 0.07, 0.02)], 5)
    else:
        tip = (rng.uniform(0.5, 1.05) * w, d + reach)
        leaf = np.array([(w * 0.86, -0.07), (w * 0.7, d * 0.35), (0.012, d), tip, (w + 0.05, 0.03), (w, -0.03)])
    return [*behind, *(Panel(leaf * (s, 1), cloth, s * 0.6, raised=True) for s in (1, -1))]


def _open_front(rng: Rng, cut: Cut) -> Pieces:
    """The inside that shows where the upper buttons, or all of them, are open."""
    x, d, bottom = cut.neck_width * 0.8, cut.neck_depth, cut.length + cut.hem_drop
    reach = bottom if rng.random() < 0.35 else d + rng.uniform(0.2, 0.6)
    gap = rng.uniform(0.05, 0.2) * (1.4 if reach == bottom else 1)
    right = curve([(x, 0.02), (gap, d + 0.1), (gap * 0.5, (d + reach) / 2), (0.015, reach)])
    left = curve([(0.0, reach), (-gap * 0.6, d + 0.15), (-x, 0.02)])
    return [Panel(np.vstack([right, left]), "inside")]


def _placket(rng: Rng, cut: Cut) -> Pieces:
    """The strip with the buttons."""
    d, bottom = cut.neck_depth, cut.length + cut.hem_drop
    x = rng.uniform(0.025, 0.045)
    strip = np.array([(-x, d), (x, d), (x, bottom), (-x, bottom)])
    return [
        Panel(strip, "trim" if rng.random() < 0.15 else "main", rng.choice([0.0, 0.0, 0.02]), raised=True),
        Seam(np.array([(0, d + 0.06), (0, bottom - 0.12)]), dots=rng.uniform(0.011, 0.018)),
    ]


def _pocket(rng: Rng, cut: Cut, side: int) -> Pieces:
    half, tall = 0.1, 0.22
    box = np.array([(-half, 0), (half, 0), (half, tall * 0.85), (0, tall), (-half, tall * 0.85)])
    box = np.add(box, (side * 0.24, cut.armhole * 0.95))
    on_the_bias = rng.choice([0.0, 0.78], p=[0.8, 0.2])
    return [Panel(box, "main", on_the_bias, raised=True), Seam(np.add(box[:2], (0, 0.045)))]


def _wrap(_: Rng, cut: Cut) -> Pieces:
    """The edge of a front that is laid over the other."""
    d, cross = cut.neck_depth, min(cut.skirt_y or cut.length * 0.75, cut.length * 0.8)
    return [Seam(curve([(-cut.neck_width, 0.02), (0.02, d), (0.2, (d + cross) / 2 + 0.06), (0.42, cross)]))]


def _frill(rng: Rng, cut: Cut) -> Pieces:
    """A ruffle about the neck."""
    return [ruffle(rng, mirror(neckline(cut)[::-1]), rng.uniform(0.06, 0.2), int(rng.integers(8, 18)))]


def _jabot(rng: Rng, cut: Cut) -> Pieces:
    """A ruffle down each side of the front."""
    d = cut.neck_depth
    line = curve([(0.0, d * 0.7), (0.03, d + 0.25), (0.0, d + 0.6)], 4)
    bands = [(s, np.abs(ruffle(rng, line, 0.11, 6).outline)) for s in (1, -1)]
    return [Panel(band * (s, 1), "main", 0.4 * s, raised=True, pleats=0.8) for s, band in bands]


def _bow(rng: Rng, cut: Cut) -> Pieces:
    u = rng.uniform
    loop = curve([(0, 0), (0.12, -0.07), (0.22, -0.03), (0.21, 0.06), (0.1, 0.05), (0, 0.01)], 4)
    tail = np.array([(0, 0), (0.03, 0), (u(0.07, 0.14), u(0.3, 0.6)), (0.02, u(0.3, 0.6))])
    cloth = "trim" if rng.random() < 0.3 else "main"
    size, knot = u(0.7, 1.2), (0, cut.neck_depth)
    return [Panel(part * (s * size, size) + knot, cloth, s, raised=True) for part in (tail, loop) for s in (1, -1)]


def _keyhole(_: Rng, cut: Cut) -> Pieces:
    d = cut.neck_depth
    return [Panel(curve([(0, d), (0.03, d + 0.1), (0, d + 0.17), (-0.03, d + 0.1), (0, d)], 4), "inside")]


def _tucks(rng: Rng, cut: Cut) -> Pieces:
    """Sewn-down folds below the neck."""
    top = cut.neck_depth * 0.8 + 0.03
    return [Seam(np.array([(x, top), (x, rng.uniform(0.5, 0.9))])) for x in np.linspace(-0.25, 0.25, 9)]


def _belt(rng: Rng, cut: Cut) -> Pieces:
    """A belt, half of them tied: the ends hang down."""
    y, half = cut.skirt_y or cut.waist_y, cut.waist / 2 + 0.005
    strip = np.array([(-half, y - 0.04), (half, y - 0.04), (half, y + 0.04), (-half, y + 0.04)])
    pieces: Pieces = [Panel(strip, "trim", raised=True)]
    if rng.random() < 0.5:
        tail = np.array([(0.02, 0), (0.07, 0), (0.13, 0.5), (0.06, 0.55)])
        pieces += [Panel(tail * (s, rng.uniform(0.6, 1.2)) + (0, y), "trim", raised=True) for s in (1, -0.6)]
    return pieces


# From the lowest to the one on top.
_FRONT: Final[dict[str, Callable[[Rng, Cut], Pieces]]] = {
    "open": _open_front, "placket": _placket, "pocket": partial(_pocket, side=1), "pocket2": partial(_pocket, side=-1),
    "wrap": _wrap, "frill": _frill, "jabot": _jabot, "bow": _bow, "keyhole": _keyhole, "tucks": _tucks, "belt": _belt,
}  # fmt: skip


def front(rng: Rng, cut: Cut) -> Pieces:
    """All that lies on the front of the body, but for the collar."""
    return [piece for name, sew in _FRONT.items() if name in cut.details for piece in sew(rng, cut)]
