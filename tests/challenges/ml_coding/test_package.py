"""What the package and its README promise: short files, and ratios that were measured."""

import json
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGE = REPOSITORY / "challenges" / "ml_coding"
MODULES = sorted(path for path in PACKAGE.glob("*.py") if path.name != "__init__.py")
SHARED = {"labels.py", "parameters.py"}
"""Not algorithms."""
MEASURED = REPOSITORY / "benchmarks" / "ml_coding.json"
ROW = re.compile(
    r"^\| (?P<name>[^|]+?)(?P<star> \*)? \| (?P<files>\[[^|]+) \|.* \| (?P<ratio>[\d.]+) \|$", re.MULTILINE
)


@pytest.fixture(scope="module")
def rows() -> dict[str, re.Match[str]]:
    return {row["name"]: row for row in ROW.finditer((PACKAGE / "README.md").read_text("utf-8"))}


@pytest.fixture(scope="module")
def cases() -> dict[str, dict]:
    return json.loads(MEASURED.read_text("utf-8"))["cases"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_file_is_read_in_one_sitting_and_says_what_it_costs(path: Path) -> None:
    source = path.read_text("utf-8")
    assert len(source.splitlines()) <= 155
    if path.name not in (*SHARED, "sampling.py"):  # of sampling every function says its own
        assert "\nComplexity" in source


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_file_has_its_test(path: Path) -> None:
    assert (Path(__file__).parent / f"test_{path.name}").is_file()


def test_the_readme_gives_the_measured_ratios(rows: dict[str, re.Match[str]], cases: dict[str, dict]) -> None:
    assert {name: float(row["ratio"]) for name, row in rows.items()} == {n: case["ratio"] for n, case in cases.items()}
    stars = {name: row["star"] is None for name, row in rows.items()}
    assert stars == {name: case["vectorised"] for name, case in cases.items()}


def test_none_of_the_vectorised_is_ten_times_slower(cases: dict[str, dict]) -> None:
    assert {name: case["ratio"] for name, case in cases.items() if case["vectorised"] and case["ratio"] > 10} == {}


def test_the_readme_lists_every_file(rows: dict[str, re.Match[str]]) -> None:
    listed = {link for row in rows.values() for link in re.findall(r"\]\(([^)]+)\)", row["files"])}
    assert {path.name for path in MODULES} - SHARED <= listed
    assert all((PACKAGE / link).is_file() for link in listed)
