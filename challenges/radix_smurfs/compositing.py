"""Copy-paste composition: new training pictures from the cut-out Smurfs of a few.

Ghiasi et al., 'Simple copy-paste is a strong data augmentation method for instance segmentation' (2021); Dwibedi et
al., 'Cut, paste and learn' (2017), whose lesson is kept that the seam must be blended, or the network learns the seam.

A picture is an `Example`: pixels, and a map that says of each pixel which instance it belongs to. What is pasted later
hides what was there before, so a map tells exactly what is to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.augmentation import turn_purple
from challenges.radix_smurfs.scenery import Image, color_field, drawn_scene, texture

MIN_PIXELS: Final = 30  # at the size of the composition: less of a Smurf teaches nothing
MIN_SIDE: Final = 24  # pixels of a cut-out
MAX_INSTANCES: Final = 60
PURPLE_SHARE: Final = 0.12  # of pasted Smurfs: a bite of the fly turns them purple


@dataclass(frozen=True)
class Example:
    """A picture and who is where."""

    image: Image  # (H, W, 3) RGB
    instance_map: NDArray[np.uint8]  # (H, W): 0 nobody, i + 1 the i-th instance


@dataclass(frozen=True)
class Cutout:
    """A Smurf without what is around it."""

    image: Image  # (h, w, 3)
    alpha: NDArray[np.uint8]  # (h, w), 255 inside
    edges: tuple[bool, bool, bool, bool]  # whether the picture's left, top, right, bottom edge cut something off


def instance_map(masks: Sequence[NDArray[np.bool_]], height: int, width: int) -> NDArray[np.uint8]:
    """One map of masks (H, W), the small ones on top, as a part lies on a whole."""
    found = np.zeros((height, width), np.uint8)
    for i in sorted(range(min(len(masks), MAX_INSTANCES)), key=lambda i: -int(masks[i].sum())):
        found[masks[i]] = i + 1
    return found


def cut_out(example: Example) -> list[Cutout]:
    """Every instance of a picture that is large enough to be worth pasting."""
    height, width = example.instance_map.shape
    cutouts = []
    for label in range(1, int(example.instance_map.max()) + 1):
        mask = example.instance_map == label
        if not mask.any():
            continue
        x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
        if min(w, h) < MIN_SIDE:
            continue
        part = np.s_[y : y + h, x : x + w]
        edges = (x <= 1, y <= 1, x + w >= width - 1, y + h >= height - 1)
        cutouts.append(Cutout(example.image[part].copy(), mask[part].astype(np.uint8) * 255, edges))
    return cutouts


def remove_instances(example: Example) -> Image:
    """The picture with its Smurfs painted over from around them, for a background."""
    mask = (example.instance_map > 0).astype(np.uint8)
    if not mask.any():
        return example.image
    scale = 128 / max(mask.shape)  # what is painted in is smooth; small is quick
    size = (max(8, round(mask.shape[1] * scale)), max(8, round(mask.shape[0] * scale)))
    small = cv2.resize(example.image, size, interpolation=cv2.INTER_AREA)
    holes = cv2.dilate(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.ones((5, 5), np.uint8))
    painted = cv2.inpaint(small, holes, 3, cv2.INPAINT_TELEA)
    whole = cv2.resize(painted, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    inside = cv2.dilate(mask, np.ones((7, 7), np.uint8)).astype(np.float32)
    soft = cv2.GaussianBlur(inside, (0, 0), 2)[..., None]
    return np.rint(example.image * (1 - soft) + whole * soft).astype(np.uint8)


def jitter_colors(image: Image, rng: np.random.Generator, strength: float = 1.0) -> Image:
    """Shift hue by up to 6 degrees, scale saturation and brightness by up to a third."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    steps = np.arange(256)
    hue, saturation, value = rng.uniform(-1, 1, 3) * strength
    hsv[..., 0] = ((steps + 3 * hue) % 180).astype(np.uint8)[hsv[..., 0]]
    hsv[..., 1] = np.clip(steps * (1 + 0.35 * saturation), 0, 255).astype(np.uint8)[hsv[..., 1]]
    hsv[..., 2] = np.clip(steps * (1 + 0.3 * value), 0, 255).astype(np.uint8)[hsv[..., 2]]
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)  # type: ignore[return-value]


