"""The exported network at work, without torch: letterbox, boxes, non-maximum suppression, masks, scores.

The network says for each of A anchors how far away the four edges of a box are, as distributions over 0 to 15 cells
(Li et al., 'Generalized focal loss', 2020), a score, and 32 coefficients that mix the prototypes into a mask.

A score is the network's times how sure its mask is, the mean probability inside (Wang et al., 'SOLOv2', 2020): what the
network takes for a Smurf without seeing where it ends is seldom one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.edges import follow_edges
from common.artifacts import load_artifact
from common.inference.session import create_session

if TYPE_CHECKING:
    import onnxruntime

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Floats = NDArray[np.float32]

DEFAULT_MODEL: Final = Path(__file__).resolve().parents[2] / "data" / "weights" / "radix_smurfs" / "segmenter"
STRIDES: Final = (8, 16, 32)
INPUT_MULTIPLE: Final = 32
PROTOTYPE_STRIDE: Final = 4
GREY: Final = 114  # around the picture, as in training
GRID: Final = 96  # cells of a mask along each side of its box
MASK_THRESHOLD: Final = 0.45


@dataclass(frozen=True)
class Detections:
    """N Smurfs of one image."""

    boxes: Floats  # (N, 4) x0, y0, x1, y1 in pixels of the image
    scores: Floats  # (N,) descending
    grids: Floats  # (N, GRID, GRID) probability of the Smurf in the cells of its box

    def __len__(self) -> int:
        """N."""
        return len(self.scores)

    def take(self, rows: NDArray[np.int64] | Sequence[int]) -> Detections:
        """Some of them."""
        index = np.asarray(rows, dtype=np.int64)
        return Detections(self.boxes[index], self.scores[index], self.grids[index])

    def masks(self, height: int, width: int) -> NDArray[np.bool_]:
        """(N, H, W) in an image of this size."""
        found = np.zeros((len(self), height, width), bool)
        for mask, box, grid in zip(found, self.boxes, self.grids, strict=True):
            (x, y), part = box_mask(box, grid, height, width)
            mask[y : y + part.shape[0], x : x + part.shape[1]] = part
        return found


NOTHING: Final = Detections(
    np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, GRID, GRID), np.float32)
)


@dataclass(frozen=True)
class Segmenter:
    """The network with what is needed to read its outputs; may be called from many threads at once."""

    session: onnxruntime.InferenceSession
    image_size: int  # the longer side of an image as the network sees it
    score_threshold: float  # below it nobody is reported
    iou_threshold: float  # boxes that overlap further are one Smurf

    def at(self, *, score_threshold: float) -> Segmenter:
        """The same with another threshold, such as a tracker's, which also uses faint detections."""
        return replace(self, score_threshold=score_threshold)

    def __call__(self, image: Image) -> Detections:
        """Segment (H, W, 3) uint8 RGB."""
        height, width = image.shape[:2]
        pixels, scale = letterbox(image, self.image_size)
        distances, scores, coefficients, prototypes = self.session.run(None, {"pixels": pixels[None]})
        kept = np.flatnonzero(scores[0] >= self.score_threshold)  # (K,)
        if not len(kept):
            return NOTHING
        boxes = decode_boxes(distances[0, kept], kept, pixels.shape[0], pixels.shape[1])  # (K, 4) in network pixels
        boxes = np.clip(boxes, 0, np.array([width * scale, height * scale] * 2, np.float32))
        chosen = non_maximum_suppression(boxes, scores[0, kept], self.iou_threshold)
        chosen = chosen[((boxes[chosen, 2:] - boxes[chosen, :2]) > 1).all(1)]
        grids = mask_grids(coefficients[0, kept[chosen]], prototypes[0], boxes[chosen])
        full = np.array([width, height] * 2, np.float32)
        boxes = np.clip(boxes[chosen] / np.float32(scale), 0, full)  # (N, 4) in pixels of the image
        grids = follow_edges(grids, boxes, image)
        found = Detections(boxes, scores[0, kept[chosen]] * certainty(grids), grids)
        order = np.argsort(-found.scores, kind="stable")
        return found.take(order[found.scores[order] >= self.score_threshold])


def load_segmenter(directory: Path = DEFAULT_MODEL) -> Segmenter:
    """Load and check an artifact.

    Raises:
        UserError: it is missing, damaged or of another challenge.
    """
    artifact = load_artifact(directory, "radix_smurfs")
    settings = artifact.manifest.input
    return Segmenter(
        session=create_session(artifact.path("model.onnx")),
        image_size=int(settings["image_size"]),
        score_threshold=float(artifact.manifest.config["score_threshold"]),
        iou_threshold=float(artifact.manifest.config["iou_threshold"]),
    )


