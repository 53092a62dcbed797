"""Files at an address: a local path, or any file system fsspec knows (s3://, gs://, abfs://, hdfs://, webhdfs://).

Credentials and options are fsspec's: from the environment or its configuration files. Chained addresses
('zip://...::s3://...') are not read.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from common.data.archives import ArchiveLimits, FileStore, MemberError, ZipStore, is_litter, open_store
from common.errors import UserError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_ACCESS_TIMES = frozenset({"atime", "accessTime", "last_accessed", "LastAccessed"})  # reading changes them


def absolute(address: str | Path) -> str:
    """Return the address as every process can use it: a local path made absolute, 'file://' taken off.

    Raises:
        UserError: it is a chained address.
    """
    text = str(address)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    if "://" not in text:
        return str(Path(text).resolve())
    if "::" in text:
        raise UserError(f"{text}: chained addresses ('::') are not read; give the folder's own address")
    return text.rstrip("/")


def is_remote(address: str) -> bool:
    """Tell an address of another machine from a local path."""
    return "://" in address


def filesystem(address: str) -> tuple[AbstractFileSystem, str]:
    """Return the file system of an absolute address, and the path on it.

    Raises:
        UserError: fsspec or the package for this kind of address is not installed, or there is no such kind.
    """
    try:
        import fsspec
    except ImportError as error:
        raise UserError(f"{address}: remote files need fsspec; run: pip install -e '.[distributed]'") from error
    try:
        if is_remote(address):
            fs, path = fsspec.url_to_fs(address)
            return fs, str(path).rstrip("/")
        return fsspec.filesystem("file"), address  # `url_to_fs` would take '::' in a local name for a chain
    except (ImportError, ValueError) as error:
        raise UserError(f"{address}: cannot be opened ({' '.join(str(error).split())})") from error


@contextmanager
def reading(address: str) -> Iterator[None]:
    """Turn what a file system raises inside into the user's error.

    A network that fails is not a photo that cannot be read: it ends the run, which can be started again.
    """
    try:
        yield
    except (UserError, MemberError):
        raise
    except FileNotFoundError as error:
        raise UserError(f"{address}: no such file or folder") from error
    except Exception as error:  # the file systems' errors share no base class but Exception
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"{address}: cannot be read ({what}); try again later, or check the credentials") from error


def list_files(address: str) -> list[str]:
    """Names of the files under a folder, relative to it and sorted, without Mac litter.

    Raises:
        UserError: the folder cannot be listed.
    """
    fs, root = filesystem(address)
    with reading(address):
        return sorted(name for name in _walk(fs, root) if not is_litter(name))


def list_folders(address: str) -> list[str]:
    """Names of the folders that lie directly in a folder, sorted.

    Raises:
        UserError: there is no such folder, or it cannot be listed.
    """
    fs, root = filesystem(address)
    with reading(address):
        entries = fs.ls(root, detail=True)
    return sorted(_relative(root, entry["name"].rstrip("/")) for entry in entries if entry["type"] == "directory")


def kind(address: str) -> str | None:
    """Return 'file', 'directory', or None where there is nothing.

    Raises:
        UserError: the file system cannot be asked.
    """
    fs, path = filesystem(address)
    with reading(address):
        try:
            return str(fs.info(path)["type"])
        except FileNotFoundError:
            return None


@contextmanager
def open_file(address: str) -> Iterator[Any]:
    """Open a file to read; what goes wrong inside the block is the user's error."""
    fs, path = filesystem(address)
    with reading(address), fs.open(path, "rb") as file:
        yield file


def identity(address: str) -> str:
    """One sha256 of what a listing tells of a file, or of all files under a folder: name, size, dates, tags.

    It changes when a file is written again, and costs no reading. On another place the same files have
    another identity.

    Raises:
        UserError: there is nothing at `address`, or it cannot be listed.
    """
    fs, path = filesystem(address)
    with reading(address):
        found = _walk(fs, path) if fs.info(path)["type"] == "directory" else {"": fs.info(path)}
    known = [sorted((k, str(v)) for k, v in info.items() if k not in _ACCESS_TIMES) for info in found.values()]
    return hashlib.sha256(repr(sorted(known)).encode("utf-8", "surrogateescape")).hexdigest()


def open_address(address: str, limits: ArchiveLimits | None = None) -> FileStore:
    """Open a folder or a zip at a local path or remote address, to read single files from any thread.

    A remote zip is not copied: its central directory is read once, then each member by its range of bytes.
    A remote folder is listed once; both take memory by the number of files, not by their size.

    Raises:
        UserError: as `open_store`, or the address cannot be read. Reading a file raises it, too, where the
            network fails: that is no fault of the file.
    """
    if not is_remote(address):
        return open_store(Path(address), limits)
    limits, found = limits or ArchiveLimits(), kind(address)
    if found is None:
        raise UserError(f"{address}: no such file or folder")
    if found == "directory":
        return _RemoteFolder(address, limits)
    fs, path = filesystem(address)
    with reading(address):
        return ZipStore(address, fs.open(path, "rb"), _RangeReader(address).read_at, limits)


class _RangeReader:
    """Ranges of a remote file. Every thread has its own handle, since a handle has one position."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.fs, self.path = filesystem(address)
        self.handles = threading.local()

    def read_at(self, size: int, offset: int) -> bytes:
        with reading(self.address):
            if not hasattr(self.handles, "file"):
                # No read-ahead, for the next photo lies elsewhere; little of it where the kind of cache is ignored.
                self.handles.file = self.fs.open(self.path, "rb", block_size=2**16, cache_type="none")
            self.handles.file.seek(offset)
            return bytes(self.handles.file.read(size))


class _RemoteFolder:
    def __init__(self, address: str, limits: ArchiveLimits) -> None:
        self.path = address
        self._fs, self._root = filesystem(address)
        self._limits = limits
        with reading(address):
            found = _walk(self._fs, self._root)
        self._sizes = {name: info["size"] for name, info in found.items() if not is_litter(name)}
        self.names: Sequence[str] = sorted(self._sizes)
        if len(self.names) > limits.max_members:
            raise UserError(f"{address}: holds {len(self.names)} files, more than {limits.max_members}")

    def read(self, name: str) -> bytes:
        if name not in self._sizes:
            raise MemberError(name, "no such file")
        if self._sizes[name] > self._limits.max_member_bytes:
            raise MemberError(name, f"larger than {self._limits.max_member_bytes} bytes")
        with reading(f"{self.path}/{name}"):
            try:
                return bytes(self._fs.cat_file(f"{self._root}/{name}"))
            except FileNotFoundError as error:
                raise MemberError(name, "no such file") from error

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _walk(fs: AbstractFileSystem, root: str) -> dict[str, dict[str, Any]]:
    """What is known of each file under a folder, by its name relative to it.

    `find` would leave out, without a word, the folders that cannot be listed just now.
    """
    folders = fs.walk(root, detail=True, on_error="raise")
    return {_relative(root, info["name"]): info for _, _, files in folders for info in files.values()}


def _relative(root: str, path: str) -> str:
    return path.removeprefix(root).lstrip("/")
