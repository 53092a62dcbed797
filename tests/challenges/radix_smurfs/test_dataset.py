"""The reader: the archive as it is, and every kind of flaw, reported and never silent."""

import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from challenges.radix_smurfs.dataset import NAMES, SmurfDataset, folds, load, read_image
from challenges.radix_smurfs.geometry import mask_to_rle, rle_area, rle_to_mask
from challenges.radix_smurfs.sample import write_sample
from common.data.images import ImageError
from common.errors import UserError

SQUARE = [4.0, 4.0, 12.0, 4.0, 12.0, 12.0, 4.0, 12.0]
HEIGHT, WIDTH = 20, 30


def png(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1].tobytes())


def coco(annotations: list[Any] | None = None, images: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "images": images or [{"id": 7, "file_name": "images/a.png", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": k, "name": name} for k, name in enumerate(NAMES)],
        "annotations": [annotation()] if annotations is None else annotations,
    } | more


def annotation(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 7, "category_id": 1, "segmentation": [SQUARE], "iscrowd": 0} | changes


def write(folder: Path, content: Any, files: dict[str, bytes] | None = None) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(content if isinstance(content, str) else json.dumps(content))
    for name, data in ({"images/a.png": png()} if files is None else files).items():
        (folder / name).write_bytes(data)
    return folder


def load_one(tmp_path: Path, **changes: Any) -> SmurfDataset:
    return load(write(tmp_path, coco([annotation(), annotation(**({"id": 2} | changes))])))


def reason(dataset: SmurfDataset) -> str:
    assert len(dataset.report["left_out"]) == dataset.report["n_left_out"] == 1
    assert [i.id for i in dataset.instances] == [1]
    return str(dataset.report["left_out"][0]["reason"])


def test_what_is_right_is_read(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, coco()))
    (record,), (instance,) = dataset.images, dataset.instances
    assert (record.id, record.name, record.width, record.height) == (7, "images/a.png", WIDTH, HEIGHT)
    assert (instance.id, instance.image_id, instance.category_id) == (1, 7, 1)
    assert instance.box == (4, 4, 12, 12)
    assert rle_area(instance.rle) == 64
    assert read_image(dataset, record).shape == (HEIGHT, WIDTH, 3)
    assert dataset.instances_of(record) == (instance,)
    assert dataset.report["left_out"] == dataset.report["repaired"] == []
    assert dataset.report["categories_in_use"] == {"Smurf": 1}


def test_a_zip_with_mac_files_in_a_folder_of_its_own(tmp_path: Path) -> None:
    archive = tmp_path / "smurfs.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("smurfs/result.json", json.dumps(coco()))
        file.writestr("smurfs/images/a.png", png())
        file.writestr("__MACOSX/smurfs/._result.json", b"\x00\x05\x16\x07")
        file.writestr("__MACOSX/smurfs/images/._a.png", b"\x00\x05\x16\x07")
        file.writestr("smurfs/.DS_Store", b"litter")
    for path in (archive, tmp_path):  # also as the only zip of a folder
        dataset = load(path)
        assert [record.name for record in dataset.images] == ["smurfs/images/a.png"]
        assert read_image(dataset, dataset.images[0]).shape == (HEIGHT, WIDTH, 3)
        assert dataset.report["images_not_listed"] == []


@pytest.mark.parametrize("name", ["images\\a.png", "a.png", "../upload/a.png", "images/./a.png", "images%2Fa.png"])
def test_file_names_as_other_tools_write_them(tmp_path: Path, name: str) -> None:
    images = [{"id": 7, "file_name": name, "height": HEIGHT, "width": WIDTH}]
    assert load(write(tmp_path, coco(images=images))).images[0].name == "images/a.png"


def test_palette_and_transparent_pngs(tmp_path: Path) -> None:
    from PIL import Image

    palette = Image.fromarray(np.full((HEIGHT, WIDTH, 3), (200, 30, 40), np.uint8)).convert("P", palette=1)
    palette.save(tmp_path / "p.png")
    clear = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    clear[:, : WIDTH // 2] = (30, 40, 200, 255)  # BGRA: red at the left, transparent black at the right
    images = [{"id": k, "file_name": f"images/{k}.png", "height": HEIGHT, "width": WIDTH} for k in (7, 8)]
    encoded = bytes(cv2.imencode(".png", clear)[1].tobytes())
    files = {"images/7.png": (tmp_path / "p.png").read_bytes(), "images/8.png": encoded}
    dataset = load(write(tmp_path / "set", coco(images=images), files))
    flat, cut_out = (read_image(dataset, record) for record in dataset.images)
    assert np.abs(flat.astype(int) - (200, 30, 40)).max() < 30  # a palette of 256 colours for everything
    assert (cut_out[:, 0] == (200, 40, 30)).all()
    assert (cut_out[:, -1] == 255).all()


def test_several_polygons_and_polygons_off_the_edge(tmp_path: Path) -> None:
    far = [25.0, -5.0, 40.0, -5.0, 40.0, 5.0, 25.0, 5.0]
    dataset = load_one(tmp_path, segmentation=[SQUARE, far])
    assert rle_area(dataset.instances[1].rle) == 64 + 25
    assert dataset.instances[1].box == (4, 0, 30, 12)
    assert [r["what"] for r in dataset.report["repaired"]] == ["leaves the image: cut off at its edge"]


def test_rle_in_both_forms(tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[2:5, 3:9] = True
    columns = mask.T.ravel()
    counts = np.diff([0, *np.flatnonzero(np.diff(columns)) + 1, columns.size]).tolist()
    compressed = mask_to_rle(mask)
    for k, segmentation in enumerate(({"size": [HEIGHT, WIDTH], "counts": counts}, compressed)):
        dataset = load_one(tmp_path / str(k), segmentation=segmentation)
        assert np.array_equal(rle_to_mask(dataset.instances[1].rle), mask)
        assert dataset.report["left_out"] == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"image_id": 99}, "no image has its image_id"),
        ({"image_id": None}, "no image has its image_id"),
        ({"id": None}, "no integer id"),
        ({"id": 1}, "an earlier annotation has the same id"),
        ({"iscrowd": 1}, "a crowd region"),
        ({"segmentation": []}, "no segmentation"),
        ({"segmentation": None}, "no segmentation"),
        ({"segmentation": [[1, 2, 3, 4]]}, "no polygon of at least three points"),
        ({"segmentation": [[1, 2, 3, 4, 5, "x"]]}, "no polygon"),
        ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "no polygon"),
        ({"segmentation": [[100.0, 100, 120, 100, 120, 120]]}, "covers no pixel"),
        ({"segmentation": {"size": [5, 5], "counts": [25]}}, "not that of its image"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [3]}}, "3 of 600 pixels"),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": "nonsense~"}}, "RLE"),
    ],
)
def test_a_bad_annotation_is_left_out_and_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in reason(load_one(tmp_path, **changes))


