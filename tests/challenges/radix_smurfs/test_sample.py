"""The drawn data set: the official layout, its truth beside it, a video that plays, and the same for one seed."""

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest

from challenges.radix_smurfs.dataset import CATEGORY_IDS, NAMES, load, read_image
from challenges.radix_smurfs.drawing import draw_gnome, draw_lots, paste
from challenges.radix_smurfs.geometry import mask_box, rle_area
from challenges.radix_smurfs.sample import VIDEO_FPS, VIDEO_SIZE, render_video, write_sample

N_FRAMES = 12


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("sample"), n_images=8, n_frames=N_FRAMES, seed=3)


def test_the_reader_takes_it_without_a_word(sample: Path) -> None:
    dataset = load(sample)
    assert len(dataset.images) == 8
    assert dataset.report["left_out"] == dataset.report["repaired"] == []
    assert dataset.report["images_without_annotations"] == dataset.report["images_not_listed"] == []
    assert dataset.report["categories_in_use"] == {"Smurf": len(dataset.instances)}  # says nothing, as the real one
    listed = {a["id"]: a for a in json.loads((sample / "result.json").read_text())["annotations"]}
    for record in dataset.images:
        assert read_image(dataset, record).shape == (record.height, record.width, 3)
    for instance in dataset.instances:
        x, y, width, height = listed[instance.id]["bbox"]
        assert rle_area(instance.rle) == pytest.approx(listed[instance.id]["area"])
        assert instance.box == pytest.approx((x, y, x + width, y + height), abs=2)


def test_the_truth_is_beside_it(sample: Path) -> None:
    with (sample / "sample_labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["annotation_id"]) for r in rows] == [i.id for i in load(sample).instances]
    assert all(CATEGORY_IDS[r["name"]] == int(r["category_id"]) for r in rows)
    assert {r["name"] for r in rows} == set(NAMES)


def test_drawings_on_white_have_a_palette_or_are_transparent(sample: Path) -> None:
    colour_types = [(sample / "images" / f"gnomes_{k:05d}.png").read_bytes()[25] for k in (4, 8)]
    assert colour_types == [3, 6]  # PNG: palette, RGB with alpha
    dataset = load(sample)
    for record in dataset.images:
        if record.name.endswith(".png"):
            image = read_image(dataset, record)
            assert (image[0, 0] == 255).all()
            assert (image < 100).any()


def test_the_video_decodes_and_its_truth_fits(sample: Path) -> None:
    with av.open(str(sample / "sample_video.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == VIDEO_FPS
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == N_FRAMES
    assert frames[0].shape == (*VIDEO_SIZE, 3)
    with (sample / "sample_video_labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {int(r["frame"]) for r in rows} == set(range(N_FRAMES))
    drawn = list(render_video(N_FRAMES, seed=3))
    # The encoder loses a little; a frame of the other scene would differ by tens of grey levels.
    for (original, gnomes), decoded, number in zip(drawn, frames, range(N_FRAMES), strict=True):
        assert np.abs(original.astype(int) - decoded).mean() < 8
        boxes = [tuple(float(r[c]) for c in ("x0", "y0", "x1", "y1")) for r in rows if int(r["frame"]) == number]
        assert boxes == [mask_box(mask) for _, _, mask in gnomes]
    before, after = ({number for number, *_ in gnomes} for _, gnomes in (drawn[0], drawn[-1]))
    assert not before & after  # others after the cut
    change = [np.abs(frames[k].astype(int) - frames[k - 1]).mean() for k in range(1, N_FRAMES)]
    assert int(np.argmax(change)) + 1 == N_FRAMES // 2


def test_same_seed_same_bytes_other_seed_other_gnomes(sample: Path, tmp_path: Path) -> None:
    again = write_sample(tmp_path / "again", n_images=8, n_frames=N_FRAMES, seed=3)
    names = sorted(p.relative_to(sample) for p in sample.rglob("*") if p.is_file())
    assert all((again / name).read_bytes() == (sample / name).read_bytes() for name in names)
    other = write_sample(tmp_path / "other", n_images=2, n_frames=0, seed=4)
    assert (other / "images/gnomes_00001.jpeg").read_bytes() != (sample / "images/gnomes_00001.jpeg").read_bytes()
    assert not (other / "sample_video.mp4").exists()


def test_kinds_differ_where_they_should() -> None:
    """The same gnome under four names: a red hat, hair, a flower."""
    pictures = {}
    for name in NAMES:
        gnome = draw_lots(np.random.default_rng(1), name, 0)
        pictures[name] = draw_gnome(gnome, 120)
    plain, mask = pictures["Smurf"]
    for name in ("Papa Smurf", "Smurfette", "Vanity Smurf"):
        assert (pictures[name][0] != plain).any()
    flower, flower_mask = pictures["Vanity Smurf"]
    assert (flower_mask == mask).mean() > 0.99
    differing = np.flatnonzero((flower != plain).any(axis=(1, 2)))
    assert differing.max() < 60  # only on the hat


def test_pasting_is_cut_off_at_the_edge() -> None:
    scene = np.zeros((40, 40, 3), np.uint8)
    gnome, cover = np.full((20, 20, 3), 9, np.uint8), np.ones((20, 20), bool)
    assert paste(scene, gnome, cover, -5, 30).sum() == 15 * 10
    assert (scene == 9).all(axis=2).sum() == 15 * 10
    assert not paste(scene, gnome, cover, 100, 0).any()
