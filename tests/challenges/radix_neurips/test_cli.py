"""What the command line itself decides: which texts it reads, and that an index is kept where one can be."""

from pathlib import Path

import pytest

from challenges.radix_neurips import cli
from challenges.radix_neurips.sample import write_sample
from common.cli import run
from common.errors import UserError


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes("Größe".encode("cp1252"))
    assert cli._read_text(str(tmp_path / "a.txt")) == "Größe"
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    with pytest.raises(UserError, match=r"a\.mp4 is no plain text"):
        cli._read_text(str(tmp_path / "a.mp4"))


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_what_cannot_be_written_is_refused_before_the_work(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    write_sample(tmp_path, 4)
    monkeypatch.setattr("challenges.radix_neurips.dataset.load", None)  # called, it would end in our bug, 1
    monkeypatch.setattr("common.models.text.load_text_encoder", None)
    paths = {"--data": tmp_path / "neurips_papers.zip", "--keywords": tmp_path / "k.parquet", "--out": "/proc/x/m.json"}
    with pytest.raises(SystemExit) as left:
        run(cli.app, [verb, *(str(word) for option in paths.items() for word in option)])
    assert left.value.code == 2
    assert "cannot write /proc/x/m.json" in capsys.readouterr().err


def test_years_in_the_wrong_order_are_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        run(cli.app, ["search", "--index", str(tmp_path), "--from", "2020", "--to", "2000"])
    assert left.value.code == 2
    assert "--from 2020 is after --to 2000" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["index", "batch"])
def test_papers_without_a_column_of_abstracts_are_told(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "p.csv").write_text("id,title,Zusammenfassung\n1,Bandits,Wir ziehen.\n2,Kernels,Wir messen.\n")
    option, out = ("--data", "index") if verb == "index" else ("--corpus", "similar.parquet")
    with pytest.raises(SystemExit) as left:
        run(cli.app, [verb, option, str(tmp_path / "p.csv"), "--out", str(tmp_path / out)])
    assert left.value.code == 0
    assert "no column was taken for abstracts" in capsys.readouterr().out


@pytest.mark.slow
def test_a_search_needs_no_place_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_sample(tmp_path / "sample")
    (tmp_path / "file").touch()
    monkeypatch.setattr(cli, "RUNS", tmp_path / "file" / "runs")
    searcher, _, generated = cli.open_searcher(tmp_path / "sample" / "neurips_papers.zip", None, cli.SHIPPED)
    assert len(searcher.corpus) > 0
    assert not generated
