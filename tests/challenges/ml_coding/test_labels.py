"""Labels as numbers."""

import numpy as np
import pytest

from challenges.ml_coding.labels import encode_classes, encode_signs, one_hot


def test_classes_are_sorted_and_codes_point_at_them() -> None:
    labels = np.array(["pear", "apple", "pear", "fig"])
    classes, codes = encode_classes(labels)
    assert classes.tolist() == ["apple", "fig", "pear"]
    assert classes[codes].tolist() == labels.tolist()
    assert one_hot(codes, 3).tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_signs_are_minus_for_the_first_class() -> None:
    classes, signs = encode_signs(np.array([7, 3, 7]))
    assert classes.tolist() == [3, 7]
    assert signs.tolist() == [1, -1, 1]


@pytest.mark.parametrize("code", [-1, 3])
def test_a_place_outside_the_classes_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match=rf"{code}.* not within 0 to 2"):
        one_hot(np.array([0, code, 1]), 3)
    assert one_hot(np.array([], dtype=int), 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([1, 1, 1], "one class: "), ([1, 2, 3], "Only binary"), ([0.5, 1.5, 0.7], "Unknown label type")],
)
def test_signs_need_two_classes(labels: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_signs(np.array(labels))
