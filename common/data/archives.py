"""Files read straight out of a folder or a zip, without unpacking and without trusting the archive."""

from __future__ import annotations

import os
import re
import stat
import struct
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, Protocol, Self

from common.data.tables import DISK_FULL
from common.errors import UserError

_BAD_NAME = re.compile(r"[\x00-\x1f\x7f\\]|^/|^.:|(?:^|/)\.\.(?:/|$)|^$")
_LOCAL_HEADER = struct.Struct("<4s2B4HL2L2H")  # APPNOTE.TXT 4.3.7
_LOCAL_HEADER_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # general purpose flags: encryption, strong encryption, masked header
_EXTRA_FIELD_GUESS = 64  # bytes of a local extra field read along with the data, to save a second read
_PIECE_BYTES = 4 * 2**20  # of a large member at a time; a photo is one piece
_RATIO_FREE_BYTES = 1_000_000  # small files may shrink by any ratio: they do no harm


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold; sizes in bytes after expansion, ratio = expanded / compressed."""

    max_members: int = 2_000_000
    max_member_bytes: int = 200_000_000
    max_total_bytes: int = 200_000_000_000
    max_ratio: float = 200.0


class MemberError(ValueError):
    """One member, `name`, cannot be read for `reason`; the rest of the store can."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type[MemberError], tuple[str, str]]:  # crosses process borders
        return type(self), (self.name, self.reason)


