"""The answer's form, and that no photo whatever stops a run."""

import io
import itertools
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from challenges.vinted.dataset import CATEGORIES, TAGS, load
from challenges.vinted.predict import (
    DEFAULT_MODEL,
    Model,
    Probabilities,
    describe,
    load_model,
    predict_dataset,
    predict_images,
    predict_photos,
    read_photo,
    tabulate,
    tabulate_probabilities,
    top_two,
)
from challenges.vinted.sample import render_photo
from common.data.images import encode_jpeg
from common.errors import UserError

UUIDS = ["a", "b", "c"]


def some_probabilities(n: int, seed: int = 0) -> Probabilities:
    rng = np.random.default_rng(seed)
    category, color = rng.dirichlet(np.ones(5), n), rng.dirichlet(np.ones(28), n)
    return Probabilities(*(x.astype(np.float32) for x in (category, rng.random((n, 3)), color)))


def example(codes: bool, **dtypes: str) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"uuid": ["z"], "category1": [0] if codes else ["SHIRTS"], "category2": [1] if codes else ["BLOUSES"]}
    )
    return frame.assign(**dict.fromkeys(TAGS, 0)).astype(dtypes)


def test_names_without_an_example(model: Model):
    frame = tabulate(model, UUIDS, some_probabilities(3))
    assert list(frame.columns) == ["uuid", "category1", "category2", *TAGS]
    assert set(frame["category1"]) <= set(CATEGORIES)
    assert (frame["category1"] != frame["category2"]).all()
    assert frame[list(TAGS)].isin([0, 1]).all(axis=None)


@pytest.mark.parametrize("dtype", ["int64", "int8", "float64"])
def test_codes_where_the_example_holds_codes(model: Model, dtype: str):
    probabilities = some_probabilities(3)
    names = tabulate(model, UUIDS, probabilities)
    codes = tabulate(model, UUIDS, probabilities, example(True, category1=dtype, category2=dtype))
    assert codes["category1"].dtype == dtype
    alphabetical = sorted(CATEGORIES)
    assert [alphabetical[int(c)] for c in codes["category2"]] == names["category2"].tolist()


def test_columns_order_and_dtypes_are_the_examples(model: Model):
    wanted = example(False)[["checker", "uuid", "category2", "floral", "category1", "polka dot"]].astype(
        {"floral": "bool"}
    )
    frame = tabulate(model, UUIDS, some_probabilities(3), wanted)
    assert frame.dtypes.to_dict() == wanted.dtypes.to_dict()
    assert list(frame.columns) == list(wanted.columns)


@pytest.mark.parametrize("column", ["uuid", "category1", "category2", "floral"])
def test_what_a_dictionary_of_the_example_does_not_list_is_written_all_the_same(
    model: Model, column: str, tmp_path: Path
):
    layout(tmp_path, {"a": GOOD["plain"]}, ["a"])
    plain = example(False, floral="str")
    plain.astype({column: "category"}).to_parquet(tmp_path / "example_predictions.parquet")
    listed = load(tmp_path, part="test").example
    assert isinstance(listed[column].dtype, pd.CategoricalDtype)
    frame = tabulate(model, list("abcde"), some_probabilities(5), listed)
    assert not frame.isna().any(axis=None)
    pd.testing.assert_frame_equal(frame, tabulate(model, list("abcde"), some_probabilities(5), plain))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"category1": ["SHIRTS"]}, "'category1' holds string and 'category2' integer"),
        ({"category2": ["SHIRTS"]}, "'category1' holds integer and 'category2' string"),
        ({"category1": [True], "category2": [False]}, "'category1' holds boolean"),
        ({"category1": [b"a"], "category2": [b"b"]}, "'category1' holds bytes"),
        ({"uuid": [7]}, "'uuid' holds integer"),
        ({"floral": pd.to_datetime(["2026-01-01"])}, "'floral' holds datetime64"),
    ],
)
def test_an_example_of_other_types_is_refused(tmp_path: Path, change: dict, words: str):
    layout(tmp_path, {"a": GOOD["plain"]}, ["a"])
    example(True).assign(**change).to_parquet(tmp_path / "example_predictions.parquet")
    with pytest.raises(UserError, match=f"example_predictions.parquet: column {words}"):
        load(tmp_path, part="test")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"category1": [5]}, "'category1', row 0: 5 is not"),
        ({"category2": [-1]}, "'category2', row 0: -1 is not"),
        ({"category1": [0.5]}, "'category1', row 0: 0.5 is not"),
        ({"category1": ["1"], "category2": ["2"]}, "'category1', row 0: '1' is not"),
        ({"category1": ["Shirts"], "category2": ["BLOUSES"]}, "'category1', row 0: 'Shirts' is not"),
    ],
)
def test_an_example_of_other_categories_is_refused(tmp_path: Path, change: dict, words: str):
    layout(tmp_path, {"a": GOOD["plain"]}, ["a"])
    example(True).assign(**change).to_parquet(tmp_path / "example_predictions.parquet")
    with pytest.raises(UserError, match=f"example_predictions.parquet: column {words}"):
        load(tmp_path, part="test")


