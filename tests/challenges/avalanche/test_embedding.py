"""Vectors of answers: each distinct text once, the same on every engine."""

from pathlib import Path

import numpy as np
import pytest

from challenges.avalanche.embedding import embed
from common.errors import UserError
from common.inference.batch import Engine

TEXTS = ["too expensive", "It costs too much", "too expensive", "I am moving", ""]


def test_texts_are_encoded_once_each_and_like_ones_are_near():
    steps: list[int] = []
    vectors = embed(TEXTS, on_progress=steps.append)
    assert vectors.shape == (5, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert sum(steps) == 4
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[3] + 0.2
    assert embed([]).shape == (0, 384)
    with pytest.raises(UserError):
        embed(TEXTS, Path("nowhere"))


def test_a_cluster_gives_the_same(no_cluster: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("challenges.avalanche.embedding._BLOCK", 2)
    np.testing.assert_array_equal(embed(TEXTS, engine=Engine.RAY), embed(TEXTS))
    assert embed([], engine=Engine.RAY).shape == (0, 384)
