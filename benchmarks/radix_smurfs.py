"""Frames a second from video file to annotated video file, beside ultralytics' own `predict`, and memory.

    python benchmarks/radix_smurfs.py [--video FILE] [--quick]

1. `python -m challenges.radix_smurfs segment` in a process of its own, start-up and all: decode, segment, track,
   classify, draw and encode, both passes. Without --video, the challenge's own from ../shared/data if it is there,
   else drawn gnomes at 1280 x 720, whose figures are printed and not written.
2. ultralytics' `YOLO.predict` on the same video with the same weights (those of the shipped 8-bit network as floats),
   input size and threshold, in eager PyTorch with all cores: decode, segment, draw and write, its own way
   (stream=True, save=True), in a process of its own. It does less: it neither tracks nor classifies.
3. The same command on the video repeated four times: memory must not grow with the length.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from challenges.radix_smurfs.dataset import NAMES
from challenges.radix_smurfs.drawing import draw_gnome, draw_lots, draw_scene, paste
from challenges.radix_smurfs.video import probe, read_frames
from common.data.tables import write_json
from common.inference.batch import available_cores

HERE = Path(__file__).resolve()
RESULT = HERE.with_suffix(".json")
REAL = HERE.parents[2] / "shared" / "data" / "smurfs" / "smurf_video.mp4"
MIN_RATE, MIN_RATIO, MAX_MB, MAX_GROWTH_MB = 10.0, 2.0, 1_500, 150


def drawn_video(path: Path, n_frames: int) -> Path:
    """Three gnomes walk over a scene of 1280 x 720."""
    rng = np.random.default_rng(0)
    background = draw_scene(rng, 720, 1280, 1)
    gnomes = [draw_lots(rng, name, 1) for name in NAMES[:3]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for k in range(n_frames):
            image = background.copy()
            for i, gnome in enumerate(gnomes):
                figure, mask = draw_gnome(gnome, 300, k / 10)
                paste(image, figure, mask, 80 + 350 * i + k % 200, 330)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut_or_repeat(source: Path, path: Path, n_frames: int) -> Path:
    """The first `n_frames` of a video that is begun again as often as needed."""
    info = probe(source)
    done = 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=info.rate, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = info.width, info.height, "yuv420p"
        while done < n_frames:
            for image in (frame.image for frame in read_frames(info)):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = done, 1 / info.rate
                container.mux(stream.encode(frame))
                done += 1
                if done == n_frames:
                    break
        container.mux(stream.encode(None))
    return path


def run(command: list[str], n_frames: int) -> dict[str, Any]:
    """Run a command; seconds, frames a second and peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=HERE.parents[1], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)  # of this child alone
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {
        "frames": n_frames,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "frames_per_second": round(n_frames / seconds, 2),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def segment(video: Path, out: Path, n_frames: int) -> dict[str, Any]:
    """The command, as a user runs it."""
    command = [sys.executable, "-m", "challenges.radix_smurfs", "segment", "--video", str(video), "--out", str(out)]
    return run(command, n_frames)


EAGER = """
import sys
import torch
from challenges.radix_smurfs.export import fuse, weights_of
from challenges.radix_smurfs.model import CONFIG, LITE0, SmurfNet, import_ultralytics
from challenges.radix_smurfs.segmenter import DEFAULT_MODEL, load_segmenter

video, out = sys.argv[1:]
ultralytics = import_ultralytics()
settings = load_segmenter()
net = fuse(SmurfNet(LITE0, pretrained=False))
net.load_state_dict(weights_of(DEFAULT_MODEL / "model.onnx"), strict=False)
net.yolo.names, net.yolo.task = {0: "Smurf"}, "segment"
yolo = ultralytics.YOLO("yolo11n-seg.yaml", task="segment", verbose=False)
yolo.model = net.yolo.eval()
yolo.overrides["model"] = str(CONFIG)
results = yolo.predict(
    video, imgsz=settings.image_size, conf=settings.score_threshold, iou=settings.iou_threshold, stream=True,
    save=True, project=out, name="eager", verbose=False, device="cpu", retina_masks=True,
)
print(sum(len(result) for result in results))
"""


def eager(video: Path, out: Path, n_frames: int) -> dict[str, Any]:
    """Ultralytics' own way."""
    return run([sys.executable, "-W", "ignore", "-c", EAGER, str(video), str(out)], n_frames)


def main() -> int:
    """Measure and write the JSON beside this script; 1 where a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="another video")
    parser.add_argument("--quick", action="store_true", help="100 frames, no repetition; nothing is written")
    options = parser.parse_args()
    n_frames = 100 if options.quick else 500
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = options.video or (REAL if REAL.is_file() else None)
        source = given or drawn_video(folder / "drawn.mp4", n_frames)
        short = cut_or_repeat(source, folder / "short.mp4", n_frames)
        info = probe(short)
        ours = segment(short, folder / "ours", n_frames)
        print(f"ours: {ours}", file=sys.stderr, flush=True)
        theirs = eager(short, folder / "theirs", n_frames)
        print(f"eager: {theirs}", file=sys.stderr, flush=True)
        long: dict[str, Any] = {}
        if not options.quick:
            long = segment(cut_or_repeat(source, folder / "long.mp4", 4 * n_frames), folder / "long", 4 * n_frames)
    ratio = ours["frames_per_second"] / theirs["frames_per_second"]
    broken = [f"fewer than {MIN_RATE} frames a second"] if ours["frames_per_second"] < MIN_RATE else []
    if ratio < MIN_RATIO:
        broken.append(f"less than {MIN_RATIO} times as fast as the eager way")
    if max(ours["peak_mb"], long.get("peak_mb", 0)) > MAX_MB:
        broken.append(f"more than {MAX_MB} MB")
    if long and long["peak_mb"] > ours["peak_mb"] + MAX_GROWTH_MB:
        broken.append("memory grows with the video")
    result = {
        "machine": f"{available_cores()} cores, {platform.machine()}",
        "video": f"{'drawn gnomes' if given is None else given.name}, {info.width} x {info.height}",
        "whole_command": ours,
        "eager_ultralytics_predict": theirs,
        "times_faster": round(ratio, 2),
        "four_times_as_long": long,
        "limits_broken": broken,
    }
    if given and not options.quick:
        write_json(result, RESULT)
    print(json.dumps(result, indent=2))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
