"""The embedded default: drawn photos of second-hand garments in the official layout.

The same renderer makes training pictures. Everything is a function of the seed.
"""

import string
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from challenges.vinted.dataset import CATEGORIES, COLORS, TAGS, write_layout
from challenges.vinted.rendering import DEFAULT_SIZE, Image, render_photo
from common.cli import progress
from common.data.images import encode_jpeg
from common.data.tables import write_parquet

__all__ = ["render_garments", "render_photo", "write_sample"]

_N_REPEATS: Final = 8
_SAMPLE_STREAM: Final = 2**20  # of random numbers; training's renders with the same seed are other photos
_TAG_SETS: Final = tuple(frozenset(t for k, t in enumerate(TAGS) if bits >> k & 1) for bits in range(8))
# none, alone, in pairs, all three: each tag stands on about 23 % of the photos
_TAG_ODDS: Final = np.array([0.47, 0.13, 0.13, 0.045, 0.13, 0.03, 0.045, 0.02])


def _subjects(rng: np.random.Generator, n: int) -> list[tuple[str, str, frozenset[str]]]:
    """What to render: categories in equal parts, colours at random, tags by `_TAG_ODDS`."""
    categories = rng.permutation(np.arange(n) % len(CATEGORIES))
    colors = rng.integers(len(COLORS), size=n)
    tags = rng.choice(len(_TAG_SETS), size=n, p=_TAG_ODDS / _TAG_ODDS.sum())
    return [(CATEGORIES[a], COLORS[b], _TAG_SETS[c]) for a, b, c in zip(categories, colors, tags, strict=True)]


def render_garments(
    n: int, stream: tuple[int, ...], size: tuple[int, int] = DEFAULT_SIZE
) -> Iterator[tuple[Image, str, str, frozenset[str]]]:
    """Yield `n` (RGB photo, category, colour, tags). Photo k depends on the stream, k and what is asked of it.

    Different streams of random numbers give different photos; training draws from the stream `(seed,)`.
    """
    for k, subject in enumerate(_subjects(np.random.default_rng(stream), n)):
        yield render_photo(np.random.default_rng((*stream, k)), *subject, size), *subject


def write_sample(out: Path, n_labelled: int = 240, n_test: int = 60, seed: int = 0) -> Path:
    """Write a generated data set in the official layout, byte for byte the same for one seed.

    `data.parquet` has up to 8 exact repeats on top of `n_labelled` rows, as the official table has. Beside
    the official files, `sample_test_labels.parquet` holds the truth of `test.parquet`.

    Returns:
        The folder `out`.

    Raises:
        UserError: the folder cannot be written.
    """
    import pandas as pd

    rng = np.random.default_rng((seed, _SAMPLE_STREAM, _SAMPLE_STREAM))
    letters = np.array(list(string.ascii_letters + string.digits))
    photos: dict[str, bytes] = {}
    rows: list[dict[str, object]] = []
    total = n_labelled + n_test
    with progress("drawing garments", total) as advance:
        for image, category, color, tags in render_garments(total, (seed, _SAMPLE_STREAM)):
            uuid = f"{rng.integers(16**5):05x}_{''.join(rng.choice(letters, 24))}"
            photos[uuid] = encode_jpeg(image, int(rng.integers(72, 93)))
            marks = {tag: int(tag in tags) for tag in TAGS}
            rows.append({"uuid": uuid, "cc3": category, "color1": color, **marks})
            advance()
    frame = pd.DataFrame(rows, columns=["uuid", "cc3", "color1", *TAGS])
    repeats = rng.permutation(n_labelled)[:_N_REPEATS]
    labelled = frame.iloc[rng.permutation(np.concatenate([np.arange(n_labelled), repeats]))].reset_index(drop=True)
    test = frame.iloc[n_labelled:].reset_index(drop=True)
    write_layout(out, photos, labelled, test[["uuid"]])
    write_parquet(test, out / "sample_test_labels.parquet")
    return out
