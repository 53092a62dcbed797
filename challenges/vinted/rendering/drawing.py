"""A garment drawn flat: its panels laid over one another, then seams, lettering, buttons and folds."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from challenges.vinted.rendering.arrays import Floats, Image, Points, Rng, floats
from challenges.vinted.rendering.assembly import assemble
from challenges.vinted.rendering.cloth import Cloth, weave
from challenges.vinted.rendering.cuts import design
from challenges.vinted.rendering.folds import fold_shading, pleat_lines, shade
from challenges.vinted.rendering.outlines import Panel, Pieces, Seam
from challenges.vinted.rendering.prints import STAR, TILE

_SUBPIXELS: Final = 16  # OpenCV draws points given in 1/16 pixel, `shift=4`
_NATURAL_CHEST: Final = 230  # pixels: a chest this wide shows a print at the size of its tile


@dataclass(frozen=True)
class _Layers:
    """What is drawn on: RGB (H, W, 3), alpha (H, W) and the shading of seams and edges (H, W)."""

    rgb: Image
    alpha: Image
    relief: Image


def _pleats(rng: Rng, outline: Points, size: tuple[int, int]) -> Image:
    """Shading (h, w) of pleats that spread from the upper edge of a panel to its full width below."""
    lines = pleat_lines(rng)
    low, high = outline.min(0), outline.max(0)
    level = np.sort(outline[:, 1])[len(outline) // 8]
    top = outline[outline[:, 1] <= level]
    quad = floats([(top[:, 0].min(), low[1]), (top[:, 0].max() + 1, low[1]), high, (low[0], high[1])])
    left = float(rng.uniform(0, 75))
    source = floats([(left, 0), (left + 180, 0), (left + 180, 255), (left, 255)])
    view = cv2.getPerspectiveTransform(source, quad)
    return np.asarray(cv2.warpPerspective(lines, view, size[::-1], borderMode=cv2.BORDER_REFLECT), np.uint8)


def _print_view(centre: Points, angle: float, zoom: float) -> Floats:
    """Affine map (2, 3) from a panel's pixels to those of its tile."""
    c, s = np.cos(angle) / zoom, np.sin(angle) / zoom
    return floats([[c, s, -c * centre[0] - s * centre[1]], [-s, c, s * centre[0] - c * centre[1]]])


def _lay(rng: Rng, layers: _Layers, panel: Panel, outline: Points, tile: Image, view: tuple[float, float]) -> None:
    """Paint one panel, its outline in pixels: print, darker edges, pleats, and a soft shadow on what is under it.

    `view` is the angle (radians) and the zoom of the print.
    """
    h, w = layers.alpha.shape
    x0, y0 = np.clip(np.floor(outline.min(0)).astype(int) - 6, 0, (w - 1, h - 1))
    x1, y1 = np.clip(np.ceil(outline.max(0)).astype(int) + 8, (x0 + 1, y0 + 1), (w, h))
    here = (slice(y0, y1), slice(x0, x1))
    size = (int(y1 - y0), int(x1 - x0))
    local = outline - (x0, y0)
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.round(local * _SUBPIXELS).astype(np.int32)], 255, cv2.LINE_AA, 4)
    relief = layers.relief[here]
    if panel.raised:
        shadow = cv2.blur(mask, (7, 7), anchor=(5, 5))  # off centre: light comes from the upper left
        relief[:] = cv2.subtract(relief, cv2.convertScaleAbs(shadow, alpha=0.16))
    to_tile = _print_view(outline.mean(0) - (x0, y0), *view)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    print_ = cv2.warpAffine(tile, to_tile, size[::-1], flags=flags, borderMode=cv2.BORDER_WRAP)
    cv2.copyTo(print_, mask, layers.rgb[here])
    rim = rng.uniform(0.05, 0.22)
    shading = cv2.convertScaleAbs(cv2.blur(mask, (5, 5)), alpha=rim, beta=128 - rim * 255)
    if panel.pleats:
        depth = 0.55 * panel.pleats
        shading = cv2.addWeighted(shading, 1.0, _pleats(rng, local, size), depth, -128 * depth)
    cv2.copyTo(shading, mask, relief)
    layers.alpha[here] = cv2.max(layers.alpha[here], mask)


def _stitch(layers: _Layers, line: Points) -> None:
    """A seam, its line in pixels: dark, with a light edge below."""
    points = np.round(line * _SUBPIXELS).astype(np.int32)
    cv2.polylines(layers.relief, [np.add(points, (0, _SUBPIXELS))], False, 134, 1, cv2.LINE_AA, 4)
    cv2.polylines(layers.relief, [points], False, 108, 1, cv2.LINE_AA, 4)