def degrade(image: Image, rng: np.random.Generator) -> Image:
    """What compression, small originals and film do to a picture: blur, blocks, noise; often nothing."""
    height, width = image.shape[:2]
    if rng.random() < 0.3:
        factor = rng.uniform(0.4, 0.9)
        small = cv2.resize(image, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    if rng.random() < 0.3:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 10), image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.05:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    return image


def crop(example: Example, size: tuple[int, int], rng: np.random.Generator) -> Example:
    """Look at a picture from nearer or farther, shifted, mirrored and slightly turned; `size` is (height, width)."""
    height, width = example.image.shape[:2]
    fit = min(size[1] / width, size[0] / height)
    scale = fit * np.exp(rng.uniform(np.log(0.75), np.log(2.2)))
    angle = rng.normal(0, 4)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    if rng.random() < 0.5:
        matrix = matrix @ np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1.0]])
    # Where the centre comes to lie: anywhere that leaves no more empty than the picture is smaller than the window.
    slack_x, slack_y = abs(scale * width - size[1]) / 2, abs(scale * height - size[0]) / 2
    matrix[:, 2] += (size[1] / 2 - width / 2, size[0] / 2 - height / 2)
    matrix[:, 2] += (rng.uniform(-slack_x, slack_x), rng.uniform(-slack_y, slack_y))
    target = (size[1], size[0])
    fill = [int(v) for v in rng.integers(0, 256, 3)] if rng.random() < 0.5 else [114, 114, 114]
    sharp = cv2.INTER_AREA if scale < 0.7 else cv2.INTER_LINEAR
    image, placed = example.image, example.instance_map
    if sharp == cv2.INTER_AREA:  # warpAffine has no area interpolation: shrink first, warp the rest of the way
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        matrix_image = matrix @ np.diag([width / small[0], height / small[1], 1.0])
    else:
        matrix_image = matrix
    return Example(
        cv2.warpAffine(image, matrix_image, target, flags=cv2.INTER_LINEAR, borderValue=fill),  # type: ignore[arg-type]
        cv2.warpAffine(placed, matrix, target, flags=cv2.INTER_NEAREST),  # type: ignore[arg-type]
    )


def paste(example: Example, cutout: Cutout, rng: np.random.Generator, share: tuple[float, float]) -> Example:
    """Paste a cut-out, its larger side from share[0] to share[1] of the picture's smaller one, where it fits.

    A side that was cut off by its picture's edge goes to that edge of the new one, else Smurfs would seem to be cut in
    the middle of meadows.
    """
    height, width = example.image.shape[:2]
    goal = min(height, width) * np.exp(rng.uniform(*np.log(share)))
    scale = goal / max(cutout.alpha.shape)
    mirrored, angle = rng.random() < 0.5, rng.normal(0, 6) if not any(cutout.edges) else 0.0
    image = jitter_colors(cutout.image, rng, 0.7)
    if rng.random() < PURPLE_SHARE:
        image = turn_purple(image, hue=133, brightness=0.7)
    image, alpha = _resized(image, cutout.alpha, scale, mirrored, angle)
    h, w = alpha.shape
    left, top, right, bottom = cutout.edges
    if mirrored:
        left, right = right, left
    x = _place(rng, w, width, left, right)
    y = _place(rng, h, height, top, bottom)
    return _blend(example, image, alpha, x, y)


