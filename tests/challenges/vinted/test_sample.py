"""The generated sample: official layout and determinism."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from challenges.vinted.dataset import CATEGORIES, COLORS, TAGS
from challenges.vinted.sample import render_garments, write_sample

SMALL = (100, 75)
FILES = ["data.parquet", "data.zip", "example_predictions.parquet", "sample_test_labels.parquet", "test.parquet"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("sample"), n_labelled=12, n_test=4, seed=3)


def test_layout_is_the_official_one(sample: Path) -> None:
    assert sorted(p.name for p in sample.iterdir()) == FILES
    labelled = pd.read_parquet(sample / "data.parquet")
    test = pd.read_parquet(sample / "test.parquet")
    example = pd.read_parquet(sample / "example_predictions.parquet")
    assert list(labelled.columns) == ["uuid", "cc3", "color1", *TAGS]
    assert list(test.columns) == ["uuid"]
    assert list(example.columns) == ["uuid", "category1", "category2", *TAGS]
    assert (labelled[list(TAGS)].dtypes == "int64").all()
    assert (example.drop(columns="uuid").dtypes == "int64").all()
    assert labelled["uuid"].str.fullmatch(r"[0-9a-f]{5}_[0-9A-Za-z]{24}").all()
    assert set(labelled["cc3"]) <= set(CATEGORIES)
    assert set(labelled["color1"]) <= set(COLORS)
    assert example["uuid"].tolist() == test["uuid"].tolist()
    assert example[["category1", "category2"]].isin(range(5)).all(axis=None)


def test_every_uuid_has_its_photo(sample: Path) -> None:
    uuids = set(pd.read_parquet(sample / "data.parquet")["uuid"]) | set(
        pd.read_parquet(sample / "test.parquet")["uuid"]
    )
    with zipfile.ZipFile(sample / "data.zip") as archive:
        assert set(archive.namelist()) == {f"data/{uuid}.jpeg" for uuid in uuids}
        photo = cv2.imdecode(np.frombuffer(archive.read(archive.namelist()[0]), np.uint8), cv2.IMREAD_COLOR)
    assert photo is not None
    assert photo.shape == (533, 400, 3)


def test_repeats_are_exact_and_on_top(sample: Path) -> None:
    labelled = pd.read_parquet(sample / "data.parquet")
    assert len(labelled) == 12 + 8
    assert labelled.duplicated().sum() == 8
    assert labelled["uuid"].nunique() == 12


def test_truth_of_the_test_rows_is_beside_them(sample: Path) -> None:
    truth = pd.read_parquet(sample / "sample_test_labels.parquet")
    assert truth["uuid"].tolist() == pd.read_parquet(sample / "test.parquet")["uuid"].tolist()
    assert list(truth.columns) == ["uuid", "cc3", "color1", *TAGS]


def test_same_seed_same_bytes_other_seed_other_photos(tmp_path: Path) -> None:
    first, again, other = (write_sample(tmp_path / name, 3, 1, seed) for name, seed in [("a", 5), ("b", 5), ("c", 6)])
    assert [(first / f).read_bytes() for f in FILES] == [(again / f).read_bytes() for f in FILES]
    assert (first / "data.zip").read_bytes() != (other / "data.zip").read_bytes()
    assert not set(pd.read_parquet(first / "test.parquet")["uuid"]) & set(
        pd.read_parquet(other / "test.parquet")["uuid"]
    )


def test_the_sample_shows_no_photo_of_training(tmp_path: Path) -> None:
    """Both with seed 0, both balanced: a network trained on renders would know the answers."""
    from challenges.vinted.dataset import load
    from common.data.images import decode_image

    dataset = load(write_sample(tmp_path / "sample", 10, 0, seed=0), part="labelled")
    assert dataset.labelled is not None
    sampled = [decode_image(dataset.photos.read(uuid)).astype(int) for uuid in dataset.labelled["uuid"]]
    for image, *_ in render_garments(10, (0,)):
        assert min(np.abs(image.astype(int) - other).mean() for other in sampled) > 5  # grey levels; JPEG costs 1 or 2


def test_training_set_is_a_function_of_the_seed_and_balanced() -> None:
    runs = [list(render_garments(10, (seed,), SMALL)) for seed in (1, 1, 2)]
    assert all(np.array_equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(runs[0], runs[1], strict=True))
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(runs[0], runs[2], strict=True))
    assert sorted(row[1] for row in runs[0]) == sorted(2 * CATEGORIES)
