"""Reading folders and zips: the same bytes as `zipfile`, and no archive can harm us."""

import errno
import io
import os
import stat
import struct
import tracemalloc
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.archives import _PIECE_BYTES, ArchiveLimits, MemberError, ZipStore, open_store, unpack
from common.errors import UserError


def read_one(path: Path, name: str, limits: ArchiveLimits | None = None) -> bytes:
    with open_store(path, limits) as store:
        return store.read(name)


def make_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


def patch_directory(path: Path, offset: int, form: str, value: int) -> None:
    """Overwrite a field of the first central directory entry."""
    raw = bytearray(path.read_bytes())
    struct.pack_into(form, raw, raw.index(b"PK\x01\x02") + offset, value)
    path.write_bytes(raw)


SAFE_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\:", exclude_categories=["C"]), min_size=1)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        SAFE_NAMES.filter(lambda n: n not in (".", "..", ".DS_Store") and n[:2] != "._"),
        st.tuples(st.binary(max_size=3000), st.booleans()),
        max_size=6,
    )
)
def test_a_zip_reads_as_zipfile_reads_it(
    tmp_path_factory: pytest.TempPathFactory, members: dict[str, tuple[bytes, bool]]
) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, (data, packed) in members.items():
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)
    with open_store(path) as store:
        assert {name: store.read(name) for name in store.names} == {n: d for n, (d, _) in members.items()}
        assert list(store.names) == sorted(members)


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.integers(0, 10_000))
def test_a_damaged_zip_gives_right_bytes_or_a_clean_error(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, cut: int
) -> None:
    members = {"data/a.jpeg": b"abc" * 50, "data/b.jpeg": bytes(range(256)), "c.csv": b"x,y\n1,2\n"}
    path = make_zip(tmp_path_factory.mktemp("zip") / "a.zip", members)
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] = value
    path.write_bytes(raw[: len(raw) - (cut % len(raw) if cut % 3 == 0 else 0)])
    with suppress(UserError), open_store(path) as store:
        for name in store.names:
            with suppress(MemberError):
                assert store.read(name) in members.values()


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "..",
        "/etc/passwd",
        "C:/evil",
        "c:evil",
        "a\\b",
        "..\\evil",
        "a\nb",
        "a\x1b[2J",
        "a/..",
    ],
)
def test_a_dangerous_name_is_refused(tmp_path: Path, name: str) -> None:
    path = make_zip(tmp_path / "a.zip", {"good": b"x", name: b"y"})
    with pytest.raises(UserError, match=r"a\.zip.*member") as caught:
        open_store(path)
    assert repr(name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_with_nul_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"aXb.jpeg": b"x"})
    path.write_bytes(path.read_bytes().replace(b"aXb", b"a\0b"))
    with pytest.raises(UserError, match="control character"):
        open_store(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="link or a device"):
        open_store(tmp_path / "a.zip")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"secret": b"x"})
    patch_directory(path, 8, "<H", 1)
    with pytest.raises(UserError, match="'secret' is encrypted"):
        open_store(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    with pytest.raises(UserError, match="'a' stands twice"):
        open_store(tmp_path / "a.zip")


def test_limits_are_enforced_before_expanding(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": bytes(3_000_000), "b": b"x"})
    for limits, message in (
        (ArchiveLimits(max_members=1), "2 members"),
        (ArchiveLimits(max_member_bytes=2_999_999), "'a' expands to 3000000 bytes"),
        (ArchiveLimits(max_total_bytes=3_000_000, max_ratio=2000), "expands to 3000001 bytes"),
        (ArchiveLimits(), "'a' expands more than 200 times"),
    ):
        with pytest.raises(UserError, match=message):
            open_store(path, limits)
    assert read_one(path, "a", ArchiveLimits(max_ratio=2000)) == bytes(3_000_000)


def test_a_bomb_of_many_small_members_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {f"{i}": bytes(900_000) for i in range(20)})
    with pytest.raises(UserError, match="200 times"):
        open_store(path)


def test_a_header_that_lies_about_the_size_is_found_out(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"bomb": bytes(5_000_000), "good": b"x"})
    patch_directory(path, 24, "<L", 10)  # expanded size
    with open_store(path) as store:
        with pytest.raises(MemberError, match="another size than the 10 bytes"):
            store.read("bomb")
        assert store.read("good") == b"x"


