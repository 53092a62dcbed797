"""Film posters drawn from genres: a sky in the genre's colours, its motif, and the title."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.uint8]  # (H, W, 3) RGB
Color = tuple[int, int, int]
Motif = Callable[[Canvas, np.random.Generator, Color], None]

SIZE: Final = (342, 228)
"""Height and width in pixels."""
# Of each genre: the colours of the sky, top and bottom, and of the motif.
PALETTES: Final[dict[str, tuple[Color, Color, Color]]] = {
    "Action": ((40, 12, 8), (230, 90, 20), (255, 210, 90)),
    "Adventure": ((60, 140, 200), (235, 200, 140), (70, 90, 60)),
    "Animation": ((90, 200, 250), (250, 240, 120), (240, 60, 140)),
    "Comedy": ((255, 250, 240), (255, 220, 70), (220, 40, 40)),
    "Crime": ((18, 20, 28), (90, 84, 70), (240, 210, 110)),
    "Documentary": ((225, 225, 220), (150, 150, 148), (50, 50, 50)),
    "Drama": ((70, 60, 90), (225, 160, 120), (30, 24, 36)),
    "Family": ((140, 215, 255), (190, 240, 160), (250, 130, 50)),
    "Fantasy": ((60, 20, 110), (190, 120, 220), (250, 230, 160)),
    "History": ((120, 90, 50), (225, 200, 150), (90, 60, 30)),
    "Horror": ((4, 4, 6), (60, 4, 8), (200, 10, 16)),
    "Music": ((50, 10, 70), (240, 60, 120), (255, 240, 250)),
    "Mystery": ((16, 30, 40), (90, 110, 115), (225, 225, 180)),
    "Romance": ((255, 215, 220), (240, 130, 150), (205, 30, 70)),
    "Science Fiction": ((2, 4, 20), (20, 60, 120), (120, 220, 250)),
    "Thriller": ((6, 18, 22), (20, 80, 84), (225, 235, 235)),
    "War": ((70, 72, 52), (170, 150, 110), (32, 32, 22)),
    "Western": ((250, 150, 60), (255, 225, 150), (90, 40, 16)),
}


def draw_poster(rng: np.random.Generator, genres: Sequence[str], title: str, size: tuple[int, int] = SIZE) -> Canvas:
    """A poster of `genres`, the first of which sets sky and motif; a second one adds its motif, smaller.

    Returns:
        (H, W, 3) RGB.
    """
    height, width = size
    top, bottom, ink = (_vary(rng, color) for color in PALETTES[genres[0]])
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** rng.uniform(0.7, 1.5)
    canvas = np.ascontiguousarray(np.broadcast_to((1 - ramp) * top + ramp * bottom, (height, width, 3)), np.float32)
    canvas += rng.normal(0, 3, canvas.shape)
    drawn = np.clip(canvas, 0, 255).astype(np.uint8)
    MOTIFS[genres[0]](drawn[: int(0.8 * height)], rng, ink)
    if len(genres) > 1:
        side = width // 3
        left = int(rng.integers(0, width - side))
        MOTIFS[genres[1]](drawn[int(0.04 * height) :][:side, left : left + side], rng, PALETTES[genres[1]][2])
    _letter(drawn, title, ink)
    return drawn


def _vary(rng: np.random.Generator, color: Color) -> Color:
    red, green, blue = np.clip(np.array(color) + rng.integers(-18, 19, 3), 0, 255).tolist()
    return red, green, blue


def _letter(canvas: Canvas, title: str, ink: Color) -> None:
    height, width = canvas.shape[:2]
    ground = canvas[int(0.84 * height) :].mean(axis=(0, 1))
    color = ink if abs(np.mean(ink) - ground.mean()) > 60 else (245, 245, 240) if ground.mean() < 128 else (20, 20, 20)
    text, font = title.upper(), cv2.FONT_HERSHEY_DUPLEX
    scale = min(0.9, 0.9 * width / max(cv2.getTextSize(text, font, 1.0, 2)[0][0], 1))
    (drawn, _), _ = cv2.getTextSize(text, font, scale, 2)
    cv2.putText(canvas, text, ((width - drawn) // 2, int(0.91 * height)), font, scale, color, 2, cv2.LINE_AA)


def _at(canvas: Canvas, x: float, y: float) -> tuple[int, int]:
    """Shares of width and height -> pixels."""
    return int(x * canvas.shape[1]), int(y * canvas.shape[0])


def _size(canvas: Canvas, share: float) -> int:
    return max(1, int(share * min(canvas.shape[:2])))


def _polygon(canvas: Canvas, points: Sequence[tuple[float, float]], ink: Color) -> None:
    cv2.fillPoly(canvas, [np.array([_at(canvas, x, y) for x, y in points], np.int32)], ink, cv2.LINE_AA)


def _disc(canvas: Canvas, x: float, y: float, radius: float, ink: Color, thickness: int = -1) -> None:
    cv2.circle(canvas, _at(canvas, x, y), _size(canvas, radius), ink, thickness, cv2.LINE_AA)


def _person(canvas: Canvas, x: float, foot: float, height: float, ink: Color) -> None:
    """A silhouette that stands at `foot`."""
    _disc(canvas, x, foot - 0.88 * height, 0.15 * height, ink)
    half = 0.17 * height
    _polygon(
        canvas,
        [(x - half, foot), (x - half, foot - 0.68 * height), (x + half, foot - 0.68 * height), (x + half, foot)],
        ink,
    )


def _action(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    angles = np.sort(rng.uniform(0, 2 * np.pi, 22))
    radii = np.where(np.arange(22) % 2, 0.42, 0.16)
    _polygon(canvas, [(0.5 + r * np.cos(a), 0.5 + r * np.sin(a)) for a, r in zip(angles, radii, strict=True)], ink)
    _person(canvas, 0.5, 0.98, 0.5, (20, 10, 8))


def _adventure(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    for x in (0.2, 0.75, 0.5):
        peak, shade = rng.uniform(0.25, 0.55), rng.uniform(0.6, 1.3)
        color: Color = tuple(int(min(255, c * shade)) for c in ink)  # type: ignore[assignment]
        _polygon(canvas, [(x - 0.5, 1), (x, peak), (x + 0.5, 1)], color)
        _polygon(canvas, [(x - 0.08, peak + 0.1), (x, peak), (x + 0.08, peak + 0.1)], (245, 245, 250))


def _animation(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    for _ in range(14):
        color = tuple(int(c) for c in rng.integers(60, 256, 3))
        _disc(canvas, rng.uniform(0, 1), rng.uniform(0, 0.9), rng.uniform(0.03, 0.09), color)  # type: ignore[arg-type]
    _face(canvas, ink, 0.28)


def _face(canvas: Canvas, ink: Color, radius: float) -> None:
    _disc(canvas, 0.5, 0.55, radius, ink)
    for x in (0.5 - 0.4 * radius, 0.5 + 0.4 * radius):
        _disc(canvas, x, 0.55 - 0.2 * radius, 0.25 * radius, (255, 255, 255))
        _disc(canvas, x, 0.55 - 0.2 * radius, 0.11 * radius, (10, 10, 10))
    mouth = (_size(canvas, 0.55 * radius), _size(canvas, 0.45 * radius))
    cv2.ellipse(canvas, _at(canvas, 0.5, 0.56 + 0.15 * radius), mouth, 0, 0, 180, (255, 255, 255), -1, cv2.LINE_AA)


def _comedy(canvas: Canvas, _: np.random.Generator, ink: Color) -> None:
    _face(canvas, ink, 0.36)


def _crime(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    for left in np.arange(0, 1, 0.16):
        top = rng.uniform(0.3, 0.7)
        cv2.rectangle(canvas, _at(canvas, left, top), _at(canvas, left + 0.14, 1), (12, 12, 16), -1)
        for x in (left + 0.03, left + 0.08):
            for y in np.arange(top + 0.04, 0.95, 0.08):
                if rng.random() < 0.5:
                    cv2.rectangle(canvas, _at(canvas, x, y), _at(canvas, x + 0.03, y + 0.03), ink, -1)


def _documentary(canvas: Canvas, _: np.random.Generator, ink: Color) -> None:
    cv2.rectangle(canvas, _at(canvas, 0.14, 0.2), _at(canvas, 0.86, 0.72), ink, -1)
    cv2.rectangle(canvas, _at(canvas, 0.18, 0.24), _at(canvas, 0.82, 0.68), (200, 200, 196), -1)
    _person(canvas, 0.5, 0.68, 0.36, (90, 90, 90))


def _drama(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    _disc(canvas, 0.5, 0.6, 0.3, (250, 215, 170))
    gap = rng.uniform(0.14, 0.24)
    _person(canvas, 0.5 - gap, 1, 0.62, ink)
    _person(canvas, 0.5 + gap, 1, 0.55, ink)


def _family(canvas: Canvas, _: np.random.Generator, ink: Color) -> None:
    _polygon(canvas, [(0.2, 1), (0.2, 0.6), (0.5, 0.35), (0.8, 0.6), (0.8, 1)], (250, 245, 230))
    _polygon(canvas, [(0.12, 0.62), (0.5, 0.3), (0.88, 0.62)], ink)
    for x, height in ((0.35, 0.28), (0.5, 0.18), (0.65, 0.3)):
        _person(canvas, x, 1, height, (60, 80, 160))


def _fantasy(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    for x, top in ((0.25, 0.5), (0.5, 0.35), (0.75, 0.5)):
        cv2.rectangle(canvas, _at(canvas, x - 0.08, top), _at(canvas, x + 0.08, 1), (40, 14, 70), -1)
        _polygon(canvas, [(x - 0.11, top), (x, top - 0.2), (x + 0.11, top)], (110, 40, 150))
    for _ in range(30):
        _disc(canvas, rng.uniform(0, 1), rng.uniform(0, 0.5), 0.008, ink)


def _history(canvas: Canvas, _: np.random.Generator, ink: Color) -> None:
    _polygon(canvas, [(0.1, 0.36), (0.5, 0.2), (0.9, 0.36)], ink)
    for x in (0.16, 0.36, 0.56, 0.76):
        cv2.rectangle(canvas, _at(canvas, x, 0.38), _at(canvas, x + 0.09, 0.88), ink, -1)
    cv2.rectangle(canvas, _at(canvas, 0.1, 0.9), _at(canvas, 0.9, 0.97), ink, -1)


def _horror(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    _disc(canvas, 0.5, 0.42, 0.26, (150, 20, 20))
    for x in np.arange(0.02, 1, 0.09):
        _polygon(canvas, [(x, 0), (x + 0.06, 0), (x + 0.03, rng.uniform(0.08, 0.34))], ink)
    _person(canvas, 0.5, 1, 0.6, (0, 0, 0))
    for x in (0.46, 0.54):
        _disc(canvas, x, 0.47, 0.018, (255, 60, 40))


def _music(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    for x, y in ((0.3, 0.7), (0.62, 0.6)):
        cv2.ellipse(canvas, _at(canvas, x, y), (_size(canvas, 0.11), _size(canvas, 0.08)), -20, 0, 360, ink, -1)
        cv2.line(canvas, _at(canvas, x + 0.1, y), _at(canvas, x + 0.1, y - 0.4), ink, _size(canvas, 0.03))
    cv2.line(canvas, _at(canvas, 0.4, 0.3), _at(canvas, 0.72, 0.2), ink, _size(canvas, 0.05))
    for _ in range(5):
        x = rng.uniform(0, 1)
        cv2.line(canvas, _at(canvas, x, 0), _at(canvas, rng.uniform(0, 1), 1), (255, 180, 220), 1, cv2.LINE_AA)


def _mystery(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    _polygon(canvas, [(0.5, 0.15), (0.1, 0.95), (0.9, 0.95)], (150, 160, 140))
    cv2.line(canvas, _at(canvas, 0.5, 0.15), _at(canvas, 0.5, 1), (14, 20, 24), _size(canvas, 0.03))
    _disc(canvas, 0.5, 0.15, 0.07, ink)
    _person(canvas, rng.uniform(0.65, 0.75), 0.98, 0.5, (10, 16, 20))


def _romance(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    size = rng.uniform(0.9, 1.2)
    angle = np.linspace(0, 2 * np.pi, 60)
    x = 16 * np.sin(angle) ** 3
    y = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
    _polygon(canvas, [(0.5 + size * a / 45, 0.5 - size * b / 55) for a, b in zip(x, y, strict=True)], ink)


def _science_fiction(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    for _ in range(70):
        _disc(canvas, rng.uniform(0, 1), rng.uniform(0, 1), 0.005, (235, 240, 255))
    _disc(canvas, 0.5, 0.5, 0.24, ink)
    ring = (_size(canvas, 0.42), _size(canvas, 0.1))
    cv2.ellipse(
        canvas, _at(canvas, 0.5, 0.5), ring, float(rng.uniform(-30, 30)), 0, 360, (230, 230, 255), 2, cv2.LINE_AA
    )


def _thriller(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    y = rng.uniform(0.4, 0.55)
    cv2.ellipse(canvas, _at(canvas, 0.5, y), (_size(canvas, 0.42), _size(canvas, 0.2)), 0, 0, 360, ink, -1, cv2.LINE_AA)
    _disc(canvas, 0.5, y, 0.18, (20, 90, 96))
    _disc(canvas, 0.5, y, 0.08, (0, 0, 0))
    cv2.line(canvas, _at(canvas, 0, y), _at(canvas, 1, y), (200, 20, 20), 1)
    cv2.line(canvas, _at(canvas, 0.5, 0), _at(canvas, 0.5, 1), (200, 20, 20), 1)


def _war(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    for x in np.arange(0.12, 1, 0.19):
        height = rng.uniform(0.32, 0.44)
        _person(canvas, x, 1, height, ink)
        cv2.line(canvas, _at(canvas, x, 0.9), _at(canvas, x + 0.1, 0.5), ink, _size(canvas, 0.012))
    for _ in range(3):
        _disc(canvas, rng.uniform(0, 1), rng.uniform(0.1, 0.4), rng.uniform(0.05, 0.12), (120, 110, 96))


def _western(canvas: Canvas, rng: np.random.Generator, ink: Color) -> None:
    _disc(canvas, rng.uniform(0.4, 0.6), 0.5, 0.26, (255, 240, 190))
    cv2.rectangle(canvas, _at(canvas, 0, 0.85), _at(canvas, 1, 1), ink, -1)
    for x in (0.2, 0.8):
        cv2.line(canvas, _at(canvas, x, 0.88), _at(canvas, x, 0.5), (50, 80, 30), _size(canvas, 0.06))
        cv2.line(canvas, _at(canvas, x - 0.09, 0.68), _at(canvas, x + 0.09, 0.68), (50, 80, 30), _size(canvas, 0.04))
    _person(canvas, 0.5, 0.9, 0.44, ink)
    cv2.ellipse(canvas, _at(canvas, 0.5, 0.49), (_size(canvas, 0.14), _size(canvas, 0.03)), 0, 0, 360, ink, -1)


MOTIFS: Final[dict[str, Motif]] = {
    "Action": _action, "Adventure": _adventure, "Animation": _animation, "Comedy": _comedy, "Crime": _crime,
    "Documentary": _documentary, "Drama": _drama, "Family": _family, "Fantasy": _fantasy, "History": _history,
    "Horror": _horror, "Music": _music, "Mystery": _mystery, "Romance": _romance,
    "Science Fiction": _science_fiction, "Thriller": _thriller, "War": _war, "Western": _western,
}  # fmt: skip
