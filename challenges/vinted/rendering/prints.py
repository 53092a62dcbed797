"""Prints: seamless square tiles, (TILE, TILE, 3) float32 in 0..255, that are laid on each panel of a garment."""

from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike

from challenges.vinted.rendering.arrays import Floats, Image, Points, Rng, floats
from challenges.vinted.rendering.folds import smooth_noise

TILE: Final = 256  # side of a tile, pixels
_SHAPE: Final = (TILE, TILE, 3)
_LEAVES: Final = ((58, 98, 52), (96, 130, 74), (30, 66, 48), (120, 150, 110))  # greens, sRGB
_HONEY: Final = (236, 196, 70)  # the middle of a daisy

_TURN = np.linspace(0, 2 * np.pi, 11)[:10]
# A star with five points inside the unit circle, (10, 2).
STAR: Final = np.column_stack([np.cos(_TURN), np.sin(_TURN)]) * np.where(np.arange(10) % 2, 0.42, 1.0)[:, None]


def as_image(tile: Floats) -> Image:
    """A tile as uint8, clipped."""
    return np.ascontiguousarray(np.clip(tile, 0, 255).astype(np.uint8))


def _blend(ground: Floats, color: Floats, mask: Floats) -> Floats:
    return np.asarray(ground * (1 - mask) + color * mask, np.float32)


# ---------------------------------------------------------------- checker


def _bands(colors: Floats, widths: ArrayLike, repeats: int) -> Floats:
    """One row of stripes, (TILE, n): `widths` share a period, which is repeated; n values per colour."""
    edges = np.cumsum(widths) / np.sum(widths)
    position = (np.arange(TILE * 4) * repeats / (TILE * 4)) % 1.0
    row = colors[np.searchsorted(edges[:-1], position, side="right")]
    return floats(row.reshape(TILE, 4, -1).mean(1))  # four samples per pixel: soft edges


def _hounds_tooth(repeats: int) -> Floats:
    """Mask of the darker threads, (TILE, TILE, 1): 4 and 4 threads of each colour in a 2/2 twill."""
    i, j = np.indices((8, 8))
    cell = np.where((i < 4) == (j < 4), i < 4, (i + j) % 4 < 2).astype(np.float32)
    cell = np.tile(cell, (max(repeats, 6),) * 2)
    return floats(cv2.resize(cell, (TILE, TILE), interpolation=cv2.INTER_AREA))[..., None]


def _squares(repeats: int) -> Floats:
    """Mask of a chess board, (TILE, TILE, 1)."""
    band = _bands(floats([[0], [1]]), [1, 1], max(repeats, 3))
    return floats(np.abs(band.T - band))[..., None]


def _threads(rng: Rng, ground: Floats, colors: Floats, kind: str) -> tuple[Floats, Floats]:
    """Colours (n, 3) and widths (n,) of the threads in one period of gingham, window-pane or tartan."""
    if kind == "gingham":
        return np.stack([ground, colors[0]]), floats([rng.uniform(0.45, 0.65), 0.45])
    if kind == "window":
        thin = rng.uniform(0.05, 0.16, 2)
        return np.stack([ground, colors[0], ground, colors[-1]]), floats([0.5, thin[0], 0.5, thin[1]])
    half = rng.integers(1, len(colors) + 1, int(rng.integers(3, 6)))
    half[0] = 0
    order = np.concatenate([half, half[-2:0:-1]])  # a tartan is symmetric about its first and last thread
    widths = floats(rng.uniform(0.06, 0.5, len(order)) ** 1.3)
    widths[0] = widths.sum() * rng.uniform(0.4, 0.8)
    return np.vstack([ground[None], colors])[order], widths


