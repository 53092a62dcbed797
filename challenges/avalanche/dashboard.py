"""Starts the dashboard: a Streamlit app on this machine alone, on a database that outlives it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

from challenges.avalanche.database import database_url
from challenges.avalanche.dataset import load
from challenges.avalanche.store import Store, open_store
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


def prepare(data: Path) -> str:
    """See that there is a project of this file; its name is returned.

    Raises:
        UserError: the file or the database cannot be read.
    """
    store = open_store(database_url())
    name = add_file(store, data, data.stem or data.name, "command line")
    store.engine.dispose()
    return name


def add_file(store: Store, path: Path, name: str, who: str) -> str:
    """Import a file as a project, unless there is one of its name; returns the name."""
    if name not in {project.name for project in store.projects()}:
        store.add_project(load(path), name, who)
    return name


def start(port: int, announce: Callable[[str], None]) -> None:
    """Serve the dashboard until Ctrl-C.

    Args:
        port: 0 takes a free one.
        announce: called with the address once it listens.

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
