"""The made-up survey, and an encoder of words that needs no network, for all tests of the challenge."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from challenges.avalanche.dataset import Survey, load
from challenges.avalanche.embedding import Embedder
from challenges.avalanche.sample import write_sample


@pytest.fixture(scope="session")
def sample_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("survey"), n_respondents=160)


@pytest.fixture(scope="session")
def sample(sample_file: Path) -> Survey:
    return load(sample_file)


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return _count_letters


def _count_letters(texts: Sequence[str]) -> NDArray[np.float32]:
    """Hashed groups of three letters: texts that share words are near each other."""
    vectors = np.zeros((len(texts), 256), np.float32)
    for row, text in enumerate(texts):
        padded = f" {text.lower()} "
        for i in range(len(padded) - 2):
            vectors[row, zlib.crc32(padded[i : i + 3].encode()) % 256] += 1
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
