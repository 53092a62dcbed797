"""`search` and `index` as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from challenges.radix_neurips.cli import app
from challenges.radix_neurips.sample import generate, write_sample
from common.cli import run
from common.models.text import SHIPPED

REPOSITORY = Path(__file__).resolve().parents[2]
PAPERS = generate(60)


def command(*arguments: str) -> int:
    """Run the command in this process; return its exit code."""
    with pytest.raises(SystemExit) as left:
        run(app, [*arguments, "--model", str(SHIPPED)])
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of 60 generated papers."""
    folder = tmp_path_factory.mktemp("papers")
    write_sample(folder, len(PAPERS))
    assert command("index", "--data", str(folder / "neurips_papers.zip"), "--out", str(folder / "index"), "--json") == 0
    assert json.loads((folder / "index.report.json").read_text())["n_papers"] == 60
    return folder / "index"


@pytest.mark.slow
def test_an_abstract_prints_ten_papers_with_reasons(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "abstract.txt").write_text(PAPERS[7].abstract, encoding="utf-8")
    assert command("search", str(tmp_path / "abstract.txt"), "--index", str(index)) == 0
    shown = capsys.readouterr().out
    assert " 1. " in shown
    assert " 10. " in shown
    assert "the very same abstract" in shown
    assert shown.count("shares ") >= 5


@pytest.mark.slow
def test_papers_years_and_k_as_json(index: Path, capsys: pytest.CaptureFixture[str]):
    asked = [PAPERS[3].paper_id, PAPERS[18].paper_id]
    options = ["--paper", asked[0], "--paper", asked[1], "--from", "2020", "--to", "2021", "--k", "3", "--json"]
    assert command("search", "--index", str(index), *options) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [paper["paper_id"] for paper in answer["queried"]] == asked
    assert len(answer["found"]) == 3
    assert {paper["year"] for paper in answer["found"]} <= {2020, 2021}


@pytest.mark.slow
def test_an_index_of_this_folder_has_its_report_beside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_sample(tmp_path, 3)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert command("index", "--data", str(tmp_path / "neurips_papers.zip"), "--out", ".") == 0
    assert (tmp_path / "here" / "manifest.json").is_file()
    assert json.loads((tmp_path / "here.report.json").read_text())["n_papers"] == 3


@pytest.mark.slow
def test_searching_from_an_index_needs_no_torch(index: Path):
    code = (
        "import sys; from challenges.radix_neurips.cli import app; from common.cli import run\n"
        f"try: run(app, ['search', '-', '--index', {str(index)!r}, '--model', {str(SHIPPED)!r}, '--k', '1'])\n"
        "finally: print(*{'torch', 'transformers', 'sentence_transformers', 'sklearn'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, input="Point clouds.", capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == ""
    assert "point cloud" in done.stdout.lower()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.txt"], "cannot read nowhere.txt"),
        (["empty"], "no words"),
        (["long"], "1,000,000 characters"),
        (["control"], "control is no plain text"),
        (["--paper", "nobody"], "no paper 'nobody'"),
        (["empty", "--paper", "nobody"], "not both"),
        (["--data", "papers.csv"], "not both"),
        (["--index", "/"], "no model in /"),
    ],
)
def test_mistakes_are_told_in_one_line(
    index: Path,
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    for name, text in {"empty": "", "long": "word " * 200_000, "control": "\x00\x1b\x07"}.items():
        Path(name).write_text(text)
    assert command("search", "--index", str(index), *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert words in error[0]


@pytest.mark.slow
def test_an_index_of_another_encoder_is_refused(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    manifest = json.loads((index / "manifest.json").read_text())
    manifest["input"]["encoder"] = "another"
    for path in index.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert command("search", "--index", str(tmp_path)) == 2
    assert "made by the encoder another" in capsys.readouterr().err
