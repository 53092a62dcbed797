"""What is drawn over a picture: tint inside, outline, label, and nothing elsewhere."""

import numpy as np
import pytest

from challenges.radix_smurfs.dataset import NAMES
from challenges.radix_smurfs.overlay import COLORS, Marked, contact_sheet, draw

PICTURE = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)


def marked(x: int, y: int, size: int, name: str = "Smurfette") -> Marked:
    mask = np.zeros(PICTURE.shape[:2], bool)
    mask[y : y + size, x : x + size] = True
    return Marked(name, 0.9, (x, y, x + size, y + size), mask)


@pytest.mark.parametrize("name", NAMES)
def test_inside_is_a_quarter_of_the_names_colour(name: str):
    drawn = draw(PICTURE, [marked(100, 90, 80, name)])
    inside = (slice(93, 167), slice(103, 177))  # within the outline
    assert (drawn[inside] == np.floor(0.75 * PICTURE[inside] + 0.25 * np.array(COLORS[name]))).all()


def test_far_from_a_smurf_nothing_changes_and_the_picture_given_stays_as_it_was():
    before = PICTURE.copy()
    drawn = draw(PICTURE, [marked(20, 90, 60), marked(60, 120, 60, "Papa Smurf")])
    assert (before == PICTURE).all()
    assert (drawn[:, 200:] == PICTURE[:, 200:]).all()
    assert (drawn[190:] == PICTURE[190:]).all()


def test_a_mask_without_a_pixel_is_drawn_as_a_label_alone():
    drawn = draw(PICTURE, [marked(150, 100, 0)])
    changed = np.argwhere((drawn != PICTURE).any(-1))
    assert len(changed)
    assert changed[:, 0].max() <= 101


def test_a_sheet_shows_every_picture_and_refuses_none():
    sheet = contact_sheet([(float(k), PICTURE) for k in range(7)], columns=3, width=160)
    assert sheet.shape == (3 * 120, 3 * 160, 3)
    strip = np.zeros((16_000, 16, 3), np.uint8)  # as wide as others, sixty would take 26 GB
    assert contact_sheet([(0.0, strip)] * 7, columns=3, width=160).shape[0] <= 3 * 480
    with pytest.raises(ValueError, match="no frames"):
        contact_sheet([])