class FileStore(Protocol):
    """Named files, wherever they lie; names are POSIX paths relative to the store, sorted."""

    @property
    def path(self) -> Path | str:
        """The folder or archive; a text where it is the address of a remote one."""

    @property
    def names(self) -> Sequence[str]:
        """The files, sorted, without Mac resource files."""

    def read(self, name: str) -> bytes:
        """The content of one file; may be called from many threads. Raises MemberError."""

    def close(self) -> None:
        """Let go of the archive; reading afterwards is an error."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def open_store(path: Path, limits: ArchiveLimits | None = None) -> FileStore:
    """Open a folder or a zip archive.

    Raises:
        UserError: there is nothing at `path`, it is neither folder nor zip, or it holds what no honest
            archive holds: paths or links out of it, encryption, repeated or overlapping members,
            sizes or ratios over `limits`.
    """
    is_folder = os.path.isdir(path)  # noqa: PTH112 - where it may not look it says no, and `open_zip` says why
    return _FolderStore(path, limits or ArchiveLimits()) if is_folder else open_zip(path, limits)


def open_zip(path: Path, limits: ArchiveLimits | None = None) -> ZipStore:
    """Open a zip archive.

    Raises:
        UserError: as `open_store`.
    """
    try:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; give a folder or a zip archive")
        if not path.is_file():
            raise UserError(f"{path} is neither a folder nor a zip archive")
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return ZipStore(path, file, partial(_read_at, file), limits or ArchiveLimits())


def _read_at(file: IO[bytes], size: int, offset: int) -> bytes:
    """Like `os.pread`, which gives at most 2 GiB at a time."""
    parts = []
    while size > 0 and (part := os.pread(file.fileno(), size, offset)):
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def unpack(path: Path, limits: ArchiveLimits | None = None) -> Path:
    """Copy the files of a zip into a temporary folder, which ends with the process.

    Raises:
        UserError: as `open_zip`; or a file cannot be read, or has a name that no file beside the others can have.
    """
    folder = tempfile.TemporaryDirectory(prefix="unpacked-")
    _UNPACKED.append(folder)
    with open_zip(path, limits) as store:
        for name in store.names:
            target = Path(folder.name) / name  # `open_zip` refused every name that leaves the folder
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                store.copy(name, target)
            except MemberError as error:
                raise UserError(f"{path}: {error}; download or copy it again") from error
            except OSError as error:
                if error.errno in DISK_FULL:
                    raise
                raise UserError(
                    f"{path}: {name}: cannot be unpacked ({error.strerror}); rename or remove it"
                ) from error
    return Path(folder.name)


_UNPACKED: list[tempfile.TemporaryDirectory[str]] = []


def is_litter(name: str) -> bool:
    """Resource forks and folder settings that macOS puts into archives and folders."""
    base = name.rpartition("/")[2]
    return name.startswith("__MACOSX/") or "/__MACOSX/" in name or base.startswith("._") or base == ".DS_Store"


class _FolderStore:
    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        self.path = path
        self._limits = limits
        self.names = sorted(_walk(path, path.resolve(), ""))
        self._known = frozenset(self.names)
        if len(self.names) > limits.max_members:
            raise UserError(f"{path}: holds {len(self.names)} files, more than {limits.max_members}")

    def read(self, name: str) -> bytes:
        if name not in self._known:
            raise MemberError(name, "no such file")
        file = self.path / name
        try:
            with file.open("rb") as stream:
                data = stream.read(self._limits.max_member_bytes + 1)
        except OSError as error:
            raise MemberError(name, f"cannot be read ({error.strerror})") from error
        if len(data) > self._limits.max_member_bytes:
            raise MemberError(name, f"larger than {self._limits.max_member_bytes} bytes")
        return data

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _walk(folder: Path, root: Path, prefix: str) -> Iterator[str]:
    """The regular files under `folder`, named relative to `root`.

    Raises:
        UserError: a folder cannot be listed, or a link leads out of `root`.
    """
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror})") from error
    for entry in entries:
        name = prefix + entry.name
        if entry.is_symlink() and not _leads_into(root, Path(entry.path)):
            raise UserError(f"{folder}: {entry.name!r} is a link that leads out of the folder; put the file there")
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), root, name + "/")
        elif entry.is_file() and not is_litter(name):  # a linked folder inside is met where it lies
            yield name


def _leads_into(root: Path, link: Path) -> bool:
    try:
        return link.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # in a circle
        return False


class _Member(NamedTuple):
    """What the central directory says of a file; sizes and offset in bytes."""

    raw_name: bytes
    offset: int
    compressed_size: int
    size: int
    crc: int
    method: int


class ZipStore:
    """A zip read by position, so that threads share one handle without a lock and expand in parallel.

    `zipfile` parses the central directory; its reader is not used because it serialises all threads on
    one file position and stops at the size that the header claims.

    Args:
        path: what the archive is called in messages.
        file: the open archive, for the central directory; closed with the store.
        read_at: (size, offset) -> bytes of the archive, fewer at its end; called from many threads.
        limits: what the archive may hold.
    """

    def __init__(
        self, path: Path | str, file: IO[bytes], read_at: Callable[[int, int], bytes], limits: ArchiveLimits
    ) -> None:
        self.path = path
        self._file, self._read_at = file, read_at
        try:
            self._members = _read_directory(path, self._file, limits)
        except BaseException:
            self._file.close()
            raise
        self.names = sorted(self._members)
        # A data set lives as long as anyone uses it; the file is closed with the last reference, or by `close`.
        weakref.finalize(self, self._file.close)

    def read(self, name: str) -> bytes:
        """See `FileStore.read`."""
        return b"".join(self._pieces(name))

    def copy(self, name: str, target: Path) -> None:
        """Write the content of one file to `target`, in pieces, so that it may be larger than memory.

        Raises:
            MemberError: it cannot be read; `target` is then a part of it.
            OSError: `target` cannot be written.
        """
        with target.open("wb") as file:
            for piece in self._pieces(name):
                file.write(piece)

    def _pieces(self, name: str) -> Iterator[bytes]:
        member = self._members.get(name)
        if member is None:
            raise MemberError(name, "no such member")
        return _expand(name, member, self._raw(name, member))

    def _raw(self, name: str, member: _Member) -> Iterator[bytes]:
        """The compressed bytes, after the local header has been checked against the directory."""
        head_size, left = _LOCAL_HEADER.size + len(member.raw_name), member.compressed_size
        block = self._block(name, head_size + _EXTRA_FIELD_GUESS + min(left, _PIECE_BYTES), member.offset)
        if len(block) < head_size or not block.startswith(_LOCAL_HEADER_SIGNATURE):
            raise MemberError(name, "its local header is missing")
        *_, name_size, extra_size = _LOCAL_HEADER.unpack_from(block)
        if block[_LOCAL_HEADER.size : _LOCAL_HEADER.size + name_size] != member.raw_name:
            raise MemberError(name, "its local header bears another name")
        start = head_size + extra_size
        piece, end = block[start : start + left], member.offset + start + left
        while True:
            yield piece  # the first is empty after a long extra field
            left -= len(piece)
            if not left:
                return
            piece = self._block(name, min(left, _PIECE_BYTES), end - left)
            if not piece:
                raise MemberError(name, "the archive ends within it")

    def _block(self, name: str, size: int, offset: int) -> bytes:
        try:
            return self._read_at(size, offset)
        except OSError as error:
            raise MemberError(name, f"cannot be read ({error.strerror})") from error

    def close(self) -> None:
        """See `FileStore.close`."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _expand(name: str, member: _Member, raw: Iterator[bytes]) -> Iterator[bytes]:
    """The content in pieces, none large, and never more of it than the directory claims."""
    if member.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MemberError(name, f"compression method {member.method} is not read (stored and deflate are)")
    size = checksum = 0
    for piece in raw if member.method == zipfile.ZIP_STORED else _inflate(name, raw):
        size, checksum = size + len(piece), zlib.crc32(piece, checksum)
        if size > member.size:
            break
        yield piece
    if size != member.size:
        raise MemberError(name, f"expands to another size than the {member.size} bytes it claims")
    if checksum != member.crc:
        raise MemberError(name, "its checksum does not match")


