"""Cloth: a print with its texture, and the cloths that go with it in one garment."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from challenges.vinted.rendering.arrays import Floats, Image, Rng, floats
from challenges.vinted.rendering.colors import accents, cloth_color
from challenges.vinted.rendering.folds import grain, shade
from challenges.vinted.rendering.prints import TILE, as_image, checks, dots, flowers, untagged

_MOTTOS: Final = (
    "BOYS", "ALOHA", "SUMMER", "N.01", "LOVE", "Paris", "1989", "SPORT", "hello", "NYC", "music", "W",
)  # fmt: skip
_KINDS: Final = ("plain", "stripes", "dye", "abstract", "animal", "zigzag", "motif")
_KIND_ODDS: Final = (0.58, 0.17, 0.04, 0.06, 0.05, 0.04, 0.06)
_KIND_ODDS_OF_VARIOUS: Final = (0, 0.4, 0.2, 0.2, 0, 0.1, 0.1)  # several colours are to show


@dataclass(frozen=True)
class Cloth:
    """Tiles (TILE, TILE, 3) of one garment, and what may be printed on its chest."""

    main: Image
    inside: Image
    trim: Image
    second: Image
    motto: str  # empty for none
    ink: Floats  # (3,)
    gloss: float  # share of a fold's shading that is added, as light from a surface is


def _mean(tile: Floats) -> Floats:
    return floats(cv2.mean(tile)[:3])  # numpy's mean over two axes is 50 times slower


def _printed(rng: Rng, ground: Floats, colors: Floats, tags: frozenset[str], kind: str, *, several: bool) -> Floats:
    """The print, (TILE, TILE, 3): checks below, then dots, then flowers; without tags that of `kind`."""
    tile = checks(rng, ground, colors) if "checker" in tags else untagged(rng, ground, colors, kind)
    if "polka dot" in tags:
        one = rng.random() < 0.8 and not several
        ink = accents(rng, _mean(tile), 1) if "checker" in tags else colors[: 1 if one else 3]
        tile = dots(rng, tile, ink, sparse="checker" in tags)
    if "floral" in tags:
        ink = accents(rng, _mean(tile), int(rng.integers(1, 5)))
        tile = flowers(rng, tile, ink, sparse=len(tags) > 1)
    return tile


def _texture(rng: Rng, *, shiny: bool) -> Image:
    """Shading of the threads, (TILE, TILE): woven, rib knit, or melange and linen."""
    kind = rng.choice(4, p=[0.4, 0.2, 0.3, 0.1])
    relief = grain(rng, (TILE, TILE))
    if kind == 1:  # rib knit
        ribs = np.sin(2 * np.pi * np.arange(TILE) * int(rng.integers(30, 70)) / TILE)
        relief = floats(2.2 * ribs[None]).repeat(TILE, 0)
    elif kind == 2:  # melange, linen
        relief = floats(cv2.blur(relief, (1, 5) if rng.random() < 0.5 else (3, 3))) * 2
    rough = rng.uniform(0.05, 0.1) if shiny else rng.uniform(0.005, 0.04)
    return np.asarray(np.clip(128 + 128 * rough * relief, 0, 255), np.uint8)


def _solid(texture: Image, color: Floats) -> Image:
    """Cloth of one colour with a texture, (TILE, TILE, 3)."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 128
    table = np.clip(levels * color, 0, 255).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(cv2.merge([texture] * 3), table), np.uint8)


def weave(rng: Rng, color: str, tags: frozenset[str], *, two_tone: bool = False) -> Cloth:
    """Cloth of a named colour that carries exactly these tags, or a plain or untagged print.

    With `two_tone` the second cloth is plain.
    """
    several, shiny = color == "VARIOUS", color in ("GOLD", "SILVER")
    ground = cloth_color(rng, color)
    n_colors = int(rng.integers(3, 6)) if several else int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2]))
    colors = accents(rng, ground, n_colors)
    kind = str(rng.choice(_KINDS, p=_KIND_ODDS_OF_VARIOUS if several else _KIND_ODDS))
    tile = _printed(rng, ground, colors, tags, "plain" if tags else kind, several=several)
    texture = _texture(rng, shiny=shiny)
    main = shade(as_image(tile), texture)
    mean = _mean(tile)
    depth = rng.uniform(0.55, 0.78)  # inside a garment it is darker, and the print is faint
    faded = depth * (0.45 * np.arange(256)[:, None] + 0.55 * mean)
    trim_color = accents(rng, mean, 1)[0] if rng.random() < 0.3 else ground
    return Cloth(
        main=main,
        inside=np.asarray(cv2.LUT(main, faded.astype(np.uint8)[None]), np.uint8),
        trim=main if rng.random() < 0.6 else _solid(texture, trim_color),
        second=_solid(texture, ground if tags or rng.random() < 0.4 else colors[0]) if two_tone else main,
        motto=str(rng.choice(_MOTTOS)) if not tags and kind == "plain" and rng.random() < 0.3 else "",
        ink=colors[0],
        gloss=rng.uniform(0.05, 0.12) + 0.15 * shiny,
    )
