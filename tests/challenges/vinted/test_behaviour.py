"""What the shipped model must and must not react to, on renders and on real photos."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from challenges.vinted.dataset import CATEGORIES, TAGS, load
from challenges.vinted.predict import Model, Probabilities, predict_images
from challenges.vinted.rendering import render_with_mask
from challenges.vinted.sample import render_garments
from common.data.images import decode_image, encode_jpeg, letterbox_image, nearest_size

SAME_TOP_CATEGORY = 0.85  # of the photos, under a change that a person would not notice


def predict(model: Model, images: list[np.ndarray]) -> Probabilities:
    return predict_images(model, [letterbox_image(i, nearest_size(i.shape[:2], model.sizes)) for i in images])


@pytest.fixture(scope="module")
def renders() -> list[np.ndarray]:
    return [image for image, *_ in render_garments(40, (901,))]


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> list[np.ndarray]:
    dataset = load(shared_data / "vinted_like", part="test")
    return [decode_image(dataset.photos.read(uuid)) for uuid in dataset.test["uuid"][:80]]


def mirror(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[:, ::-1])


def recompress(image: np.ndarray) -> np.ndarray:
    return decode_image(encode_jpeg(image, quality=50))


def crop(image: np.ndarray) -> np.ndarray:
    dy, dx = image.shape[0] // 40, image.shape[1] // 40
    return image[dy:-dy, dx:-dx]


def brighten(image: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(image, alpha=1.08, beta=4)


def agreement(model: Model, images: list[np.ndarray], change) -> float:
    before = predict(model, images).category.argmax(1)
    after = predict(model, [change(image) for image in images]).category.argmax(1)
    return float((before == after).mean())


@pytest.mark.parametrize("change", [mirror, recompress, crop, brighten])
def test_small_changes_keep_the_category_of_renders(model: Model, renders, change):
    assert agreement(model, renders, change) >= SAME_TOP_CATEGORY


@pytest.mark.real_data
@pytest.mark.parametrize("change", [mirror, recompress, crop, brighten])
def test_small_changes_keep_the_category_of_photos(model: Model, photos, change):
    assert agreement(model, photos, change) >= SAME_TOP_CATEGORY


@pytest.mark.parametrize("tag", TAGS)
def test_a_print_on_a_plain_garment_raises_its_tag(model: Model, tag: str):
    """The same garment, pose and light: only the print differs."""
    before, after = [], []
    for seed in range(12):
        category, color = CATEGORIES[seed % 5], ("WHITE", "RED", "NAVY")[seed % 3]
        plain, mask = render_with_mask(np.random.default_rng(seed), category, color, frozenset())
        printed, _ = render_with_mask(np.random.default_rng(seed + 100), category, color, frozenset({tag}))
        cloth = np.tile(printed[180:320, 150:250], (5, 5, 1))[: plain.shape[0], : plain.shape[1]]
        weight = mask[..., None] / 255
        before.append(plain)
        after.append((plain * (1 - weight) + cloth * weight).astype(np.uint8))
    column = TAGS.index(tag)
    raised = predict(model, after).tags[:, column] - predict(model, before).tags[:, column]
    assert (raised > 0).mean() >= 0.75
    assert raised.mean() > 0.2


def test_renders_are_recognised(model: Model):
    """Far above chance on photos of the generator that training has not seen."""
    images, categories, _, tags = zip(*render_garments(60, (902,)), strict=True)
    found = predict(model, list(images))
    truth = np.array([CATEGORIES.index(c) for c in categories])
    assert (found.category.argmax(1) == truth).mean() > 0.7
    present = np.array([[tag in t for tag in TAGS] for t in tags])
    assert ((found.tags >= model.thresholds) == present).mean() > 0.85


def test_a_black_picture_is_not_a_sure_answer(model: Model):
    assert predict(model, [np.zeros((533, 400, 3), np.uint8)]).tags.max() < 0.9