def _write_motto(rng: Rng, layers: _Layers, cloth: Cloth, at: Points, unit: float) -> None:
    """Lettering, at times with a plain graphic, on the chest: a print without a tag."""
    ink = tuple(float(v) for v in cloth.ink)
    layer = layers.rgb.copy()
    x, y = (int(v) for v in at)
    half = unit * rng.uniform(0.1, 0.26)
    kind = rng.random()
    if kind < 0.3:
        low, high = (int(x - half), int(y - half)), (int(x + half), int(y + half))
        cv2.rectangle(layer, low, high, ink, -1 if kind < 0.15 else 2)
    elif kind < 0.45:
        cv2.fillPoly(layer, [(at + STAR * half).astype(np.int32)], ink, cv2.LINE_AA)
    elif kind < 0.6:
        cv2.ellipse(layer, (x, y), (int(half), int(half * 0.8)), 0, 0, 360, ink, max(int(unit * 0.02), 1), cv2.LINE_AA)
    font = int(rng.choice([cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX]))
    thick = int(rng.integers(1, 4))
    (width, height), _ = cv2.getTextSize(cloth.motto, font, 1, thick)
    size = unit * rng.uniform(0.25, 0.62) / width
    below = int(y + (height * size / 2 if kind > 0.6 else half + height * size * 1.4))
    cv2.putText(layer, cloth.motto, (int(x - width * size / 2), below), font, size, ink, thick, cv2.LINE_AA)
    cv2.copyTo(layer, layers.alpha, layers.rgb)


def _button_places(rng: Rng, seam: Seam) -> Points:
    """Where buttons sit on a seam, (n, 2), 0.13 to 0.2 chest widths from one another."""
    n = int(np.clip(np.ptp(seam.line[:, 1]) / rng.uniform(0.13, 0.2), 3, 12))
    return np.linspace(seam.line[0], seam.line[-1], n)


def _sew_buttons(rng: Rng, layers: _Layers, cloth: Cloth, buttons: list[tuple[Points, float]]) -> None:
    """Buttons, each a centre (2,) and a radius in pixels: of the ink's colour or a pale one near the cloth's."""
    pale = np.array(cv2.mean(cloth.main)[:3]) * 0.35 + 130
    color = tuple(float(v) for v in (cloth.ink if rng.random() < 0.4 else pale))
    for centre, radius in buttons:
        at, r = tuple(int(v) for v in np.round(centre * _SUBPIXELS)), int(max(radius, 1.6) * _SUBPIXELS)
        cv2.circle(layers.rgb, at, r, color, -1, cv2.LINE_AA, 4)
        cv2.circle(layers.relief, at, r + 8, 95, 1, cv2.LINE_AA, 4)


def _fit(rng: Rng, pieces: Pieces, size: tuple[int, int]) -> tuple[float, Points]:
    """Pixels per chest width, and where the origin of the cut lies, (2,): the garment in the canvas's middle."""
    points = np.vstack([p.outline for p in pieces if isinstance(p, Panel)])
    low, high = points.min(0), points.max(0)
    h, w = size
    unit = float(np.min((w, h) / (high - low))) * rng.uniform(0.74, 1.0)
    return unit, np.array((w, h)) / 2 - (low + high) / 2 * unit


def draw_garment(
    rng: Rng, category: str, color: str, tags: frozenset[str], size: tuple[int, int]
) -> tuple[Image, Image]:
    """Draw a garment flat and upright in the middle of a canvas.

    Args:
        rng: source of all choices.
        category: one of `CATEGORIES`.
        color: one of `COLORS`.
        tags: any of `TAGS`.
        size: (height, width) of the canvas, pixels.

    Returns:
        RGB (H, W, 3) uint8 and alpha (H, W) uint8; RGB means nothing where alpha is 0.
    """
    cut = design(rng, category)
    plain_top = bool(cut.skirt_y) and category.endswith("DRESSES") and rng.random() < 0.1
    cloth = weave(rng, color, tags, two_tone=plain_top)
    pieces = assemble(rng, cut, plain_top=plain_top)
    unit, origin = _fit(rng, pieces, size)
    layers = _Layers(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), np.full(size, 128, np.uint8))
    # straight, across or on the bias
    warp = rng.choice([0.0, np.pi / 2, np.pi / 4], p=[0.86, 0.1, 0.04]) + rng.normal(0, 0.02)
    zoom = float(np.clip(unit / _NATURAL_CHEST, 0.5, 1.4) * rng.uniform(0.8, 1.2))
    tiles = {
        "main": np.asarray(cv2.repeat(cloth.main, 2, 2), np.uint8),  # wrapping around is slow: do it rarely
        "inside": cloth.inside,
        "trim": cloth.trim,
        "second": cloth.second,
        "label": np.full((TILE, TILE, 3), 225, np.uint8),
    }
    buttons: list[tuple[Points, float]] = []
    for piece in pieces:
        if isinstance(piece, Panel):
            place = piece.outline * unit + origin
            _lay(rng, layers, piece, place, tiles[piece.cloth], (piece.angle + warp, zoom))
        elif piece.dots:
            buttons += [(spot * unit + origin, piece.dots * unit) for spot in _button_places(rng, piece)]
        else:
            _stitch(layers, piece.line * unit + origin)
    if cloth.motto and "placket" not in cut.details and category != "BLOUSES":
        _write_motto(rng, layers, cloth, np.array((0, cut.armhole + 0.12)) * unit + origin, unit)
    _sew_buttons(rng, layers, cloth, buttons)
    folds = fold_shading(rng, size, rng.uniform(0.15, 0.7), rng.uniform(0.7, 1.6))
    soft = fold_shading(rng, size, rng.uniform(0.1, 0.4), rng.uniform(1.6, 3.0))
    both = cv2.addWeighted(folds, 1.0, soft, 1.0, -128)
    relief = np.asarray(cv2.addWeighted(layers.relief, 1.0, both, 1.0, -128), np.uint8)
    return shade(layers.rgb, relief, cloth.gloss), layers.alpha
