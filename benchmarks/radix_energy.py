"""Seconds and memory from a file of readings to types and report, beside DTW k-means, and as households grow.

    python benchmarks/radix_energy.py [--quick] [--dtw-households N]

1. `python -m challenges.radix_energy cluster` on 1000 x 720 generated readings, in a process of its own, report and
   all; beside it tslearn's `TimeSeriesKMeans(metric="dtw")` with its own parameters on the same 720 hours. DTW of a
   thousand such series would take hours, so that both run on a subset as well, the same households, and the ratio is
   theirs. DTW looks at each household in each iteration: its time grows in line with households and iterations.
2. The same command on 1,000, 10,000 and 100,000 households (`--quick` leaves the last out): seconds, peak memory, and
   the exponent of growth; a plot beside this script.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from challenges.radix_energy.sample import generate
from common.data.tables import write_json
from common.inference.batch import available_cores
from common.plots import save_figure, use_style

HERE = Path(__file__).resolve()
RESULT = HERE.with_suffix(".json")
BLOCK = 10_000
N_TYPES = 10
SIZES = (1_000, 10_000, 100_000)
LIMIT_S, LIMIT_LARGEST_S, LIMIT_LARGEST_MB = 30, 300, 6_000


def write_readings(path: Path, n_households: int) -> Path:
    """Write a long parquet file of generated households, a block after the other, each of another seed."""
    schema = pa.schema([("household_id", pa.string()), ("timestamp", pa.timestamp("s")), ("kwh", pa.float32())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, n_households, BLOCK):
            n = min(BLOCK, n_households - start)
            sample = generate(n, N_TYPES, seed=start // BLOCK)
            hours = sample.dates[0].astype("datetime64[s]") + np.arange(sample.kwh[0].size) * np.timedelta64(3600, "s")
            ids = pa.DictionaryArray.from_arrays(
                np.repeat(np.arange(n, dtype=np.int32), len(hours)), [f"home {start + row:06d}" for row in range(n)]
            )
            columns = [ids.cast(pa.string()), pa.array(np.tile(hours, n)), pa.array(sample.kwh.ravel())]
            writer.write_table(pa.table(columns, schema=schema))
    return path


def run_command(data: Path, out: Path) -> dict[str, Any]:
    """Run the real command; return its seconds, its peak memory in MB and its summary."""
    command = [sys.executable, "-m", "challenges.radix_energy", "cluster", "--data", str(data), "--out", str(out)]
    started = time.perf_counter()
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, cwd=HERE.parents[1])
    assert process.stdout is not None
    summary = process.stdout.read()
    # Of this child alone: RUSAGE_CHILDREN would keep the highest of all children.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"cluster --data {data} ended with {process.returncode}")
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "n_types": json.loads(summary.splitlines()[-1])["n_types"],
    }


def dtw_k_means(n_households: int) -> dict[str, Any]:
    """Seconds of DTW k-means on the first households, 720 hours of each against their mean."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # h5py is not there
        from tslearn.clustering import TimeSeriesKMeans
    kwh = generate(1_000, N_TYPES).kwh.reshape(1_000, -1, 1)[:n_households]
    series = kwh / kwh.mean(1, keepdims=True)
    TimeSeriesKMeans(2, metric="dtw", max_iter=1, random_state=0).fit(series[:4, :48])  # compiles
    started = time.perf_counter()
    model = TimeSeriesKMeans(min(N_TYPES, n_households // 2), metric="dtw", random_state=0, n_jobs=-1).fit(series)
    return {"seconds": round(time.perf_counter() - started, 1), "iterations": int(model.n_iter_)}


def compare_with_dtw(folder: Path, n_households: int, whole: dict[str, Any]) -> dict[str, Any]:
    """Both on the same subset, and what DTW would take on the whole at the same number of iterations."""
    subset = folder / "subset.parquet"
    table = pq.read_table(folder / "1000.parquet")
    pq.write_table(table.slice(0, n_households * 720), subset)
    ours, theirs = run_command(subset, folder / "subset"), dtw_k_means(n_households)
    expected = theirs["seconds"] * 1_000 / n_households
    return {
        "households": n_households,
        "ours": ours,
        "dtw_k_means": theirs,
        "times_faster_on_the_subset": round(theirs["seconds"] / ours["seconds"], 2),
        "dtw_seconds_expected_of_1000_households": round(expected),
        "times_faster_expected_of_1000_households": round(expected / whole["seconds"], 1),
    }


def plot_growth(rows: dict[int, dict[str, Any]], exponent: float) -> None:
    """Seconds against households, both in powers of ten, beside a line of linear growth."""
    from matplotlib.figure import Figure

    sizes, seconds = np.array(list(rows)), np.array([row["seconds"] for row in rows.values()])
    with use_style():
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        axes.loglog(sizes, seconds, "o-", label=f"measured, growing with the power {exponent:.2f}")
        axes.loglog(sizes, seconds[-1] * sizes / sizes[-1], ":", label="linear growth")
        for size, row in rows.items():
            label = f"{row['seconds']:g} s, {row['peak_mb']:,} MB"
            axes.annotate(label, (size, row["seconds"]), xytext=(6, -14), textcoords="offset points")
        axes.set(title="From file to report", xlabel="households of 720 hours", ylabel="seconds")
        axes.set_xlim(sizes[0] / 1.5, sizes[-1] * 4)
        axes.legend(loc="upper left")
        save_figure(figure, HERE.with_suffix(".png"))


def main() -> int:
    """Measure everything and write the JSON and the plot beside this script; 1 where a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the largest; nothing is written")
    parser.add_argument("--dtw-households", type=int, default=40, help="how many the DTW comparison runs on")
    options = parser.parse_args()
    rows: dict[int, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in SIZES[: 2 if options.quick else None]:
            data = write_readings(folder / f"{size}.parquet", size)
            rows[size] = run_command(data, folder / str(size))
            print(f"{size:>7} households: {rows[size]}", file=sys.stderr, flush=True)
        comparison = compare_with_dtw(folder, options.dtw_households, rows[SIZES[0]])
    exponent = float(np.polyfit(np.log(list(rows)), np.log([row["seconds"] for row in rows.values()]), 1)[0])
    last = (rows[size] for size in list(rows)[-2:])
    small, large = (row["seconds"] for row in last)
    broken = [f"1000 households take over {LIMIT_S} s"] if rows[SIZES[0]]["seconds"] > LIMIT_S else []
    if SIZES[-1] in rows and rows[SIZES[-1]]["seconds"] > LIMIT_LARGEST_S:
        broken.append(f"{SIZES[-1]} households take over {LIMIT_LARGEST_S} s")
    if SIZES[-1] in rows and rows[SIZES[-1]]["peak_mb"] > LIMIT_LARGEST_MB:
        broken.append(f"{SIZES[-1]} households take over {LIMIT_LARGEST_MB} MB")
    if large > 10 * small:
        broken.append("time grows faster than linearly")
    result = {
        "machine": f"{available_cores()} cores, {platform.machine()}",
        "hours": 720,
        "households": {str(size): row for size, row in rows.items()},
        "exponent": round(exponent, 3),
        "beside_dtw_k_means": comparison,
        "limits_broken": broken,
    }
    if not options.quick:
        write_json(result, RESULT)
        plot_growth(rows, exponent)
    print(json.dumps(result, indent=2))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
