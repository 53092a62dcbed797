"""Films that a model was trained on are known, whatever the table or archive that they come in."""

from pathlib import Path

import numpy as np
import pytest

from challenges.radix_movies.dataset import Dataset, load
from challenges.radix_movies.evaluate import learned_films
from challenges.radix_movies.features import Features, Pictures, extract
from challenges.radix_movies.predict import DEFAULT_MODEL, Model


def test_new_films_are_not_taken_for_learned_ones(model: Model, sample: Dataset, seen: tuple[Features, Pictures]):
    assert not learned_films(DEFAULT_MODEL, model, seen[0]).any()
    assert len(learned_films(DEFAULT_MODEL, model, seen[0].take(np.zeros(len(sample.films), bool)))) == 0


@pytest.mark.real_data
def test_some_of_the_films_learned_from_are_known_by_text_or_poster(model: Model, shared_data: Path):
    dataset = load(shared_data / "movies")
    features, _ = extract(model.encoders, dataset.films[::400], dataset.posters)
    assert learned_films(DEFAULT_MODEL, model, features).all()
    assert learned_films(DEFAULT_MODEL, model, features.without(poster=True)).all()
    assert learned_films(DEFAULT_MODEL, model, features.without(text=True)).all()
    assert not learned_films(DEFAULT_MODEL, model, features.without(text=True, poster=True)).any()
