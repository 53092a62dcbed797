"""Colours of cloth: one per name of the data set, and colours that show on it."""

from typing import Final

import numpy as np

from challenges.vinted.rendering.arrays import Floats, Rng, floats

# sRGB of a typical cloth of each name; VARIOUS has no colour of its own.
PALETTE: Final[dict[str, tuple[int, int, int]]] = {
    "APRICOT": (247, 190, 150), "BLACK": (33, 32, 35), "BLUE": (38, 84, 172), "BODY": (222, 186, 160),
    "BROWN": (104, 70, 48), "BURGUNDY": (112, 22, 42), "CORAL": (243, 108, 94), "CREAM": (240, 229, 203),
    "DARK-GREEN": (24, 72, 50), "GOLD": (192, 154, 78), "GREEN": (66, 152, 72), "GREY": (136, 137, 141),
    "KHAKI": (126, 122, 82), "LIGHT-BLUE": (158, 194, 228), "LILAC": (190, 164, 216),
    "MINT": (164, 220, 194), "MUSTARD": (206, 156, 42), "NAVY": (30, 37, 76), "ORANGE": (240, 124, 32),
    "PINK": (232, 96, 156), "PURPLE": (106, 50, 136), "RED": (200, 28, 38), "ROSE": (218, 164, 170),
    "SILVER": (184, 187, 192), "TURQUOISE": (28, 160, 166), "WHITE": (238, 238, 236),
    "YELLOW": (244, 210, 62),
}  # fmt: skip


def cloth_color(rng: Rng, name: str) -> Floats:
    """A shade of a named colour, sRGB (3,); VARIOUS gives any colour."""
    base = PALETTE[name] if name in PALETTE else PALETTE[str(rng.choice(list(PALETTE)))]
    return np.clip(floats(base) * rng.uniform(0.9, 1.08) + rng.normal(0, 5, 3), 8, 250).astype(np.float32)


def accents(rng: Rng, ground: Floats, n: int) -> Floats:
    """Colours that show on a ground, (n, 3): white, dark, tonal or any; faint to strong, never invisible."""
    chosen: list[Floats] = []
    distance = 119.0  # asked for between colour and ground, summed over R, G and B
    while len(chosen) < n:
        kind = rng.random()
        if kind < 0.34:
            color = floats((242, 240, 234))
        elif kind < 0.48:
            color = floats(PALETTE["BLACK" if rng.random() < 0.6 else "NAVY"])
        elif kind < 0.62:
            color = np.clip(ground + rng.choice([-1, 1]) * rng.uniform(45, 90), 0, 255).astype(np.float32)
        else:
            color = cloth_color(rng, "VARIOUS")
        color = ground + (color - ground) * np.float32(rng.uniform(0.7, 1.0))
        distance *= 0.97  # a mid grey has no far colours: be content with less after some tries
        if np.abs(color - ground).sum() > distance:
            chosen.append(color)
    return np.stack(chosen)
