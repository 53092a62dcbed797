"""The command-line factory: one way to start, report, fail and stop for every challenge.

Results go to files, progress and errors to stderr, one summary line to stdout.
Exit code 0: done; 2: the user's mistake; 1: our bug; 130: Ctrl-C; 143: SIGTERM.
"""

from __future__ import annotations

import inspect
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

from common.data.tables import DISK_FULL, json_text
from common.errors import UserError

if TYPE_CHECKING:
    import typer
    from rich.progress import Progress

DATA: Final = Path(__file__).resolve().parents[1] / "data"
SHOW_AFTER_S = 2.0
LINE_EVERY_S = 10.0


def create_app(name: str, help: str) -> typer.Typer:
    """An empty Typer application in the house's manner; add verbs with `@app.command()`."""
    import typer

    app = typer.Typer(
        name=name,
        help=help,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,  # `run` prints errors
    )
    # With one verb only, Typer would drop the verb's name from the command line; a callback keeps it.
    app.callback()(lambda: None)
    return app


def data_or_sample(package: str, file: str, given: Path | None, *, alone: bool = False) -> tuple[Path, bool]:
    """The data set that a command uses, and whether it is the generated sample, which is written on first use.

    What was given; else `data/<challenge>/official`, if it is there; else `data/<challenge>/sample`.

    Args:
        package: of the challenge, such as "challenges.vinted"; its module `sample` has `write_sample(folder)`.
        file: of the sample; where it is missing, the sample is written.
        given: by the user.
        alone: this file is the data set, not the folder: the truth may lie beside it.
    """
    if given is not None:
        return given, False
    folder = DATA / package.rpartition(".")[2]
    if (folder / "official").is_dir():
        return folder / "official", False
    sample = folder / "sample"
    if not (sample / file).is_file():
        import_module(f"{package}.sample").write_sample(sample)
    return sample / file if alone else sample, True


def describe_data(path: Path | str, generated: bool) -> str:
    """Name a data set in a summary line."""
    return f"the generated sample {path} (no --data given)" if generated else str(path)


def run(app: typer.Typer, argv: Sequence[str] | None = None) -> NoReturn:
    """Run `app` on `argv` (default: the process's own arguments) and leave with the right exit code.

    `--debug` anywhere before a bare `--` shows tracebacks; it is taken out before Typer sees it.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    options_end = arguments.index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:options_end]
    arguments = [a for i, a in enumerate(arguments) if a != "--debug" or i >= options_end]
    _flow_help(app)
    _lead_closed_streams_nowhere()
    stopped = _prepare_process()
    try:
        app(args=arguments)
    except UserError as error:
        _print_error(f"error: {_one_line(error)}", debug)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        if stopped:  # in the middle of an import, libraries make an error of their own of it
            sys.exit(128 + stopped[0])
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            where = f" for {error.filename}" if error.filename else ""
            remedy = "free some, or choose another place (TMPDIR for what is unpacked)"
            _print_error(f"error: no space left on the disk{where}: {remedy}", debug)
            sys.exit(2)
        what = f"{type(error).__name__}: {_one_line(error)}"
        _print_error(f"internal error: {what} (--debug shows the traceback)", debug)
        sys.exit(1)
    sys.exit(0)


def _flow_help(app: typer.Typer) -> None:
    """Let each paragraph of a verb's help fill the terminal's width: Typer keeps the line ends of the source."""
    for verb in app.registered_commands:
        text = inspect.cleandoc(verb.help or inspect.getdoc(verb.callback) or "")
        verb.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _lead_closed_streams_nowhere() -> None:
    """A stream that the caller closed (2>&-) is None, and the next file that is opened gets its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest that is free
        pass
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _prepare_process() -> list[int]:
    """End on SIGTERM as on Ctrl-C, so that temporary files go; print names that the terminal's encoding lacks.

    Returns:
        A list that gets the number of each of the two signals that comes.
    """
    came: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        came.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background jobs ignore it
            signal.signal(signal.SIGINT, stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    return came


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _print_error(line: str, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()
    print(line, file=sys.stderr)


@contextmanager
def progress(description: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show progress on stderr while the block runs; yields `advance(n=1)`, callable from any thread.

    A terminal gets a bar that appears after 2 s and vanishes at the end; anything else gets a plain
    line at most every 10 s. A block shorter than that prints nothing.
    """
    shown = _bar(description, total) if sys.stderr.isatty() else _lines(description, total)
    with shown as advance:
        yield advance


@contextmanager
def _bar(description: str, total: int | None) -> Iterator[Callable[..., None]]:
    lock = threading.Lock()
    done = 0
    bar: Progress | None = None

    def show() -> None:
        nonlocal bar
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        new = Progress(*columns, console=Console(stderr=True), transient=True)
        with lock:
            if closed:
                return
            new.add_task(description, total=total, completed=done)
            new.start()
            bar = new

    def advance(n: int = 1) -> None:
        nonlocal done
        with lock:
            done += n
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done)

    closed = False
    # A timer, not a look at the clock in `advance`: one long step must show a bar as well.
    timer = threading.Timer(SHOW_AFTER_S, show)
    timer.daemon = True
    timer.start()
    try:
        yield advance
    finally:
        timer.cancel()
        with lock:
            closed = True
        if bar is not None:
            bar.stop()


@contextmanager
def _lines(description: str, total: int | None) -> Iterator[Callable[..., None]]:
    lock = threading.Lock()
    done = 0
    last = time.monotonic()

    def advance(n: int = 1) -> None:
        nonlocal done, last
        with lock:
            done += n
            now = time.monotonic()
            if now - last < LINE_EVERY_S:
                return
            last = now
            part = f" of {total} ({done / total:.0%})" if total else ""
            print(f"{description}: {done}{part}", file=sys.stderr, flush=True)

    yield advance


def print_summary(summary: dict[str, object], text: str, as_json: bool) -> None:
    """Print the command's one line to stdout: `text`, or `summary` as JSON."""
    print(json_text(summary) if as_json else " ".join(text.split()), flush=True)
