"""The official layout: what is read, merged and refused, and that nothing leaks across a split."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from challenges.vinted.dataset import CATEGORIES, COLORS, TAGS, contributors, encode, load, load_patterns, merge_repeats
from common.data.archives import MemberError
from common.errors import UserError

ROW = {"uuid": "a", "cc3": "SHIRTS", "color1": "RED", "polka dot": 0, "floral": 1, "checker": 0}


def table(*changes: dict) -> pd.DataFrame:
    return pd.DataFrame([ROW | change for change in changes])


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    table({}, {"uuid": "b", "cc3": "BLOUSES"}).to_parquet(tmp_path / "data.parquet")
    pd.DataFrame({"uuid": ["c", "d"]}).to_parquet(tmp_path / "test.parquet")
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name in "abcd":
            archive.writestr(f"data/{name}.jpeg", name)
        archive.writestr("__MACOSX/data/._a.jpeg", "resource fork")
    return tmp_path


def test_reads_the_layout(layout: Path):
    labelled = load(layout, part="labelled")
    assert labelled.labelled["uuid"].tolist() == ["a", "b"]
    assert labelled.photos.read("b") == b"b"
    test = load(layout, part="test")
    assert test.test["uuid"].tolist() == ["c", "d"]
    assert test.example is None
    with pytest.raises(KeyError):
        test.photos.read("z")


def test_reads_an_archive_of_the_whole(layout: Path, tmp_path_factory):
    whole = tmp_path_factory.mktemp("whole") / "v3.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        for file in layout.iterdir():
            archive.write(file, f"v3/{file.name}")
    dataset = load(whole, part="labelled")
    assert dataset.labelled["uuid"].tolist() == ["a", "b"]
    assert dataset.photos.read("a") == b"a"


def test_a_damaged_archive_of_the_whole_is_the_users_to_mend(layout: Path, tmp_path_factory):
    whole = tmp_path_factory.mktemp("whole") / "v3.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        archive.write(layout / "data.parquet", "data.parquet")
    content = bytearray(whole.read_bytes())
    content[100] ^= 0xFF
    whole.write_bytes(content)
    with pytest.raises(UserError, match=r"v3\.zip: data\.parquet: .*download or copy it again"):
        load(whole, part="labelled")


def test_photos_may_lie_in_a_folder(layout: Path):
    with zipfile.ZipFile(layout / "data.zip") as archive:
        archive.extractall(layout)
    (layout / "data.zip").unlink()
    assert load(layout, part="test").photos.read("c") == b"c"


def test_two_photos_of_one_uuid_are_read_only_if_they_are_the_same(layout: Path):
    with zipfile.ZipFile(layout / "data.zip", "a") as archive:
        archive.writestr("copy/c.jpg", "c")
        archive.writestr("thumbs/d.jpg", "smaller")
    photos = load(layout, part="test").photos
    assert photos.read("c") == b"c"
    with pytest.raises(MemberError, match=r"data/d\.jpeg: another photo has this uuid: thumbs/d\.jpg"):
        photos.read("d")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cc3": "SKIRTS"}, ["data.parquet", "cc3", "row 1", "SKIRTS", "BLOUSES"]),
        ({"color1": "PLAID"}, ["color1", "row 1", "PLAID"]),
        ({"floral": 2}, ["floral", "row 1", "2"]),
        ({"floral": None}, ["floral", "row 1"]),
        ({"uuid": None}, ["uuid", "row 1"]),
        ({"uuid": ""}, ["uuid", "row 1"]),
    ],
)
def test_bad_values_are_named(layout: Path, change: dict, words: list[str]):
    table({}, {"uuid": "b"} | change).to_parquet(layout / "data.parquet")
    with pytest.raises(UserError) as error:
        load(layout, part="labelled")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_missing_column_is_named(layout: Path):
    table({}).drop(columns="checker").to_parquet(layout / "data.parquet")
    with pytest.raises(UserError, match="'checker' is missing"):
        load(layout, part="labelled")


@pytest.mark.parametrize("name", ["data.parquet", "data.zip"])
def test_missing_file_is_named(layout: Path, name: str):
    (layout / name).unlink()
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load(layout, part="labelled")


def test_unreadable_table_is_named(layout: Path):
    (layout / "test.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match=r"test\.parquet: not a readable parquet"):
        load(layout, part="test")


def test_a_table_without_rows_is_named(layout: Path):
    table({}).iloc[:0].to_parquet(layout / "data.parquet")
    with pytest.raises(UserError, match=r"data\.parquet: .*no rows"):
        load(layout, part="labelled")


def test_no_such_folder(tmp_path: Path):
    with pytest.raises(UserError, match="no such file or folder"):
        load(tmp_path / "none", part="test")


def test_exact_repeats_are_dropped_and_counted():
    merged, report = merge_repeats(table({}, {}, {"uuid": "b"}), Path("data.parquet"))
    assert merged["uuid"].tolist() == ["a", "b"]
    assert (report["rows"], report["exact_repeats_dropped"], report["rows_joined"]) == (3, 1, 0)


def test_rows_that_differ_in_tags_are_joined():
    merged, report = merge_repeats(table({}, {"checker": 1, "floral": 0, "color1": "BLUE"}), Path("data.parquet"))
    assert merged[list(TAGS)].iloc[0].tolist() == [0, 1, 1]
    assert merged["color1"].iloc[0] is None
    assert report["joined_uuids"] == ["a"]


def test_contradicting_categories_are_refused():
    with pytest.raises(UserError, match=r"rows \[0, 2\].*'a'.*SHIRTS.*BLOUSES"):
        merge_repeats(table({}, {"uuid": "b"}, {"cc3": "BLOUSES"}), Path("data.parquet"))


def test_encoding_round_trips():
    frame = table(*({"uuid": str(i), "cc3": c, "color1": COLORS[i]} for i, c in enumerate(CATEGORIES)))
    labels = encode(frame)
    assert [CATEGORIES[i] for i in labels.categories.argmax(1)] == frame["cc3"].tolist()
    assert (labels.categories.sum(1) == 1).all()
    assert [COLORS[i] for i in labels.colors] == frame["color1"].tolist()
    assert encode(frame.assign(color1=None)).colors.tolist() == [-1] * 5


def test_worn_dress_is_casual_or_mini():
    labels = encode(pd.DataFrame([{"uuid": "x", "polka dot": 1, "floral": 0, "checker": 0}]))
    assert [CATEGORIES[i] for i in np.flatnonzero(labels.categories[0])] == ["CASUAL_DRESSES", "MINI_DRESSES"]
    assert labels.colors.tolist() == [-1]


def test_unknown_photos_are_their_own_contributor():
    assert contributors(pd.Series(["not-ours", "nor-this"])).tolist() == ["not-ours", "nor-this"]


@pytest.mark.real_data
def test_official_tables(shared_data: Path):
    from challenges.vinted.dataset import labelled_schema
    from common.data.tables import read_parquet

    path = shared_data / "vinted_official" / "data.parquet"
    merged, report = merge_repeats(read_parquet(path, labelled_schema()), path)
    assert (report["rows"], report["exact_repeats_dropped"], len(merged)) == (3547, 111, 3436)


@pytest.mark.real_data
def test_real_photos_are_all_found(shared_data: Path):
    labelled = load(shared_data / "vinted_like", part="labelled")
    test = load(shared_data / "vinted_like", part="test")
    assert len(labelled.labelled) == 629
    wanted = {*labelled.labelled["uuid"], *test.test["uuid"]}
    assert wanted <= labelled.photos.members.keys()
    photos, frame = load_patterns(shared_data / "dress_patterns")
    assert set(frame["uuid"]) <= photos.members.keys()


@pytest.mark.real_data
def test_no_contributor_stands_on_both_sides(shared_data: Path):
    labelled = load(shared_data / "vinted_like", part="labelled").labelled
    test = load(shared_data / "vinted_like", part="test").test
    assert not set(contributors(labelled["uuid"])) & set(contributors(test["uuid"]))
