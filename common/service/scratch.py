"""Folders for what clients sent: each goes when its work is done, and with the process where that is given up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_FOLDERS: Final[set[str]] = set()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield an empty folder, which is gone afterwards."""
    with TemporaryDirectory() as folder:
        _FOLDERS.add(folder)
        try:
            yield Path(folder)
        finally:
            _FOLDERS.discard(folder)


def remove_scratch() -> None:
    """Remove the folders that are in use: for the end of a process whose threads are not waited for."""
    for folder in list(_FOLDERS):
        shutil.rmtree(folder, ignore_errors=True)
