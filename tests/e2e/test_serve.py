"""Services without a model of their own: the real process starts, tells what it answers, and ends when it is told."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(("challenge", "route"), [("radix_energy", "/v1/types"), ("avalanche", "/v1/themes")])
def test_a_service_starts_answers_and_ends(challenge: str, route: str, tmp_path: Path):
    with (tmp_path / "log.jsonl").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"challenges.{challenge}", "serve", "--port", "0", "--json"],
            cwd=REPOSITORY, env=os.environ, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    with process.stdout:
        address = json.loads(process.stdout.readline())["address"]
        while httpx.get(f"{address}/ready").status_code != 200:
            pass
        assert httpx.get(address).text.startswith("<!doctype html>")
        assert route in httpx.get(f"{address}/openapi.json").json()["paths"]
        refused = httpx.post(f"{address}{route}", content=b"")
        assert 400 <= refused.status_code < 500
        assert refused.json()["error"]["request_id"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
