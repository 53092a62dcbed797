"""Training for a moment, export, and that the exported network says what the trained one says."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from challenges.radix_smurfs import baselines, classifier_training, cli, review, train
from challenges.radix_smurfs.baselines import mask_rcnn, mask_rcnn_loss, predict_mask_rcnn
from challenges.radix_smurfs.compositing import MAX_INSTANCES, gather
from challenges.radix_smurfs.dataset import load
from challenges.radix_smurfs.evaluate import (
    Evaluation,
    found_by_size,
    predict_masks,
    score,
    truth_of,
    worst_images,
    write,
)
from challenges.radix_smurfs.export import RawNet, fuse, segmenter_of, to_int8, to_onnx, weights_of
from challenges.radix_smurfs.model import LITE0, SmurfNet, build_yolo, segmentation_loss
from challenges.radix_smurfs.sample import write_sample
from challenges.radix_smurfs.segmenter import letterbox, load_segmenter
from challenges.radix_smurfs.train import (
    Pictures,
    TrainingSet,
    batches,
    load_training_set,
    parts,
    quick_recipe,
    train_part,
)
from common.errors import UserError
from common.models.backbones import load_backbone


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder, n_images=8, n_frames=0)
    return load_training_set(folder)


@pytest.fixture(scope="module")
def trained(data: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[SmurfNet, Path]:
    runs = tmp_path_factory.mktemp("runs")
    return train_part(data, "fold-0", quick_recipe(), runs)[0], runs


def test_pictures_are_the_same_for_one_seed_and_boxes_fit_the_maps(data: TrainingSet):
    pictures = Pictures(gather(data.examples), [], 96)
    for row in (0, len(data.examples) + 3):
        first, second = pictures[row, 7], pictures[row, 7]
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        image, placed, boxes = first
        assert image.shape == (96, 96, 3)
        assert placed.shape == (24, 24)
        assert boxes.shape == (MAX_INSTANCES, 4)
        n = int((boxes[:, 2] > boxes[:, 0]).sum())
        assert int(placed.max()) <= n
        assert (boxes[n:] == 0).all()


def test_the_backbone_says_what_timms_says():
    net, reference = SmurfNet(LITE0).eval(), load_backbone().eval()
    pixels = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        ours = net.yolo.model[0](pixels)[-1]
        theirs = reference.blocks(reference.bn1(reference.conv_stem(pixels * 2 - 1)))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert not any(p.requires_grad for stage in net.backbone[:2] for p in stage.parameters())


def test_the_loss_falls_when_one_picture_is_learned_by_heart(data: TrainingSet):
    torch.manual_seed(0)
    net = SmurfNet(LITE0).train()
    batch = [t[None].repeat(2, *[1] * t.ndim) for t in Pictures(gather(data.examples), [], 64)[0, 1]]
    optimizer = torch.optim.AdamW(net.parameter_groups(2e-3))
    losses = []
    for _ in range(12):
        loss = segmentation_loss(net, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_mask_rcnn_learns_from_the_same_batches_and_answers_with_masks(data: TrainingSet):
    torch.manual_seed(0)
    net = mask_rcnn(96).train()
    batch = next(iter(batches(data.examples, quick_recipe())))
    loss = mask_rcnn_loss(net, batch)
    loss.backward()
    assert torch.isfinite(loss)
    net.roi_heads.score_thresh = 0.0
    for rle, s in predict_mask_rcnn(net, data.examples[0].image, 96):
        assert tuple(rle["size"]) == data.examples[0].image.shape[:2]
        assert 0 <= s <= 1


@pytest.mark.slow
def test_a_second_run_finds_its_part_done(data: TrainingSet, trained: tuple[SmurfNet, Path]):
    net, runs = trained
    state = runs / "fold-0" / "state.safetensors"
    before = state.stat().st_mtime_ns
    again, history = train_part(data, "fold-0", quick_recipe(), runs)
    assert state.stat().st_mtime_ns == before
    assert len(history) == 1
    torch.testing.assert_close(again.state_dict(), net.state_dict())
    with pytest.raises(UserError, match="other settings"):
        train_part(data, "fold-0", replace(quick_recipe(), seed=3), runs)
    with pytest.raises(UserError, match="fold-0, fold-1"):
        train_part(data, "fold-9", quick_recipe(), runs)
    assert parts(data)[-1] == "final"


@pytest.mark.slow
def test_the_exported_network_says_what_the_trained_one_says(data: TrainingSet, trained: tuple[SmurfNet, Path]):
    net, _ = trained
    float32 = to_onnx(net)
    int8 = to_int8(float32, [example.image for example in data.examples[:3]], 160)
    assert len(int8) < 6e6
    pixels = letterbox(data.examples[0].image, 160)[0][None]
    with torch.inference_mode():
        expected = [t.numpy() for t in RawNet(net.eval())(torch.from_numpy(pixels))]
        quantized = fuse(SmurfNet(LITE0, pretrained=False))
        found = weights_of(int8)
        missing, unknown = quantized.load_state_dict(found, strict=False)
        eager = [t.numpy() for t in RawNet(quantized)(torch.from_numpy(pixels))]
        decoded = net(torch.from_numpy(pixels))[0][0][0].T.numpy()  # (A, 4 + 1 + 32) by ultralytics itself
    assert not unknown
    assert [name for name in missing if "dfl" not in name] == []
    session = segmenter_of(float32).session
    for shape in ((1, 64, 96), (3, 96, 32)):  # of any size
        prototypes = session.run(["prototypes"], {"pixels": np.zeros((*shape, 3), np.uint8)})[0]
        assert prototypes.shape == (shape[0], 32, shape[1] // 4, shape[2] // 4)
    got = session.run(None, {"pixels": pixels})
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    for a, b in zip(eager, expected, strict=True):  # weights of 8 bits, read back as floats
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.98
    detections = segmenter_of(float32, image_size=160).at(score_threshold=0)(data.examples[0].image)
    scale = 160 / max(data.examples[0].image.shape)
    x, y, width, height = decoded[decoded[:, 4].argmax(), :4] / scale
    inside = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    limits = np.array(data.examples[0].image.shape[1::-1] * 2)
    # The network's best box is among those found; which is first there is also a matter of the masks.
    assert np.abs(detections.boxes - np.clip(inside, 0, limits)).max(1).min() < 0.5
    records = data.dataset.images[:2]
    predictions = predict_masks(data.dataset, records, segmenter_of(int8, image_size=160))
    evaluation = Evaluation(records, truth_of(data.dataset, records), tuple(predictions))
    assert 0 <= score(evaluation, n_resamples=10)["mask_map50"]["estimate"] <= 1


def test_a_perfect_segmenter_scores_one_and_finds_every_size(data: TrainingSet, tmp_path: Path):
    records = data.dataset.images
    truth = truth_of(data.dataset, records)
    evaluation = Evaluation(records, truth, tuple([(rle, 0.9) for rle in rles] for rles in truth))
    metrics = score(evaluation, n_resamples=20)
    assert metrics["mask_map50"]["estimate"] == metrics["mask_map50_95"]["estimate"] == 1
    assert all(counts["found"] == counts["of"] for counts in found_by_size(evaluation).values())
    write(data.dataset, evaluation, metrics, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.json", "mistakes.png", "precision_recall.png"]
    _, captions = worst_images(data.dataset, evaluation, n=1)
    assert captions[0].startswith("0 of ")
    nobody = Evaluation(records, truth, tuple([] for _ in truth))
    _, captions = worst_images(data.dataset, nobody, n=1)
    most = max(map(len, truth))
    assert captions == [f"{most} of {most} missed\n0 invented"]
    assert score(nobody, n_resamples=5)["mask_map50"]["estimate"] == 0


def test_a_damaged_image_is_one_line(data: TrainingSet, tmp_path: Path):
    folder = shutil.copytree(data.dataset.store.path, tmp_path / "damaged")
    path = folder / data.dataset.images[0].name
    path.write_bytes(path.read_bytes()[:3000])
    damaged = load(folder)
    nobody = Evaluation(damaged.images, truth_of(damaged, damaged.images), tuple([] for _ in damaged.images))
    for work in (
        lambda: load_training_set(folder),
        lambda: predict_masks(damaged, damaged.images, load_segmenter(cli.SEGMENTER)),
        lambda: worst_images(damaged, nobody),
    ):
        with pytest.raises(UserError, match=r"truncated JPEG; repair the image"):
            work()


@pytest.mark.parametrize("config", ["nope.yaml", "nope", "nope.pt"])
def test_a_network_that_there_is_none_of_is_one_line(config: str):
    with pytest.raises(UserError, match="nope") as error:
        build_yolo(config)
    assert "\n" not in str(error.value)


def test_a_single_image_is_trained_on_and_nothing_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    data = write_sample(tmp_path / "one", n_images=1, n_frames=0)
    assert parts(load_training_set(data)) == ("fold-0", "final")
    monkeypatch.setattr(train, "train", lambda *_: {"final_history": []})  # what it returns then
    cli.train(data, out=tmp_path / "model", runs=tmp_path / "runs")
    assert "a single image, so nothing was held out" in capsys.readouterr().out


def review_into(data: Path, out: Path) -> None:
    cli.review(data, labels=out)


@pytest.mark.parametrize(
    ("verb", "out", "report"),
    [
        (cli.train, "model", "model/manifest.report.json"),
        (cli.train_classifier, "model", "model/manifest.report.json"),
        (cli.evaluate, "figures", "figures/metrics.report.json"),
        (cli.compare, "table.json", "table.report.json"),
        (review_into, "labels.csv", "labels.report.json"),
    ],
)
def test_commands_tell_what_they_leave_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: Callable[..., None],
    out: str,
    report: str,
):
    data = write_sample(tmp_path / "sample", n_images=1, n_frames=0)
    listed = data / "result.json"
    coco = json.loads(listed.read_text())
    coco["annotations"].append(coco["annotations"][0] | {"id": 9_999, "image_id": 777})
    listed.write_text(json.dumps(coco))
    monkeypatch.setattr(train, "train", lambda *_: {})
    monkeypatch.setattr(
        classifier_training, "train_classifier", lambda *_: {"n_figures": 1, "n_confident": 1, "n_reviewed": 0}
    )
    monkeypatch.setattr(baselines, "compare", lambda *_: {})
    monkeypatch.setattr(review, "serve_review", lambda review, host, port, announce: announce("http://here"))
    verb(data, out=tmp_path / out)
    assert f"1 entries left out, see {tmp_path / report}" in capsys.readouterr().out
    assert json.loads((tmp_path / report).read_text())["input"]["left_out"][0]["annotation_id"] == 9_999


@pytest.mark.parametrize("verb", [cli.train, cli.train_classifier, cli.evaluate, cli.compare, review_into])
def test_where_nothing_can_be_written_is_said_before_the_work(tmp_path: Path, verb: Callable[..., None]):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        verb(tmp_path / "no data", out=tmp_path / "file" / "out")


def test_importing_ultralytics_leaves_the_way_arrays_are_printed_alone():
    code = (
        "import numpy as np; from challenges.radix_smurfs.model import import_ultralytics; import_ultralytics(); "
        "print(np.array([0.5, 1.0]))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[0.5 1. ]"