def checks(rng: Rng, ground: Floats, colors: Floats) -> Floats:
    """Gingham, tartan, window-pane, squares or hound's-tooth, tiny to large, on a ground (3,)."""
    kind = str(rng.choice(["gingham", "tartan", "window", "squares", "tooth"], p=[0.28, 0.42, 0.16, 0.07, 0.07]))
    repeats = int(rng.choice([2, 3, 4, 6, 8, 11, 14, 18, 24], p=[0.08, 0.12, 0.16, 0.16, 0.14, 0.12, 0.1, 0.07, 0.05]))
    stretch = repeats + int(rng.integers(0, 2)) * (repeats > 3)
    if kind in ("tooth", "squares"):
        return _blend(ground, colors[0], _hounds_tooth(repeats) if kind == "tooth" else _squares(repeats))
    threads, widths = _threads(rng, ground, colors, kind)
    warp, weft = _bands(threads, widths, repeats), _bands(threads, widths, stretch)
    tile = (warp[None] + weft[:, None]) / 2  # (TILE, TILE, 3): threads of both directions show
    if kind == "window":  # a single thin line shows at half strength otherwise
        tile = ground + (tile - ground) * 1.7
    return np.clip(tile, 0, 255).astype(np.float32)


# ---------------------------------------------------------------- polka dot


def dots(rng: Rng, tile: Floats, colors: Floats, *, sparse: bool) -> Floats:
    """Round dots on a staggered or square grid, tiny to large; `sparse` ones leave what is under them visible."""
    rows = 2 * round(float(np.exp(rng.uniform(np.log(4 if sparse else 2), np.log(9 if sparse else 15)))))
    period = TILE / rows
    radius = max(period * (rng.uniform(0.16, 0.24) if sparse else rng.uniform(0.19, 0.38)), 1.6)
    j, i = np.indices((rows + 2, rows + 2)) - 1  # one more on each side: dots that cross the tile's border
    stagger = 0.5 * (j % 2) if rng.random() < 0.75 else 0.0
    loose = rng.uniform(0, 0.1)
    # sines of the position modulo `rows`: looks random, and both sides of the tile agree
    x = i + 0.5 + stagger + loose * np.sin(7.3 * (i % rows) + 3.1 * (j % rows))
    y = j + 0.5 + loose * np.sin(5.7 * (i % rows) - 2.3 * (j % rows))
    index = ((i % rows) * 7 + (j % rows) * 5) % len(colors)
    canvas = as_image(tile)
    for u, v, k in zip((x * period * 16).ravel(), (y * period * 16).ravel(), index.ravel(), strict=True):
        cv2.circle(canvas, (int(u), int(v)), int(radius * 16), colors[k].tolist(), -1, cv2.LINE_AA, 4)
    return canvas.astype(np.float32)


# ---------------------------------------------------------------- floral

_Shapes: TypeAlias = list[tuple[Points, Floats]]


def _stamp(tile: Image, outline: Points, color: Floats) -> None:
    """Fill a polygon on a seamless tile: what leaves on one side comes back on the other."""
    points = (outline * 16).astype(np.int32)
    left, top, width, height = cv2.boundingRect(points)
    fill, side = color.tolist(), TILE * 16
    for dx in (-side, 0, side):
        for dy in (-side, 0, side):
            if -width < left + dx < side and -height < top + dy < side:
                cv2.fillPoly(tile, [points + np.array((dx, dy), np.int32)], fill, cv2.LINE_AA, 4)


def _rotation(angle: float) -> Points:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _petals(rng: Rng, radius: float, petals: int, depth: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 8 * petals, endpoint=False)
    r = radius * (1 - depth + depth * np.abs(np.cos(petals * angle / 2)) ** 0.8) * rng.uniform(0.92, 1.08, angle.size)
    turn = angle + rng.uniform(0, 6.3)
    return np.column_stack([r * np.cos(turn), r * np.sin(turn) * rng.uniform(0.7, 1.0)])


