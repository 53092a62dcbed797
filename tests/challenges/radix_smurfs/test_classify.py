"""The shipped classifier on drawn gnomes, its behaviour, the table it writes, and a small training from end to end."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from challenges.radix_smurfs import classifier_training, cli
from challenges.radix_smurfs.augmentation import add_flower, augment
from challenges.radix_smurfs.classifier import GREY, Classifier, Head, load_classifier, picture
from challenges.radix_smurfs.classifier_training import (
    Looks,
    cross_validate,
    f1_of_names,
    fit_head,
    predict_held_out,
    score,
    score_weak_labels,
    train_classifier,
)
from challenges.radix_smurfs.classify import (
    category_ids,
    classify,
    cut_out,
    figures,
    read_labels,
    tabulate,
    write,
)
from challenges.radix_smurfs.cli import CLASSIFIER, REPOSITORY
from challenges.radix_smurfs.dataset import CATEGORY_IDS, NAMES, SmurfDataset, load
from challenges.radix_smurfs.drawing import draw_gnome, draw_lots
from challenges.radix_smurfs.sample import write_sample
from challenges.radix_smurfs.weak_labels import SHARES, SIDE, SMURF, measure, weak_labels
from common.artifacts import load_artifact
from common.errors import UserError
from common.metrics.bootstrap import Interval

LABELS = REPOSITORY / "data" / "labels" / "radix_smurfs" / "labels.csv"
CATEGORIES = {number: name for name, number in CATEGORY_IDS.items()}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("sample"), n_images=12, n_frames=0, seed=1)


@pytest.fixture(scope="module")
def dataset(sample: Path) -> SmurfDataset:
    return load(sample)


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return load_classifier(CLASSIFIER)


def truth_of(sample: Path) -> NDArray[np.int64]:
    with (sample / "sample_labels.csv").open() as file:
        return np.array([NAMES.index(row["name"]) for row in csv.DictReader(file)])


def drawn(name: str, seed: int = 0, height: int = 200) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    return draw_gnome(draw_lots(np.random.default_rng(seed), name, seed % 2), height)


def test_drawn_gnomes_get_their_names(shipped: Classifier, dataset: SmurfDataset, sample: Path) -> None:
    """It has never seen one of them."""
    named = classify(dataset, shipped)
    assert named.unreadable == {}
    assert named.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    f1 = f1_of_names(truth_of(sample), named.probabilities.argmax(axis=1).astype(np.int64))
    assert np.nanmean(f1) >= 0.8


def test_behaviour_of_the_shipped_classifier(shipped: Classifier) -> None:
    for k, name in enumerate(NAMES):
        crop, mask = drawn(name, seed=2)
        half_crop, half_mask = drawn(name, seed=2, height=100)
        plain, mirrored, half, elsewhere = shipped.predict(
            [crop, np.ascontiguousarray(crop[:, ::-1]), half_crop, np.where(mask[:, :, None], crop, 255 - crop)],
            [mask, np.ascontiguousarray(mask[:, ::-1]), half_mask, mask],
        )
        assert plain.argmax() == mirrored.argmax() == half.argmax() == k
        assert np.abs(plain - mirrored).max() < 0.25
        assert np.abs(plain - elsewhere).max() < 0.25  # the background shows through the smoothed outline only
    smurf = drawn("Smurf", seed=2)
    flowered = add_flower(np.random.default_rng(0), *smurf)
    assert flowered is not None
    without, with_flower = shipped.predict([smurf[0], flowered[0]], [smurf[1], flowered[1]])
    assert with_flower[NAMES.index("Vanity Smurf")] > 2 * without[NAMES.index("Vanity Smurf")]


def test_figures_do_not_depend_on_their_company_and_empty_masks_get_the_usual_shares(shipped: Classifier) -> None:
    crops, masks = (list(column) for column in zip(*(drawn(NAMES[k % 4], k, 60) for k in range(11)), strict=True))
    together = shipped.predict(crops, masks)
    alone = np.concatenate([shipped.predict([c], [m]) for c, m in zip(crops, masks, strict=True)])
    assert together == pytest.approx(alone, abs=1e-4)
    masks[3] = np.zeros_like(masks[3])
    with_empty = shipped.predict(crops, masks)
    assert with_empty[3] == pytest.approx(SHARES)
    assert np.delete(with_empty, 3, axis=0) == pytest.approx(np.delete(together, 3, axis=0), abs=1e-4)
    assert shipped.predict([], []).shape == (0, 4)


def test_the_picture_shows_the_figure_alone() -> None:
    crop, mask = drawn("Smurf")
    seen = picture(crop, mask)
    assert seen.shape == (SIDE, SIDE, 3)
    assert (seen[0, 0] == GREY).all()
    tall = picture(np.zeros((500, 20, 3), np.uint8), np.ones((500, 20), bool))
    assert tall.shape == (SIDE, SIDE, 3)
    assert (tall[:, SIDE // 2] == 0).all()


def test_cutting_out_stays_inside_the_image() -> None:
    image, mask = np.zeros((50, 60, 3), np.uint8), np.zeros((50, 60), bool)
    mask[40:50, 0:10] = True
    crop, cut = cut_out(image, mask, (0, 40, 10, 50))
    assert crop.shape[:2] == cut.shape == (14, 13)
    assert cut.sum() == 100


def test_a_damaged_image_gets_the_usual_shares_and_is_named(shipped: Classifier, sample: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(sample, tmp_path / "copy")
    path = tmp_path / "copy" / "images" / "gnomes_00001.jpeg"
    path.write_bytes(path.read_bytes()[:3000])
    damaged = load(tmp_path / "copy")
    named = classify(damaged, shipped)
    assert named.unreadable == {"images/gnomes_00001.jpeg": "truncated JPEG"}
    assert len(named.probabilities) == len(damaged.instances)
    for instance, row in zip(named.instances, named.probabilities, strict=True):
        assert (row == np.array(SHARES, np.float32)).all() == (instance.image_id == 0)
    assert figures(damaged, damaged.images[1])  # the others are there


def test_the_table_uses_the_ids_of_the_file(dataset: SmurfDataset, shipped: Classifier, tmp_path: Path) -> None:
    named = classify(dataset, shipped)
    table = tabulate(named, dataset.categories)
    assert table.columns.tolist() == ["annotation_id", "category_id", "probability"]
    assert table["annotation_id"].tolist() == [i.id for i in dataset.instances]
    assert [CATEGORIES[k] for k in table["category_id"]] == [NAMES[k] for k in named.probabilities.argmax(axis=1)]
    other = tabulate(named, {40: "smurf", 30: "Smurfette ", 20: "PAPA SMURF", 10: "Vanity Smurf"})
    assert set(other["category_id"]) <= {10, 20, 30, 40}
    assert (other["category_id"] == 20).tolist() == (table["category_id"] == 1).tolist()
    write(table, tmp_path / "labels.csv", {"n": 1})
    assert pd.read_csv(tmp_path / "labels.csv").equals(table.astype({"probability": "float64"}).round(4))
    assert (tmp_path / "labels.report.json").is_file()


def test_categories_must_be_there() -> None:
    with pytest.raises(UserError, match="must list the category 'Vanity Smurf' once"):
        category_ids({0: "Smurf", 1: "Papa Smurf", 2: "Smurfette"})
    with pytest.raises(UserError, match="'Smurf' once"):
        category_ids(CATEGORIES | {9: "smurf"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,label\n1,2\n", "needs the columns annotation_id and category_id"),
        ("", "needs the columns"),
        ("annotation_id,category_id\n1,9\n", "line 2: not the id"),
        ("annotation_id,category_id\n1\n", "line 2: not the id"),
        ("annotation_id,category_id\n1,0\n1,0\n", "line 3: annotation 1 stands twice"),
        ("annotation_id,category_id\n\udcff,0\n", "not a CSV file in UTF-8"),
    ],
)
def test_bad_label_files_are_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=expected):
        read_labels(path, CATEGORIES)
    with pytest.raises(UserError, match="No such file"):
        read_labels(tmp_path / "nothing.csv", CATEGORIES)


def test_labels_that_excel_saved_are_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("annotation_id,category_id\n1,0\n", encoding="utf-8-sig")
    assert read_labels(path, CATEGORIES) == {1: NAMES.index("Smurf")}


def test_labels_of_other_data_are_refused_before_the_work(dataset: SmurfDataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="annotation 4711 is not in this one"):
        train_classifier(dataset, tmp_path, "fingerprint", {dataset.instances[0].id: 0, 4711: 0})


def test_a_model_of_something_else_is_refused() -> None:
    with pytest.raises(UserError, match="is for 'vinted'"):
        load_classifier(CLASSIFIER.parents[1] / "vinted")


def test_the_readme_says_what_was_measured() -> None:
    metrics = load_artifact(CLASSIFIER, "radix_smurfs").manifest.metrics
    readme = (REPOSITORY / "challenges" / "radix_smurfs" / "README.md").read_text()
    for key in ("weak_labels", "weak_labels_where_confident", *(k for k in metrics if k.startswith("classifier_on"))):
        assert str(Interval(**metrics[key]["macro_f1"])) in readme, key
    row = next(line for line in readme.splitlines() if "learned from the review" in line)
    assert [f"{f1:.2f}" for f1 in metrics["classifier_on_reviewed_labels"]["f1"].values()] == row.split(" | ")[2:6]
    best = metrics["classifier_on_reviewed_labels"]
    card = (CLASSIFIER / "README.md").read_text()
    assert str(Interval(**best["macro_f1"])) in card
    for function in metrics["labelling_functions"]:
        shares = f"{function['votes']} | {function['precision']:.0%} | {function['recall']:.0%}".replace("%", " %")
        assert f"| {function['function']} |" in readme
        assert shares in readme, function


def test_the_shipped_backbone_is_the_pretrained_network(shipped: Classifier) -> None:
    import torch

    pixels = np.stack([picture(*drawn(name)) for name in NAMES])
    with torch.inference_mode():
        expected = classifier_training.build_backbone()(torch.from_numpy(pixels)).numpy()
    assert shipped.session.run(["features"], {"pixels": pixels})[0] == pytest.approx(expected, abs=1e-3)


def test_weak_labels_are_measured_where_only_unsure_figures_are_judged() -> None:
    weak = weak_labels([measure(*drawn(name)) for name in NAMES[:2]])
    weak.votes[1] = False  # which leaves it unsure
    found = score_weak_labels(weak, np.array([-1, SMURF]), np.arange(2))
    assert found["weak_labels_where_confident"] == {"n_figures": 0}
    assert found["weak_labels"]["n_figures"] == 1


@pytest.mark.slow
def test_training_from_weak_and_reviewed_labels(
    dataset: SmurfDataset, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_training, "N_LOOKS", 1)
    monkeypatch.setattr(classifier_training, "N_DRAWN", 1)
    # Exporting takes longer than all the rest; the test above knows that the shipped file is what it would give.
    monkeypatch.setattr(classifier_training, "export_backbone", (CLASSIFIER / "backbone.onnx").read_bytes)
    truth = {i.id: int(k) for i, k in zip(dataset.instances, truth_of(sample), strict=True)}
    metrics = train_classifier(dataset, tmp_path, "fingerprint", truth, n_folds=3)
    assert metrics["n_reviewed"] == metrics["n_figures"] == len(dataset.instances)
    for key in ("weak_labels", "classifier_on_weak_labels", "classifier_on_reviewed_labels"):
        assert np.sum(metrics[key]["confusion"]) == metrics["n_figures"]
        assert metrics[key]["accuracy"]["estimate"] > 0.6
    manifest = load_artifact(tmp_path, "radix_smurfs").manifest
    assert manifest.config["labels"] == "reviewed"
    named = classify(dataset, load_classifier(tmp_path))
    assert (named.probabilities.argmax(axis=1) == truth_of(sample)).mean() > 0.85  # of what it was trained on


def random_looks(rng: np.random.Generator, n: int, features: NDArray[np.float32]) -> Looks:
    rows = np.repeat(np.arange(n), 2)
    return Looks(features[rows], rows, np.zeros(2 * n, bool), np.arange(2 * n) % 2 == 0)


def test_cross_validation_never_sees_what_it_judges() -> None:
    """Features that name the figure and nothing else: a model that saw it would know, another one cannot."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 80)
    looks = random_looks(rng, 80, np.eye(80, dtype=np.float32))
    fold = np.arange(80) % 4
    held_out = predict_held_out(cross_validate(looks, labels, fold), looks, fold).argmax(axis=1)
    assert (held_out[looks.original] == labels).mean() < 0.5
    fitted = fit_head(looks, labels, np.ones(80, bool)).predict_proba(looks.of_originals()).argmax(axis=1)
    assert (fitted == labels).all()


