"""The real process over loopback: bad clients, its end, and its log."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from common.errors import UserError
from common.service.server import listen

PREDICTIONS = "/v1/predictions"

LIMITS = {
    "SERVICE_HEADER_TIMEOUT_S": "1",
    "SERVICE_BODY_TIMEOUT_S": "1",
    "SERVICE_MAX_CONNECTIONS": "20",
    "SERVICE_MAX_BODY_BYTES": "100000",
    "SERVICE_N_WORKERS": "2",
    "SERVICE_SHUTDOWN_TIMEOUT_S": "3",
}


class Service:
    """The toy service in a process of its own."""

    def __init__(self, path: Path, log: Path) -> None:
        self.log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(path)],
                env=os.environ | LIMITS,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        while httpx.get(f"{self.address}/ready").status_code != 200:
            pass

    def connect(self) -> socket.socket:
        parts = urlsplit(self.address)
        assert parts.hostname is not None
        return socket.create_connection((parts.hostname, parts.port or 0), timeout=20)

    def stop(self) -> tuple[int, float]:
        """SIGTERM; returns the exit code and the seconds it took."""
        started = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20), time.perf_counter() - started

    def requests(self) -> list[dict]:
        """What the log says, every line of which is JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def service(toy_path: Path, tmp_path: Path) -> Iterator[Service]:
    service = Service(toy_path, tmp_path / "log.jsonl")
    yield service
    service.process.kill()
    service.process.wait()
    service.process.stdout.close()


