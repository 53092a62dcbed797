"""Downloads from a real server on this machine that misbehaves in known ways."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from common.data import sources
from common.data.sources import Source, download
from common.errors import UserError

BODY = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """`/good`; `/gone`: 404; `/busy`: 503; `/cut`, `/flaky`: the connection ends half way (flaky: once)."""

    def do_GET(self) -> None:
        asked: list[str] = self.server.asked  # type: ignore[attr-defined]
        asked.append(self.path)
        if self.path in ("/gone", "/busy"):
            self.send_error(404 if self.path == "/gone" else 503)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
            return
        self.send_response(200)
        if self.path != "/unsized":
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        cut = self.path == "/cut" or (self.path == "/flaky" and asked.count("/flaky") == 1)
        self.wfile.write(BODY[: len(BODY) // 2] if cut else BODY)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(sources, "PAUSE_S", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def source(server: ThreadingHTTPServer, path: str, sha256: str | None = SHA256, size: int | None = len(BODY)) -> Source:
    return Source("photos", f"http://127.0.0.1:{server.server_port}/{path}", sha256, "CC0-1.0", size)


def asked(server: ThreadingHTTPServer) -> list[str]:
    return server.asked  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("path", ["good", "unsized", "moved", "flaky"])
@pytest.mark.parametrize("known", [True, False])
def test_a_good_file_arrives(server: ThreadingHTTPServer, tmp_path: Path, path: str, known: bool) -> None:
    wanted = source(server, path) if known else source(server, path, None, None)
    target = tmp_path / "new" / "data.zip"
    assert download(wanted, target) == target
    assert target.read_bytes() == BODY
    assert list(target.parent.iterdir()) == [target]
    assert asked(server).count(f"/{path}") == (2 if path == "flaky" else 1)


def test_a_file_that_is_there_is_not_fetched_again(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    target = tmp_path / "data.zip"
    target.write_bytes(BODY)
    download(source(server, "good"), target)
    download(source(server, "good", sha256=None), target)  # known by its size
    assert asked(server) == []
    download(source(server, "good", None, None), target)  # not known at all
    target.write_bytes(BODY[:-1])
    download(source(server, "good"), target)
    assert asked(server) == ["/good", "/good"]
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(
    ("path", "sha256", "size", "message", "attempts"),
    [
        ("gone", SHA256, None, r"answers 404 Not Found; .*--from-dir", 1),
        ("busy", SHA256, None, r"answers 503 Service Unavailable \(3 attempts\); .*--from-dir", 3),
        ("cut", None, None, r"failed \(\w+\) \(3 attempts\)", 3),
        ("good", "0" * 64, None, rf"another file: its sha256 is {SHA256}, declared is 0000", 3),
        ("good", SHA256, 10, r"more than the declared 10 bytes", 3),
        ("good", SHA256, len(BODY) + 1, r"gave 512000 bytes instead of 512001", 3),
    ],
)
def test_a_failure_says_what_to_do_and_leaves_the_target(
    server: ThreadingHTTPServer,
    tmp_path: Path,
    path: str,
    sha256: str | None,
    size: int | None,
    message: str,
    attempts: int,
) -> None:
    target = tmp_path / "data.zip"
    target.write_bytes(b"old")
    with pytest.raises(UserError, match=message) as caught:
        download(source(server, path, sha256, size), target, retries=2)
    assert f"/{path} " in str(caught.value)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    assert len(asked(server)) == attempts


def test_nobody_answers(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    dead = source(server, "good")
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match=r"failed \(ConnectionError\) \(2 attempts\)"):
        download(dead, tmp_path / "data.zip", retries=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "data.zip", "http://", "http://[bad"])
def test_what_is_no_web_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="not a web address"):
        download(Source("photos", url, None, "CC0-1.0", None), tmp_path / "data.zip")
