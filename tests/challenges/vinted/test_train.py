"""The stages of training: what each may see, and that they resume."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from challenges.vinted.baselines import prior_by_fold, probe_by_fold, score_folds
from challenges.vinted.dataset import CATEGORIES, COLORS, TAGS, load
from challenges.vinted.evaluate import score
from challenges.vinted.model import GarmentNet
from challenges.vinted.predict import Probabilities
from challenges.vinted.sample import write_sample
from challenges.vinted.train import (
    HeldOut,
    Recipe,
    Stage,
    cross_validate,
    cross_validated_metrics,
    finetune,
    fit_fold,
    pooled,
    predict_logits,
    pretrain,
    quick_recipe,
    train_part,
    train_stage,
)
from challenges.vinted.training_set import MARKET, PATTERNS, RENDERS, TrainingSet, as_predicted, load_training_set, take
from common.data.images import encode_jpeg, letterbox
from common.errors import UserError

FEW = {MARKET: 16, RENDERS: 16}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> TrainingSet:
    sample = write_sample(tmp_path_factory.mktemp("train") / "sample", n_labelled=50, n_test=1, seed=3)
    return load_training_set(sample, n_renders=16, size=(96, 72), n_folds=3)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    stage = Stage(1, 1e-3, FEW)
    return replace(
        quick_recipe(), input_sizes=((64, 64), (64, 32)), training_size=(64, 48), pretraining=stage, finetuning=stage
    )


@pytest.fixture(scope="module")
def pretrained() -> GarmentNet:
    torch.manual_seed(0)
    return GarmentNet(pretrained=False)


@pytest.fixture(scope="module")
def held_out(data, recipe, pretrained, tmp_path_factory) -> HeldOut:
    return cross_validate(data, pretrained, recipe, tmp_path_factory.mktemp("folds"))


def test_a_fold_is_predicted_by_a_network_that_has_not_seen_it(data, recipe, held_out):
    assert held_out.rows.tolist() == np.flatnonzero(data.sources == MARKET).tolist()
    rows = held_out.rows
    for fold in (0, 2):
        inside = data.folds[rows] == fold
        own = predict_logits(held_out.nets[fold], as_predicted(data, rows[inside], recipe.input_sizes))
        assert torch.allclose(held_out.market.category[inside], own.category, atol=1e-5)


def test_the_photos_of_a_fold_do_not_change_its_network(data, recipe, pretrained, tmp_path):
    """Whatever stands on the held-out photos, and whatever their labels say, the network is the same."""
    images = data.images.copy()
    images[(data.sources == MARKET) & (data.folds == 2)] = 0
    nets = [
        fit_fold(changed, pretrained, recipe, tmp_path / name, 2)[0]
        for name, changed in (("as it is", data), ("blackened", replace(data, images=images)))
    ]
    assert all(torch.equal(a, b) for a, b in zip(*(n.state_dict().values() for n in nets), strict=True))


def test_metrics_are_of_every_market_photo(data, held_out):
    _, labels, folds, market = pooled(data, held_out)
    assert market.all()  # no patterns in this data
    assert len(labels.categories) == len(folds) == (data.sources == MARKET).sum()
    metrics = cross_validated_metrics(data, held_out)
    assert metrics["market"]["n_photos"] == market.sum()
    assert "patterns" not in metrics
    assert [[len(history) for history in fold] for fold in metrics["histories"]] == [[1, 1]] * data.n_folds


def test_a_category_without_photos_has_no_recall(data):
    """As a tag without photos has none: 0 would say that none of them was found."""
    labels = take(data.labels, (data.sources == MARKET) & ~data.labels.categories[:, 0])
    n = len(labels.categories)
    unsure = Probabilities(*(np.full((n, len(of)), 1 / len(of), np.float32) for of in (CATEGORIES, TAGS, COLORS)))
    recall = score(labels, unsure, np.zeros((n, len(TAGS)), bool), np.arange(n))["recall_by_category"]
    assert [bool(np.isnan(recall[name])) for name in CATEGORIES] == [True, False, False, False, False]


def test_a_network_is_the_mean_of_copies_that_differ_by_chance(data, recipe, pretrained, tmp_path):
    copies = [
        train_stage(
            pretrained, data, data.folds != 1, replace(recipe, seed=seed), recipe.finetuning,
        )[0].state_dict()
        for seed in (recipe.seed, recipe.seed + 1)
    ]  # fmt: skip
    mean, _ = finetune(pretrained, data, data.folds != 1, recipe, tmp_path, "fold 2")
    for name, found in mean.state_dict().items():
        a, b = (copy[name] for copy in copies)
        assert torch.allclose(found.double(), (a.double() + b.double()) / 2, atol=1e-6), name
    assert not torch.equal(copies[0]["category.weight"], copies[1]["category.weight"])


def test_held_out_photos_are_seen_as_prediction_sees_them(data):
    """Without the padding that the store adds, and in proportion."""
    wide = np.zeros((96, 72, 3), np.uint8)
    wide[letterbox((300, 600), (96, 72))] = 200
    one = replace(data, images=wide[None], shapes=np.array([[300, 600]]))
    (seen,) = as_predicted(one, np.arange(1), ((64, 64), (32, 64)))
    assert seen.shape == (32, 64, 3)
    assert (seen == 200).all()


def test_a_part_is_trained_once_and_its_name_is_checked(data, recipe, tmp_path):
    train_part("fold-1", data, recipe, tmp_path)
    states = sorted(tmp_path.rglob("state.safetensors"))
    trained = [str(path.parent.relative_to(tmp_path)) for path in states]
    assert trained == ["fold-1/copy-0", "fold-1/copy-1", "pretraining"]
    before = [path.stat().st_mtime_ns for path in states]
    train_part("fold-1", data, recipe, tmp_path)
    assert [path.stat().st_mtime_ns for path in states] == before
    with pytest.raises(UserError, match="fold-9"):
        train_part("fold-9", data, recipe, tmp_path)


def test_without_patterns_and_renders_there_is_no_pretraining(data, recipe, pretrained, tmp_path):
    market = data.sources == MARKET
    alone = replace(
        data, images=data.images[market], shapes=data.shapes[market], labels=take(data.labels, market),
        sources=data.sources[market], groups=data.groups[market], folds=data.folds[market],
    )  # fmt: skip
    net = pretrain(alone, recipe, tmp_path)
    assert not list(tmp_path.iterdir())
    untrained = GarmentNet().trunk.state_dict()
    assert all(torch.equal(a, untrained[name]) for name, a in net.trunk.state_dict().items())
    fitted, histories = fit_fold(alone, net, recipe, tmp_path, 0)
    assert [len(history) for history in histories] == [1, 1]
    assert predict_logits(fitted, as_predicted(alone, np.arange(2), recipe.input_sizes)).category.shape == (2, 5)


def test_baselines_know_nothing_of_their_own_fold(data, recipe):
    probabilities, decisions = prior_by_fold(data)
    market = np.flatnonzero(data.sources == MARKET)
    folds, truth = data.folds[market], data.labels.categories[market].argmax(1)
    for fold in np.unique(folds):
        others = np.bincount(truth[folds != fold], minlength=len(CATEGORIES)) / (folds != fold).sum()
        assert np.allclose(probabilities.category[folds == fold], others)
    assert not decisions.any()  # no tag stands on half of the photos
    prior = score_folds(data, (probabilities, decisions))
    probe = score_folds(data, probe_by_fold(data, replace(recipe, input_sizes=((128, 96),))))
    assert probe["top1_accuracy"]["estimate"] > prior["top1_accuracy"]["estimate"]


def test_the_probe_takes_tags_and_categories_that_are_rare_or_missing(data, recipe):
    market = np.flatnonzero(data.sources == MARKET)
    tags, categories = data.labels.tags.copy(), data.labels.categories.copy()
    tags[:, 0], tags[:, 1] = 0, 0
    tags[market[0], 1] = 1  # a single photo
    categories[market] = np.eye(len(CATEGORIES), dtype=bool)[3]
    rare = replace(data, labels=replace(data.labels, tags=tags, categories=categories))
    probabilities, decisions = probe_by_fold(rare, replace(recipe, input_sizes=((64, 64),)))
    assert np.allclose(probabilities.category[:, 3], 1)
    assert not decisions[:, 0].any()


def test_photos_none_of_which_can_be_read_are_the_users_error(tmp_path: Path):
    folder = write_sample(tmp_path, n_labelled=4, n_test=1)
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        archive.writestr("data/other.jpeg", b"")
    with pytest.raises(UserError, match=r"none of \d photos can be read \(.*: no photo of this uuid\)"):
        load_training_set(folder)


def test_logits_of_no_photos(pretrained):
    logits = predict_logits(pretrained, [])
    assert [tuple(x.shape) for x in logits] == [(0, 5), (0, 3), (0, 28)]


def test_runs_begun_with_other_photos_or_labels_are_refused(data, recipe, tmp_path: Path):
    train_part("pretraining", data, recipe, tmp_path)
    render = int(np.flatnonzero(data.sources == RENDERS)[0])
    images, tags = data.images.copy(), data.labels.tags.copy()
    images[render, 0, 0, 0] ^= 1
    tags[render] = 1 - tags[render]
    for other in (replace(data, images=images), replace(data, labels=replace(data.labels, tags=tags))):
        with pytest.raises(UserError, match="other settings or data"):
            train_part("pretraining", other, recipe, tmp_path)


def test_a_worn_dress_that_is_among_the_garments_is_left_out(tmp_path: Path):
    garments = write_sample(tmp_path / "garments", n_labelled=12, n_test=1, seed=3)
    photos = load(garments, part="labelled")
    first = photos.labelled["uuid"].iloc[0]
    (tmp_path / "worn").mkdir()
    with zipfile.ZipFile(tmp_path / "worn" / "images.zip", "w") as archive:
        archive.writestr("same.jpg", photos.photos.read(first))
        for seed in range(3):
            noise = np.random.default_rng(seed).integers(0, 256, (64, 48, 3), np.uint8)
            archive.writestr(f"other{seed}.jpg", encode_jpeg(noise))
    labels = pd.DataFrame({"uuid": ["same", "other0", "other1", "other2"], **dict.fromkeys(TAGS, 1)})
    labels.to_parquet(tmp_path / "worn" / "labels.parquet")
    found = load_training_set(garments, tmp_path / "worn", size=(96, 72), n_folds=2)
    assert list(found.left_out) == ["same"]
    assert (found.sources == PATTERNS).sum() == 3
    assert len(found.images) == len(found.folds) == len(found.groups) == len(found.labels.tags) == 15


def test_runs_begun_with_another_recipe_are_refused(data, recipe, tmp_path: Path):
    train_part("pretraining", data, recipe, tmp_path)
    with pytest.raises(UserError, match="other settings"):
        train_part("pretraining", data, replace(recipe, pretraining=Stage(1, 2e-3, FEW)), tmp_path)
    with pytest.raises(UserError, match="other settings"):
        train_part("pretraining", replace(data, fingerprint="of other data"), recipe, tmp_path)
