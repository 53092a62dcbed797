"""One JSON object a line, to stderr: whatever a client sent is escaped by the encoder."""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

logger = logging.getLogger("common.service")


class JsonFormatter(logging.Formatter):
    """time, level, event, and the fields given as `extra={"fields": {...}}`; a traceback is one string."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name for it
        """Nothing: a line that cannot be written is lost. Told on stderr, this came back as the next line to write."""


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Send the service's log, and what uvicorn has to say, to stderr while the block runs.

    C libraries print there too, with words of the client: libpng quotes the names a picture gives to its parts.
    So file descriptor 2 leads into a pipe meanwhile, and what comes out of it is logged like the rest.
    """
    sys.stderr.flush()
    real = os.dup(2)
    outlet, inlet = os.pipe()
    os.dup2(inlet, 2)
    os.close(inlet)
    handler = _Handler(os.fdopen(real, "w", encoding="utf-8"))
    handler.setFormatter(JsonFormatter())
    for name, level in (("common.service", logging.INFO), ("uvicorn", logging.WARNING), ("asyncio", logging.ERROR)):
        destination = logging.getLogger(name)
        destination.handlers = [handler]
        destination.setLevel(level)
        destination.propagate = False
    relay = threading.Thread(target=_relay, args=(outlet,), daemon=True)
    relay.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(real, 2)  # the pipe has no writer left, so the relay ends
        relay.join(1)


def _relay(outlet: int) -> None:
    with os.fdopen(outlet, encoding="utf-8", errors="replace") as lines:
        while line := lines.readline(1000):
            logger.warning("a library printed", extra={"fields": {"text": line.rstrip("\n")}})