def quoted_overlap(tmp_path: Path) -> Path:
    """Two local headers, the first of which quotes the second as stored data (Fifield 2019, section 3)."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = kernel.compress(bytes(1000)) + kernel.flush()
    inner = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, zlib.crc32(bytes(1000)), len(body), 1000, 1, 0)
    inner += b"b" + body
    outer_data = struct.pack("<BHH", 0, len(inner) - len(body), 0xFFFF ^ (len(inner) - len(body))) + inner
    outer = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(outer_data), 1031, 1, 0) + b"a"
    raw = outer + outer_data
    entries = b""
    for name, offset, size, full in (
        (b"a", 0, len(outer_data), 1031),
        (b"b", len(raw) - len(inner), len(body), 1000),
    ):
        entries += struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, size, full, 1, 0, 0, 0, 0, 0, offset)
        entries += name
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(entries), len(raw), 0)
    (tmp_path / "quoted.zip").write_bytes(raw + entries + end)
    return tmp_path / "quoted.zip"


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="overlaps"):
        open_store(quoted_overlap(tmp_path))
    # Two directory entries that point to one member.
    path = make_zip(tmp_path / "full.zip", {"a": b"same", "b": b"same"}, zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<L", raw, raw.rindex(b"PK\x01\x02") + 42, 0)
    path.write_bytes(raw)
    with pytest.raises(UserError, match="overlaps"):
        open_store(path)


def test_a_broken_member_leaves_the_others_readable(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": b"first" * 9, "b": b"second" * 9}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"first", b"fIrst", 1))
    with open_store(path) as store:
        with pytest.raises(MemberError, match="a: its checksum") as caught:
            store.read("a")
        assert caught.value.reason == "its checksum does not match"
        assert store.read("b") == b"second" * 9
        with pytest.raises(MemberError, match="no such member"):
            store.read("c")


@pytest.mark.parametrize("data", [b"", b"hello, this is text\n" * 100, b"PK\x05\x06", b"PK\x03\x04" + bytes(100)])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UserError, match="not a readable zip"):
        open_store(tmp_path / "a.zip")


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": os.urandom(500)})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match="not a readable zip"):
        open_store(path)


def test_an_empty_zip_holds_nothing(tmp_path: Path) -> None:
    with open_store(make_zip(tmp_path / "a.zip", {})) as store:
        assert list(store.names) == []


def test_other_compression_is_named(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": b"x" * 99}, zipfile.ZIP_BZIP2)
    with pytest.raises(MemberError, match="compression method 12"):
        read_one(path, "a")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        open_store(tmp_path / "none.zip")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="neither a folder nor a zip"):
        open_store(tmp_path / "pipe")


def test_mac_files_and_folders_are_left_out_of_both_stores(tmp_path: Path) -> None:
    members = {
        "data/a.jpeg": b"1",
        "data/._a.jpeg": b"2",
        "__MACOSX/data/._a.jpeg": b"3",
        "data/.DS_Store": b"4",
    }
    folder = tmp_path / "folder"
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(make_zip(tmp_path / "a.zip", members), "a") as archive:
        archive.writestr("data/empty/", b"")
    for path in (folder, tmp_path / "a.zip"):
        with open_store(path) as store:
            assert list(store.names) == ["data/a.jpeg"]
            assert store.read("data/a.jpeg") == b"1"


def test_a_folder_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.jpeg").write_bytes(b"1")
    (folder / "b.jpeg").symlink_to("a.jpeg")  # stays inside
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe")
    with open_store(folder) as store:
        assert list(store.names) == ["a.jpeg", "b.jpeg"]
        assert store.read("b.jpeg") == b"1"
        with pytest.raises(MemberError):
            store.read("../secret")
        (folder / "a.jpeg").unlink()
        with pytest.raises(MemberError, match="cannot be read"):
            store.read("a.jpeg")
    (folder / "out").symlink_to("../secret")
    with pytest.raises(UserError, match="'out' is a link that leads out"):
        open_store(folder)
    (folder / "out").unlink()
    (folder / "circle").symlink_to("circle")
    with pytest.raises(UserError, match="'circle' is a link that leads out"):
        open_store(folder)


def test_a_folder_file_over_the_limit_is_a_member_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(11))
    with pytest.raises(MemberError, match="larger than 10 bytes"):
        open_store(tmp_path, ArchiveLimits(max_member_bytes=10)).read("a")


def test_four_threads_read_the_same_bytes(tmp_path: Path) -> None:
    members = {f"data/{i}.bin": os.urandom(200) * (i % 50 + 1) for i in range(300)}
    with open_store(make_zip(tmp_path / "a.zip", members)) as store, ThreadPoolExecutor(4) as pool:
        names = list(store.names) * 3
        assert list(pool.map(store.read, names)) == [members[n] for n in names]


def test_a_long_local_extra_field_and_a_prefix_are_fine(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        info = zipfile.ZipInfo("a")
        info.extra = struct.pack("<HH", 0xCAFE, 500) + bytes(500)
        archive.writestr(info, b"content")
    (tmp_path / "a.zip").write_bytes(b"#!/bin/sh\n" * 10 + raw.getvalue())
    assert read_one(tmp_path / "a.zip", "a") == b"content"


def test_names_that_are_not_ascii(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"robe été.jpeg": b"1", "платье.jpeg": b"2"})
    assert read_one(path, "платье.jpeg") == b"2"
    plain = make_zip(tmp_path / "b.zip", {"X.jpeg": b"3"})
    plain.write_bytes(plain.read_bytes().replace(b"X.jpeg", b"\x82.jpeg"))  # cp437, as old DOS tools write
    assert read_one(plain, "é.jpeg") == b"3"


def test_member_error_crosses_process_borders() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(MemberError("a", "broken")))
    assert (error.name, error.reason, str(error)) == ("a", "broken", "a: broken")


@pytest.mark.real_data
def test_real_archives_read_as_zipfile_reads_them(shared_data: Path) -> None:
    for name in ("vinted_like/data.zip", "smurfs/smurfs_coco_format.zip"):
        with open_store(shared_data / name) as store, zipfile.ZipFile(shared_data / name) as oracle:
            assert len(store.names) > 40
            for member in store.names[::25]:
                assert store.read(member) == oracle.read(member)


def test_unpacked_files_lie_as_in_the_archive(tmp_path: Path) -> None:
    folder = unpack(make_zip(tmp_path / "a.zip", {"data/a.jpg": b"1", "data.csv": b"2"}))
    assert (folder / "data" / "a.jpg").read_bytes() == b"1"
    assert (folder / "data.csv").read_bytes() == b"2"


@pytest.mark.parametrize("members", [["data", "data/a.jpg"], ["a" * 300]], ids=["a file as folder", "a long name"])
def test_what_no_folder_can_hold_is_not_unpacked(tmp_path: Path, members: list[str]) -> None:
    with pytest.raises(UserError, match=r"a\.zip: .*cannot be unpacked .*; rename or remove it"):
        unpack(make_zip(tmp_path / "a.zip", dict.fromkeys(members, b"1")))


def test_a_damaged_member_is_not_unpacked(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a.csv": b"id,text"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"id,text", b"id,test"))
    with pytest.raises(UserError, match=r"a\.zip: a\.csv: its checksum does not match; download or copy it again"):
        unpack(path)


def test_a_member_for_which_the_disk_has_no_room_is_not_to_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(*_: object) -> None:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr(ZipStore, "copy", copy)
    with pytest.raises(OSError, match="File too large"):
        unpack(make_zip(tmp_path / "a.zip", {"a.csv": b"1"}))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_large_member_is_unpacked_in_pieces(tmp_path: Path, method: int) -> None:
    content = np.random.default_rng(0).integers(0, 16, 50_000_000, dtype=np.uint8).tobytes()
    path = make_zip(tmp_path / "a.zip", {"data.zip": content}, method)
    tracemalloc.start()
    try:
        folder = unpack(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (folder / "data.zip").read_bytes() == content
    assert peak < 25_000_000


def test_a_member_that_inflates_in_full_pieces_is_whole(tmp_path: Path) -> None:
    limits = ArchiveLimits(max_ratio=2_000)
    for extra in (-1, 0, 1):
        content = bytes(3 * _PIECE_BYTES + extra)
        path = make_zip(tmp_path / "a.zip", {"a.bin": content})
        assert read_one(path, "a.bin", limits) == content
        assert (unpack(path, limits) / "a.bin").read_bytes() == content
