"""Throughput and latency of the service, against the obvious way to serve the same model, in one run.

    python benchmarks/vinted_service.py [--seconds N] [--rounds N] [--many N]

Each way runs in a process of its own and is asked over loopback, in turn, by a load generator in another process:
closed-loop clients that each keep a connection and send one 400 x 533 JPEG in a form at a time.
- ours: `python -m challenges.vinted serve`;
- obvious: a plain FastAPI handler: UploadFile, Pillow, one forward pass of the same ONNX model for each request;
- obvious, one thread: the same with ONNX Runtime kept to one thread a pass, as one who measures would set it;
- obvious, PyTorch: the same with the float32 network in eager PyTorch, which is how it comes out of training.
Also, of ours: memory over many requests, and what more clients than the queue has room for are told.
"""

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from numpy.typing import NDArray

from challenges.vinted.predict import DEFAULT_MODEL
from common.data.tables import write_json
from common.inference.batch import available_cores

HERE = Path(__file__).resolve()
RESULT = HERE.with_suffix(".json")
WAYS = ("ours", "obvious", "obvious, one thread", "obvious, PyTorch")
Pixels = NDArray[Any]
CLIENTS = (1, 8, 32, 128)
N_PHOTOS = 64


def forward_onnx(n_threads: int) -> Callable[[Pixels], list[Pixels]]:
    """One pass of the shipped ONNX model; 0 threads is ONNX Runtime's default, one for each core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    session = onnxruntime.InferenceSession(str(DEFAULT_MODEL / "model.onnx"), options)
    return lambda pixels: session.run(["category", "tags", "color"], {"pixels": pixels})


def forward_torch() -> Callable[[Pixels], list[Pixels]]:
    """One pass of the same network in eager PyTorch, with its default of threads."""
    import torch

    from challenges.vinted.export import load_net

    net = load_net(DEFAULT_MODEL)

    def forward(pixels: Pixels) -> list[Pixels]:
        with torch.inference_mode():
            logits = net(torch.from_numpy(pixels))
        return [
            logits.category.softmax(1).numpy(),
            logits.tags.sigmoid().numpy(),
            logits.color.softmax(1).numpy(),
        ]

    return forward


def serve_obvious(way: str) -> None:
    """The way of most tutorials; prints its address."""
    import uvicorn
    from fastapi import FastAPI, UploadFile
    from PIL import Image, ImageOps

    from common.service.server import listen

    forward = forward_torch() if "PyTorch" in way else forward_onnx(1 if "one thread" in way else 0)
    manifest = json.loads((DEFAULT_MODEL / "manifest.json").read_text())
    labels, (height, width) = manifest["labels"], manifest["input"]["sizes"][0]
    app = FastAPI()

    @app.get("/ready")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/predictions")
    def predict(photos: UploadFile) -> dict[str, Any]:
        image = Image.open(photos.file).convert("RGB")
        image = ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR, color=(127, 127, 127))
        category, tags, color = (output[0] for output in forward(np.array(image)[None]))
        best = np.argsort(-category)[:2]
        return {
            "categories": [{"name": labels["category"][c], "probability": float(category[c])} for c in best],
            "tags": {name: float(p) for name, p in zip(labels["tags"], tags, strict=True)},
            "color": labels["color"][int(color.argmax())],
        }

    listening = listen("127.0.0.1", 0)
    # Without its access log, which would fill the pipe that nobody reads behind the address.
    print(json.dumps({"address": f"http://127.0.0.1:{listening.getsockname()[1]}"}), flush=True)
    uvicorn.Server(uvicorn.Config(app, access_log=False)).run(sockets=[listening])


@contextmanager
def served(way: str) -> Iterator[tuple[str, int]]:
    """Start one way; yields its address and process id."""
    command = [sys.executable, str(HERE), "--run", way]
    if way == "ours":
        command = [sys.executable, "-m", "challenges.vinted", "serve", "--port", "0", "--json"]
    process = subprocess.Popen(
        command, cwd=HERE.parents[1], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        address = json.loads(process.stdout.readline())["address"]
        for _ in range(600):
            try:
                if httpx.get(f"{address}/ready").status_code == 200:
                    break
            except httpx.ConnectError:
                pass
            time.sleep(0.1)
        yield address, process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def ask_for(address: str, photos: list[bytes], n_clients: int, seconds: float, limit: int) -> dict[str, Any]:
    """Closed-loop clients for so many seconds or requests; latencies in ms and statuses."""
    url = urlsplit(address)
    statuses: Counter[str] = Counter()
    latencies: list[float] = []
    requests = [
        (
            b'--b\r\nContent-Disposition: form-data; name="photos"; filename="p.jpg"\r\n'
            b"Content-Type: image/jpeg\r\n\r\n" + photo + b"\r\n--b--\r\n"
        )
        for photo in photos
    ]
    head = "POST /v1/predictions HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in requests]
    started = time.perf_counter()
    n_sent = 0

    async def client(number: int) -> None:
        nonlocal n_sent
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        turn = number
        while time.perf_counter() - started < seconds and n_sent < limit:
            n_sent += 1
            turn += 1
            sent = time.perf_counter()
            writer.write(requests[turn % len(requests)])
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            status = answer[9:12].decode()
            statuses[status] += 1
            if status == "200":
                latencies.append(1000 * (time.perf_counter() - sent))
        writer.close()

    await asyncio.gather(*(client(i) for i in range(n_clients)))
    elapsed = time.perf_counter() - started
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99])
    return {
        "per_second": len(latencies) / elapsed,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "not_200": sum(n for status, n in statuses.items() if status != "200"),
        "statuses": dict(statuses),
    }


def load(address: str, photos: Path, n_clients: int, seconds: float, limit: int = 10**9) -> dict[str, Any]:
    """Run the load generator in a process of its own."""
    options = {"address": address, "n_clients": n_clients, "seconds": seconds, "limit": limit}
    command = [sys.executable, str(HERE), "--run", "load", "--photos", str(photos), "--options", json.dumps(options)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE.parents[1])
    return json.loads(done.stdout.splitlines()[-1])


def memory_mb(pid: int, field: str) -> float:
    """VmRSS or VmHWM (the peak) of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def measure_rates(photos: Path, seconds: float, rounds: int) -> dict[str, dict[str, Any]]:
    """Medians over rounds, by way and number of clients."""
    found: dict[str, dict[int, list[dict[str, Any]]]] = {way: {n: [] for n in CLIENTS} for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            with served(way) as (address, _):
                load(address, photos, 8, min(2, seconds))  # warm
                for n_clients in CLIENTS:
                    found[way][n_clients].append(load(address, photos, n_clients, seconds))
    return {
        way: {
            str(n): {key: round(statistics.median(run[key] for run in runs), 1) for key in runs[0] if key != "statuses"}
            for n, runs in levels.items()
        }
        for way, levels in found.items()
    }


def measure_memory(photos: Path, n_requests: int) -> dict[str, Any]:
    """Resident memory of ours after each tenth of the requests, from 32 clients."""
    with served("ours") as (address, pid):
        resident = []
        for _ in range(10):
            load(address, photos, 32, 10**9, n_requests // 10)
            resident.append(round(memory_mb(pid, "VmRSS")))
        return {"requests": n_requests, "resident_mb": resident, "peak_mb": round(memory_mb(pid, "VmHWM"))}


def measure_overload(photos: Path, seconds: float) -> dict[str, Any]:
    """What 400 clients, more than the queue's 256 places, are told."""
    with served("ours") as (address, _):
        found = load(address, photos, 400, seconds)
        return {"clients": 400, "statuses": found["statuses"], "per_second": round(found["per_second"], 1)}


def make_photos(folder: Path) -> Path:
    """Generated 400 x 533 JPEGs in one file."""
    from challenges.vinted.sample import render_garments
    from common.data.images import encode_jpeg

    photos = [encode_jpeg(image) for image, *_ in render_garments(N_PHOTOS, (0, 77))]
    np.savez(folder / "photos.npz", *(np.frombuffer(photo, np.uint8) for photo in photos))
    return folder / "photos.npz"


def read_photos(path: Path) -> list[bytes]:
    """The JPEGs of `make_photos`."""
    with np.load(path) as arrays:
        return [arrays[name].tobytes() for name in arrays.files]


def print_table(rates: dict[str, dict[str, Any]]) -> None:
    """One line for each way and number of clients."""
    print(f"{'way':22}{'clients':>8}{'photos/s':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'not 200':>9}")
    for way, levels in rates.items():
        for n, row in levels.items():
            cells = (f"{row[key]:9.0f}" for key in ("p50_ms", "p95_ms", "p99_ms", "not_200"))
            print(f"{way:22}{n:>8}{row['per_second']:10.1f}{''.join(cells)}")


def main() -> None:
    """Measure everything and write the JSON beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each number of clients, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=20_000, help="requests of the memory measurement; 0 leaves it out")
    parser.add_argument("--out", type=Path, default=RESULT)
    for hidden in ("--run", "--photos", "--options"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run == "load":
        print(json.dumps(asyncio.run(ask_for(photos=read_photos(Path(options.photos)), **json.loads(options.options)))))
        return
    if options.run:
        serve_obvious(options.run)
        return
    with tempfile.TemporaryDirectory() as name:
        photos = make_photos(Path(name))
        rates = measure_rates(photos, options.seconds, options.rounds)
        result: dict[str, Any] = {
            "machine": f"{available_cores()} cores, {platform.machine()}, shared with the load generator",
            "photos": "generated, 400 x 533 JPEG, one a request",
            "seconds": options.seconds,
            "rounds": options.rounds,
            "rates": rates,
            "times_at_32_clients": {
                way: round(rates["ours"]["32"]["per_second"] / rates[way]["32"]["per_second"], 2) for way in WAYS[1:]
            },
            "overload": measure_overload(photos, options.seconds),
        }
        if options.many:
            result["memory"] = measure_memory(photos, options.many)
    write_json(result, options.out)
    print_table(rates)
    print(json.dumps({key: value for key, value in result.items() if key != "rates"}, indent=2))


if __name__ == "__main__":
    main()
