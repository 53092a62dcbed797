"""Drawn garments: photos and cloth show what their labels say."""

import cv2
import numpy as np
import pytest

from challenges.vinted.dataset import CATEGORIES, TAGS
from challenges.vinted.rendering import PALETTE, draw_garment, render_photo, render_with_mask, weave

SMALL = (200, 150)
TAG_SETS = [frozenset(t for k, t in enumerate(TAGS) if bits >> k & 1) for bits in range(8)]


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("tags", TAG_SETS, ids=lambda tags: "+".join(sorted(tags)) or "none")
def test_every_category_and_tag_set_renders(category: str, tags: frozenset[str]) -> None:
    rng = np.random.default_rng([CATEGORIES.index(category), TAG_SETS.index(tags)])
    photo, alpha = render_with_mask(rng, category, "BLUE", tags, SMALL)
    assert photo.shape == (*SMALL, 3)
    assert photo.dtype == np.uint8
    assert photo.std() > 4
    assert 0.05 < (alpha > 128).mean() < 0.95


@pytest.mark.parametrize("tags", TAG_SETS[1:], ids=lambda tags: "+".join(sorted(tags)))
@pytest.mark.parametrize("color", ["WHITE", "BLACK", "GREY", "RED"])
def test_prints_stand_out_from_their_ground(color: str, tags: frozenset[str]) -> None:
    for seed in range(2):
        tile = weave(np.random.default_rng(seed), color, tags).main.astype(float)
        spread = np.percentile(tile, 97, axis=(0, 1)) - np.percentile(tile, 3, axis=(0, 1))
        assert spread.max() > 25


@pytest.mark.parametrize("color", sorted(PALETTE))
def test_garment_has_the_named_colour(color: str) -> None:
    """Lab distance of the median garment pixel, over a few plain or lightly printed garments."""
    medians = []
    for seed in range(5):
        garment, alpha = draw_garment(np.random.default_rng(seed), "TANK_TOPS", color, frozenset(), SMALL)
        medians.append(np.median(garment[alpha > 250], axis=0))
    pair = np.array([np.median(medians, axis=0), PALETTE[color]], np.float32)[None] / 255
    lab = cv2.cvtColor(pair, cv2.COLOR_RGB2LAB)[0]
    assert np.linalg.norm(lab[0] - lab[1]) < 22


def test_various_has_several_colours() -> None:
    ranges = [np.ptp(weave(np.random.default_rng(s), "VARIOUS", frozenset()).main[::8, ::8].reshape(-1, 3), 0).max()
              for s in range(6)]  # fmt: skip
    assert min(ranges) > 40


def test_shape_tells_long_dresses_from_tops() -> None:
    def height_to_width(category: str) -> float:
        ratios = []
        for seed in range(8):
            _, alpha = draw_garment(np.random.default_rng(seed), category, "RED", frozenset(), SMALL)
            y, x = np.nonzero(alpha > 128)
            ratios.append(np.ptp(y) / np.ptp(x))
        return float(np.median(ratios))

    assert height_to_width("CASUAL_DRESSES") > height_to_width("MINI_DRESSES") > height_to_width("SHIRTS")


@pytest.mark.parametrize("size", [(533, 400), (400, 533), (96, 64), (800, 700)])
def test_any_size(size: tuple[int, int]) -> None:
    assert render_photo(np.random.default_rng(0), "SHIRTS", "NAVY", frozenset({"checker"}), size).shape == (*size, 3)