def letterbox(image: Image, size: int) -> tuple[Image, float]:
    """Scale the longer side to `size`; fill up with grey, right and below, to multiples of 32.

    Returns:
        (h, w, 3), and by how much the image was scaled.
    """
    height, width = image.shape[:2]
    scale = size / max(height, width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    small = cv2.resize(image, inner[::-1], interpolation=how)
    outer = [-(-side // INPUT_MULTIPLE) * INPUT_MULTIPLE for side in inner]
    if list(inner) == outer:
        return small, scale  # type: ignore[return-value]
    framed = np.full((*outer, 3), GREY, np.uint8)
    framed[: inner[0], : inner[1]] = small
    return framed, scale


@cache
def anchors(height: int, width: int) -> Floats:
    """(A, 3) of every anchor of an input: its centre x, y and its stride, in network pixels."""
    levels = []
    for stride in STRIDES:
        y, x = np.mgrid[0 : height // stride, 0 : width // stride].astype(np.float32)
        levels.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, np.full_like(x, stride)], -1).reshape(-1, 3))
    found: Floats = np.concatenate(levels)
    return found


def decode_boxes(distances: Floats, kept: NDArray[np.int64], height: int, width: int) -> Floats:
    """Logits of distances (K, 64) of the anchors `kept` -> (K, 4) x0, y0, x1, y1 in network pixels."""
    logits = distances.reshape(len(kept), 4, -1)  # left, top, right, bottom
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    cells = shares @ np.arange(logits.shape[-1], dtype=np.float32)  # (K, 4)
    x, y, stride = anchors(height, width)[kept].T
    left, top, right, bottom = (cells * stride[:, None]).T
    return np.stack([x - left, y - top, x + right, y + bottom], 1)


def non_maximum_suppression(boxes: Floats, scores: Floats, iou_threshold: float, limit: int = 100) -> NDArray[np.int64]:
    """Rows to keep, best first: of boxes that overlap further than the threshold only the best."""
    order = np.argsort(-scores, kind="stable")[:1000]
    overlap = box_iou(boxes[order], boxes[order]) > iou_threshold
    kept: list[int] = []
    for i in range(len(order)):
        if not overlap[i, kept].any():
            kept.append(i)
            if len(kept) == limit:
                break
    return order[kept]


def box_iou(a: Floats, b: Floats) -> Floats:
    """(N, 4) and (M, 4) -> (N, M) intersection over union."""
    corner0 = np.maximum(a[:, None, :2], b[None, :, :2])
    corner1 = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(corner1 - corner0, 0, None).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    union = area_a[:, None] + area_b[None] - shared
    overlap: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def mask_grids(coefficients: Floats, prototypes: Floats, boxes: Floats) -> Floats:
    """Mix prototypes (32, h, w) by coefficients (N, 32), and sample each mixture in its box (network pixels).

    Returns:
        (N, GRID, GRID) probabilities.
    """
    n_prototypes, height, width = prototypes.shape
    logits = (coefficients @ prototypes.reshape(n_prototypes, -1)).reshape(-1, height, width)  # (N, h, w)
    grids = np.empty((len(boxes), GRID, GRID), np.float32)
    for grid, logit, (x0, y0, x1, y1) in zip(grids, logits, boxes / PROTOTYPE_STRIDE, strict=True):
        grid[:] = cv2.warpAffine(
            logit, _between((x1 - x0) / GRID, (y1 - y0) / GRID, x0, y0), (GRID, GRID),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
    return (1 / (1 + np.exp(-np.clip(grids, -30, 30)))).astype(np.float32)


def certainty(grids: Floats) -> Floats:
    """(N, GRID, GRID) probabilities -> (N,) their means inside the masks; 0 for a mask without a cell."""
    inside = grids > MASK_THRESHOLD
    total = np.where(inside, grids, 0).sum((1, 2))
    means: Floats = (total / np.maximum(inside.sum((1, 2)), 1)).astype(np.float32)
    return means


def box_mask(box: Floats, grid: Floats, height: int, width: int) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """The mask of one Smurf in the pixels of its box.

    Returns:
        The first pixel (x, y), and (h, w) from there on; it may be empty at the image's edge.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    left, top = max(int(np.floor(x0)), 0), max(int(np.floor(y0)), 0)
    size = (min(int(np.ceil(x1)), width) - left, min(int(np.ceil(y1)), height) - top)
    if min(size) <= 0 or x1 <= x0 or y1 <= y0:
        return (left, top), np.zeros((0, 0), bool)
    per_pixel = GRID / (x1 - x0), GRID / (y1 - y0)
    part = cv2.warpAffine(
        grid, _between(*per_pixel, (left - x0) * per_pixel[0], (top - y0) * per_pixel[1]), size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return (left, top), part > MASK_THRESHOLD


def _between(scale_x: float, scale_y: float, x: float, y: float) -> NDArray[np.float64]:
    """Map of pixel centres: a pixel's square of the target covers scale_x by scale_y of the source, from (x, y) on."""
    return np.array([[scale_x, 0, x + scale_x / 2 - 0.5], [0, scale_y, y + scale_y / 2 - 0.5]])
