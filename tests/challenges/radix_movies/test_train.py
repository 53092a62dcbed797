"""What training keeps between runs, and what it tells of posters."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from challenges.radix_movies import train
from challenges.radix_movies.dataset import Dataset, FlawLog, Posters
from challenges.radix_movies.predict import DEFAULT_MODEL
from challenges.radix_movies.train import prepare
from common.errors import UserError


def test_a_killed_run_leaves_no_part_of_a_network(
    sample: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(path: Path, data: bytes) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "export_poster_network", lambda posters: b"a network")
    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(KeyboardInterrupt):
        prepare(sample, tmp_path)
    assert list(tmp_path.rglob("*.onnx")) == []


def test_posters_that_cannot_be_read_are_told_in_every_run(
    sample: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = (DEFAULT_MODEL / "poster.onnx").read_bytes()
    monkeypatch.setattr(train, "export_poster_network", lambda posters: network)
    few = [film for film in sample.films[:20] if film.genres]
    first, second = (replace(sample, films=few, flaws=FlawLog()) for _ in range(2))
    prepared = prepare(first, tmp_path)
    assert first.flaws.examples == {"unreadable_poster": ["tt9000017: truncated JPEG"]}
    again = prepare(second, tmp_path)  # from what the first run kept
    assert second.flaws.examples == first.flaws.examples
    np.testing.assert_array_equal(again.groups, prepared.groups)


def test_films_without_posters_are_refused_before_the_work(sample: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no film to learn from has a synopsis and a poster"):
        prepare(replace(sample, posters=Posters(None, {})), tmp_path)
    assert list(tmp_path.iterdir()) == []
