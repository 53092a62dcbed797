"""The Smurf commands, as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from challenges.radix_smurfs.dataset import NAMES
from challenges.radix_smurfs.sample import write_sample
from challenges.radix_smurfs.video import probe, read_frames, write_video


def smurfs(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "challenges.radix_smurfs", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("smurfs") / "with spaces ü", n_images=4, n_frames=20)


@pytest.mark.slow
def test_segment_names_the_gnomes_of_the_samples_video(sample: Path, tmp_path: Path):
    video = sample / "sample_video.mp4"
    done = smurfs("segment", "--video", video, "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    summary = json.loads(done.stdout)
    assert summary["n_frames"] == 20
    assert summary["generated_sample"] is False
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "contact_sheet.jpg", "detections.parquet", "report.json", "segmented.mp4"
    ]  # fmt: skip
    before, after = probe(video), probe(tmp_path / "segmented.mp4")
    assert (before.width, before.height, before.rate) == (after.width, after.height, after.rate)
    table = pd.read_parquet(tmp_path / "detections.parquet")
    assert len(table) == summary["n_detections"] > 0
    assert set(table["label"]) <= set(NAMES)
    assert (table.groupby("track_id")["label"].nunique() == 1).all()
    assert table["probability"].between(0.25, 1).all()


@pytest.mark.slow
def test_segment_says_that_a_file_is_cut_off(sample: Path, tmp_path: Path):
    info, cut = probe(sample / "sample_video.mp4"), tmp_path / "cut.mp4"
    with write_video(cut, info) as append:  # its index comes first
        for frame in read_frames(info):
            append(frame.image, frame.time_s)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    done = smurfs("segment", "--video", cut, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("; the file is cut off, its end is missing")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["damage"]["cut_off"] is True


@pytest.mark.slow
def test_predict_writes_coco_results_that_pycocotools_reads(sample: Path, tmp_path: Path):
    from pycocotools import mask as coco_mask

    folder = tmp_path / "images"
    folder.mkdir()
    for path in sorted((sample / "images").iterdir()):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.jpg").write_bytes(b"no image")
    out = tmp_path / "predictions.json"
    done = smurfs("predict", "--images", folder, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "1 could not be read" in done.stdout
    results, report = json.loads(out.read_text()), json.loads((tmp_path / "predictions.report.json").read_text())
    assert list(report["unreadable"]) == ["broken.jpg"]
    names = {image["id"]: image["file_name"] for image in report["images"]}
    for result in results:
        assert result["category_id"] in {0, 1, 2, 3}
        assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        mask = coco_mask.decode(result["segmentation"])
        assert mask.shape == cv2.imread(str(folder / names[result["image_id"]])).shape[:2]
        x, y, width, height = result["bbox"]
        ys, xs = np.nonzero(mask)
        assert x - 2 <= xs.min() <= xs.max() <= x + width + 2
        assert y - 2 <= ys.min() <= ys.max() <= y + height + 2


def test_mistakes_are_one_line_and_exit_2(tmp_path: Path):
    text = tmp_path / "no.mp4"
    text.write_text("no video")
    for arguments, words in (
        (("segment", "--video", tmp_path / "none.mp4"), "no such file"),
        (("segment", "--video", text, "--out", tmp_path / "out"), "not a video"),
        (("segment", "--out", text), "cannot write"),
        (("predict", "--images", tmp_path), "no image"),
    ):
        done = smurfs(*arguments)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_segmenting_imports_neither_torch_nor_ultralytics():
    code = (
        "import sys; from challenges.radix_smurfs import classifier, segment, tracking; "
        "tracking.Tracker(25.0); "
        "print([m for m in ('torch', 'ultralytics', 'sklearn', 'matplotlib', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
