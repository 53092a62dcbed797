"""The guided filter, against its definition window by window, and what it does to a mask."""

import numpy as np

from challenges.radix_smurfs.edges import follow_edges, guided_filter


def by_definition(guide: np.ndarray, values: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Ridge regression of the values on the colours in every window; edges are mirrored, without the last pixel."""
    size = 2 * radius + 1
    pad = ((radius, radius), (radius, radius))
    guides, padded = np.pad(guide, (*pad, (0, 0)), "symmetric"), np.pad(values, pad, "symmetric")
    lines = np.empty((*values.shape, 4))
    for y, x in np.ndindex(values.shape):
        colors = guides[y : y + size, x : x + size].reshape(-1, 3)
        level = padded[y : y + size, x : x + size].ravel()
        centred = colors - colors.mean(0)
        a = np.linalg.solve(centred.T @ centred / size**2 + epsilon * np.eye(3), centred.T @ level / size**2)
        lines[y, x] = [*a, level.mean() - a @ colors.mean(0)]
    around = np.pad(lines, (*pad, (0, 0)), "symmetric")
    mean = np.array([[around[y : y + size, x : x + size].mean((0, 1)) for x in range(values.shape[1])]
                     for y in range(values.shape[0])])  # fmt: skip
    return (mean[..., :3] * guide).sum(-1) + mean[..., 3]


def test_the_filter_is_the_one_that_its_paper_defines():
    rng = np.random.default_rng(0)
    guide, values = rng.random((14, 11, 3)).astype(np.float32), rng.random((14, 11)).astype(np.float32)
    expected = by_definition(guide.astype(np.float64), values.astype(np.float64), 2, 1e-2)
    np.testing.assert_allclose(guided_filter(guide, values, 2, 1e-2), expected, atol=1e-4)


def test_a_blurred_edge_moves_to_where_the_picture_has_it():
    image = np.full((96, 96, 3), (60, 140, 60), np.uint8)
    image[:, 40:] = (90, 120, 220)
    coarse = np.clip((np.arange(96) - 24) / 24, 0, 1)[None].repeat(96, 0).astype(np.float32)  # a half at column 36
    (fine,) = follow_edges(coarse[None], np.array([[0, 0, 96, 96]], np.float32), image)
    wrong = [int(((mask > 0.5) != (np.arange(96) >= 40)).sum()) for mask in (coarse, fine)]
    assert wrong[1] < wrong[0] / 2
    plain = np.full_like(image, 127)
    (smooth,) = follow_edges(coarse[None], np.array([[0, 0, 96, 96]], np.float32), plain)
    np.testing.assert_allclose(smooth[:, 20:76], coarse[:, 20:76], atol=0.2)  # no edge: only smoothed


def test_boxes_at_the_edge_and_smaller_than_a_pixel_are_filtered_as_well():
    image = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    boxes = np.array([[39.5, 29.2, 40, 30], [0, 0, 0.5, 30], [10, 5, 40, 30]], np.float32)
    grids = np.full((3, 96, 96), 0.8, np.float32)
    np.testing.assert_allclose(follow_edges(grids, boxes, image), grids, atol=1e-3)
    assert follow_edges(grids[:0], boxes[:0], image).shape == (0, 96, 96)