def receive_all(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            answer += part
    return answer


def error_kind(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert f"x-request-id: {error['request_id']}".encode() in head.lower()
    return error["kind"]


def test_bad_clients_are_told_and_hold_up_nobody(service: Service):
    """Silent ones, ones that send a byte at a time, ones that leave: all cut in time, others answered at once."""
    begin = b"POST " + PREDICTIONS.encode() + b" HTTP/1.1\r\nHost: x\r\n"
    slow = {
        "silent": (b"", "header_timeout"),
        "in the headers": (begin, "header_timeout"),
        "in the body": (begin + b"Content-Length: 1000\r\n\r\n", "body_timeout"),
        "in a form": (
            begin + b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n\r\n--x\r\n",
            "body_timeout",
        ),
    }
    connections = {name: service.connect() for name in slow}
    for name, (first, _) in slow.items():
        connections[name].sendall(first)
    for _ in range(3):  # these hang up in the middle
        with service.connect() as leaving:
            leaving.sendall(begin + b"Content-Length: 100\r\n\r\nhalf")
    started = time.perf_counter()
    done = threading.Event()

    def trickle() -> None:
        while not done.wait(0.1):
            for name in ("in the headers", "in the body", "in a form"):
                with contextlib.suppress(OSError):
                    connections[name].send(b"a")

    trickling = threading.Thread(target=trickle)
    trickling.start()
    with httpx.Client(base_url=service.address) as web:
        for _ in range(20):
            assert web.post(PREDICTIONS, content=b"fast").status_code == 200
    try:
        for name, (_, kind) in slow.items():
            assert error_kind(receive_all(connections[name])) == kind, name
    finally:
        done.set()
        trickling.join()
    assert time.perf_counter() - started < 15
    for connection in connections.values():
        connection.close()


def test_what_is_no_http_gets_the_same_error_shape(service: Service):
    begin = b"POST /v1/predictions HTTP/1.1\r\nHost: x\r\n"
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01",  # TLS
        b"NO HTTP\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        begin + b"no header\r\n\r\n",
        begin + b"Content-Length: -1\r\n\r\n",
        begin + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        begin + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"A" * 100_000,
    ):
        with service.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(garbage)
            answer = receive_all(connection)
        if answer:  # the large one may be reset while it is still being sent
            assert error_kind(answer) == "malformed"
    assert httpx.get(f"{service.address}/health").status_code == 200


def test_too_many_connections_are_refused_and_forgotten(service: Service):
    connections = [service.connect() for _ in range(30)]
    for connection in connections[20:]:
        assert error_kind(receive_all(connection)) == "overloaded"
    for connection in connections:
        connection.close()
    assert httpx.post(f"{service.address}{PREDICTIONS}", content=b"x").status_code == 200


def test_a_client_that_sends_too_much_still_reads_why(service: Service):
    """The rest is thrown away before the connection is closed: a reset would destroy the answer."""
    for content in (b"x" * 5_000_000, iter([b"x" * 50_000] * 100)):
        response = httpx.post(f"{service.address}{PREDICTIONS}", content=content)
        assert response.status_code == 413
        assert response.headers["Connection"] == "close"
        assert response.json()["error"]["kind"] == "body_too_large"


def test_sigterm_when_idle(service: Service):
    code, seconds = service.stop()
    assert code == 0
    assert seconds < 5


@pytest.mark.slow
def test_sigterm_under_load_loses_no_accepted_request(service: Service):
    """Every request that the service took is answered, on fresh and on kept connections, and it exits with 0."""
    answered: set[str] = set()
    stopping = threading.Event()
    under_load = threading.Barrier(17)

    def ask(client: int) -> None:
        keeps = client % 2 == 0
        # A new connection may be reset before the service has accepted it; a kept one is closed in order.
        expected = httpx.ConnectError if keeps else httpx.TransportError
        with httpx.Client(base_url=service.address, timeout=20) as web:
            for n in range(10_000):
                request_id = f"{client}-{n}"
                headers = {"X-Request-ID": request_id} | ({} if keeps else {"Connection": "close"})
                try:
                    response = web.post(PREDICTIONS, content=b"sleep 0.02", headers=headers)
                except expected:
                    if not stopping.is_set():
                        raise
                    return
                assert response.status_code == 200
                answered.add(request_id)
                if n == 3:
                    under_load.wait(30)

    with ThreadPoolExecutor(16) as pool:
        clients = [pool.submit(ask, client) for client in range(16)]
        under_load.wait(30)
        stopping.set()
        code, seconds = service.stop()
    for client in clients:
        client.result()
    assert code == 0
    assert seconds < 10
    taken = {line["request_id"] for line in service.requests() if line.get("route") == PREDICTIONS}
    assert taken == answered
    assert len(answered) >= 64


@pytest.mark.slow
def test_sigterm_waits_for_work_but_not_for_slow_clients(service: Service):
    """A request under way is answered; one whose body never comes is told 503 or 408; the end is in time."""
    with service.connect() as stuck, service.connect() as working:
        stuck.sendall(b"POST " + PREDICTIONS.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        working.sendall(b"POST " + PREDICTIONS.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nsleep 2")
        while "service_batch_size_count 2.0" not in httpx.get(f"{service.address}/metrics").text:
            pass
        code, seconds = service.stop()
        assert b'"n_letters":7' in receive_all(working)
        assert error_kind(receive_all(stuck)) in {"shutting_down", "body_timeout"}
    assert code == 0
    assert seconds < 10


@pytest.mark.slow
def test_what_a_client_sent_does_not_stay_on_the_disk_when_work_is_given_up(
    toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    service = Service(toy_path, tmp_path / "log.jsonl")
    with service.connect() as working:
        working.sendall(b"POST " + PREDICTIONS.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nsleep 60")
        while "service_batch_size_count 2.0" not in httpx.get(f"{service.address}/metrics").text:
            pass
        code, seconds = service.stop()
    service.process.communicate()
    assert (code, seconds < 10) == (0, True)
    assert list(tmp_path.iterdir()) == [service.log]


def test_the_log_is_one_json_object_a_line(service: Service):
    httpx.get(f"{service.address}/a%0Ab%22%1b", headers={"X-Request-ID": 'x"y'})
    httpx.post(f"{service.address}{PREDICTIONS}", content=b"bug")
    service.stop()
    lines = service.requests()
    assert {"time", "level", "event", "request_id", "method", "route", "status", "ms"} <= set(lines[-1])
    assert any("ZeroDivisionError" in line.get("traceback", "") for line in lines)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, where no byte can be written")
def test_a_log_that_cannot_be_written_holds_up_nobody(toy_path: Path):
    """The disk of the log is full. What the logger has to say of that went to the log, too, and all waited for ever."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - no file of ours
        process = subprocess.Popen([sys.executable, str(toy_path)], stdout=subprocess.PIPE, stderr=full, text=True)
    with process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            for _ in range(20):
                assert httpx.get(f"{address}/health").status_code == 200
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_an_address_that_cannot_be_had_is_the_users_mistake():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}.*--port"):
            listen("127.0.0.1", port)
    for host in ("no.such.host.invalid", "a..b", "a" * 64):
        with pytest.raises(UserError, match=rf"{host} port 0.*--host"):
            listen(host, 0)
