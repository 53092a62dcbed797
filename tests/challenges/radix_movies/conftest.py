"""A sample and what the networks see of it, for all tests of the challenge."""

import pytest

from challenges.radix_movies.dataset import Dataset, load
from challenges.radix_movies.features import Features, Pictures, extract
from challenges.radix_movies.predict import Model, load_model
from challenges.radix_movies.sample import write_sample


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load(write_sample(tmp_path_factory.mktemp("movies"), n_films=108))


@pytest.fixture(scope="session")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="session")
def seen(model: Model, sample: Dataset) -> tuple[Features, Pictures]:
    return extract(model.encoders, sample.films, sample.posters)
