"""A video through both passes, with a finder and a namer that a test can check."""

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from challenges.radix_smurfs import segment
from challenges.radix_smurfs.dataset import NAMES
from challenges.radix_smurfs.geometry import rle_box, rle_to_mask
from challenges.radix_smurfs.segment import SHEET, TABLE, VIDEO, run_passes
from challenges.radix_smurfs.segmenter import GRID, NOTHING, Detections
from challenges.radix_smurfs.video import probe, read_frames
from common.errors import UserError

HEIGHT, WIDTH, RATE = 120, 208, 25
COLORS = {"Papa Smurf": (220, 30, 30), "Smurf": (30, 60, 220)}


def scene(k: int, cut: int) -> np.ndarray:
    """Before the cut a red and a blue square walk over green; behind it a blue one stands on yellow."""
    image = np.full((HEIGHT, WIDTH, 3), (70, 150, 70) if k < cut else (240, 230, 120), np.uint8)
    if k < cut:
        image[20:60, 10 + 2 * k : 50 + 2 * k] = COLORS["Papa Smurf"]
        image[70:110, 150 - 2 * k : 190 - 2 * k] = COLORS["Smurf"]
    else:
        image[40:80, 80:120] = COLORS["Smurf"]
    return image


def find(image: np.ndarray) -> Detections:
    """Squares, as a segmenter would find them."""
    boxes = []
    for color in COLORS.values():
        near = (np.abs(image.astype(int) - color).sum(2) < 90).astype(np.uint8)
        contours, _ = cv2.findContours(near, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        for x, y, w, h in map(cv2.boundingRect, contours):
            if w > 20 and h > 20:
                boxes.append((x, y, x + w, y + h))
    if not boxes:
        return NOTHING
    n = len(boxes)
    return Detections(np.array(boxes, np.float32), np.full(n, 0.9, np.float32), np.ones((n, GRID, GRID), np.float32))


def name_by_color(crops, masks) -> np.ndarray:
    """Red is Papa; every fourth look is mistaken."""
    rows = []
    for crop, mask in zip(crops, masks, strict=True):
        assert crop.shape[:2] == mask.shape
        assert mask.any()
        red = crop[mask][:, 0].mean() > crop[mask][:, 2].mean()
        name_by_color.looks += 1
        if name_by_color.looks % 4 == 0:
            red = not red
        rows.append([0.8 if red else 0.1, 0.1 if red else 0.8, 0.05, 0.05])
    return np.array(rows, np.float32)


name_by_color.looks = 0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "in.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for k in range(40):
            frame = av.VideoFrame.from_ndarray(scene(k, 25), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def segmented(video: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("out")
    return out, run_passes(video, out, find, name_by_color, NAMES, n_workers=2)


def test_the_table_says_who_was_where(segmented):
    out, result = segmented
    table = pd.read_parquet(out / TABLE)
    assert list(table.columns) == [
        "frame", "time_s", "track_id", "label", "probability", "p_papa_smurf", "p_smurf", "p_smurfette",
        "p_vanity_smurf", "score", "x0", "y0", "x1", "y1", "mask",
    ]  # fmt: skip
    assert len(table) == result.n_detections == 25 * 2 + 15
    assert table["frame"].is_monotonic_increasing
    np.testing.assert_allclose(table["time_s"], table["frame"] / RATE, atol=1e-3)
    assert set(table["label"]) == set(COLORS)
    probabilities = table[[c for c in table.columns if c.startswith("p_")]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities.max(axis=1), table["probability"])
    papa = table[(table["frame"] == 10) & (table["label"] == "Papa Smurf")].iloc[0]
    np.testing.assert_allclose(papa[["x0", "y0", "x1", "y1"]].astype(float), [30, 20, 70, 60], atol=2)
    mask = rle_to_mask({"size": list(papa["mask"]["size"]), "counts": papa["mask"]["counts"]})
    assert mask.shape == (HEIGHT, WIDTH)
    np.testing.assert_allclose(rle_box(papa["mask"] | {"size": [HEIGHT, WIDTH]}), [30, 20, 70, 60], atol=2)


def test_no_track_changes_its_name_and_none_lives_on_behind_a_cut(segmented):
    out, result = segmented
    table = pd.read_parquet(out / TABLE)
    assert (table.groupby("track_id")["label"].nunique() == 1).all()
    spans = table.groupby("track_id")["frame"].agg(["min", "max"])
    assert len(spans) == result.n_tracks == 3
    assert result.n_scenes == 2
    assert sorted(map(tuple, spans.to_numpy().tolist())) == [(0, 24), (0, 24), (25, 39)]
    assert result.names == {"Papa Smurf": 1, "Smurf": 2, "Smurfette": 0, "Vanity Smurf": 0}


def test_the_video_shows_them_at_the_original_rate_and_size(segmented, video: Path):
    out, _ = segmented
    info = probe(out / VIDEO)
    assert (info.height, info.width, info.rate, info.codec) == (HEIGHT, WIDTH, RATE, "h264")
    before, after = list(read_frames(probe(video))), list(read_frames(info))
    assert len(after) == len(before) == 40
    changed = np.abs(after[10].image.astype(int) - before[10].image.astype(int)).sum(2) > 60
    assert changed[15:65, 25:75].any()  # outlined
    assert changed[90:, :40].mean() < 0.02  # nobody there
    sheet = cv2.imread(str(out / SHEET))
    assert sheet is not None
    assert sheet.shape[1] >= 384
    report = json.loads((out / "report.json").read_text())
    assert report["n_frames"] == 40
    assert report["damage"] == {"n_packets": 0, "n_without_time": 0, "cut_off": False}
    assert sorted(p.name for p in out.iterdir()) == ["contact_sheet.jpg", "detections.parquet", "report.json", VIDEO]


def test_a_video_without_smurfs_has_an_empty_table_with_its_columns(video: Path, tmp_path: Path):
    result = run_passes(video, tmp_path, lambda _: NOTHING, name_by_color, NAMES, n_workers=1)
    table = pd.read_parquet(tmp_path / TABLE)
    assert result.n_detections == len(table) == 0
    assert "label" in table.columns
    assert probe(tmp_path / VIDEO).n_claimed == 40


@pytest.mark.parametrize("specks", [False, True])
def test_smurfs_that_come_late_are_found_as_well(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, specks: bool
):
    """The first bunch of frames has nobody on it; with specks its rows are all of tracks that are dropped."""
    monkeypatch.setattr(segment, "ROWS_AT_ONCE", 4)
    count = iter(range(1000))
    box = np.array([[10, 80, 40, 110]], np.float32)
    speck = Detections(box, np.ones(1, np.float32), np.ones((1, GRID, GRID), np.float32))

    def find_late(image: np.ndarray) -> Detections:
        k = next(count)
        if k < 25:
            return speck if specks and k < 4 else NOTHING
        return find(image)

    monkeypatch.setattr(segment, "MIN_SIGHTINGS", 10)
    result = run_passes(video, tmp_path, find_late, name_by_color, NAMES, n_workers=1)
    table = pd.read_parquet(tmp_path / TABLE)
    assert result.n_detections == len(table) == 15
    assert table["frame"].tolist() == list(range(25, 40))
    assert rle_to_mask(table["mask"][0] | {"size": [HEIGHT, WIDTH]}).any()


def test_flickering_specks_are_no_tracks(video: Path, tmp_path: Path):
    count = iter(range(1000))

    def speck(_: np.ndarray) -> Detections:
        k = next(count)
        if k % 7 > 1:
            return NOTHING
        x = float(40 * (k // 7 % 4))
        box = np.array([[x, 10, x + 30, 40]], np.float32)
        return Detections(box, np.ones(1, np.float32), np.ones((1, GRID, GRID), np.float32))

    assert run_passes(video, tmp_path, speck, name_by_color, NAMES, n_workers=1).n_detections == 0


def test_half_a_smurf_that_is_found_beside_the_whole_is_no_second_one(video: Path, tmp_path: Path):
    count = iter(range(1000))

    def find_doubled(image: np.ndarray) -> Detections:
        found = find(image)
        if next(count) < 5 or not len(found):
            return found
        half = found.boxes[:1].copy()
        half[0, 3] = half[0, 1:4:2].mean()
        boxes = np.concatenate([found.boxes, half])
        scores = np.concatenate([found.scores, found.scores[:1] - np.float32(0.2)])
        return Detections(boxes, scores, np.ones((len(boxes), GRID, GRID), np.float32))

    result = run_passes(video, tmp_path, find_doubled, name_by_color, NAMES, n_workers=1)
    assert result.n_tracks == 3
    assert result.n_detections == 25 * 2 + 15


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_a_video_of_one_frame_shows_who_is_on_it(tmp_path: Path, suffix: str):
    path = tmp_path / f"one.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif" if suffix == "gif" else "libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "rgb8" if suffix == "gif" else "yuv420p"
        frame = av.VideoFrame.from_ndarray(scene(0, 1), format="rgb24")
        container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
    result = run_passes(path, tmp_path / "out", find, name_by_color, NAMES, n_workers=1)
    assert (result.n_frames, result.n_detections, result.n_tracks) == (1, 2, 2)


@pytest.mark.parametrize(("length", "tracks"), [(1, 5), (2, 4), (3, 4)])
def test_a_scene_of_one_frame_has_tracks_and_one_of_two_or_three_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, tracks: int
):
    """Two Smurfs stand before a flash and two behind it; one is in the flash."""
    path = tmp_path / "flash.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for k in range(16):
            frame = av.VideoFrame.from_ndarray(scene(0, 0 if 8 <= k < 8 + length else 1), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    result = run_passes(path, tmp_path / "out", find, name_by_color, NAMES, n_workers=2)
    table = pd.read_parquet(tmp_path / "out" / TABLE)
    assert result.n_scenes == 3
    assert result.n_tracks == tracks
    assert (8 in table["frame"].tolist()) is (length == 1)
    assert (table.groupby("track_id")["frame"].agg(lambda f: (f.max() < 8) or (f.min() >= 8))).all()


def test_one_frame_in_ten_seconds_is_followed_too(tmp_path: Path):
    path = tmp_path / "slow.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(1, 10), options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(0, 1), format="rgb24")))
        container.mux(stream.encode(None))
    result = run_passes(path, tmp_path / "out", find, name_by_color, NAMES, n_workers=1)
    assert (result.n_frames, result.n_detections, result.n_tracks) == (5, 10, 2)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["claimed"]["rate"] == pytest.approx(0.1, rel=0.3)


def test_nothing_is_written_for_what_is_no_video(tmp_path: Path):
    path = tmp_path / "no.mp4"
    path.write_text("no video")
    with pytest.raises(UserError, match="not a video"):
        run_passes(path, tmp_path / "out", find, name_by_color, NAMES)
    assert not (tmp_path / "out").exists()
