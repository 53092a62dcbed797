"""Declared sources of data, and their download: checked, retried, and never left half done."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.cli import progress
from common.data.tables import replace_atomically
from common.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = (10, 60)  # to connect; between two pieces
PAUSE_S = 2.0  # before the second attempt; doubled before each further one


@dataclass(frozen=True)
class Source:
    """A file to be had on the web: what it is, where it lies, how to know it, and under what licence.

    `sha256` and `size_bytes` are None where they are not known.
    """

    name: str
    url: str
    sha256: str | None
    licence: str
    size_bytes: int | None
    note: str = ""


class _BrokenError(Exception):
    """An attempt failed in a way that another attempt may mend."""


class _GoneError(Exception):
    """The server refuses; asking again will not help."""


def download(source: Source, target: Path, retries: int = 3) -> Path:
    """Download `source` to `target` and return `target`.

    A file that is already there and matches the source's hash (without a hash: its size) is kept. A
    failed attempt starts clean, up to `retries` times more; `target` changes only once a whole, checked
    file is there.

    Raises:
        UserError: the address is gone, the connection keeps failing, or what comes is another file.
    """
    target = Path(target)
    if target.is_file() and _mismatch(source, target) == "" and (source.sha256 or source.size_bytes):
        return target
    if not source.url.startswith(("http://", "https://")):
        raise UserError(f"source {source.name!r}: {source.url} is not a web address")
    pause = PAUSE_S
    for attempt in range(retries + 1):
        try:
            with replace_atomically(target) as temporary:
                _fetch(source, temporary)
                if reason := _mismatch(source, temporary):
                    raise _BrokenError(reason)
            return target
        except _GoneError as error:
            raise UserError(f"source {source.name!r}: {source.url} {error}; {_ADVICE}") from error
        except _BrokenError as error:
            if attempt == retries:
                n = f"{attempt + 1} attempt{'s' if attempt else ''}"
                raise UserError(f"source {source.name!r}: {source.url} {error} ({n}); {_ADVICE}") from error
        time.sleep(pause)
        pause *= 2
    raise AssertionError("unreachable")


_ADVICE = "try again later, choose another source, or give a copy on disk with --from-dir"


def _mismatch(source: Source, file: Path) -> str:
    """Why `file` is not the declared one; empty where it may be."""
    import pooch

    size = file.stat().st_size
    if source.size_bytes is not None and size != source.size_bytes:
        return f"gave {size} bytes instead of {source.size_bytes}"
    if source.sha256 is not None and (found := pooch.file_hash(str(file))) != source.sha256.lower():
        return f"gave another file: its sha256 is {found}, declared is {source.sha256}"
    return ""


class _Meter:
    """What pooch asks of a progress bar; it also stops a body that outgrows the declared size."""

    def __init__(self, advance: Callable[[int], None], most: int | None) -> None:
        self._advance = advance
        self._most = most
        self._seen = 0
        self.total = 0

    def update(self, n: int) -> None:
        self._seen += n
        self._advance(n)
        # pooch reports whole chunks, so the last one may exceed the size by less than a chunk.
        if self._most is not None and self._seen >= self._most + _CHUNK_BYTES:
            raise _BrokenError(f"gave more than the declared {self._most} bytes")

    def reset(self) -> None:
        self._advance(-self._seen)
        self._seen = 0

    def close(self) -> None:
        """Nothing is held."""


def _fetch(source: Source, file: Path) -> None:
    import pooch
    import requests

    responses: list[requests.Response] = []

    def keep(response: requests.Response, **_: object) -> None:
        responses.append(response)

    with progress(f"downloading {source.name}", source.size_bytes) as advance:
        fetch = pooch.HTTPDownloader(
            progressbar=_Meter(advance, source.size_bytes),
            chunk_size=_CHUNK_BYTES,
            timeout=_TIMEOUT_S,
            hooks={"response": keep},
        )
        try:
            fetch(source.url, str(file), None)
        except requests.HTTPError as error:
            status = error.response.status_code
            said = f"answers {status} {error.response.reason}"
            if status >= 500 or status in (408, 429):
                raise _BrokenError(said) from error
            raise _GoneError(said) from error
        except requests.exceptions.InvalidURL as error:
            raise _GoneError("is not a web address") from error
        except requests.RequestException as error:
            raise _BrokenError(f"failed ({type(error).__name__})") from error
        finally:
            for response in responses:  # pooch leaves a broken connection open
                response.close()
