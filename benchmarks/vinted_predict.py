"""Photos per second from zip to parquet, against the obvious way and against the floor, in one run.

    python benchmarks/vinted_predict.py [--data FOLDER] [--photos N] [--rounds N]

Without --data, the photos of ../shared/data/vinted_like if they are there; else the generated sample, whose figures are
printed and not written to the JSON: drawn photos say nothing of real ones.

Measured on the same photos, rounds in turn, so that drift of the machine hits all alike:
- ours: `predict` on the shipped int8 model, zip to parquet, in a process of its own;
- obvious: the same network in eager PyTorch with a DataLoader (Pillow, float32, a worker a core), zip to parquet;
- floor: decoding alone, and the network alone on decoded photos, each on all cores.
Also: start-up of a one-photo prediction, memory at 100,000 photos, and the size of the model.
"""

import argparse
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from challenges.vinted.dataset import load
from challenges.vinted.predict import CHUNK_SIZE, DEFAULT_MODEL, load_model, predict_file, predict_images, read_photo
from challenges.vinted.sample import write_sample
from common.data.tables import write_json
from common.inference.batch import available_cores, map_chunks

HERE = Path(__file__).resolve()
RESULT = HERE.with_suffix(".json")
REAL = HERE.parents[2] / "shared" / "data" / "vinted_like"


def make_layout(source: Path, folder: Path, n_photos: int) -> Path:
    """Lay out `n_photos` rows over the photos of `source`, repeated as often as it takes."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset = load(source, part="test")
    uuids = sorted(dataset.photos.members)
    rows = [f"{uuids[i % len(uuids)]}_{i // len(uuids)}" for i in range(n_photos)]
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        for row in rows:
            archive.writestr(f"data/{row}.jpeg", dataset.photos.read(row.rpartition("_")[0]))
    pd.DataFrame({"uuid": rows}).to_parquet(folder / "test.parquet")
    return folder


def ours(folder: Path) -> float:
    """Seconds from opening the zip to the written parquet."""
    started = time.perf_counter()
    predict_file(DEFAULT_MODEL, folder, folder / "ours.parquet")
    return time.perf_counter() - started


def obvious(folder: Path, flush_denormal: bool) -> float:
    """Seconds of the way most would write: eager PyTorch, DataLoader, Pillow."""
    import torch
    from PIL import Image, ImageOps
    from torch.utils.data import DataLoader, Dataset

    from challenges.vinted.export import load_net

    net = load_net(DEFAULT_MODEL)
    torch.set_flush_denormal(flush_denormal)
    height, width = load_model().sizes[0]

    class Photos(Dataset):
        def __init__(self) -> None:
            self.uuids = pd.read_parquet(folder / "test.parquet")["uuid"].tolist()
            self.archive: zipfile.ZipFile | None = None

        def __len__(self) -> int:
            return len(self.uuids)

        def __getitem__(self, row: int) -> torch.Tensor:
            self.archive = self.archive or zipfile.ZipFile(folder / "data.zip")
            data = self.archive.read(f"data/{self.uuids[row]}.jpeg")
            image = Image.open(io.BytesIO(data)).convert("RGB")
            fitted = ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR, color=(127, 127, 127))
            return torch.from_numpy(np.array(fitted))

    started = time.perf_counter()
    photos = Photos()
    rows = []
    with torch.inference_mode():
        for batch in DataLoader(photos, batch_size=32, num_workers=available_cores()):
            logits = net(batch)
            order = logits.category.argsort(1, descending=True)[:, :2]
            rows.append(torch.cat([order, (logits.tags > 0).long()], 1).numpy())
    columns = ["category1", "category2", "polka dot", "floral", "checker"]
    frame = pd.DataFrame(np.concatenate(rows), columns=columns)
    frame.insert(0, "uuid", photos.uuids)
    frame.to_parquet(folder / "obvious.parquet")
    return time.perf_counter() - started


def decoding_alone(folder: Path) -> float:
    """Seconds to read, decode and resize every photo on all cores."""
    dataset, model = load(folder, part="test"), load_model()

    def work(uuids: list[str]) -> None:
        for uuid in uuids:
            read_photo(model, dataset.photos.read(uuid))

    started = time.perf_counter()
    for _ in map_chunks(work, dataset.test["uuid"], CHUNK_SIZE):
        pass
    return time.perf_counter() - started


def network_alone(folder: Path) -> float:
    """Seconds of the network's arithmetic for as many photos, decoded before, on all cores."""
    model = load_model()
    n_photos = len(pd.read_parquet(folder / "test.parquet"))
    pixels = np.random.default_rng(0).integers(0, 256, (CHUNK_SIZE, *model.sizes[0], 3), dtype=np.uint8)
    started = time.perf_counter()
    for _ in map_chunks(lambda chunk: predict_images(model, pixels[: len(chunk)]), range(n_photos), CHUNK_SIZE):
        pass
    return time.perf_counter() - started


