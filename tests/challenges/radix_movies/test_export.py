"""The exported poster network against the one in PyTorch, and the size of what is shipped."""

import numpy as np
import torch

from challenges.radix_movies.drawing import draw_poster
from challenges.radix_movies.export import poster_network
from challenges.radix_movies.features import N_POSTER_MIDDLE, POSTER_SIZE, TEXT_ENCODER
from challenges.radix_movies.predict import DEFAULT_MODEL, Model


def test_int8_features_point_where_torch_features_do(model: Model):
    rng = np.random.default_rng(0)
    posters = np.stack([draw_poster(rng, [genre], "A", POSTER_SIZE) for genre in ("Horror", "Comedy", "War", "Music")])
    with torch.inference_mode():
        exact = poster_network()(torch.from_numpy(posters)).numpy()
    found = model.encoders.encode_posters(posters)
    for part in (slice(None, N_POSTER_MIDDLE), slice(N_POSTER_MIDDLE, None)):
        a, b = exact[:, part], found[:, part]
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosine.min() > 0.95


def test_everything_that_is_shipped_takes_at_most_40_mb():
    files = [path for folder in (DEFAULT_MODEL, TEXT_ENCODER) for path in folder.iterdir()]
    assert sum(path.stat().st_size for path in files) <= 40_000_000
