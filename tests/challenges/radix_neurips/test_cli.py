"""What the command line itself decides: which texts it reads, and that an index is kept where one can be."""

from pathlib import Path

import pytest

from challenges.radix_neurips import cli
from challenges.radix_neurips.sample import write_sample
from common.errors import UserError


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes("Größe".encode("cp1252"))
    assert cli._read_text(str(tmp_path / "a.txt")) == "Größe"
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    with pytest.raises(UserError, match=r"a\.mp4 is no plain text"):
        cli._read_text(str(tmp_path / "a.mp4"))


@pytest.mark.slow
def test_a_search_needs_no_place_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_sample(tmp_path / "sample")
    (tmp_path / "file").touch()
    monkeypatch.setattr(cli, "RUNS", tmp_path / "file" / "runs")
    searcher, _, generated = cli.open_searcher(tmp_path / "sample" / "neurips_papers.zip", None, cli.SHIPPED)
    assert len(searcher.corpus) > 0
    assert not generated