def test_a_head_of_two_names_and_of_one() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([1, 3] * 10)
    features = (labels[:, None] + rng.normal(0, 0.1, (20, 3))).astype(np.float32)
    looks = random_looks(rng, 20, features)
    head: Head = fit_head(looks, labels, np.ones(20, bool))
    probabilities = head.predict_proba(features)
    assert (probabilities.argmax(axis=1) == labels).all()
    assert probabilities[:, [0, 2]].max() < 1e-6
    with pytest.raises(UserError, match="fewer than two names"):
        fit_head(looks, np.ones(20, np.int64), np.ones(20, bool))


def test_scores_by_hand() -> None:
    truth = np.array([0, 0, 1, 1, 2, 3, -1])
    predicted = np.array([0, 1, 1, 1, 2, 1, 3])
    found = score(truth, predicted, np.arange(7))
    assert found["n_figures"] == 6
    assert found["f1"] == pytest.approx(dict(zip(NAMES, (2 / 3, 2 / 3, 1, 0), strict=True)))
    assert found["macro_f1"]["estimate"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 4)
    assert found["confusion"] == [[1, 1, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]]
    from sklearn.metrics import f1_score

    assert found["macro_f1"]["estimate"] == pytest.approx(f1_score(truth[:6], predicted[:6], average="macro"))


