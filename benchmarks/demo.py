"""How soon the demo answers: its front page after the start of the process, and each room's page on its first visit.

    python benchmarks/demo.py [--runs N]

Seconds, of the fastest and the middle run; each run is a process of its own. A first run, which is not counted, writes
samples and index where there are none.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx

from challenges.demo import make_rooms
from common.data.tables import write_json
from common.inference.batch import available_cores

RESULT = Path(__file__).resolve().with_suffix(".json")
ROOMS = tuple(make_rooms())


def measure() -> dict[str, float]:
    """Seconds to the front page, and of each room's first visit."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "challenges.demo", "serve", "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        with httpx.Client(base_url=json.loads(process.stdout.readline())["address"], timeout=300) as client:
            client.get("/").raise_for_status()
            seconds = {"front": time.perf_counter() - started}
            for name in ROOMS:
                begun = time.perf_counter()
                client.get(f"/{name}/").raise_for_status()
                seconds[name] = time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
    return seconds


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    measure()
    runs = [measure() for _ in range(arguments.runs)]
    result = {
        name: {"fastest_s": min(r[name] for r in runs), "median_s": statistics.median(r[name] for r in runs)}
        for name in runs[0]
    }
    for name, figures in result.items():
        print(f"{name:10} {figures['median_s']:.2f} s, fastest {figures['fastest_s']:.2f} s")
    machine = {"cores": available_cores(), "python": platform.python_version()}
    write_json({"machine": machine, "runs": arguments.runs} | result, RESULT)


if __name__ == "__main__":
    main()
