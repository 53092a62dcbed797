"""Random changes of a photo that leave its label as it is."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB


@dataclass(frozen=True)
class Augmentation:
    """How far a photo may be changed; every range is symmetric unless it says otherwise."""

    min_area: float = 0.6  # the smallest part of the photo that a crop keeps
    aspect: float = 1.12  # the crop's aspect ratio is changed by at most this factor
    degrees: float = 12.0  # rotation
    mirror: float = 0.5  # probability of a left-right mirror image
    brightness: float = 0.25  # factor on all channels
    contrast: float = 0.25
    saturation: float = 0.3
    tint: float = 0.06  # factor on single channels: the white balance of phones differs
    erase: float = 0.25  # probability that a part is covered by one random colour (Zhong et al., 'Random erasing')
    soften: float = 0.15  # probability of a blur, as of a photo out of focus


def augment(image: Image, size: tuple[int, int], config: Augmentation, rng: np.random.Generator) -> Image:
    """Return a changed copy of `image` (H, W, 3) at `size` (height, width)."""
    changed = _warp(image, size, config, rng)
    if rng.random() < config.soften:
        changed = cv2.GaussianBlur(changed, (0, 0), rng.uniform(0.4, 1.2))  # type: ignore[assignment]
    changed = _recolour(changed, config, rng)
    if rng.random() < config.erase:
        _erase(changed, rng)
    return changed


def _warp(image: Image, size: tuple[int, int], config: Augmentation, rng: np.random.Generator) -> Image:
    """Crop, rotate, mirror and resize in a single resampling, which costs least and blurs least."""
    height, width = image.shape[:2]
    side = np.sqrt(rng.uniform(config.min_area, 1.0))
    stretch = np.exp(rng.uniform(-1, 1) * np.log(config.aspect) / 2)
    crop_h, crop_w = height * min(1.0, side * stretch), width * min(1.0, side / stretch)
    centre_y = rng.uniform(crop_h / 2, height - crop_h / 2)
    centre_x = rng.uniform(crop_w / 2, width - crop_w / 2)
    angle = np.deg2rad(rng.uniform(-config.degrees, config.degrees))
    scale_y, scale_x = crop_h / size[0], crop_w / size[1]
    flip = -1.0 if rng.random() < config.mirror else 1.0
    # Output pixel (x, y) -> input pixel: scale (and mirror) about the centre, rotate, move to the crop's centre.
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = linear @ np.diag([flip * scale_x, scale_y])
    # Pixel centres lie half a pixel from the edges that the crop is measured by.
    offset = np.array([centre_x - 0.5, centre_y - 0.5]) - linear @ np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    matrix = np.column_stack([linear, offset])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (size[1], size[0]), flags=flags, borderMode=cv2.BORDER_REFLECT_101)  # type: ignore[return-value]


def _recolour(image: Image, config: Augmentation, rng: np.random.Generator) -> Image:
    """Change brightness, contrast, saturation and white balance by one affine map of the colours."""
    gain = 1 + rng.uniform(-1, 1) * config.brightness
    contrast = 1 + rng.uniform(-1, 1) * config.contrast
    saturation = 1 + rng.uniform(-1, 1) * config.saturation
    tint = 1 + rng.uniform(-1, 1, 3) * config.tint
    luma = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(luma, (3, 1))
    matrix = gain * contrast * tint[:, None] * mix
    offset = gain * (1 - contrast) * float(image.mean()) * tint
    return cv2.transform(image, np.column_stack([matrix, offset]))  # type: ignore[return-value]


def _erase(image: Image, rng: np.random.Generator) -> None:
    """Cover 2 to 15 % of `image` by a rectangle of one random colour, in place."""
    height, width = image.shape[:2]
    area = rng.uniform(0.02, 0.15) * height * width
    aspect = np.exp(rng.uniform(-1, 1))
    h = min(height, max(1, round(np.sqrt(area * aspect))))
    w = min(width, max(1, round(np.sqrt(area / aspect))))
    y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
