"""Where the data can be had, and how each source becomes a folder in the official layout."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from common.data.archives import FileStore, MemberError, ZipStore, open_store, open_zip
from common.data.sources import Source, download
from common.data.stems import index_by_stem
from common.data.tables import replace_atomically
from common.errors import UserError

SOURCES: Final[dict[str, Source]] = {
    source.name: source
    for source in (
        Source(
            name="official",
            url="https://vinted-ml-homework.s3.eu-central-1.amazonaws.com/OCJ4HAtw0xW/v3.zip",
            sha256=None,
            licence="none stated; handed out for the assignment only",
            size_bytes=None,
            note="The official data may be public no longer: use SOURCE=open for real photos under CC0, a copy of "
            "v3.zip or of its four files with --from-dir (make: FROM_DIR=...), or SOURCE=sample for generated photos.",
        ),
        Source(
            name="open",
            # No commit is named here: the photos are pinned one by one, by data/labels/vinted_open_sha256.csv.
            url="https://github.com/alexeygrigorev/clothing-dataset/archive/refs/heads/master.zip",
            sha256=None,
            licence="CC0 1.0, photos and labels",
            size_bytes=None,
            note="Give a clone of https://github.com/alexeygrigorev/clothing-dataset with --from-dir "
            "(make: FROM_DIR=...), or use SOURCE=sample for generated photos.",
        ),
        Source(
            name="patterns",
            url="https://github.com/Holim0711/processed-categorization-dress-patterns/archive/HEAD.zip",
            sha256=None,
            licence="CrowdFlower open data, 'categorization: dress patterns'",
            size_bytes=None,
            note="Give a folder with labels.parquet (uuid, 'polka dot', 'floral', 'checker') and images.zip "
            "(<uuid>.jpeg) with --from-dir (make: FROM_DIR=...).",
        ),
        Source(name="sample", url="", sha256=None, licence="MIT, as the code that draws it", size_bytes=None),
    )
}
_FILES: Final = {
    "official": ("data.zip", "data.parquet", "test.parquet", "example_predictions.parquet"),
    "patterns": ("labels.parquet", "images.zip"),
}


def fetch(name: str, out: Path, from_dir: Path | None = None) -> dict[str, object]:
    """Put the data set `name` into the folder `out`.

    Everything is made and checked in a hidden folder beside `out` first: a fetch that fails leaves `out`
    as it was, one that succeeds replaces the files of the same names there, each at once.

    Args:
        name: one of `SOURCES`.
        out: the folder to fill.
        from_dir: a copy on disk, folder or archive, to take instead of the network; it is only read.

    Returns:
        Counts, and names of what is missing or altered.

    Raises:
        UserError: there is no such source, it cannot be had, or it is not what it should be.
    """
    source = SOURCES.get(name)
    if source is None:
        raise UserError(f"there is no source {name!r}; choose one of {', '.join(SOURCES)}")
    if from_dir is not None:
        _check_copy(source, from_dir, out)
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is not a folder; name a folder to fill")
    try:
        with _staged(out) as stage:
            report = _build(source, from_dir, stage, out)
    except OSError as error:
        raise UserError(f"cannot fetch {name!r} into {out}: {error.strerror} ({error.filename})") from error
    return {"source": name, "from": str(from_dir or source.url or "the generator")} | report


def _check_copy(source: Source, copy: Path, out: Path) -> None:
    if not source.url:
        raise UserError(f"source {source.name!r} is generated; leave --from-dir out")
    if not copy.exists():
        raise UserError(f"--from-dir {copy}: no such file or folder")
    here, there = copy.resolve(), out.resolve()
    if there.is_relative_to(here) or (here.is_file() and here.parent == there):
        raise UserError(f"{out} lies in --from-dir {copy}, which is only read; choose another folder with --out")


@contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """Yield an empty folder on the disk of `out`; its files move to `out` if the block succeeds.

    The folder's parent is the caller's too, for what is not to move; it ends with the block.
    """
    beside = out if out.is_dir() else out.parent
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=beside) as workspace:
        stage = Path(workspace) / "stage"
        stage.mkdir()
        yield stage
        if not out.exists():
            stage.rename(out)
            return
        for file in sorted(stage.iterdir()):
            file.replace(out / file.name)


def _build(source: Source, from_dir: Path | None, stage: Path, out: Path) -> dict[str, object]:
    """Fill `stage`; errors name what the user knows, not the hidden folder."""
    if not source.url:
        from challenges.vinted import sample

        sample.write_sample(stage)
        return _describe_layout(stage)
    origin = from_dir or _download(source, stage.parent / f"{source.name}.zip")
    try:
        if source.name == "open":
            return _rebuild_open(origin, stage)
        _take(source, origin, stage)
        return _describe_layout(stage) if source.name == "official" else _describe_patterns(stage)
    except UserError as error:
        known = str(from_dir or source.url)
        text = str(error).replace(f"cannot write {stage}", f"cannot write {out}")
        raise UserError(text.replace(str(stage), known).replace(str(origin), known)) from error


def _download(source: Source, target: Path) -> Path:
    try:
        return download(source, target)
    except UserError as error:
        raise UserError(f"{error}. {source.note}") from error


# ---------------------------------------------------------------- official, patterns: files as they are


def _take(source: Source, origin: Path, stage: Path) -> None:
    """Copy the source's files out of a folder or an archive."""
    from challenges.vinted.dataset import WRAPPED_LIMITS

    wanted = _FILES[source.name]
    if origin.is_dir():
        origin = _inner(origin, wanted)
    if origin.is_dir():
        _require(source, origin, [name for name in wanted if (origin / name).is_file()])
        for name in wanted:
            with replace_atomically(stage / name) as temporary:
                shutil.copyfile(origin / name, temporary)
        return
    with open_zip(origin, WRAPPED_LIMITS) as store:
        members = _shallowest(store.names, wanted)
        _require(source, origin, list(members))
        for name, member in members.items():
            with replace_atomically(stage / name) as temporary:
                _copy(store, member, temporary)