WAYS: dict[str, Callable[[Path], float]] = {
    "ours": ours,
    "obvious": lambda folder: obvious(folder, False),
    "obvious, denormals flushed": lambda folder: obvious(folder, True),
    "decoding alone": decoding_alone,
    "network alone": network_alone,
}


def in_a_process(way: str, folder: Path) -> tuple[float, float]:
    """Run one way in a fresh process; return its seconds and its peak memory in MB."""
    command = [sys.executable, str(HERE), "--run", way, "--data", str(folder)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    )
    result = json.loads(done.stdout.splitlines()[-1])
    return result["seconds"], result["peak_mb"]


def start_up(photo: Path) -> float:
    """Seconds of `predict photo.jpg`, interpreter included."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "challenges.vinted", "predict", str(photo)],
        check=True,
        capture_output=True,
        cwd=HERE.parents[1],
    )
    return time.perf_counter() - started


def main() -> None:
    """Measure everything and write the JSON beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder in the official layout; default: see above")
    parser.add_argument("--photos", type=int, default=1_790)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=100_000, help="photos of the memory measurement; 0 leaves it out")
    parser.add_argument("--run", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        seconds = WAYS[options.run](options.data)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mb": peak_mb}))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = options.data or (REAL if REAL.is_dir() else None)
        source = given or write_sample(folder / "sample")
        layout = make_layout(source, folder / "layout", options.photos)
        runs: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way in WAYS:
                runs[way].append(in_a_process(way, layout))
        rates = {way: options.photos / statistics.median(s for s, _ in found) for way, found in runs.items()}
        floor = min(rates["decoding alone"], rates["network alone"])
        with zipfile.ZipFile(layout / "data.zip") as archive:
            (folder / "photo.jpg").write_bytes(archive.read(archive.namelist()[0]))
        result = {
            "machine": f"{available_cores()} cores, {platform.machine()}",
            "data": given.resolve().name if given else "generated sample",
            "photos": options.photos,
            "rounds": options.rounds,
            "photos_per_second": {way: round(rate, 1) for way, rate in rates.items()},
            "times_the_obvious": round(rates["ours"] / rates["obvious"], 2),
            "times_the_obvious_with_denormals_flushed": round(rates["ours"] / rates["obvious, denormals flushed"], 2),
            "share_of_the_floor": round(rates["ours"] / floor, 3),
            "start_up_seconds": round(statistics.median(start_up(folder / "photo.jpg") for _ in range(5)), 2),
            "peak_mb": round(max(m for _, m in runs["ours"])),
            "model_mb": round((DEFAULT_MODEL / "model.onnx").stat().st_size / 1e6, 2),
        }
        if options.many:
            seconds, peak = in_a_process("ours", make_layout(source, folder / "many", options.many))
            result |= {
                "many_photos": options.many,
                "many_peak_mb": round(peak),
                "many_photos_per_second": round(options.many / seconds, 1),
            }
    if given:
        write_json(result, RESULT)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
