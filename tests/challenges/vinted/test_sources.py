"""What a fetched data set must be, and what a fetch must leave alone."""

import dataclasses
import errno
import re
import shutil
import socket
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import common.data.sources
from challenges.vinted import dataset, sample, sources
from common.errors import UserError

REAL = pytest.mark.real_data


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> dict[str, bytes]:
    """All 895 photos, by uuid."""
    with zipfile.ZipFile(shared_data / "vinted_like" / "data.zip") as archive:
        return {Path(n).stem: archive.read(n) for n in archive.namelist() if not n.endswith("/")}


@pytest.fixture(scope="module")
def labels() -> pd.DataFrame:
    return pd.read_csv(dataset.OPEN_LABELS)


def layout(folder: Path, uuids: tuple[str, ...] = ("a1", "b2", "c3")) -> Path:
    """A tiny data set in the official layout: the last photo is the test part."""
    tags = dict.fromkeys(dataset.TAGS, 0)
    rows = [{"uuid": u, "cc3": "SHIRTS", "color1": "RED"} | tags for u in uuids[:-1]]
    test = pd.DataFrame({"uuid": [uuids[-1]]})
    dataset.write_layout(folder, {u: b"jpeg " + u.encode() for u in uuids}, pd.DataFrame(rows), test)
    return folder


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        p.relative_to(folder).as_posix(): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


# ---------------------------------------------------------------- what every source shares


def test_unknown_source_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="official, open, patterns, sample"):
        sources.fetch("kaggle", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["official", "open", "patterns"])
def test_missing_copy_is_named_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        sources.fetch(name, tmp_path / "out", tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["official", "open", "patterns"])
def test_empty_copy_is_refused_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as raised:
        sources.fetch(name, tmp_path / "out", tmp_path / "empty")
    assert str(tmp_path / "empty") in str(raised.value)
    assert "\n" not in str(raised.value)
    assert [p.name for p in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("inside", [".", "sub/folder"])
def test_a_copy_is_never_written_to(tmp_path: Path, inside: str) -> None:
    copy = layout(tmp_path / "copy")
    with pytest.raises(UserError, match="choose another folder with --out"):
        sources.fetch("official", copy / inside, copy)
    assert len(list(copy.iterdir())) == 4


def test_out_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is not a folder"):
        sources.fetch("official", tmp_path / "file", layout(tmp_path / "copy"))
    assert (tmp_path / "file").read_text() == "mine"


def test_sample_is_generated_into_the_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "write_sample", layout)  # drawing has its own tests
    report = sources.fetch("sample", tmp_path / "new" / "out")
    assert (report["photos"], report["labelled"], report["test"], report["photos_missing"]) == (3, 2, 1, 0)
    assert report["from"] == "the generator"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]
    with pytest.raises(UserError, match="generated; leave --from-dir out"):
        sources.fetch("sample", tmp_path / "out", tmp_path)


def test_failed_download_says_what_to_do_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound and not listening: refuses
        taken.bind(("127.0.0.1", 0))
        gone = dataclasses.replace(
            sources.SOURCES["official"], url=f"http://127.0.0.1:{taken.getsockname()[1]}/OCJ4HAtw0xW/v3.zip"
        )
        monkeypatch.setitem(sources.SOURCES, "official", gone)
        monkeypatch.setattr(common.data.sources, "PAUSE_S", 0.0)
        with pytest.raises(UserError) as raised:
            sources.fetch("official", tmp_path / "out")
    message = str(raised.value)
    assert all(word in message for word in (gone.url, "SOURCE=open", "--from-dir", "SOURCE=sample"))
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_every_source_declares_address_and_licence() -> None:
    for name, source in sources.SOURCES.items():
        assert source.name == name
        assert source.licence
        assert source.url.startswith("https://") or name == "sample"


# ---------------------------------------------------------------- official


@pytest.mark.parametrize("form", ["folder", "one folder down", "archive", "folder of the archive"])
def test_official_is_copied_byte_for_byte(tmp_path: Path, form: str) -> None:
    copy = layout(tmp_path / "copy" / "v3")
    original = snapshot(copy)
    from_dir = copy if form == "folder" else copy.parent
    if "archive" in form:
        (tmp_path / "download").mkdir()
        archive = Path(shutil.make_archive(str(tmp_path / "download" / "v3"), "zip", copy.parent))
        from_dir = archive if form == "archive" else archive.parent
    before = snapshot(tmp_path)
    report = sources.fetch("official", tmp_path / "out", from_dir)
    assert {n: d for n, (d, _) in snapshot(tmp_path / "out").items()} == {n: d for n, (d, _) in original.items()}
    assert {n: s for n, s in snapshot(tmp_path).items() if not n.startswith("out/")} == before
    assert (report["photos"], report["labelled"], report["test"]) == (3, 2, 1)
    assert report["from"] == str(from_dir)


def test_official_with_a_bad_value_leaves_what_was_there(tmp_path: Path) -> None:
    copy, out = layout(tmp_path / "copy"), layout(tmp_path / "out", ("x", "y"))
    frame = pd.read_parquet(copy / "data.parquet").assign(cc3=["SHIRTS", "SOCKS"])
    frame.to_parquet(copy / "data.parquet")
    before = snapshot(out)
    with pytest.raises(UserError, match="row 1: 'SOCKS'") as raised:
        sources.fetch("official", out, copy)
    assert str(copy / "data.parquet") in str(raised.value)
    assert ".fetch-" not in str(raised.value)
    assert snapshot(out) == before


