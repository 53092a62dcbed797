"""The notebooks run from top to bottom, and the committed ones have been run."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
EXECUTE = REPOSITORY / "notebooks" / "execute.py"
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
MACHINE_PATH = re.compile(r"/(?:work|root|home|tmp|Users|private|var/folders)/")

CHALLENGES = [
    path for path in NOTEBOOKS if path.stem != "ml_coding"
]  # which tells of many algorithms, not of one problem
OUTLINE = ["Problem", "Data", "Decisions", "Results", "Limits"]

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def execute(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXECUTE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


def write_notebook(path: Path, *sources: str) -> Path:
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_there_are_notebooks():
    assert NOTEBOOKS


@every_notebook
def test_committed_outputs_are_of_one_whole_run(path: Path):
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]


@every_notebook
def test_every_figure_is_shown(path: Path):
    """Without `%matplotlib inline` at the top, the first one is only named."""
    outputs = [output.get("data", {}) for cell in code_cells(path) for output in cell["outputs"]]
    figures = [data for data in outputs if "".join(data.get("text/plain", "")).startswith("<Figure")]
    assert [data for data in figures if "image/png" not in data] == []


@every_notebook
def test_committed_notebook_tells_nothing_of_a_machine_and_is_small(path: Path):
    assert path.stat().st_size < 2_500_000
    cells = code_cells(path)
    assert all(cell["metadata"] == {} for cell in cells)
    texts = json.dumps([_without_images(output) for cell in cells for output in cell["outputs"]])
    assert MACHINE_PATH.findall(texts) == []


@pytest.mark.parametrize("path", CHALLENGES, ids=lambda path: path.stem)
def test_every_challenge_is_told_in_the_same_order(path: Path):
    cells = json.loads(path.read_text("utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert re.findall(r"^## (.+)$", prose, re.MULTILINE) == OUTLINE


def _without_images(output: dict) -> dict:
    kept = {kind: content for kind, content in output.get("data", {}).items() if not kind.startswith("image/")}
    return output | {"data": kept}


@pytest.mark.slow
@every_notebook
def test_notebook_runs(path: Path):
    before = path.read_bytes()
    done = execute("--check", path)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == before


@pytest.mark.slow
def test_execute_writes_tidy_outputs(tmp_path: Path):
    source = "import pathlib\nprint(pathlib.Path.cwd() / 'data')"
    path = write_notebook(tmp_path / "good.ipynb", source, "1 + 1")
    done = execute(path)
    assert done.returncode == 0, done.stderr
    first, second = code_cells(path)
    assert "".join(first["outputs"][0]["text"]) == "data\n"
    assert second["outputs"][0]["data"]["text/plain"] == ["2"]
    assert (first["execution_count"], second["execution_count"]) == (1, 2)


@pytest.mark.slow
def test_two_runs_side_by_side_do_not_meet(tmp_path: Path):
    source = "import time\nfor _ in range(20):\n    print({0!r})\n    time.sleep(0.05)"
    paths = [write_notebook(tmp_path / f"{name}.ipynb", source.format(name)) for name in "abc"]
    with ThreadPoolExecutor(len(paths)) as pool:
        runs = list(pool.map(execute, paths))
    assert [run.returncode for run in runs] == [0, 0, 0], [run.stderr for run in runs]
    for path in paths:
        (cell,) = code_cells(path)
        assert "".join(cell["outputs"][0]["text"]) == f"{path.stem}\n" * 20


@pytest.mark.slow
def test_a_failing_cell_is_named_and_nothing_is_written(tmp_path: Path):
    path = write_notebook(tmp_path / "bad.ipynb", "x = 1", "x / 0", "x")
    before = path.read_bytes()
    done = execute(path)
    assert done.returncode == 1
    assert "bad.ipynb, cell 2 of 3 ('x / 0')" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["bad.ipynb"]


def test_a_missing_notebook_is_named(tmp_path: Path):
    done = execute(tmp_path / "none.ipynb")
    assert done.returncode == 1
    assert "none.ipynb" in done.stderr
    assert "Traceback" not in done.stderr
