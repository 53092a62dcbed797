"""Starts the dashboard: a Streamlit app on this machine alone, on a database that outlives it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

from challenges.avalanche.database import database_url
from challenges.avalanche.dataset import Question, Survey, load
from challenges.avalanche.store import MAX_NAME, Project, Store, open_store
from common.errors import UserError

APP: Final = Path(__file__).with_name("views") / "app.py"
HOST: Final = "127.0.0.1"
MAX_UPLOAD_MB: Final = 200
OPTIONS: Final = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",  # of a bug a user sees that it is one; the terminal has the rest
    "client.toolbarMode": "minimal",
    "global.developmentMode": False,
    "runner.postScriptGC": False,  # it looks at every object of the codebook after each click; Python collects anyway
    "server.address": HOST,
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxUploadSize": MAX_UPLOAD_MB,
    "theme.base": "light",
    "theme.primaryColor": "#0072B2",
    "theme.textColor": "#000000",
}


def prepare(data: Path, columns: Mapping[str, str] | None = None) -> Project:
    """See that there is a project of this file's answers, and return it.

    Args:
        data: the file.
        columns: as of `dataset.load`.

    Raises:
        UserError: the file or the database cannot be read.
    """
    survey = load(data, columns)
    store = open_store(database_url())
    project = add_survey(store, survey, data.absolute().stem, "command line")
    store.engine.dispose()
    return project


def add_survey(store: Store, survey: Survey, name: str, who: str) -> Project:
    """Import a survey under a name or, where other answers have that, under 'name (2)' and so on.

    A project of such a name that holds the same answers is left as it is, whatever was decided in it.
    """
    projects = {project.name: project for project in store.projects()}
    names = [_numbered(name, n) for n in range(1, len(projects) + 2)]
    answers = _answers(survey.questions)
    for known in (known for known in names if known in projects):
        if _answers(store.question(number) for number, _ in projects[known].questions) == answers:
            return projects[known]
    made = store.add_project(survey, next(name for name in names if name not in projects), who)
    return next(project for project in store.projects() if project.id == made)


def _numbered(name: str, n: int) -> str:
    """A project's name, as the store takes it."""
    end = f" ({n})" if n > 1 else ""
    return " ".join(name.split())[: MAX_NAME - len(end)].rstrip() + end


def _answers(questions: Iterable[Question]) -> list[tuple[str, list[list[str]]]]:
    return [(q.text, q.answers[["respondent_id", "response"]].to_numpy().tolist()) for q in questions]


def start(port: int, announce: Callable[[str], None]) -> None:
    """Serve the dashboard until Ctrl-C.

    Args:
        port: 0 takes a free one.
        announce: called with the address, a moment before it listens.

    Raises:
        UserError: the port is taken.
    """
    from streamlit.web import bootstrap

    port = _free_port(port)
    flags = {key.replace(".", "_"): value for key, value in OPTIONS.items()} | {"server_port": port}
    bootstrap.load_config_options(flag_options=flags)
    announce(f"http://{HOST}:{port}")
    with redirect_stdout(sys.stderr):  # stdout has the one line of `announce`
        bootstrap.run(str(APP), False, [], flag_options=flags)


def _free_port(port: int) -> int:
    """The port itself if nobody listens there; for 0 one that is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"cannot listen on {HOST}:{port} ({error.strerror}): choose another --port") from error
        return int(probe.getsockname()[1])
