"""Polygon, mask, run-length encoding, box: one into the other.

Conventions of COCO: x to the right, y down, in pixels; pixel (0, 0) is the square from (0, 0) to (1, 1). A box is
(x0, y0, x1, y1), so that a box of one pixel has sides of 1. A run-length encoding (RLE) is pycocotools' compressed
one, `{"size": [height, width], "counts": text}`, which is JSON as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

Rle = dict[str, Any]
Box = tuple[float, float, float, float]
Polygon = NDArray[np.float64]  # (P, 2) x, y; closed without repeating the first point
Mask = NDArray[np.bool_]  # (H, W)


def read_polygon(coordinates: Any) -> Polygon | None:
    """Take a polygon from a file, COCO's flat list x, y, x, y ...; None where it is none."""
    if not isinstance(coordinates, list) or len(coordinates) < 6 or len(coordinates) % 2:
        return None
    if not all(type(v) in (int, float) and abs(v) < 1e9 for v in coordinates):  # NaN is not less
        return None
    return np.array(coordinates, dtype=np.float64).reshape(-1, 2)


def polygons_to_rle(polygons: Sequence[Polygon], height: int, width: int) -> Rle:
    """Fill the union of polygons, cut off at the image's edge."""
    inside = [p for p in (clip_polygon(polygon, height, width) for polygon in polygons) if len(p) >= 3]
    if not inside:
        return mask_to_rle(np.zeros((height, width), bool))
    rles = coco_mask.frPyObjects([p.ravel().tolist() for p in inside], height, width)
    return _as_text(coco_mask.merge(rles))


def clip_polygon(polygon: Polygon, height: int, width: int) -> Polygon:
    """Cut a polygon off at the image's edge (Sutherland and Hodgman, 1974).

    pycocotools moves points outside onto the edge instead, which bends the sides that lead there, and reserves memory
    by the length of the sides, however far off.
    """
    for axis, sign, bound in ((0, 1, 0), (0, -1, -width), (1, 1, 0), (1, -1, -height)):
        if len(polygon) == 0:
            break
        depth = sign * polygon[:, axis] - bound  # (P,) at least 0 inside
        following, depth_after = np.roll(polygon, -1, axis=0), np.roll(depth, -1)
        crosses = (depth < 0) != (depth_after < 0)
        share = np.divide(depth, depth - depth_after, out=np.zeros_like(depth), where=crosses)
        crossing = polygon + share[:, None] * (following - polygon)
        crossing[:, axis] = sign * bound
        # each point that is inside, and behind it the crossing on its way to the next one
        points = np.stack([polygon, crossing], axis=1).reshape(-1, 2)
        polygon = points[np.stack([depth >= 0, crosses], axis=1).ravel()]
    return polygon


def mask_to_polygons(mask: Mask) -> list[Polygon]:
    """Outlines along the pixels' sides, one for each connected part, which `polygons_to_rle` fills to the same mask.

    COCO's polygons know no holes: they are filled.
    """
    x0, y0, x1, y1 = (int(v) for v in mask_box(mask))
    # OpenCV runs through the centres of the outermost pixels. In a picture three times as large these lie a third of
    # an old pixel inside its sides, so that rounding leads onto them.
    enlarged = mask[y0:y1, x0:x1].astype(np.uint8).repeat(3, axis=0).repeat(3, axis=1)
    contours, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [np.rint(contour[:, 0] / 3) + np.array([x0, y0]) for contour in contours]


def mask_to_rle(mask: Mask) -> Rle:
    """Encode (H, W)."""
    return _as_text(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def part_to_rle(part: Mask, corner: tuple[int, int], height: int, width: int) -> Rle:
    """Encode the (h, w) part of an (H, W) mask that begins at the pixel `corner`, x and y; elsewhere is nothing."""
    x, y = corner
    mask = np.zeros((height, width), bool, order="F")  # as it is encoded
    mask[y : y + part.shape[0], x : x + part.shape[1]] = part
    return mask_to_rle(mask)


def rle_to_mask(rle: Rle) -> Mask:
    """Decode to (H, W)."""
    return np.ascontiguousarray(coco_mask.decode(rle), dtype=bool)


def check_rle(size: Any, counts: Any) -> Rle:
    """Take an RLE from a file: its counts a list of run lengths, or pycocotools' compressed text.

    pycocotools believes the counts, and reads or writes beside its memory where they do not add up to the size.

    Raises:
        ValueError: the size is no [height, width], or the counts do not fill it; the text is the reason, short.
    """
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int and n > 0 for n in size)):
        raise ValueError("the size of its RLE is not [height, width]")
    runs = _expand_counts(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(n) is int and n >= 0 for n in runs):
        raise ValueError("the counts of its RLE are neither a list of run lengths nor a compressed text")
    if sum(runs) != size[0] * size[1]:
        raise ValueError(f"the counts of its RLE cover {sum(runs)} of {size[0] * size[1]} pixels")
    return _as_text(coco_mask.frPyObjects({"size": size, "counts": runs}, *size))


def _expand_counts(text: str) -> list[int]:
    """Run lengths of a compressed text: 5 bits a character, least first, each but three a difference (maskApi.c)."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("the counts of its RLE are no compressed text")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:  # more to come
            continue
        if bits & 0x10:  # negative
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the counts of its RLE are cut off")
    return runs


def rle_area(rle: Rle) -> int:
    """Number of pixels."""
    return int(coco_mask.area(rle))


def rle_box(rle: Rle) -> Box:
    """The smallest box around the pixels; (0, 0, 0, 0) where there are none."""
    x, y, width, height = (float(v) for v in coco_mask.toBbox(rle))
    return x, y, x + width, y + height


def mask_box(mask: Mask) -> Box:
    """The smallest box around the pixels; (0, 0, 0, 0) where there are none."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        return 0.0, 0.0, 0.0, 0.0
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def resize_rle(rle: Rle, height: int, width: int) -> Rle:
    """Stretch to another size; every new pixel takes the nearest old one."""
    if rle["size"] == [height, width]:
        return rle
    mask = cv2.resize(rle_to_mask(rle).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return mask_to_rle(mask.astype(bool))


def _as_text(rle: dict[str, Any]) -> Rle:
    return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}