def test_a_broken_polygon_among_good_ones_and_an_unknown_category(tmp_path: Path) -> None:
    dataset = load_one(tmp_path, segmentation=[SQUARE, [1.0, 2.0]], category_id=77)
    assert dataset.instances[1].category_id is None
    assert [r["what"] for r in dataset.report["repaired"]] == [
        "1 of 2 polygons are broken: left out",
        "category 77 is not listed: taken as unknown",
    ]


def test_images_that_cannot_be_used_take_their_annotations_along(tmp_path: Path) -> None:
    sizes = {"height": HEIGHT, "width": WIDTH}
    images = [{"id": k, "file_name": f"images/{n}.png"} | sizes for k, n in enumerate(("a", "missing", "text", "wide"))]
    files = {"images/a.png": png(), "images/text.png": b"not an image", "images/wide.png": png(20, 60)}
    annotations = [annotation(id=k, image_id=k) for k in range(4)]
    dataset = load(write(tmp_path, coco(annotations, images), files))
    assert [record.id for record in dataset.images] == [0]
    assert [i.id for i in dataset.instances] == [0]
    reasons = [entry["reason"] for entry in dataset.report["left_out"]]
    assert reasons[0] == "no such image file"
    assert "not an image format" in reasons[1]
    assert "listed as 30 x 20 pixels, the file has 60 x 20" in reasons[2]
    assert reasons[3:] == ["its image cannot be used"] * 3


@pytest.mark.parametrize("factor", [50_000, 10**400], ids=["large", "absurd"])
def test_a_listed_size_that_no_memory_holds_leaves_the_image_out(tmp_path: Path, factor: int) -> None:
    huge = {"id": 8, "file_name": "images/b.png", "height": HEIGHT * factor, "width": WIDTH * factor}
    right = {"id": 7, "file_name": "images/a.png", "height": HEIGHT, "width": WIDTH}
    annotations = [annotation(), annotation(id=2, image_id=8)]
    dataset = load(write(tmp_path, coco(annotations, [right, huge]), {"images/a.png": png(), "images/b.png": png()}))
    assert [record.id for record in dataset.images] == [7]
    reasons = [entry["reason"] for entry in dataset.report["left_out"]]
    assert reasons == ["listed with more than 50 megapixels", "its image cannot be used"]