def _leaf(length: float, width: float, angle: float) -> Points:
    t = np.linspace(0, 1, 9)
    side = width * np.sin(np.pi * t) ** 0.8
    flat = np.vstack([np.column_stack([length * t, side]), np.column_stack([length * t, -side])[::-1]])
    return np.asarray(flat @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], float)


def _flower(rng: Rng, radius: float, color: Floats, style: str) -> _Shapes:
    """Polygons of one flower with its leaves: 'daisy', 'rose', 'line' (a silhouette) or 'frond' (leaves only)."""
    green = color if style in ("line", "frond") else floats(_LEAVES[int(rng.integers(4))])
    n_leaves = int(rng.integers(5, 10)) if style == "frond" else int(rng.integers(0, 4))
    heading = rng.uniform(0, 6.3)
    shapes: _Shapes = []
    for k in range(n_leaves):
        angle = heading + (k - n_leaves / 2) * 0.5 if style == "frond" else rng.uniform(0, 6.3)
        shapes.append((_leaf(radius * rng.uniform(1.3, 2.1), radius * 0.28, angle), green))
    if style == "frond":
        return shapes
    if style == "rose":  # rings of petals, light and dark in turn
        for k, scale in enumerate((1.0, 0.78, 0.56, 0.34)):
            tone = np.clip(color * (1 + (0.22 if k % 2 else -0.12)) + (k % 2) * 12, 0, 255)
            shift = rng.uniform(-0.14, 0.14, 2) * radius
            shapes.append((shift + _petals(rng, radius * scale, int(rng.integers(5, 8)), 0.22), tone))
        return shapes
    petals, depth = int(rng.integers(5, 7)), rng.uniform(0.4, 0.65)
    shapes.append((_petals(rng, radius, petals, depth), color))
    if style == "daisy":
        if radius > 9:
            shapes.append((_petals(rng, radius * 0.62, petals, depth), np.clip(color * 0.82, 0, 255)))
        middle = floats(_HONEY) if np.abs(color - _HONEY).sum() > 140 else color * 0.4
        shapes.append((_petals(rng, max(radius * 0.27, 1.3), 6, 0.1), middle))
    return shapes


def flowers(rng: Rng, tile: Floats, colors: Floats, *, sparse: bool) -> Floats:
    """Scattered flowers and leaves on a tile: ditsy, large roses, silhouettes or tropical leaves."""
    style = str(rng.choice(["daisy", "rose", "line", "frond"], p=[0.4, 0.34, 0.16, 0.1]))
    style = "daisy" if sparse and style == "frond" else style
    across = int(rng.choice([2, 3, 4, 5, 6, 8], p=[0.1, 0.18, 0.24, 0.2, 0.16, 0.12]))
    across = min(across, {"frond": 4, "rose": 5}.get(style, 8))  # smaller ones would be specks
    step = TILE / across
    radius = max(step * (rng.uniform(0.2, 0.3) if sparse else rng.uniform(0.26, 0.52)), 4.5)
    layers = 1 if style == "frond" or sparse else int(rng.integers(1, 3))
    variants = [_flower(rng, radius, colors[k % len(colors)], style) for k in range(8)]  # printed again and again
    spots = [(i, j) for i in range(across) for j in range(across)]
    canvas = as_image(tile)
    for k in rng.permutation(len(spots) * layers):
        i, j = spots[k % len(spots)]
        second = k >= len(spots)
        centre = (np.array([i + 0.5 * (j % 2), j]) + rng.uniform(-0.3, 0.3, 2) + 0.5 * second) * step
        scale, turn = rng.uniform(0.7, 1.2) * (0.55 if second else 1.0), rng.uniform(0, 6.3)
        spin = scale * _rotation(turn)
        for outline, color in variants[int(rng.integers(8))]:
            _stamp(canvas, outline @ spin + centre, color)
    if style == "rose" and rng.random() < 0.3:  # watercolour
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), 2.2), np.uint8)
    return canvas.astype(np.float32)


