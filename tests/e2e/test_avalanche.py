"""The commands as a user runs them."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ABOUT_PRICE = [
    "too expensive",
    "It\u2019s too expensive",
    "too expensive for me",
    "price too high",
    "the price is too high",
]
ABOUT_MOVING = ["moving abroad", "I am moving", "moved to Spain", "moving to another country", "we are moving house"]


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "challenges.avalanche", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_discovering_writes_every_answer(tmp_path: Path):
    texts = [*ABOUT_PRICE * 2, *ABOUT_MOVING * 2, "Too expensive and we are moving house", "n/a", ""]
    with (tmp_path / "a.csv").open("w", encoding="cp1252", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Respondent ID", "Comment", "plan"])
        writer.writerows([str(i), text, "free"] for i, text in enumerate(texts))
    out = tmp_path / "out"
    done = run("discover", "--data", tmp_path / "a.csv", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["questions"][0]["usable"] == 21
    assert summary["flaws"]["blank"] == summary["flaws"]["says_nothing"] == 1
    assert {"themes.md", "report.json", "map.png"} <= {path.name for path in out.iterdir()}
    table = pd.read_parquet(out / "themes.parquet")
    assert set(table["respondent_id"]) == set(map(str, range(23)))
    assert table.loc[table["respondent_id"].isin(["21", "22"]), "theme_id"].tolist() == [-1, -1]
    first = table.drop_duplicates("respondent_id").set_index("respondent_id")["theme_id"]
    assert not set(first[map(str, range(10))]) & set(first[map(str, range(10, 20))]) - {-1}


def test_a_mistake_of_the_user_is_one_line(tmp_path: Path):
    (tmp_path / "a.csv").write_text("who,what\n1,slow\n")
    for arguments, message in (
        (("--data", tmp_path / "a.csv"), "no column of answers"),
        (("--data", tmp_path / "b.csv"), "no such file"),
        (("--data", tmp_path / "a.csv", "--column", "response"), "write FIELD=NAME"),
    ):
        done = run("discover", *arguments, "--out", tmp_path / "out")
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_no_command_writes_over_what_it_reads(tmp_path: Path):
    table = tmp_path / "themes.parquet"
    pd.DataFrame({"response": ABOUT_PRICE}).to_parquet(table)
    content = table.read_bytes()
    for command, out in (("discover", tmp_path), ("evaluate", table)):
        done = run(command, "--data", table, "--out", out)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"error: {table} is among what is read; choose another place to write\n"
        assert table.read_bytes() == content
    assert list(tmp_path.iterdir()) == [table]


def test_every_command_takes_the_column_that_a_message_asks_for(tmp_path: Path):
    (tmp_path / "a.csv").write_text("who,what\n1,slow\n")
    for command in ("discover", "dashboard", "evaluate"):
        done = run(command, "--data", tmp_path / "a.csv", "--column", "response=which")
        assert (done.returncode, done.stdout) == (2, "")
        assert "no column 'which'; it has 'who', 'what'" in done.stderr


def test_the_dashboard_names_the_project_of_its_file_and_leads_to_it(tmp_path: Path):
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path / 'store.sqlite'}"}
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text(f"response\nslow {folder}\n")
    said = []
    for folder in ("x", "y", "x"):
        file = str(tmp_path / folder / "a.csv")
        with subprocess.Popen(
            [sys.executable, "-m", "challenges.avalanche", "dashboard", "--port", "0", "--data", file],
            cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            said.append(process.stdout.readline().partition("/?")[2].strip())
            process.kill()  # Streamlit misses a SIGTERM that comes while it starts
    first, second = (f"project={i}, with the project {name} (Ctrl-C stops it)" for i, name in ((1, "a"), (2, "a (2)")))
    assert said == [first, second, first]