def test_a_full_disk_is_told_of_the_place_that_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the copy, which is only read."""
    copy, out = layout(tmp_path / "copy"), tmp_path / "out"

    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fill)
    with pytest.raises(UserError, match=re.escape(f"cannot write {out}/")) as raised:
        sources.fetch("official", out, copy)
    assert str(copy) not in str(raised.value)
    assert not out.exists()


def test_official_replaces_older_files_and_keeps_others(tmp_path: Path) -> None:
    copy, out = layout(tmp_path / "copy"), layout(tmp_path / "out", ("x", "y"))
    (out / "notes.txt").write_text("mine")
    sources.fetch("official", out, copy)
    assert sorted(p.name for p in out.iterdir()) == sorted(["notes.txt", *(p.name for p in copy.iterdir())])
    assert (out / "data.zip").read_bytes() == (copy / "data.zip").read_bytes()


def test_official_names_missing_photos(tmp_path: Path) -> None:
    copy = layout(tmp_path / "copy")
    with zipfile.ZipFile(copy / "data.zip", "w") as archive:
        archive.writestr("data/a1.jpeg", b"jpeg")
    report = sources.fetch("official", tmp_path / "out", copy)
    assert (report["photos_missing"], report["missing"]) == (2, ["b2", "c3"])


@REAL
def test_official_tables_without_photos_are_refused(tmp_path: Path, shared_data: Path) -> None:
    with pytest.raises(UserError, match=r"data\.zip missing"):
        sources.fetch("official", tmp_path / "out", shared_data / "vinted_official")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- open


@REAL
def test_open_rebuilds_the_original_from_its_copy(tmp_path: Path, shared_data: Path, photos: dict[str, bytes]) -> None:
    original, out = shared_data / "vinted_like", tmp_path / "out"
    report = sources.fetch("open", out, original)
    assert sorted(p.name for p in out.iterdir()) == sorted(sources._FILES["official"])
    for name in ("data.parquet", "test.parquet"):
        expected = pd.read_parquet(original / name).drop_duplicates().sort_values("uuid", ignore_index=True)
        rebuilt = pd.read_parquet(out / name).sort_values("uuid", ignore_index=True)
        pd.testing.assert_frame_equal(rebuilt, expected)
    example, expected = (pd.read_parquet(f / "example_predictions.parquet") for f in (out, original))
    assert example.dtypes.to_dict() == expected.dtypes.to_dict()
    assert list(example["uuid"]) == list(pd.read_parquet(out / "test.parquet")["uuid"])
    with zipfile.ZipFile(out / "data.zip") as archive:
        assert {n: archive.read(n) for n in archive.namelist()} == {f"data/{u}.jpeg": d for u, d in photos.items()}
    assert (report["photos"], report["labelled"], report["test"]) == (895, 629, 266)
    assert (report["photos_missing"], report["photos_altered"], report["photos_unreadable"]) == (0, 0, 0)


@REAL
@pytest.mark.parametrize("zipped", [False, True])
def test_open_names_missing_and_altered_photos_of_a_clone(
    tmp_path: Path, photos: dict[str, bytes], labels: pd.DataFrame, zipped: bool
) -> None:
    clone = tmp_path / "clothing-dataset-master"
    (clone / "images").mkdir(parents=True)
    (clone / "images.csv").write_text("image,sender_id,label,kids\n")
    rows = labels[labels["cc3"].notna()].head(4)
    sources_of, uuids = rows["source_image"].tolist(), rows["uuid"].tolist()
    whole, other, broken, moved = (photos[uuid] for uuid in uuids)
    (clone / "images" / f"{sources_of[0]}.jpg").write_bytes(whole)
    (clone / "images" / f"{sources_of[1]}.jpg").write_bytes(other + b"\0")  # decodes, is not the declared file
    (clone / "images" / f"{sources_of[2]}.jpg").write_bytes(broken[: len(broken) // 2])
    (clone / "more").mkdir()
    (clone / "more" / f"{sources_of[3]}.JPEG").write_bytes(moved)
    from_dir = clone
    if zipped:
        from_dir = Path(shutil.make_archive(str(tmp_path / "master"), "zip", tmp_path, clone.name))
    report = sources.fetch("open", tmp_path / "out", from_dir)
    assert report["photos_missing"] == len(labels) - 4
    assert set(report["missing"]) == set(labels["source_image"]) - set(sources_of)
    assert report["altered"] == [sources_of[1]]
    assert list(report["unreadable"]) == [sources_of[2]]
    assert report["unreadable"][sources_of[2]]
    assert pd.read_parquet(tmp_path / "out" / "data.parquet")["uuid"].tolist() == [uuids[0], uuids[1], uuids[3]]
    with zipfile.ZipFile(tmp_path / "out" / "data.zip") as archive:
        assert archive.read(f"data/{uuids[1]}.jpeg") == other + b"\0"
        assert len(archive.namelist()) == 3


def test_open_hashes_and_labels_are_of_the_same_photos(labels: pd.DataFrame) -> None:
    hashes = pd.read_csv(dataset.OPEN_LABELS.with_name("vinted_open_sha256.csv"))
    assert set(hashes["source_image"]) == set(labels["source_image"])
    assert hashes["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert hashes["sha256"].is_unique


# ---------------------------------------------------------------- patterns


@REAL
def test_patterns_are_copied(tmp_path: Path, shared_data: Path) -> None:
    report = sources.fetch("patterns", tmp_path / "out", shared_data / "dress_patterns")
    assert (report["photos"], report["labelled"], report["photos_missing"]) == (3325, 3325, 0)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["images.zip", "labels.parquet"]


def test_patterns_of_another_layout_say_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "train.csv").write_text("image,label\n")
    with pytest.raises(UserError, match=r"labels\.parquet .*images\.zip"):
        sources.fetch("patterns", tmp_path / "out", tmp_path / "repository")