def test_an_image_at_another_size_stretches_its_annotations(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, coco(), {"images/a.png": png(2 * HEIGHT, 2 * WIDTH)}))
    assert dataset.images[0].height == 2 * HEIGHT
    assert dataset.instances[0].box == (8, 8, 24, 24)
    assert "annotations are stretched" in dataset.report["repaired"][0]["what"]


def test_images_without_annotations_and_files_not_listed_are_named(tmp_path: Path) -> None:
    files = {"images/a.png": png(), "images/stray.png": png()}
    dataset = load(write(tmp_path, coco([]), files))
    assert dataset.report["images_without_annotations"] == ["images/a.png"]
    assert dataset.report["images_not_listed"] == ["images/stray.png"]
    assert dataset.instances == ()


def test_a_truncated_image_is_found_when_it_is_read(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, coco(), {"images/a.png": png()[:200]}))
    with pytest.raises(ImageError, match=r"images/a\.png: truncated PNG"):
        read_image(dataset, dataset.images[0])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "no COCO file in it.*not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("[]", "no images and annotations"),
        ({"images": {}, "annotations": []}, "'images' is not a list"),
        ({"images": [], "annotations": []}, "not one of its images can be used"),
        (coco(images=[{"id": 1, "file_name": "gone.png"}]), "gone.png: no such image file"),
        (coco(images=[{"id": "x", "file_name": "images/a.png"}]), "lacks an integer id or a file_name"),
        (coco(images=[{"id": 7, "file_name": "images/a.png"}] * 2), "two images have the id 7"),
        (coco(categories=[{"id": 1}]), "lacks an integer id or a name"),
        (coco(categories=[{"id": 1, "name": "a"}] * 2), "two categories have the id 1"),
        (coco(categories=5), "'categories' is not a list"),
    ],
)
def test_what_cannot_be_read_at_all_is_one_line(tmp_path: Path, content: Any, expected: str) -> None:
    with pytest.raises(UserError, match=expected) as error:
        load(write(tmp_path, content))
    assert "\n" not in str(error.value)


def test_no_place_and_several_coco_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        load(tmp_path / "nowhere")
    folder = write(tmp_path, coco())
    (folder / "second.json").write_text(json.dumps(coco()))
    with pytest.raises(UserError, match=r"several COCO files \(result.json, second.json\)"):
        load(folder)


def test_folds_keep_one_drawing_in_two_sizes_together(tmp_path: Path) -> None:
    images, files, annotations = [], {}, []
    for k in range(12):
        pixels = cv2.resize(np.random.default_rng(k // 2).integers(0, 256, (6, 9, 3), dtype=np.uint8), (90, 60))
        if k % 2:
            pixels = cv2.resize(pixels, (45, 30), interpolation=cv2.INTER_AREA)
        files[f"images/{k}.png"] = bytes(cv2.imencode(".png", pixels)[1].tobytes())
        images.append({"id": k, "file_name": f"images/{k}.png", "height": pixels.shape[0], "width": pixels.shape[1]})
        annotations.append(annotation(id=k, image_id=k))
    dataset = load(write(tmp_path, coco(annotations, images), files))
    assigned = folds(dataset, n=3, seed=1)
    assert assigned[::2].tolist() == assigned[1::2].tolist()
    assert set(assigned) == {0, 1, 2}
    assert (assigned == folds(dataset, n=3, seed=1)).all()
    assert set(folds(dataset, n=20)) == set(range(6))  # there are no more drawings


@pytest.mark.parametrize("n_images", [1, 2, 6])
def test_few_images_are_as_few_folds(tmp_path: Path, n_images: int) -> None:
    dataset = load(write_sample(tmp_path, n_images=n_images, n_frames=0))
    assert set(folds(dataset)) == set(range(min(5, n_images)))


@pytest.mark.real_data
def test_the_challenges_own_archive(shared_data: Path) -> None:
    dataset = load(shared_data / "smurfs" / "smurfs_coco_format.zip")
    assert (len(dataset.images), len(dataset.instances)) == (42, 185)
    assert dataset.report["left_out"] == []
    assert dataset.report["categories_in_use"] == {"Smurf": 185}
    assert sorted(dataset.categories.values()) == sorted(NAMES)
    assert len(dataset.report["repaired"]) == 1  # one polygon leaves its image
    for record in dataset.images:
        assert read_image(dataset, record).shape == (record.height, record.width, 3)