# ---------------------------------------------------------------- prints without a tag


def _plain(ground: Floats) -> Floats:
    return floats(cv2.resize(ground[None, None], (TILE, TILE), interpolation=cv2.INTER_NEAREST))


def _stripes(rng: Rng, ground: Floats, colors: Floats) -> Floats:
    n = int(rng.integers(1, 3)) if len(colors) > 1 else 1
    order = [0, 1] * n if len(colors) < 3 else list(rng.permutation(len(colors) + 1))
    widths = rng.uniform(0.2, 1.0, len(order))
    widths[[k for k, c in enumerate(order) if c == 0]] += 0.6
    row = _bands(np.vstack([ground[None], colors])[order], widths, int(rng.integers(2, 26)))
    rows = np.broadcast_to(row[:, None], _SHAPE)
    return np.ascontiguousarray(rows if rng.random() < 0.5 else rows.swapaxes(0, 1))


def _zigzag(rng: Rng, ground: Floats, colors: Floats) -> Floats:
    x = np.abs((np.arange(TILE) * int(rng.integers(4, 16)) / TILE) % 1 - 0.5)
    y = np.arange(TILE) * int(rng.integers(4, 14)) / TILE
    mask = np.clip((np.sin(2 * np.pi * (y[:, None] + x[None])) - rng.uniform(-0.3, 0.6)) * 4, 0, 1)[..., None]
    return np.asarray(_plain(ground) * (1 - mask) + colors[0] * mask, np.float32)


def _blotches(rng: Rng, ground: Floats, colors: Floats, kind: str) -> Floats:
    """'dye' (soft clouds), 'abstract' (hard ones) or 'animal' (rings about the level lines of one noise)."""
    cells = {"dye": 4, "abstract": 8, "animal": 16}[kind] * int(rng.choice([1, 2]))
    noise = smooth_noise(rng, (cells, cells), TILE)
    hard = 1.0 if kind == "dye" else 12.0
    tile = _plain(ground)
    for k, color in enumerate(colors):
        band = np.abs(noise - 0.7 * k) - rng.uniform(0.2, 0.4) if kind == "animal" else 0.5 + k - noise
        alpha = np.clip(0.5 - hard * band, 0, 1)[..., None]
        tile = tile * (1 - alpha) + color * alpha
        noise = noise if kind == "animal" else smooth_noise(rng, (cells, cells), TILE)
    return np.asarray(tile, np.float32)


def _motifs(rng: Rng, ground: Floats, colors: Floats) -> Floats:
    """Small feathers, stars, birds or triangles on a staggered grid."""
    canvas, across = as_image(_plain(ground)), int(rng.integers(4, 10))
    bird, triangle = floats([[-0.8, 0], [0, -0.5], [0.9, 0.1], [0, 0.1]]), floats([[-0.7, 0.5], [0.7, 0.5], [0, -0.7]])
    shape = (_leaf(1.6, 0.12, 0.4), STAR, bird, triangle)[int(rng.integers(4))]
    for k in range(across * across):
        place = np.array([k % across + 0.5 * (k // across % 2), k // across]) + rng.uniform(-0.15, 0.15, 2)
        spin = _rotation(rng.uniform(0, 6.3))
        _stamp(canvas, (place + shape @ spin * 0.3) * (TILE / across), colors[k % len(colors)])
    return canvas.astype(np.float32)


def untagged(rng: Rng, ground: Floats, colors: Floats, kind: str) -> Floats:
    """A print that carries no tag: 'stripes', 'zigzag', 'dye', 'abstract', 'animal', 'motif' or 'plain'."""
    if kind == "stripes":
        return _stripes(rng, ground, colors)
    if kind == "zigzag":
        return _zigzag(rng, ground, colors)
    if kind == "motif":
        return _motifs(rng, ground, colors)
    return _plain(ground) if kind == "plain" else _blotches(rng, ground, colors, kind)
