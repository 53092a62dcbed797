"""The services that end-to-end tests talk to."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


class Service:
    """`python -m challenges.vinted serve` on a free port."""

    def __init__(self, log: Path, **environment: str) -> None:
        self.log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "challenges.vinted", "serve", "--port", "0", "--json"],
                cwd=REPOSITORY,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self.process.stdout is not None
        self.address = json.loads(self.process.stdout.readline())["address"]
        while httpx.get(f"{self.address}/ready").status_code != 200:
            pass

    def peak_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="session")
def start_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Service]]:
    """A function that starts a Vinted service with these environment variables."""
    started: list[Service] = []

    def start(**environment: str) -> Service:
        service = Service(tmp_path_factory.mktemp("service") / "log.jsonl", **environment)
        started.append(service)
        return service

    yield start
    for service in started:
        service.end()


@pytest.fixture(scope="session")
def service(start_service: Callable[..., Service]) -> Service:
    return start_service()
