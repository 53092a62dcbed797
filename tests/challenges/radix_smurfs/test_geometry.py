"""Round trips, edges of images, and run lengths that lie."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy.ndimage import binary_fill_holes

from challenges.radix_smurfs.geometry import (
    check_rle,
    clip_polygon,
    mask_box,
    mask_to_polygons,
    mask_to_rle,
    polygons_to_rle,
    resize_rle,
    rle_area,
    rle_box,
    rle_to_mask,
)

SIDES = st.integers(1, 12)
MASKS = st.tuples(SIDES, SIDES).flatmap(lambda shape: hnp.arrays(bool, shape))
COORDINATES = st.floats(-30, 60, width=32)
POLYGONS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=8).map(lambda p: np.array(p, float))


@settings(deadline=None)
@given(MASKS)
def test_mask_to_rle_and_back(mask: NDArray[np.bool_]) -> None:
    rle = mask_to_rle(mask)
    assert np.array_equal(rle_to_mask(rle), mask)
    assert rle_area(rle) == mask.sum()
    assert rle_box(rle) == mask_box(mask)


@settings(deadline=None)
@given(MASKS)
def test_mask_to_polygons_and_back_fills_holes_and_changes_nothing_else(mask: NDArray[np.bool_]) -> None:
    rle = polygons_to_rle(mask_to_polygons(mask), *mask.shape)
    assert np.array_equal(rle_to_mask(rle), binary_fill_holes(mask))


@settings(deadline=None)
@given(MASKS)
def test_every_form_of_rle_is_read(mask: NDArray[np.bool_]) -> None:
    rle = mask_to_rle(mask)
    columns = mask.T.ravel()
    changes = np.flatnonzero(np.diff(columns)) + 1
    counts = np.diff([0, *changes, columns.size]).tolist()
    counts = [0, *counts] if columns[0] else counts  # the first run is of zeros
    assert check_rle(list(mask.shape), counts) == rle
    assert check_rle(list(mask.shape), rle["counts"]) == rle


@settings(deadline=None)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=2), st.text(st.characters(max_codepoint=130), max_size=12))
def test_no_text_makes_pycocotools_read_beside_its_memory(size: list[int], counts: str) -> None:
    try:
        rle = check_rle(size, counts)
    except ValueError:
        return
    assert rle_to_mask(rle).sum() == rle_area(rle) <= size[0] * size[1]


@pytest.mark.parametrize(
    ("size", "counts", "reason"),
    [
        ([4, 4], [1, 2], "3 of 16 pixels"),
        ([4, 4], [20], "20 of 16 pixels"),
        ([4, 4], [-3, 19], "neither"),
        ([4, 4], [], "0 of 16"),
        ([4, 4], None, "neither"),
        ([4, 4], "`", "cut off"),
        ([4, 4], "é", "no compressed text"),
        ([4], [4], "not [height, width]"),
        ([4, 0], [0], "not [height, width]"),
        ([True, True], [1], "not [height, width]"),
    ],
)
def test_run_lengths_that_lie_are_refused(size: object, counts: object, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        check_rle(size, counts)
    assert reason in str(error.value)


@settings(deadline=None)
@given(POLYGONS)
def test_clipping_keeps_what_is_inside(polygon: NDArray[np.float64]) -> None:
    """Against pycocotools on a canvas that holds all of the polygon; only along its sides may rounding differ."""
    height, width, margin = 16, 20, 32
    clipped = clip_polygon(polygon, height, width)
    assert ((clipped >= 0) & (clipped <= (width, height))).all()
    window = (slice(margin, margin + height), slice(margin, margin + width))
    canvas = coco_mask.decode(coco_mask.frPyObjects([(polygon + margin).ravel().tolist()], 100, 100)[0])
    corners = np.rint((polygon + margin - 0.5) * 16).astype(np.int32)
    sides = cv2.polylines(np.zeros((100, 100), np.uint8), [corners], True, 1, thickness=3, shift=4)
    ours = rle_to_mask(polygons_to_rle([polygon], height, width))
    settled = sides[window] == 0
    assert np.array_equal(ours[settled], canvas[window][settled])


def test_a_polygon_far_outside_costs_nothing_and_covers_nothing() -> None:
    far = np.array([[1e8, 1e8], [2e8, 1e8], [2e8, 2e8]])
    assert rle_area(polygons_to_rle([far], 10, 10)) == 0
    around = np.array([[-1e8, -1e8], [1e8, -1e8], [1e8, 1e8], [-1e8, 1e8]])
    assert rle_area(polygons_to_rle([around], 10, 10)) == 100


def test_several_polygons_are_one_mask() -> None:
    square = np.array([[1, 1], [3, 1], [3, 3], [1, 3]], float)
    mask = rle_to_mask(polygons_to_rle([square, square + np.array([4, 0]), square + np.array([1, 0])], 4, 8))
    assert mask.sum() == 10
    assert mask_box(mask) == (1, 1, 7, 3)


def test_resizing_keeps_the_shape() -> None:
    mask = np.zeros((6, 9), bool)
    mask[2:4, 3:6] = True
    larger = resize_rle(mask_to_rle(mask), 12, 18)
    assert np.array_equal(rle_to_mask(larger), np.kron(mask, np.ones((2, 2), bool)))
    assert resize_rle(larger, 6, 9) == mask_to_rle(mask)
    assert resize_rle(larger, 12, 18) is larger
