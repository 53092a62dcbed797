"""The service as a user starts it: a real process over loopback, attacked, killed, and used in a browser."""

import io
import json
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from challenges.vinted.service import example_photo

REPOSITORY = Path(__file__).resolve().parents[2]
PREDICTIONS = "/v1/predictions"


def answer_to_good_photo(address: str) -> dict:
    response = httpx.post(f"{address}{PREDICTIONS}", content=example_photo(), timeout=60)
    assert response.status_code == 200
    return response.json()["results"]


def encoded(format: str, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


BASES = [
    encoded("JPEG"),
    encoded("JPEG", progressive=True),
    encoded("PNG"),
    encoded("WebP"),
    encoded("GIF"),
    encoded("BMP"),
]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def jpeg_of_size(width: int, height: int) -> bytes:
    data = bytearray(BASES[0])
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


ZEROS = zlib.compress(bytes(5_000_000), 9)
BOMBS = [
    png(50_000, 50_000, png_chunk(b"IDAT", ZEROS)),
    png(2**31 - 1, 2**31 - 1, png_chunk(b"IDAT", ZEROS)),
    png(100, 100, png_chunk(b"IDAT", ZEROS)),  # many more pixels than the header promises
    png(40, 30, png_chunk(b"zTXt", b"k\0\0" + ZEROS), png_chunk(b"IDAT", zlib.compress(bytes(40 * 91)))),
    png(40, 30, png_chunk(b"iCCP", b'\n{"event": "forged"}\n\x1b[31m\0\0\0\0\0' + bytes(200))),
    png(40, 30, png_chunk(b"iCCP", b'\n{"event": "forged"}\n\x1b[31m\0\0' + zlib.compress(bytes(200)))),
    png(40, 30, png_chunk(b"iCCP", b"k\0\0" + ZEROS), png_chunk(b"IDAT", zlib.compress(bytes(40 * 91)))),
    jpeg_of_size(65_535, 65_535),
    jpeg_of_size(0, 0),
    BASES[4][:6] + struct.pack("<HH", 65_535, 65_535) + BASES[4][10:],
    b"RIFF\xff\xff\xff\x7fWEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff",
    BASES[5][:18] + struct.pack("<ll", 2**31 - 1, -(2**31)) + BASES[5][26:],
    BASES[1] + BASES[1][BASES[1].index(b"\xff\xda") :] * 500,
]
POLYGLOTS = [
    base + tail for base in BASES for tail in (b"PK\x05\x06" + bytes(18), b"<script>alert(1)</script>", b"%PDF-1.7")
]
WRONG_TYPES = [
    b"", b"\0", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP", b"<svg onload=alert(1)/>",
    b"PK\x03\x04" + bytes(40), b"%PDF-1.7\n", b"\x7fELF" + bytes(60), b"MZ" + bytes(60), b"II*\0" + bytes(40),
    b"\0\0\0\x20ftypheic" + bytes(40), b"id,name\n1,a\n", b"../../../../etc/passwd", "ü\u202e\U0001f5bc".encode(),
    b"{}", b"\r\n--boundary\r\n", b"\xef\xbb\xbf<!DOCTYPE html>", bytes(range(256)) * 8,
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A photo that is cut, has bytes flipped, removed, repeated, or another's tail."""
    data = bytearray(draw(st.sampled_from(BASES)))
    rng = random.Random(draw(st.integers(0, 2**32)))  # far faster than drawing every place
    for _ in range(rng.randint(1, 12)):
        a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        match rng.randrange(6):
            case 0:
                del data[b:]
            case 1:
                del data[a : a + rng.randint(1, 9)]
            case 2:
                data[a:a] = data[a : min(b, a + 50)]
            case 3:
                data[a:] = rng.choice(BASES)[a:]
            case _:
                if a < len(data):
                    data[a if rng.random() < 0.5 else a % min(len(data), 200)] = rng.randrange(256)
        if not data:
            break
    return bytes(data)


bad_photos = st.one_of(damaged(), damaged(), damaged(), st.sampled_from(BOMBS + POLYGLOTS + WRONG_TYPES))


def form_parts(n: int, name: str = "photos") -> bytes:
    part = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="x"\r\n\r\n\r\n'.encode()
    return part * n + b"--b--\r\n"


BAD_FORMS = [
    form_parts(0), form_parts(33), form_parts(5000), form_parts(1, "ph\\\"otos"), form_parts(1, "../../x"),
    form_parts(1)[:-4], form_parts(1) * 2, b"--b\r\n\r\n" * 100, b"--b\r\n" + b"A: b\r\n" * 5000,
    b"--b\r\nContent-Disposition: form-data; " + b'a="' * 3000, b"--b\r\n" + b"A" * 100_000, b"--b", b"\r\n" * 10_000,
    b"-" * 10_000, form_parts(1).replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n!!"),
    form_parts(2).replace(b"photos", b"photos\0"), form_parts(1).replace(b"form-data", b"attachment"),
]  # fmt: skip
CONTENT_TYPES = [
    "multipart/form-data; boundary=b", "multipart/form-data", 'multipart/form-data; boundary="',
    "multipart/mixed; boundary=b", "multipart/form-data; boundary=" + "b" * 500,
    "image/jpeg", "application/json", "", "text/html; charset=nonsense", "a" * 5000,
]  # fmt: skip


@st.composite
def bad_bodies(draw: st.DrawFn) -> bytes:
    body = bytearray(draw(st.sampled_from([*BAD_FORMS, form_parts(3)])))
    rng = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(body) + 1)
        if rng.random() < 0.5:
            body[place:place] = rng.choice([b"\r\n", b"--b", b"\0", b"--b--", b":", b"\xff", b'"'])
        else:
            del body[place : place + rng.randint(1, 20)]
    return bytes(body)


@pytest.mark.slow
def test_5000_bad_inputs_break_nothing(service):
    """No 5xx but a deliberate 503 or 504, one error shape, and the same answer to a good photo as before."""
    before = answer_to_good_photo(service.address)
    counts: Counter[str] = Counter()
    attack = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    with httpx.Client(base_url=service.address, timeout=60) as web:

        def check(response: httpx.Response, n_inputs: int) -> None:
            assert response.status_code < 500 or response.status_code in (503, 504), response.text
            if response.status_code == 200:
                for result in response.json()["results"]:
                    kind = result.get("error", {}).get("kind", "answered")
                    assert kind in {"answered", "unreadable"}
                    counts[kind] += 1
            else:
                error = response.json()["error"]
                assert error["request_id"] == response.headers["X-Request-ID"]
                counts[error["kind"]] += n_inputs

        @settings(attack, max_examples=300)
        @given(st.lists(bad_photos, min_size=4, max_size=12), st.sampled_from(CONTENT_TYPES[5:]))
        def photos(found: list[bytes], content_type: str) -> None:
            files = [("photos", ("x.jpg", photo)) for photo in found]
            check(web.post(PREDICTIONS, files=files), len(found))
            check(web.post(PREDICTIONS, content=found[0], headers={"Content-Type": content_type}), 1)

        @settings(attack, max_examples=2600)
        @given(bad_bodies(), st.sampled_from(CONTENT_TYPES))
        def bodies(body: bytes, content_type: str) -> None:
            check(web.post(PREDICTIONS, content=body, headers={"Content-Type": content_type}), 1)

        photos()
        bodies()
        for body in BAD_FORMS:
            check(web.post(PREDICTIONS, content=body, headers={"Content-Type": CONTENT_TYPES[0]}), 1)
        for photo in BOMBS + POLYGLOTS + WRONG_TYPES:
            check(web.post(PREDICTIONS, files=[("photos", ("x.jpg", photo))]), 1)
    assert counts.total() >= 5000, counts
    assert {"unreadable", "malformed", "too_many_items", "unknown_field", "no_items"} <= set(counts)
    assert answer_to_good_photo(service.address) == before
    assert service.process.poll() is None
    assert service.peak_mb() < 700
    for line in service.log.read_text().splitlines():
        assert "traceback" not in json.loads(line)
        assert json.loads(line)["event"] in {"request", "connection refused", "a library printed"}


@pytest.mark.slow
def test_schemathesis_finds_nothing(service, tmp_path: Path):
    """Property tests drawn from the OpenAPI document: what it promises is what is answered."""
    statuses = "[400, 401, 404, 405, 413, 422]"  # by itself it does not count 413 (too many parts) as a refusal
    config = f"[checks.negative_data_rejection]\nexpected-statuses = {statuses}\n"
    (tmp_path / "schemathesis.toml").write_text(config)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{service.address}/openapi.json",
            "--checks", "all", "--max-examples", "40", "--seed", "1", "--generation-database", "none", "--no-color",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.slow
def test_sigterm_under_load_loses_no_accepted_photo(start_service: Callable):
    service = start_service()
    photo = example_photo()
    expected = answer_to_good_photo(service.address)[0]["answer"]["categories"][0]["name"]
    answered: set[str] = set()
    under_load = threading.Barrier(9)

    def ask(client: int) -> None:
        with httpx.Client(base_url=service.address, timeout=30) as web:
            for n in range(10_000):
                request_id = f"{client}-{n}"
                try:
                    response = web.post(PREDICTIONS, content=photo, headers={"X-Request-ID": request_id})
                except httpx.ConnectError:  # the service has stopped listening
                    return
                assert response.status_code == 200
                assert response.json()["results"][0]["answer"]["categories"][0]["name"] == expected
                answered.add(request_id)
                if n == 2:
                    under_load.wait(60)

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask, client) for client in range(8)]
        under_load.wait(60)
        started = time.perf_counter()
        service.process.send_signal(signal.SIGTERM)
        code = service.process.wait(20)
        seconds = time.perf_counter() - started
    for client in clients:
        client.result()
    assert code == 0
    assert seconds < 10
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    taken = {line["request_id"] for line in lines if "-" in line["request_id"] and line["route"] == PREDICTIONS}
    assert taken == answered
    assert len(answered) >= 24


def test_mistakes_are_one_line_and_exit_2(tmp_path: Path):
    command = [sys.executable, "-m", "challenges.vinted", "serve"]
    cases: list[tuple[list[str], dict[str, str], str]] = [
        (["--port", "0", "--model", str(tmp_path)], {}, "manifest.json"),
        (["--port", "0"], {"SERVICE_MAX_PIXELS": "lots"}, "SERVICE_MAX_PIXELS"),
        (["--host", "no.such.host.invalid"], {}, "no.such.host.invalid"),
        (["--port", "70000"], {}, "65535"),
    ]
    for arguments, environment, words in cases:
        done = subprocess.run(
            [*command, *arguments], cwd=REPOSITORY, env=os.environ | environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_make_serves_with_nothing_else_running():
    """The README's command: it prints its address, answers there, and the whole group ends on SIGTERM."""
    process = subprocess.Popen(
        ["make", "--no-print-directory", "vinted-serve", "PORT=0", "HOST=127.0.0.1"],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("Vinted is served at http://127.0.0.1:")
        address = line.split()[4]
        assert "<h1>" in httpx.get(address).text
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
        assert process.stdout.read() == ""  # nobody holds the pipe any more
        process.stdout.close()