def test_unknown_column_of_the_example_is_refused(model: Model):
    with pytest.raises(UserError, match="'price'"):
        tabulate(model, UUIDS, some_probabilities(3), example(True).assign(price=1.0))


def test_two_categories_differ_even_in_a_tie():
    assert top_two(np.full((2, 5), 0.2, np.float32)).tolist() == [[0, 1], [0, 1]]


def test_thresholds_decide(model: Model):
    probabilities = some_probabilities(50)
    frame = tabulate(model, [str(i) for i in range(50)], probabilities)
    for t, tag in enumerate(TAGS):
        assert frame[tag].tolist() == (probabilities.tags[:, t] >= model.thresholds[t]).astype(int).tolist()


def photo_bytes(format: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (400, 533), **options) -> bytes:
    image = Image.fromarray(render_photo(np.random.default_rng(3), "SHIRTS", "RED", frozenset({"checker"}))).resize(
        size
    )
    if mode == "P+alpha":
        image = image.convert("P")
        options["transparency"] = 0
    elif mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L"), np.uint16) << 8)
    else:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show
    turned = Image.open(io.BytesIO(photo_bytes())).rotate(90, expand=True)
    buffer = io.BytesIO()
    turned.save(buffer, "JPEG", exif=exif, quality=95)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes whose header promises 20,000 x 20,000 pixels."""
    data = bytearray(photo_bytes("PNG", size=(8, 8)))
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    return bytes(data)


GOOD = {
    "plain": photo_bytes(), "grey": photo_bytes(mode="L"), "cmyk": photo_bytes(mode="CMYK"), "png": photo_bytes("PNG"),
    "palette": photo_bytes("PNG", "P+alpha"), "16-bit": photo_bytes("PNG", "I;16"), "webp": photo_bytes("WEBP"),
    "progressive": photo_bytes(progressive=True), "tiny": photo_bytes(size=(1, 1)), "rotated": rotated(),
    "large": photo_bytes(size=(3000, 4000)),
}  # fmt: skip
BAD = {
    "truncated": photo_bytes()[:9_000], "text": b"<html>not found</html>", "empty": b"", "bomb": bomb(),
    "png cut": photo_bytes("PNG")[:20_000], "zeros": bytes(5_000),
}  # fmt: skip


def layout(folder: Path, photos: dict[str, bytes], uuids: list[str]) -> Path:
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        for uuid, data in photos.items():
            archive.writestr(f"data/{uuid}.jpeg", data)
    pd.DataFrame({"uuid": uuids}).to_parquet(folder / "test.parquet")
    return folder


def test_every_photo_gets_a_row_and_only_bad_ones_the_prior(model: Model, tmp_path: Path):
    photos = dict(itertools.chain.from_iterable(zip(GOOD.items(), BAD.items(), strict=False))) | GOOD | BAD
    uuids = [*photos, "missing"]
    frame, probabilities, unreadable = predict_dataset(model, load(layout(tmp_path, photos, uuids), part="test"))
    assert frame["uuid"].tolist() == uuids
    assert {uuids[row] for row in unreadable} == {*BAD, "missing"}
    assert "20000 x 20000" in unreadable[uuids.index("bomb")]
    assert unreadable[uuids.index("missing")] == "no photo of this uuid"
    for row in unreadable:
        np.testing.assert_array_equal(probabilities.category[row], model.prior.category[0])
        assert frame.loc[row, "category1"] == model.categories[model.prior.category[0].argmax()]


def test_the_same_picture_in_another_format_is_the_same_answer(model: Model):
    names = ["plain", "png", "webp", "progressive", "rotated", "cmyk", "large"]
    probabilities, unreadable = predict_photos(model, names, GOOD.__getitem__)
    assert not unreadable
    assert len(set(probabilities.category.argmax(1).tolist())) == 1
    assert np.ptp(probabilities.category, axis=0).max() < 0.25


def test_repeated_and_reordered_rows_get_the_same_answers(model: Model, tmp_path: Path):
    photos = {str(i): encode_jpeg(image) for i, image in enumerate(varied_photos(5))}
    uuids = ["3", "0", "3", "4", "1", "2", "0"]
    frame, _, _ = predict_dataset(model, load(layout(tmp_path, photos, uuids), part="test"))
    assert frame["uuid"].tolist() == uuids
    assert (frame.groupby("uuid").nunique() == 1).all(axis=None)


def varied_photos(n: int) -> list[np.ndarray]:
    return [render_photo(np.random.default_rng(i), CATEGORIES[i % 5], "BLUE", frozenset()) for i in range(n)]


def test_empty_test_table_gives_an_empty_answer(model: Model, tmp_path: Path):
    folder = layout(tmp_path, {"a": GOOD["plain"]}, ["a"])
    pd.DataFrame({"uuid": pd.Series([], dtype="str")}).to_parquet(folder / "test.parquet")
    frame, _, _ = predict_dataset(model, load(folder, part="test"))
    assert list(frame.columns) == ["uuid", "category1", "category2", *TAGS]
    assert len(frame) == 0


def test_answer_does_not_depend_on_threads_or_company(model: Model, sample: Path):
    dataset = load(sample, part="test")
    uuids = dataset.test["uuid"].tolist()
    one, _ = predict_photos(model, uuids, dataset.photos.read, n_workers=1)
    four, _ = predict_photos(model, uuids, dataset.photos.read, n_workers=4)
    alone, _ = predict_photos(model, uuids[5:6], dataset.photos.read)
    np.testing.assert_array_equal(one.category, four.category)
    np.testing.assert_array_equal(one.tags, four.tags)
    np.testing.assert_array_equal(one.category[5:6], alone.category)


def test_probabilities_have_names_and_sum_to_one(model: Model, sample: Path):
    dataset = load(sample, part="test")
    frame, probabilities, _ = predict_dataset(model, dataset)
    table = tabulate_probabilities(model, frame["uuid"].tolist(), probabilities)
    np.testing.assert_allclose(table[list(CATEGORIES)].sum(axis=1), 1, atol=1e-3)
    assert table[list(TAGS)].stack().between(0, 1).all()
    assert len(table.columns) == 1 + 5 + 3 + 28


def test_description_agrees_with_the_table(model: Model, sample: Path):
    frame, probabilities, _ = predict_dataset(model, load(sample, part="test"))
    names = tabulate(model, frame["uuid"].tolist(), probabilities)
    for row in range(len(frame)):
        answer = describe(model, probabilities, row)
        assert [name for name, _ in answer.categories] == names.loc[row, ["category1", "category2"]].tolist()
        assert [int(present) for present, _ in answer.tags.values()] == names.loc[row, list(TAGS)].tolist()
        assert answer.categories[0][1] >= answer.categories[1][1]


def test_prior_is_a_distribution(model: Model):
    assert model.prior.category.sum() == pytest.approx(1, abs=1e-5)
    assert predict_images(model, np.zeros((2, *model.sizes[0], 3), np.uint8)).tags.shape == (2, 3)


def test_a_model_of_another_version_is_the_users_error(tmp_path: Path):
    shutil.copytree(DEFAULT_MODEL, tmp_path / "model")
    path = tmp_path / "model" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["input"]["size"] = manifest["input"].pop("sizes")[0]  # as it was before photos kept their shape
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="another version of this program, which did not tell 'sizes'"):
        load_model(tmp_path / "model")


def test_a_photo_keeps_its_shape(model: Model):
    for size, taken in (((400, 533), (256, 192)), ((533, 400), (192, 256)), ((300, 533), (288, 160))):
        photo = read_photo(model, photo_bytes(size=size))
        assert photo.shape == (*taken, 3)
        padding = (photo == 127).all(2)
        assert padding.all(0).sum() + padding.all(1).sum() <= 6  # rows and columns: no more than rounding asks for
    square = read_photo(model, photo_bytes(size=(500, 500)))
    assert square.shape == (224, 224, 3)
    assert read_photo(model, rotated()).shape == (256, 192, 3)  # upright, as it is seen


def test_photos_of_many_shapes_are_answered_as_each_is_alone(model: Model):
    sizes = [(400, 533), (533, 400), (300, 533), (400, 533), (512, 512), (533, 300)]
    photos = [read_photo(model, photo_bytes(size=size)) for size in sizes]
    together = predict_images(model, photos)
    for row, photo in enumerate(photos):
        alone = predict_images(model, [photo])
        for name in ("category", "tags", "color"):
            assert np.allclose(getattr(together, name)[row], getattr(alone, name)[0], atol=2e-3)
