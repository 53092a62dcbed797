"""Films per second: the shipped way against the eager PyTorch way, in one run.

Both read the same generated films from the same zip, one core each at a time:

- eager: sentence-transformers' MiniLM and EfficientNet-Lite0 in PyTorch, float32, in batches of 32, and the two
  matrix products of the kernel machines in NumPy left out in its favour;
- ours: `challenges.radix_movies.predict`, everything included.

    python benchmarks/radix_movies.py [--films 200] [--rounds 3]
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402 - reads the number of threads

BATCH = 32


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()

    from challenges.radix_movies.dataset import load
    from challenges.radix_movies.features import TEXT_ENCODER
    from challenges.radix_movies.predict import DEFAULT_MODEL, load_model, predict_films
    from challenges.radix_movies.sample import write_sample
    from common.data.tables import write_json

    with tempfile.TemporaryDirectory() as folder:
        dataset = load(write_sample(Path(folder), n_films=options.films))
        model, eager = load_model(), Eager()
        ways = {
            "eager": lambda: eager.predict(dataset.films, dataset.posters),
            "ours": lambda: predict_films(model, dataset.films, dataset.posters, n_workers=1),
        }
        for way in ways.values():  # buffers and caches
            way()
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                start = time.process_time()
                way()
                seconds[name].append(time.process_time() - start)
    rates = {name: options.films / median(times) for name, times in seconds.items()}
    files = {folder.name: sum(p.stat().st_size for p in folder.iterdir()) for folder in (DEFAULT_MODEL, TEXT_ENCODER)}
    result = {
        "films": options.films,
        "films_per_processor_second": rates,
        "speed_up": median(a / b for a, b in zip(seconds["eager"], seconds["ours"], strict=True)),
        "shipped_bytes": files,
    }
    write_json(result, options.out)
    print(f"{options.out}: {rates['ours']:.1f} films/s, eager {rates['eager']:.1f}: {result['speed_up']:.1f} times")


class Eager:
    """What one would write first."""

    def __init__(self) -> None:
        import torch

        from challenges.radix_movies.export import poster_network
        from common.models.text import load_sentence_transformer

        torch.set_num_threads(1)
        self.text, self.poster = load_sentence_transformer(), poster_network()

    def predict(self, films, posters) -> None:
        """Encode texts and posters."""
        import torch

        from challenges.radix_movies.dataset import Poster, read_poster
        from challenges.radix_movies.features import POSTER_SIZE, film_text

        for start in range(0, len(films), BATCH):
            part = films[start : start + BATCH]
            self.text.encode([film_text(film) for film in part], batch_size=BATCH, show_progress_bar=False)
            found = [read_poster(posters, film.movie_id, POSTER_SIZE) for film in part]
            pixels = np.stack([poster.pixels for poster in found if isinstance(poster, Poster)])
            with torch.inference_mode():
                self.poster(torch.from_numpy(pixels))


if __name__ == "__main__":
    main()
