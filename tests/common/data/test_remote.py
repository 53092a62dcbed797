"""Folders and zips at an address read as local ones do, and what goes wrong is one clear line."""

import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

from common.data.archives import ArchiveLimits, MemberError, open_store
from common.data.remote import absolute, identity, kind, list_files, list_folders, open_address, open_file
from common.errors import UserError

FILES = {f"data/{i}.jpeg": bytes([i]) * (100 + 1_000 * i) for i in range(6)} | {"data/ü ö.txt": b"text"}


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def zipped(compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_remote_zip_reads_as_a_local_one(memory, tmp_path: Path, compression: int):
    memory.pipe_file("/bucket/data.zip", zipped(compression))
    (tmp_path / "data.zip").write_bytes(zipped(compression))
    remote, local = open_address("memory://bucket/data.zip"), open_store(tmp_path / "data.zip")
    assert list(remote.names) == list(local.names) == sorted(FILES)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(remote.read, remote.names)) == [local.read(name) for name in local.names]
    with pytest.raises(MemberError, match="no such member"):
        remote.read("other")


def test_a_remote_folder_reads_as_a_local_one(memory, tmp_path: Path):
    for name, data in FILES.items():
        memory.pipe_file(f"/bucket/photos/{name}", data)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    memory.pipe_file("/bucket/photos/__MACOSX/data/._0.jpeg", b"litter")
    for address in ("memory://bucket/photos", "memory://bucket/photos/", str(tmp_path)):
        with open_address(absolute(address)) as store:
            assert {name: store.read(name) for name in store.names} == FILES
            with pytest.raises(MemberError):
                store.read("data/none.jpeg")


def test_what_vanishes_after_the_listing_is_one_bad_file(memory):
    memory.pipe_file("/bucket/a.jpeg", b"a")
    store = open_address("memory://bucket")
    memory.rm("/bucket/a.jpeg")
    with pytest.raises(MemberError, match="no such file"):
        store.read("a.jpeg")


def test_limits_hold_for_remote_files(memory):
    memory.pipe_file("/bucket/photos/large.jpeg", bytes(2_000))
    memory.pipe_file("/bucket/data.zip", zipped())
    limits = ArchiveLimits(max_member_bytes=1_000)
    with pytest.raises(MemberError, match="larger than 1000 bytes"):
        open_address("memory://bucket/photos", limits).read("large.jpeg")
    with pytest.raises(UserError, match="more than 1000"):
        open_address("memory://bucket/data.zip", limits)
    with pytest.raises(UserError, match="more than 0"):
        open_address("memory://bucket/photos", ArchiveLimits(max_members=0))


def test_listings(memory):
    for name in ("a/1.parquet", "a/b/2.parquet", "c.txt"):
        memory.pipe_file(f"/box/{name}", b"x")
    assert list_files("memory://box") == ["a/1.parquet", "a/b/2.parquet", "c.txt"]
    assert list_folders("memory://box") == ["a"]
    assert [kind(f"memory://box/{name}") for name in ("a", "c.txt", "none")] == ["directory", "file", None]


def test_identity_changes_with_the_files_alone(tmp_path: Path):
    (tmp_path / "a.jpeg").write_bytes(b"a")
    first = identity(str(tmp_path))
    (tmp_path / "a.jpeg").read_bytes()
    assert identity(str(tmp_path)) == first
    (tmp_path / "b.jpeg").write_bytes(b"b")
    second = identity(str(tmp_path))
    assert second != first
    (tmp_path / "a.jpeg").write_bytes(b"other")
    assert identity(str(tmp_path)) not in (first, second)
    assert identity(str(tmp_path / "a.jpeg")) == identity(str(tmp_path / "a.jpeg"))


def test_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("x") == absolute(Path("x")) == absolute(f"file://{tmp_path}/x") == str(tmp_path / "x")
    assert absolute("s3://bucket/folder/") == "s3://bucket/folder"
    assert absolute("a::b") == str(tmp_path / "a::b")  # an odd name, but a name
    with pytest.raises(UserError, match="chained"):
        absolute("zip://x::s3://bucket/data.zip")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nosuch://bucket/data", "nosuch"),
        ("memory://nothing/here", "no such file or folder"),
        ("webhdfs://127.0.0.1:1/data", "cannot be read .*; try again later"),  # nobody listens on port 1
        ("/no/such/folder", "no such file or folder"),
    ],
)
def test_mistakes_are_one_line(memory, address: str, words: str):
    for use in (open_address, identity):
        with pytest.raises(UserError, match=words) as caught:
            use(address)
        assert "\n" not in str(caught.value)


def test_a_broken_zip_is_named(memory):
    memory.pipe_file("/bucket/data.zip", zipped()[:-30])
    with pytest.raises(UserError, match=r"memory://bucket/data\.zip: not a readable zip"):
        open_address("memory://bucket/data.zip")


def test_a_network_that_fails_is_no_bad_photo(memory, monkeypatch: pytest.MonkeyPatch):
    """Otherwise a hiccup would give a thousand photos the prior, and only the report would know."""
    memory.pipe_file("/bucket/photos/a.jpeg", b"a")
    store = open_address("memory://bucket/photos")

    def fail(*_: object, **__: object) -> bytes:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(type(memory), "cat_file", fail)
    with pytest.raises(UserError, match=r"photos/a\.jpeg: cannot be read \(ConnectionResetError: reset by peer\)"):
        store.read("a.jpeg")


def test_open_file(memory):
    memory.pipe_file("/bucket/x", b"12345")
    with open_file("memory://bucket/x") as file:
        file.seek(2)
        assert file.read() == b"345"
    with pytest.raises(UserError, match="no such file"), open_file("memory://bucket/y"):
        pass
