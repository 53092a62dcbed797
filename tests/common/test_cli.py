"""What a command prints, where, and with which exit code."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer

from common import cli
from common.errors import UserError


def make_app() -> typer.Typer:
    app = cli.create_app("demo", "A demonstration.")

    @app.command()
    def work(mode: str = "fine") -> None:
        """Do one thing.

        What is said at length fills the width
        of the terminal, in paragraphs.

        Example: work
        """
        if mode == "user":
            raise UserError("a.parquet: column 'x' is missing;\n add it")
        if mode == "bug":
            raise ZeroDivisionError("division by zero")
        if mode == "interrupt":
            raise KeyboardInterrupt
        if mode == "exit":
            raise typer.Exit(2)
        cli.print_summary({"mode": mode}, "done", as_json=False)

    return app


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        cli.run(make_app(), argv)
    return int(leaving.value.code or 0)


def test_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("work") == 0
    assert capsys.readouterr() == ("done\n", "")


_WRITES = """
import os, sys
from common import cli
app = cli.create_app("demo", "")
@app.command()
def work(out: str):
    with open(out, "w") as file, cli.progress("working") as advance:
        advance()
        file.write("result")
        os.write(2, b"what a C library prints")
    cli.print_summary({}, "done", as_json=False)
cli.run(app)
"""


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_command_does_without_streams_that_its_caller_has_closed(tmp_path: Path, closed: str) -> None:
    """The first file that was opened got the number of the closed one, and with it what libraries print."""
    out = tmp_path / "out"
    command = ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", _WRITES, "work", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stdout == ("done\n" if closed == "2>&-" else "")
    assert out.read_text() == "result"


def test_the_help_of_a_verb_fills_the_width(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert run("work", "--help") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    start = lines.index("What is said at length fills the width of the terminal, in paragraphs.")
    assert lines[start - 2 : start + 3] == ["Do one thing.", "", lines[start], "", "Example: work"]


def test_a_users_mistake_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("work", "--mode", "user") == 2
    assert capsys.readouterr() == ("", "error: a.parquet: column 'x' is missing; add it\n")


def test_our_bug_is_one_line_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("work", "--mode", "bug") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "internal error: ZeroDivisionError: division by zero (--debug shows the traceback)\n"


@pytest.mark.parametrize(("mode", "code"), [("user", 2), ("bug", 1)])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_anywhere_shows_the_traceback(
    mode: str, code: int, place: int, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["work", "--mode", mode]
    argv.insert(place, "--debug")
    assert run(*argv) == code
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["work", "--mode", "interrupt"], 130),
        (["work", "--mode", "exit"], 2),
        (["work", "--no-such-option"], 2),
        (["no-such-verb"], 2),
        (["--help"], 0),
        (["work", "--help"], 0),
        (["work", "--", "--debug"], 2),  # behind a bare -- it is an argument like any other
    ],
)
def test_exit_codes(argv: list[str], code: int) -> None:
    assert run(*argv) == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_a_library_turns_into_another_error_is_no_bug(number: signal.Signals) -> None:
    """As NumPy does, when it is interrupted in the middle of its import."""
    script = f"""
import os, typer
from common import cli
app = cli.create_app("demo", "A demonstration.")
@app.command()
def work():
    try:
        os.kill(os.getpid(), {int(number)})
    except BaseException:
        raise ImportError("half of it is there") from None
cli.run(app, ["work"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")


def test_summary_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    cli.print_summary({"n": np.int64(3), "f1": float("nan"), "out": Path("a/b")}, "3 photos", as_json=True)
    assert json.loads(capsys.readouterr().out) == {"n": 3, "f1": None, "out": "a/b"}
    cli.print_summary({}, "two\nlines", as_json=False)
    assert capsys.readouterr().out == "two lines\n"


def test_short_work_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with cli.progress("reading", total=10) as advance:
        for _ in range(10):
            advance()
    assert capsys.readouterr() == ("", "")


def test_progress_in_a_log_is_plain_lines_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 4.0, 10.0, 11.0, 19.0, 20.5])
    monkeypatch.setattr("common.cli.time.monotonic", lambda: next(clock))
    with cli.progress("reading", total=10) as advance:
        for _ in range(5):
            advance(2)
    assert capsys.readouterr() == ("", "reading: 4 of 10 (40%)\nreading: 10 of 10 (100%)\n")


def test_progress_on_a_terminal_is_a_bar_that_vanishes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "SHOW_AFTER_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    shown = ""
    with cli.progress("reading", total=None) as advance:
        advance(7)
        deadline = time.monotonic() + 5
        while "reading" not in shown and time.monotonic() < deadline:
            shown += capsys.readouterr().err
    out, err = capsys.readouterr()
    assert "reading" in shown
    assert out == ""
    assert "\x1b[2K" in err  # the line is erased


def test_progress_stops_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with pytest.raises(UserError), cli.progress("reading"):
        raise UserError("gone")


def test_importing_the_factory_is_light() -> None:
    heavy = ["numpy", "pandas", "pandera", "torch", "cv2", "rich", "typer", "requests"]
    program = f"import sys, common.cli, common.data.sources; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_data_is_given_or_official_or_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The module `sample` of a package writes it, once."""
    package = tmp_path / "packages" / "garden"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "sample.py").write_text(
        "def write_sample(folder):\n    folder.mkdir(parents=True)\n    (folder / 'beds.csv').write_text('a')\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setattr("common.cli.DATA", tmp_path)
    sample = tmp_path / "garden" / "sample"
    for _ in range(2):  # the second time it is there: write_sample would fail
        assert cli.data_or_sample("garden", "beds.csv", None) == (sample, True)
    assert cli.data_or_sample("garden", "beds.csv", None, alone=True) == (sample / "beds.csv", True)
    (tmp_path / "garden" / "official").mkdir()
    assert cli.data_or_sample("garden", "beds.csv", None) == (tmp_path / "garden" / "official", False)
    assert cli.data_or_sample("garden", "beds.csv", tmp_path / "mine") == (tmp_path / "mine", False)


WRITER = """
import sys, time
from pathlib import Path
from common import cli
from common.data.tables import replace_atomically
app = cli.create_app("writer", "Writes for ever.")
@app.command()
def write(out: Path) -> None:
    with replace_atomically(out):
        cli.print_summary({}, out.name, as_json=False)
        time.sleep(600)
cli.run(app)
"""


def test_sigterm_leaves_no_part_of_a_file_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, "write", str(tmp_path / "a.txt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 143
    assert list(tmp_path.iterdir()) == []


SAYER = """
from common import cli
app = cli.create_app("sayer", "Says it.")
@app.command()
def say(text: str) -> None:
    print(text)
cli.run(app)
"""


def test_a_name_that_the_terminal_cannot_show_is_no_error() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", SAYER, "say", "\u00e9"], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\xe9\n", "")


def test_a_full_disk_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    app = cli.create_app("demo", "A demonstration.")

    @app.command()
    def work() -> None:
        """Fill the disk."""
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")

    with pytest.raises(SystemExit) as leaving:
        cli.run(app, ["work"])
    assert leaving.value.code == 2
    assert "error: no space left on the disk for /tmp/x: free some" in capsys.readouterr().err
