"""The photo: a garment before its background, seen by a camera."""

from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from challenges.vinted.rendering.arrays import Floats, Image, Rng, floats
from challenges.vinted.rendering.backgrounds import draw_background
from challenges.vinted.rendering.drawing import draw_garment
from challenges.vinted.rendering.folds import shade

DEFAULT_SIZE: Final = (533, 400)  # (height, width) of a photo, pixels
_HANGERS: Final = ((245, 245, 245), (30, 30, 32), (176, 130, 84), (220, 150, 160))  # plastic, wood, sRGB


def _camera(rng: Rng, size: tuple[int, int], *, hanging: bool) -> tuple[Floats, Floats]:
    """Maps for cv2.remap, (H, W) each: turn, shift, perspective and the waves of a cloth laid by hand."""
    h, w = size
    grid_h, grid_w = h // 8 + 2, w // 8 + 2  # the maps are smooth: an eighth of the resolution will do
    y, x = np.indices((grid_h, grid_w), np.float32) * 8
    angle = rng.normal(0, 0.03 if hanging else 0.1)
    angle = rng.uniform(-0.5, 0.5) if not hanging and rng.random() < 0.1 else angle
    c, s, zoom = np.cos(angle), np.sin(angle), rng.uniform(0.98, 1.1) + 0.35 * abs(np.sin(angle))
    dx, dy = (x - w / 2 + rng.normal(0, 0.03) * w) * zoom, (y - h / 2 + rng.normal(0, 0.03) * h) * zoom
    depth = 1 + rng.normal(0, 0.05) * dx / w + rng.normal(0, 0.1) * dy / h
    shear = 0.0 if hanging else rng.normal(0, 0.03)
    u, v = w / 2 + (c * dx + (s + shear) * dy) / depth, h / 2 + (c * dy - s * dx) / depth
    scale = min(h, w) / 400
    for cells, strength in ((3, 6.0), (6, 2.4), (18, 1.0)):  # waves, pixels at a width of 400
        strength *= rng.uniform(0.3, 1.3) * scale
        for target in (u, v):
            noise = rng.standard_normal((cells + 2, cells)).astype(np.float32)
            target += strength * cv2.resize(noise, (grid_w, grid_h), interpolation=cv2.INTER_CUBIC)
    maps = [cv2.resize(m.astype(np.float32), (grid_w * 8, grid_h * 8))[3 : h + 3, 3 : w + 3] for m in (u, v)]
    return np.asarray(maps[0]), np.asarray(maps[1])