def _resized(
    image: Image, alpha: NDArray[np.uint8], scale: float, mirrored: bool, angle: float
) -> tuple[Image, NDArray[np.uint8]]:
    size = (max(2, round(alpha.shape[1] * scale)), max(2, round(alpha.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image, alpha = cv2.resize(image, size, interpolation=how), cv2.resize(alpha, size, interpolation=how)  # type: ignore[assignment]
    if mirrored:
        image, alpha = image[:, ::-1], alpha[:, ::-1]
    if angle:
        diagonal = int(np.ceil(np.hypot(*size)))
        matrix = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), angle, 1.0)
        matrix[:, 2] += ((diagonal - size[0]) / 2, (diagonal - size[1]) / 2)
        turned = (diagonal, diagonal)
        image = np.ascontiguousarray(image)
        image = cv2.warpAffine(image, matrix, turned, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
        alpha = cv2.warpAffine(np.ascontiguousarray(alpha), matrix, turned)  # type: ignore[assignment]
        x, y, w, h = cv2.boundingRect(alpha)
        image, alpha = image[y : y + h, x : x + w], alpha[y : y + h, x : x + w]
    return image, alpha


def _place(rng: np.random.Generator, length: int, room: int, at_start: bool, at_end: bool) -> int:
    """First pixel along one side: at an edge, or anywhere with the middle inside."""
    if at_start and not at_end:
        return 0
    if at_end and not at_start:
        return room - length
    beyond = 0.25 * length if rng.random() < 0.25 else 0.0
    low, high = -beyond, max(room - length + beyond, -beyond + 1)
    return int(rng.uniform(low, high)) if room > length else int(rng.uniform(room - length, 0))


def _blend(example: Example, image: Image, alpha: NDArray[np.uint8], x: int, y: int) -> Example:
    height, width = example.instance_map.shape
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + alpha.shape[1], width), min(y + alpha.shape[0], height)
    label = int(example.instance_map.max()) + 1
    if x1 <= x0 or y1 <= y0 or label > MAX_INSTANCES:
        return example
    inside, part = np.s_[y0:y1, x0:x1], np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
    # A pixel narrower than the outline, and soft: a rim of the old background would give the paste away.
    soft = cv2.GaussianBlur(cv2.erode(alpha, np.ones((2, 2), np.uint8)), (3, 3), 0)[part][..., None] / 255.0
    result, placed = example.image.copy(), example.instance_map.copy()
    result[inside] = (result[inside] * (1 - soft) + image[part] * soft).astype(np.uint8)
    placed[inside][alpha[part] > 127] = label
    return Example(result, placed)


@dataclass(frozen=True)
class Material:
    """What compositions are made of: pictures of the training part alone."""

    examples: tuple[Example, ...]
    cutouts: tuple[Cutout, ...]
    backgrounds: tuple[Image, ...]  # the pictures without their Smurfs


def gather(examples: Sequence[Example]) -> Material:
    """Cut out and paint over."""
    cutouts = tuple(c for example in examples for c in cut_out(example))
    return Material(tuple(examples), cutouts, tuple(remove_instances(example) for example in examples))


def compose(material: Material, size: tuple[int, int], rng: np.random.Generator) -> Example:
    """A background of any kind, and as a rule some Smurfs on it; one in twelve is left empty."""
    example = _background(material, size, rng)
    if material.cutouts and rng.random() > 1 / 12:
        few = rng.random() < 0.5
        share = (0.25, 1.2) if few else (0.07, 0.5)
        for _ in range(int(rng.integers(1, 4 if few else 9))):
            example = paste(example, material.cutouts[int(rng.integers(len(material.cutouts)))], rng, share)
    return finish(example, rng)


def _background(material: Material, size: tuple[int, int], rng: np.random.Generator) -> Example:
    kind = rng.random()
    nobody = np.zeros(size, np.uint8)
    if material.examples and kind < 0.2:  # on a picture with its own Smurfs
        return crop(material.examples[int(rng.integers(len(material.examples)))], size, rng)
    if material.backgrounds and kind < 0.5:
        image = material.backgrounds[int(rng.integers(len(material.backgrounds)))]
        return crop(Example(image, np.zeros(image.shape[:2], np.uint8)), size, rng)
    draw = color_field if kind < 0.62 else texture if kind < 0.7 else drawn_scene
    return Example(draw(rng, *size), nobody)


def augment(example: Example, size: tuple[int, int], rng: np.random.Generator) -> Example:
    """A real picture, seen another way."""
    return finish(crop(example, size, rng), rng)


def finish(example: Example, rng: np.random.Generator) -> Example:
    """Change colours and quality of the whole; number the instances that are still to be seen from 1 without gaps."""
    image = degrade(jitter_colors(example.image, rng), rng)
    counts = np.bincount(example.instance_map.ravel(), minlength=256)
    kept = [label for label in range(1, 256) if counts[label] >= MIN_PIXELS]
    numbers = np.zeros(256, np.uint8)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return Example(image, numbers[example.instance_map])


def boxes_of(placed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W) instance map with labels 1 to N -> (N, 4) x0, y0, x1, y1, from 0 to 1."""
    height, width = placed.shape
    boxes = np.zeros((int(placed.max()), 4), np.float32)
    for label in range(1, len(boxes) + 1):
        x, y, w, h = cv2.boundingRect((placed == label).astype(np.uint8))
        boxes[label - 1] = (x / width, y / height, (x + w) / width, (y + h) / height)
    return boxes
