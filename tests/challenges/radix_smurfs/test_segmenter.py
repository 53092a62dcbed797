"""From the network's numbers to boxes and masks, against independent arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from challenges.radix_smurfs.segmenter import (
    GRID,
    Detections,
    Segmenter,
    anchors,
    box_iou,
    box_mask,
    certainty,
    decode_boxes,
    letterbox,
    load_segmenter,
    mask_grids,
    non_maximum_suppression,
)
from common.artifacts import save_artifact
from common.errors import UserError


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([64, 96, 320]))
@settings(max_examples=60, deadline=None)
def test_letterbox_keeps_proportions_and_fills_to_multiples_of_32(height: int, width: int, size: int):
    framed, scale = letterbox(np.zeros((height, width, 3), np.uint8), size)
    assert all(side % 32 == 0 for side in framed.shape[:2])
    assert max(framed.shape[:2]) - size < 32
    assert scale == pytest.approx(size / max(height, width))
    inner = framed[: round(height * scale) or 1, : round(width * scale) or 1]
    assert (inner == 0).all()
    assert (framed == 114).sum() == framed.size - inner.size


def test_a_16_by_9_frame_at_512_needs_no_margin():
    framed, _ = letterbox(np.zeros((720, 1280, 3), np.uint8), 512)
    assert framed.shape == (288, 512, 3)


def test_distances_lead_from_the_anchor_to_the_edges():
    logits = np.full((1, 4, 16), -50, np.float32)
    for edge, cells in enumerate((1, 2, 3, 4)):
        logits[0, edge, cells] = 50
    row = np.array([5])  # the sixth anchor of 8 pixels: centre (44, 4)
    np.testing.assert_allclose(decode_boxes(logits.reshape(1, 64), row, 64, 64), [[36, -12, 68, 36]], atol=1e-3)


def test_anchors_cover_every_cell_of_the_three_grids():
    found = anchors(64, 96)
    assert len(found) == 8 * 12 + 4 * 6 + 2 * 3
    assert found[0].tolist() == [4, 4, 8]
    assert found[-1].tolist() == [80, 48, 32]


def test_overlap_of_boxes():
    a = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    b = np.array([[5, 0, 15, 10], [0, 0, 10, 10], [50, 50, 50, 60]], np.float32)
    np.testing.assert_allclose(box_iou(a, b), [[50 / 150, 1, 0], [0, 0, 0]])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 25))
def test_suppression_agrees_with_torchvision(seed: int, n: int):
    from torch import from_numpy
    from torchvision.ops import nms

    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 50, (n, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (n, 2))], 1).astype(np.float32)
    scores = rng.permutation(n).astype(np.float32)
    expected = nms(from_numpy(boxes), from_numpy(scores), 0.5).tolist()
    assert non_maximum_suppression(boxes, scores, 0.5).tolist() == expected


def test_masks_land_where_their_prototype_is():
    prototypes = np.full((1, 24, 32), -10, np.float32)  # of an input of 96 x 128
    prototypes[0, 5:15, 8:20] = 10
    box = np.array([[8 * 4, 5 * 4, 20 * 4, 15 * 4]], np.float32)
    grids = mask_grids(np.ones((1, 1), np.float32), prototypes, box)
    assert grids.shape == (1, GRID, GRID)
    # In an image twice as large as the input.
    (x, y), mask = box_mask(box[0] * 2, grids[0], 192, 256)
    assert (x, y) == (64, 40)
    assert mask.shape == (80, 96)
    assert mask.mean() > 0.9
    wide = np.array([[0, 0, 128, 96]], np.float32)
    whole = Detections(wide, np.ones(1, np.float32), mask_grids(np.ones((1, 1), np.float32), prototypes, wide))
    found = whole.masks(96, 128)[0]
    expected = np.zeros((96, 128), bool)
    expected[20:60, 32:80] = True
    assert (found & expected).sum() / (found | expected).sum() > 0.85


def test_a_mask_is_as_certain_as_the_cells_inside():
    grids = np.zeros((3, GRID, GRID), np.float32)
    grids[0, :10] = 0.8
    grids[1] = 0.9
    np.testing.assert_allclose(certainty(grids), [0.8, 0.9, 0], atol=1e-6)
    assert certainty(grids[:0]).shape == (0,)


def test_a_mask_at_the_edge_is_cut_off_there():
    grid = np.ones((GRID, GRID), np.float32)
    (x, y), mask = box_mask(np.array([-10, 5, 30, 200], np.float32), grid, 100, 50)
    assert (x, y, *mask.shape) == (0, 5, 95, 30)
    assert mask.all()
    assert box_mask(np.array([60, 0, 70, 10], np.float32), grid, 100, 50)[1].size == 0


class FakeSession:
    """A network that sees one Smurf wherever the input is blue."""

    def run(self, _, inputs):
        (pixels,) = inputs["pixels"]
        height, width = pixels.shape[:2]
        blue = pixels[..., 2] > pixels[..., 0].astype(int) + 60
        ys, xs = np.nonzero(blue)
        places = anchors(height, width)
        distances = np.full((1, len(places), 4, 16), -30, np.float32)
        scores = np.zeros((1, len(places)), np.float32)
        if len(xs):
            x0, y0, x1, y1 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
            off = np.abs(places[:, :2] - ((x0 + x1) / 2, (y0 + y1) / 2)).sum(1) + (places[:, 2] != 16) * 1e6
            best = int(off.argmin())
            x, y, stride = places[best]
            for edge, cells in enumerate(np.array([x - x0, y - y0, x1 - x, y1 - y]) / stride):
                low = int(cells)
                distances[0, best, edge, low] = np.log(1 - (cells - low) + 1e-9)
                distances[0, best, edge, low + 1] = np.log(cells - low + 1e-9)
            scores[0, best] = 0.9
        prototypes = np.where(blue[2::4, 2::4], 8.0, -8.0).astype(np.float32)[None, None]
        return distances.reshape(1, -1, 64), scores, np.ones((1, len(places), 1), np.float32), prototypes


def blue_box(mirrored: bool = False) -> np.ndarray:
    image = np.full((200, 300, 3), (90, 160, 80), np.uint8)
    image[40:140, 60:120] = (40, 60, 220)
    return image[:, ::-1].copy() if mirrored else image


def test_the_whole_way_from_image_to_mask_and_its_mirror_image():
    segmenter = Segmenter(FakeSession(), 320, 0.5, 0.6)
    found = segmenter(blue_box())
    np.testing.assert_allclose(found.boxes, [[60, 40, 120, 140]], atol=1.5)
    mask = found.masks(200, 300)[0]
    truth = np.zeros((200, 300), bool)
    truth[40:140, 60:120] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.95
    mirrored = segmenter(blue_box(mirrored=True))
    np.testing.assert_allclose(mirrored.boxes, [[180, 40, 240, 140]], atol=1.5)
    again = mirrored.masks(200, 300)[0][:, ::-1]
    assert (again & mask).sum() / (again | mask).sum() > 0.95


def test_nobody_is_found_where_nobody_is():
    segmenter = Segmenter(FakeSession(), 320, 0.5, 0.6)
    found = segmenter(np.zeros((50, 80, 3), np.uint8))
    assert len(found) == 0
    assert found.masks(50, 80).shape == (0, 50, 80)
    assert len(segmenter.at(score_threshold=0.95)(blue_box())) == 0


def test_an_artifact_of_something_else_is_refused(tmp_path):
    save_artifact(
        tmp_path, challenge="vinted", files={"model.onnx": b"x"}, config={}, labels={}, input={},
        data_fingerprint="", metrics={}, packages={},
    )  # fmt: skip
    with pytest.raises(UserError, match="vinted"):
        load_segmenter(tmp_path)
