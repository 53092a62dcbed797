"""The shipped model and a small generated sample, made once."""

from pathlib import Path

import pytest

from challenges.vinted.predict import Model, load_model
from challenges.vinted.sample import write_sample


@pytest.fixture(scope="session")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("sample"), n_labelled=40, n_test=24, seed=5)