def _inflate(name: str, raw: Iterator[bytes]) -> Iterator[bytes]:
    expander = zlib.decompressobj(-zlib.MAX_WBITS)
    for rest in raw:
        full = True
        while full:  # then there may be more of the same bytes
            try:
                piece = expander.decompress(rest, _PIECE_BYTES)
            except zlib.error as error:
                raise MemberError(name, "its compressed data are broken") from error
            yield piece
            rest, full = expander.unconsumed_tail, len(piece) == _PIECE_BYTES
    if not expander.eof:
        raise MemberError(name, "its compressed data are cut off")


def _read_directory(path: Path | str, file: IO[bytes], limits: ArchiveLimits) -> dict[str, _Member]:
    """The files of a zip by name, after every check that needs no expansion."""
    try:
        with zipfile.ZipFile(file) as archive:  # leaves `file` open: it did not open it
            infos = archive.infolist()
            directory_start = archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError, OSError) as error:
        raise UserError(f"{path}: not a readable zip archive ({error}); download or copy it again") from error
    if len(infos) > limits.max_members:
        raise UserError(f"{path}: holds {len(infos)} members, more than {limits.max_members}")
    members: dict[str, _Member] = {}
    for info in infos:
        if reason := _objection(info, limits) or ("stands twice" if info.filename in members else ""):
            raise UserError(f"{path}: refused, member {info.orig_filename!r} {reason}")
        members[info.filename] = _member(info)
    _check_total(path, members.values(), limits)
    _check_overlaps(path, members, directory_start)
    return {name: m for name, m in members.items() if not name.endswith("/") and not is_litter(name)}


def _member(info: zipfile.ZipInfo) -> _Member:
    name = info.orig_filename  # cp437 is slow in Python
    raw_name = name.encode("utf-8" if info.flag_bits & 0x800 or name.isascii() else "cp437")
    return _Member(raw_name, info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type)


def _objection(info: zipfile.ZipInfo, limits: ArchiveLimits) -> str:
    """Why an honest archive would not hold this member; empty where nothing is wrong."""
    name = info.orig_filename  # `filename` is already cut at a NUL
    mode = info.external_attr >> 16
    if _BAD_NAME.search(name):
        return _name_objection(name)
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, not a file"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.file_size > limits.max_member_bytes:
        return f"expands to {info.file_size} bytes, more than {limits.max_member_bytes}"
    if info.file_size > max(_RATIO_FREE_BYTES, info.compress_size * limits.max_ratio):
        return f"expands more than {limits.max_ratio:g} times"
    return ""


def _name_objection(name: str) -> str:
    if name.startswith("/") or name[1:2] == ":":
        return "has an absolute path"
    if ".." in name.split("/"):
        return "has a path that leads out of the archive"
    return "has a backslash or a control character in its name, or no name"


def _check_total(path: Path | str, members: Iterable[_Member], limits: ArchiveLimits) -> None:
    total = sum(m.size for m in members)
    compressed = sum(m.compressed_size for m in members)
    if total > limits.max_total_bytes:
        raise UserError(f"{path}: refused, expands to {total} bytes, more than {limits.max_total_bytes}")
    if total > max(_RATIO_FREE_BYTES, compressed * limits.max_ratio):
        raise UserError(f"{path}: refused, expands more than {limits.max_ratio:g} times")


def _check_overlaps(path: Path | str, members: Mapping[str, _Member], directory_start: int) -> None:
    """Refuse members that share bytes: the non-recursive bombs of D. Fifield, WOOT 2019, are made so."""
    end = directory_start
    for name, member in sorted(members.items(), key=lambda item: -item[1].offset):
        least = _LOCAL_HEADER.size + len(member.raw_name) + member.compressed_size
        if member.offset < 0 or member.offset + least > end:
            raise UserError(f"{path}: refused, member {name!r} overlaps what follows it")
        end = member.offset