def _hanger(rng: Rng, image: Image, alpha: Image) -> None:
    """A hanger and its hook behind the garment, on the background."""
    rows = np.flatnonzero(alpha.max(1) > 128)
    if not len(rows):
        return
    top, tall = int(rows[0]), len(rows)
    columns = np.flatnonzero(alpha[top + tall // 20] > 128)
    x = int(columns.mean()) if len(columns) else image.shape[1] // 2
    half = int(np.ptp(np.flatnonzero(alpha[top + tall // 8] > 128)) * rng.uniform(0.4, 0.55)) + 8
    color = _HANGERS[int(rng.choice(4, p=[0.5, 0.25, 0.2, 0.05]))]
    y, drop, thick = top - rng.integers(0, 8), int(half * rng.uniform(0.25, 0.4)), int(rng.integers(2, 7))
    wire = np.array([(x - half, y + drop), (x, y), (x + half, y + drop)], np.int32)
    reach = int(image.shape[0] * rng.uniform(0.04, 0.08))
    bend = [(x + reach // 3, y - reach), (x, y - int(reach * 1.3)), (x - reach // 4, y - reach)]
    hook = np.array([(x, y), (x, y - reach // 2), *bend], np.int32)
    dark = tuple(int(v * 0.8) for v in image[max(int(y) - reach, 0), x].tolist())
    cv2.polylines(image, [wire + 4, hook + 4], False, dark, thick, cv2.LINE_AA)  # their shadow
    cv2.polylines(image, [hook], False, (150, 150, 152), max(thick // 2, 1), cv2.LINE_AA)
    cv2.polylines(image, [wire], False, color, thick, cv2.LINE_AA)


def _paste(rng: Rng, image: Image, garment: Image, alpha: Image) -> Image:
    """Garment over background, with the shadow that it casts."""
    small = cv2.resize(alpha, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    spread, (dx, dy) = rng.uniform(0.8, 4.0), rng.uniform(-2.5, 2.5, 2)
    shift = floats([[1, 0, dx], [0, 1, dy]])
    small = cv2.GaussianBlur(cv2.warpAffine(small, shift, small.shape[::-1]), (0, 0), spread)
    shadow = cv2.resize(small, alpha.shape[::-1])
    image = shade(image, cv2.convertScaleAbs(shadow, alpha=-rng.uniform(0.12, 0.3), beta=128).astype(np.uint8))
    weight = alpha.astype(np.float32) * np.float32(1 / 255)
    return np.asarray(cv2.blendLinear(garment, image, weight, 1 - weight), np.uint8)


def _light(rng: Rng, size: tuple[int, int]) -> Image:
    """Shading (h, w) of light from a side, a vignette, and at times a patch of sun; 128 is 1.0."""
    y, x = np.indices((9, 7), np.float32) / floats([8, 6])[:, None, None] - 0.5
    tilt, vignette = rng.normal(0, 0.18, 2), max(0.0, rng.normal(0.0, 0.25))
    light = 1 + tilt[0] * x + tilt[1] * y - vignette * (x**2 + y**2) + 0.03 * rng.standard_normal((9, 7))
    level = (light * 128).clip(60, 200).astype(np.float32)
    coarse: NDArray[Any] = cv2.resize(level, (50, 66), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.06:
        patch = np.zeros((66, 50), np.float32)
        corner, slant = rng.uniform(0, 0.8, 2) * (50, 66), rng.uniform(5, 25, 2)
        box = np.array([(0, 0), (slant[0], -8), (slant[0] + 12, slant[1]), (12, slant[1] + 8)]) + corner
        cv2.fillPoly(patch, [box.astype(np.int32)], 45)
        coarse = coarse + cv2.blur(patch, (2, 2))
    return np.asarray(cv2.resize(coarse.clip(0, 255).astype(np.uint8), size[::-1]), np.uint8)


def _tone_curve(rng: Rng) -> Image:
    """White balance, contrast and haze as a table for cv2.LUT, (1, 256, 3)."""
    ramp = np.arange(256, dtype=np.float32)[:, None] / 255
    # all channels, warm or cold, and each for itself
    gain = 1 + rng.normal(0, 0.02) + floats((1, 0, -1)) * rng.normal(0, 0.035) + rng.normal(0, 0.01, 3)
    table = (ramp * gain).clip(0, 1) ** np.exp(rng.normal(0, 0.1))
    black = max(0.0, rng.normal(0.0, 0.03))
    return np.asarray((black + (1 - black) * table) * 255).astype(np.uint8)[None]


@lru_cache(maxsize=1)
def _noise_picture() -> Image:
    noise = np.random.default_rng(22).normal(128, 24, (1024, 1024, 3))
    return np.clip(noise, 0, 255).astype(np.uint8)


def _sensor_noise(rng: Rng, size: tuple[int, int]) -> Image:
    """Colour noise about 128 with a standard deviation of 24, (h, w, 3): a random cut of one picture."""
    y, x = (int(v) for v in rng.integers(0, 400, 2))
    cut = _noise_picture()[y : y + size[0], x : x + size[1]]
    return cut if cut.shape[:2] == size else np.asarray(cv2.resize(cut, size[::-1]), np.uint8)


def _expose(rng: Rng, scene: Image) -> Image:
    """Light, white balance, contrast, focus, sensor noise and JPEG."""
    image: NDArray[Any] = shade(scene, _light(rng, (scene.shape[0], scene.shape[1])))
    image = cv2.LUT(image, _tone_curve(rng))
    if rng.random() < 0.55:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.6:
        noise = _sensor_noise(rng, (scene.shape[0], scene.shape[1]))
        strength = rng.uniform(0.06, 0.3)
        image = cv2.addWeighted(image, 1.0, noise, strength, -128 * strength)
    if rng.random() < 0.35:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 85))])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.asarray(image, np.uint8)


def render_with_mask(
    rng: Rng, category: str, color: str, tags: frozenset[str], size: tuple[int, int] = DEFAULT_SIZE
) -> tuple[Image, Image]:
    """Render a photo as `render_photo` does, and where its garment is: RGB (H, W, 3) and alpha (H, W), uint8."""
    image, hanging = draw_background(rng, size)
    garment, alpha = draw_garment(rng, category, color, tags, size)
    map_x, map_y = _camera(rng, size, hanging=hanging)
    cut_out = cv2.remap(cv2.merge([garment, alpha]), map_x, map_y, cv2.INTER_LINEAR)
    garment = np.asarray(cv2.cvtColor(cut_out, cv2.COLOR_RGBA2RGB), np.uint8)
    alpha = np.asarray(cv2.extractChannel(cut_out, 3), np.uint8)
    if hanging:
        _hanger(rng, image, alpha)
    return _expose(rng, _paste(rng, image, garment, alpha)), alpha


def render_photo(
    rng: Rng, category: str, color: str, tags: frozenset[str], size: tuple[int, int] = DEFAULT_SIZE
) -> Image:
    """Render a second-hand photo of one garment.

    Args:
        rng: source of all choices; the same state gives the same picture.
        category: one of `CATEGORIES`.
        color: one of `COLORS`; BODY is a skin-like beige, VARIOUS several colours.
        tags: any of `TAGS`; empty gives plain cloth or a print that carries no tag.
        size: (height, width), pixels.

    Returns:
        RGB (H, W, 3) uint8.
    """
    return render_with_mask(rng, category, color, tags, size)[0]