def _inner(folder: Path, wanted: Sequence[str]) -> Path:
    """Where the files lie: in `folder`, in a folder in it, or in the one archive in it that is not one of them."""
    inner = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(("__", ".")))
    for candidate in (folder, *inner):
        if all((candidate / name).is_file() for name in wanted):
            return candidate
    archives = [p for p in folder.glob("*.zip") if p.name not in wanted]
    return archives[0] if len(archives) == 1 else folder


def _require(source: Source, origin: Path, found: Sequence[str]) -> None:
    missing = [name for name in _FILES[source.name] if name not in found]
    if missing:
        raise UserError(
            f"{origin}: not the data of source {source.name!r}, {', '.join(missing)} missing. {source.note}"
        )


def _shallowest(names: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Map each wanted file name to the member of that name that lies least deep."""
    members: dict[str, str] = {}
    for member in sorted(names, key=lambda name: name.count("/")):
        name = member.rpartition("/")[2]
        if name in wanted:
            members.setdefault(name, member)
    return members


def _copy(store: ZipStore, member: str, target: Path) -> None:
    try:
        store.copy(member, target)
    except MemberError as error:
        raise UserError(f"{store.path}: {error}; download or copy it again") from error


def _describe_layout(folder: Path) -> dict[str, object]:
    """Validate both parts of a folder in the official layout, and count."""
    from challenges.vinted import dataset

    labelled, test = dataset.load(folder, part="labelled"), dataset.load(folder, part="test")
    with labelled.photos.store, test.photos.store:
        assert labelled.labelled is not None
        assert test.test is not None
        uuids = [*labelled.labelled["uuid"], *test.test["uuid"]]
        missing = sorted(set(uuids) - labelled.photos.members.keys())
        return {
            "photos": len(labelled.photos.members),
            "labelled": len(labelled.labelled),
            "test": len(test.test),
            "photos_missing": len(missing),
            "missing": missing,
        } | labelled.report


def _describe_patterns(folder: Path) -> dict[str, object]:
    """Validate a folder of dress patterns, and count."""
    from challenges.vinted import dataset

    photos, labels = dataset.load_patterns(folder)
    with photos.store:
        missing = sorted(set(labels["uuid"]) - photos.members.keys())
        return {
            "photos": len(photos.members),
            "labelled": len(labels),
            "photos_missing": len(missing),
            "missing": missing,
        }


# ---------------------------------------------------------------- open: photos of a repository, labels of ours


def _rebuild_open(origin: Path, stage: Path) -> dict[str, object]:
    """Bring the public photos and our labels into the official layout; the photos' bytes stay as they are.

    A row without a readable photo is left out, and named in the report by its `source_image`.
    """
    import pandas as pd

    from challenges.vinted import dataset
    from common.data.images import ImageError, decode_image

    labels = pd.read_csv(dataset.OPEN_LABELS)
    hashes = pd.read_csv(dataset.OPEN_LABELS.with_name("vinted_open_sha256.csv"))
    declared = dict(zip(hashes["source_image"], hashes["sha256"], strict=True))
    photos: dict[str, bytes] = {}
    missing: list[str] = []
    altered: list[str] = []
    unreadable: dict[str, str] = {}
    with _open_photo_store(origin) as store:
        members = index_by_stem(store.names)
        for uuid, image in zip(labels["uuid"], labels["source_image"], strict=True):
            member = members.get(image, members.get(uuid))
            if member is None:
                missing.append(image)
                continue
            try:
                data = store.read(member)
                if hashlib.sha256(data).hexdigest() != declared[image]:
                    decode_image(data)
                    altered.append(image)
                photos[uuid] = data
            except (MemberError, ImageError) as error:
                unreadable[image] = error.reason if isinstance(error, MemberError) else str(error)
    if not photos:
        raise UserError(
            f"{origin}: none of the {len(labels)} photos can be read there; a copy of clothing-dataset has them as "
            "images/<source_image>.jpg, a rebuilt data set as <uuid>.jpeg in data.zip"
        )
    labels = labels[labels["uuid"].isin(list(photos))]
    is_test = labels["cc3"].isna()
    labelled, test = (labels[rows].reset_index(drop=True) for rows in (~is_test, is_test))
    dataset.write_layout(stage, photos, labelled, test)
    return {
        "photos": len(photos),
        "labelled": len(labelled),
        "test": len(test),
        "photos_missing": len(missing),
        "missing": missing,
        "photos_altered": len(altered),
        "altered": altered,
        "photos_unreadable": len(unreadable),
        "unreadable": unreadable,
    }


def _open_photo_store(origin: Path) -> FileStore:
    """The photos of a rebuilt data set's archive, else every file of the folder or archive itself."""
    for name in ("data.zip", "images.zip"):
        if (origin / name).is_file():
            return open_store(origin / name)
    return open_store(origin)
