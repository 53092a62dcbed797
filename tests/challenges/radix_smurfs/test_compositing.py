"""Compositions: what the map says is what is to be seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from challenges.radix_smurfs.augmentation import turn_purple
from challenges.radix_smurfs.compositing import (
    MIN_PIXELS,
    Example,
    augment,
    boxes_of,
    compose,
    cut_out,
    gather,
    instance_map,
    paste,
    remove_instances,
)
from challenges.radix_smurfs.scenery import color_field, drawn_scene, texture

BLUE, GREEN = (40, 80, 230), (60, 160, 60)


def picture(*boxes: tuple[int, int, int, int], height: int = 120, width: int = 160) -> Example:
    """Blue rectangles (x0, y0, x1, y1) on green."""
    image = np.full((height, width, 3), GREEN, np.uint8)
    masks = np.zeros((len(boxes), height, width), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
        image[mask] = BLUE
    return Example(image, instance_map(masks, height, width))


def test_small_instances_lie_on_large_ones():
    example = picture((10, 10, 90, 90), (30, 30, 60, 60))
    assert example.instance_map[40, 40] == 2
    assert example.instance_map[15, 15] == 1
    assert example.instance_map[0, 0] == 0


def test_a_cutout_knows_which_edges_cut_it_off():
    inside, cut = cut_out(picture((40, 30, 80, 90), (120, 60, 160, 120)))
    assert inside.edges == (False, False, False, False)
    assert cut.edges == (False, False, True, True)
    assert inside.image.shape == (60, 40, 3)
    assert (inside.alpha == 255).all()


def test_what_is_too_small_is_not_pasted():
    assert cut_out(picture((10, 10, 20, 40))) == []


def test_removing_instances_leaves_no_trace_of_them():
    example = picture((40, 30, 80, 90))
    clean = remove_instances(example)
    assert np.abs(clean.astype(int) - GREEN).max() < 40
    assert (clean[:20] == GREEN).all()


@pytest.mark.parametrize("seed", range(6))
def test_pasting_hides_what_was_there(seed: int):
    example = picture((0, 0, 160, 120))
    (cutout,) = cut_out(picture((40, 30, 80, 90)))
    pasted = paste(example, cutout, np.random.default_rng(seed), (0.5, 0.5))
    assert (pasted.instance_map == 2).sum() + (pasted.instance_map == 1).sum() == 160 * 120
    assert 0 < (pasted.instance_map == 2).sum() <= 1.3 * 60 * 60
    assert (example.instance_map == 1).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_side_that_was_cut_off_stays_at_that_edge(seed: int):
    (cutout,) = cut_out(picture((100, 60, 160, 110)))  # cut off on the right
    pasted = paste(picture(), cutout, np.random.default_rng(seed), (0.4, 0.4))
    columns = np.flatnonzero((pasted.instance_map == 1).any(0))
    assert columns[0] == 0 or columns[-1] == 159


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_composition_is_a_picture_with_a_map_without_gaps(seed: int):
    material = gather([picture((40, 30, 80, 90), (100, 10, 150, 60)), picture((5, 5, 60, 110))])
    for make in (lambda r: compose(material, (96, 128), r), lambda r: augment(material.examples[0], (96, 128), r)):
        example = make(np.random.default_rng(seed))
        assert example.image.shape == (96, 128, 3)
        assert example.image.dtype == example.instance_map.dtype == np.uint8
        labels, counts = np.unique(example.instance_map[example.instance_map > 0], return_counts=True)
        assert labels.tolist() == list(range(1, len(labels) + 1))
        assert (counts >= MIN_PIXELS).all()
        boxes = boxes_of(example.instance_map)
        assert boxes.shape == (len(labels), 4)
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert boxes.size == 0 or (boxes.min() >= 0 and boxes.max() <= 1)


def test_same_seed_same_composition():
    material = gather([picture((40, 30, 80, 90))])
    first, second = (compose(material, (64, 64), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.instance_map, second.instance_map)


def test_one_composition_in_twelve_is_empty():
    material = gather([picture((40, 30, 80, 90))])
    n_empty = sum(not compose(material, (48, 48), np.random.default_rng(s)).instance_map.any() for s in range(240))
    assert 10 < n_empty < 60


@pytest.mark.parametrize(("hue", "brightness"), [(133, 0.7), (136, 0.6)])
def test_only_blue_turns_purple(hue: int, brightness: float):
    pixels = np.array([[BLUE, (250, 250, 250), (220, 30, 30), (250, 210, 40)]], np.uint8)
    turned = turn_purple(pixels, hue, brightness)[0].astype(int)
    assert turned[0, 0] > turned[0, 1] + 30
    assert turned[0, 2] > turned[0, 0] - 60
    np.testing.assert_array_less(np.abs(turned[1:] - pixels[0, 1:].astype(int)), 4)


@pytest.mark.parametrize("draw", [color_field, texture, drawn_scene])
def test_backgrounds_have_the_size_asked_for_and_differ(draw):
    first, second = (draw(np.random.default_rng(seed), 40, 70) for seed in (1, 2))
    assert first.shape == second.shape == (40, 70, 3)
    assert first.dtype == np.uint8
    assert (first != second).any()
