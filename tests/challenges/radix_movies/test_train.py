"""What training keeps between runs."""

from pathlib import Path

import pytest

from challenges.radix_movies import train
from challenges.radix_movies.dataset import Dataset
from challenges.radix_movies.train import prepare


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