def test_a_review_without_a_name_has_no_macro_f1(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = score(np.array([0, 1, 2, -1]), np.array([0, 1, 2, 3]), np.arange(4))  # as one that was broken off
    metrics = {"n_figures": 4, "n_confident": 4, "n_reviewed": 3, "weak_labels": found}
    monkeypatch.setattr(classifier_training, "train_classifier", lambda *_: metrics)
    cli.train_classifier(sample, out=tmp_path)
    printed = capsys.readouterr().out
    assert "no macro F1, since none is reviewed as Vanity Smurf" in printed
    assert "nan" not in printed


def test_other_looks_are_the_same_figure() -> None:
    crop, mask = drawn("Papa Smurf", height=300)
    looks = [augment(np.random.default_rng(k), crop, mask) for k in range(30)]
    assert all(look.dtype == np.uint8 and look.shape[:2] == m.shape and m.any() for look, m in looks)
    sides = [max(np.ptp(np.flatnonzero(m.any(axis=axis))) + 1 for axis in (0, 1)) for _, m in looks]
    assert min(sides) < 60 < max(sides) <= 300
    found = weak_labels([measure(*look) for look in looks])
    assert (found.probabilities.argmax(axis=1) == NAMES.index("Papa Smurf")).mean() > 0.9
    again = augment(np.random.default_rng(7), crop, mask)
    assert np.array_equal(again[0], looks[7][0])


def test_no_flower_without_a_white_hat() -> None:
    blue = np.full((60, 40, 3), (80, 120, 220), np.uint8)
    assert add_flower(np.random.default_rng(0), blue, np.ones((60, 40), bool)) is None


def test_the_command_needs_no_torch(sample: Path, tmp_path: Path) -> None:
    """One process: torch cannot be imported, the table is there, and bad input ends in one line and 2."""
    out = tmp_path / "labels.csv"
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from challenges.radix_smurfs.cli import app\nfrom common.cli import run\nrun(app, sys.argv[1:])"
    )

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-c", code, "classify", *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)

    done = command("--data", sample, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "masks of" in done.stdout
    assert len(pd.read_csv(out)) == len(truth_of(sample))
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"PK\x03\x04 but no zip")
    refused = command("--data", bad, "--out", out)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.real_data
def test_weak_labels_of_the_challenges_own_masks(shared_data: Path) -> None:
    """Rules alone, against our eyes."""
    dataset = load(shared_data / "smurfs" / "smurfs_coco_format.zip")
    ours = read_labels(LABELS, dataset.categories)
    found = [figure for record in dataset.images for figure in figures(dataset, record)]
    truth = np.array([ours[figure.instance.id] for figure in found])
    weak = weak_labels([measure(figure.crop, figure.mask) for figure in found])
    assert np.nanmean(f1_of_names(truth, weak.probabilities.argmax(axis=1).astype(np.int64))) >= 0.85
    sure = weak.labels >= 0
    assert sure.mean() >= 0.85
    assert (weak.labels[sure] == truth[sure]).mean() >= 0.93
