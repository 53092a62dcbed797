"""Evaluation on annotated images: those that the segmenter was trained on are known, whatever they lie in."""

import json
from pathlib import Path

import pytest

from challenges.radix_smurfs import cli
from challenges.radix_smurfs.dataset import load
from challenges.radix_smurfs.evaluate import image_keys
from challenges.radix_smurfs.export import write_artifact
from challenges.radix_smurfs.sample import write_sample
from common.artifacts import load_artifact


def test_images_that_were_trained_on_are_counted_under_other_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_sample(tmp_path / "sample", n_images=3, n_frames=0)
    known, network = image_keys(load(folder))[:2], (cli.SEGMENTER / "model.onnx").read_bytes()
    write_artifact(
        tmp_path / "model", network, recipe={}, metrics={}, data_fingerprint="of another archive", trained_on=known
    )
    coco = json.loads((folder / "result.json").read_text())
    for entry in coco["images"]:
        (folder / entry["file_name"]).rename(folder / f"{entry['id']}.png")
        entry["file_name"] = f"{entry['id']}.png"
    (folder / "result.json").write_text(json.dumps(coco))
    cli.evaluate(folder, out=tmp_path / "out", model=tmp_path / "model")
    assert "2 of them were trained on, so this says nothing about new ones" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["seen_in_training"] == 2


def test_images_without_a_smurf_are_not_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_sample(tmp_path / "sample", n_images=1, n_frames=0)
    coco = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(coco | {"annotations": []}))
    cli.evaluate(folder, out=tmp_path / "out")
    assert "no Smurf is annotated, so nothing is scored" in capsys.readouterr().out


@pytest.mark.real_data
def test_the_shipped_segmenter_knows_the_challenges_images(shared_data: Path) -> None:
    learned = load_artifact(cli.SEGMENTER, "radix_smurfs").manifest.config["trained_on"]
    assert sorted(image_keys(load(shared_data / "smurfs" / "smurfs_coco_format.zip"))) == learned
