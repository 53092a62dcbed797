"""Whatever a test runs cannot reach another machine: in this process, in those it starts, and in theirs."""

import socket
import subprocess
import sys

import pytest

ELSEWHERE = "192.0.2.1"  # documentation only, RFC 5737: nobody is there
CONNECT = f"import socket; socket.create_connection(('{ELSEWHERE}', 80), timeout=1)"


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, ELSEWHERE), (socket.AF_INET6, "2001:db8::1")])
def test_this_process_is_refused(family: socket.AddressFamily, host: str):
    with socket.socket(family) as connecting:
        for connect in (connecting.connect, connecting.connect_ex):
            with pytest.raises(BaseException, match=f"wanted to connect to {host}"):
                connect((host, 80))


@pytest.mark.parametrize(
    "code",
    [CONNECT, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CONNECT!r}], check=True)"],
    ids=["child", "grandchild"],
)
def test_what_it_starts_is_refused(code: str):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "NetworkRefused: tests connect to no other machine" in done.stderr


def test_loopback_is_reached():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()):
            pass
        with socket.create_connection(("localhost", listening.getsockname()[1])):
            pass
