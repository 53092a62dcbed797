"""Prediction of a folder of images: which image each result is of, in the ids that others know it by."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from challenges.radix_smurfs.classifier import Classifier, load_classifier
from challenges.radix_smurfs.cli import CLASSIFIER, SEGMENTER
from challenges.radix_smurfs.dataset import load
from challenges.radix_smurfs.evaluate import mask_iou
from challenges.radix_smurfs.predict import predict_folder, write
from challenges.radix_smurfs.sample import write_sample
from challenges.radix_smurfs.segmenter import Segmenter, load_segmenter


@pytest.fixture(scope="module")
def models() -> tuple[Segmenter, Classifier]:
    return load_segmenter(SEGMENTER), load_classifier(CLASSIFIER)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Images whose ids are neither in the order of their names nor counted from 0, as those of the archive."""
    folder = write_sample(tmp_path / "sample", n_images=4, n_frames=0)
    coco = json.loads((folder / "result.json").read_text())
    for entry in coco["images"]:
        entry["id"] = 90 - entry["id"]
    for entry in coco["annotations"]:
        entry["image_id"] = 90 - entry["image_id"]
    (folder / "result.json").write_text(json.dumps(coco))
    return folder


def predicted(folder: Path, models: tuple[Segmenter, Classifier], out: Path) -> tuple[list[dict], dict[str, int]]:
    write(predict_folder(folder, *models), out, {})
    report = json.loads(out.with_suffix(".report.json").read_text())
    return json.loads(out.read_text()), {image["file_name"]: image["id"] for image in report["images"]}


def test_results_have_the_image_ids_of_the_coco_file(sample: Path, models, tmp_path: Path):
    dataset = load(sample)
    results, ids = predicted(sample, models, tmp_path / "out.json")
    assert ids == {record.name: record.id for record in dataset.images}
    for record in dataset.images:
        found = [result["segmentation"] for result in results if result["image_id"] == record.id]
        truth = [instance.rle for instance in dataset.instances_of(record)]
        assert np.median(mask_iou(truth, found).max(1, initial=0.0)) > 0.5


def test_images_that_the_coco_file_does_not_list_get_ids_of_their_own(sample: Path, models, tmp_path: Path):
    listed = {record.name: record.id for record in load(sample).images}
    shutil.copy(sample / next(iter(listed)), sample / "a.jpg")
    (sample / next(iter(listed))).write_bytes(b"no image")  # the data set leaves it out, and its id stays its own
    ids = predicted(sample, models, tmp_path / "out.json")[1]
    assert len(set(ids.values())) == len(ids) == 5
    assert ids["a.jpg"] not in listed.values()


def test_images_alone_are_counted(sample: Path, models, tmp_path: Path):
    assert list(predicted(sample / "images", models, tmp_path / "out.json")[1].values()) == [0, 1, 2, 3]
