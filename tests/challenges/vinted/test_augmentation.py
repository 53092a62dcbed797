"""Changed photos keep their size and type, are decided by the generator alone, and a neutral change is none."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from challenges.vinted.augmentation import Augmentation, augment

NEUTRAL = Augmentation(
    min_area=1, aspect=1, degrees=0, mirror=0, brightness=0, contrast=0, saturation=0, tint=0, erase=0, soften=0
)


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 90), st.integers(2, 90), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**63 - 1))
def test_any_photo_gives_the_asked_size(height: int, width: int, out_height: int, out_width: int, seed: int):
    image = photo(height, width)
    before = image.copy()
    first, second = (
        augment(image, (out_height, out_width), Augmentation(), np.random.default_rng(seed)) for _ in range(2)
    )
    assert first.shape == (out_height, out_width, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, before)


def test_neutral_change_is_none():
    image = photo(40, 30)
    np.testing.assert_array_equal(augment(image, (40, 30), NEUTRAL, np.random.default_rng(0)), image)


def test_mirror_is_exact():
    image = photo(40, 30)
    changed = augment(image, (40, 30), Augmentation(**{**NEUTRAL.__dict__, "mirror": 1.0}), np.random.default_rng(0))
    np.testing.assert_array_equal(changed, image[:, ::-1])


def test_without_saturation_a_photo_is_grey():
    class Lowest(np.random.Generator):
        """Draws the lower end of every range."""

        def uniform(self, low=0.0, high=1.0, size=None):
            return low if size is None else np.full(size, low)

    config = Augmentation(**{**NEUTRAL.__dict__, "saturation": 1.0})
    changed = augment(photo(20, 20), (20, 20), config, Lowest(np.random.PCG64(0))).astype(int)
    assert np.ptp(changed, axis=2).max() <= 1
