"""What the data is: the official layout, its schema, validation and splits. No other file knows the layout."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.data.archives import ArchiveLimits, FileStore, MemberError, unpack
from common.data.remote import absolute, kind, list_folders, open_address, open_file
from common.data.stems import index_by_stem, rivals_by_stem
from common.data.tables import check_table, load_parquet, read_parquet, replace_atomically
from common.errors import UserError

if TYPE_CHECKING:
    import pandera.pandas as pa

CATEGORIES: Final = ("BLOUSES", "CASUAL_DRESSES", "MINI_DRESSES", "SHIRTS", "TANK_TOPS")
TAGS: Final = ("polka dot", "floral", "checker")
COLORS: Final = (
    "APRICOT", "BLACK", "BLUE", "BODY", "BROWN", "BURGUNDY", "CORAL", "CREAM", "DARK-GREEN", "GOLD",
    "GREEN", "GREY", "KHAKI", "LIGHT-BLUE", "LILAC", "MINT", "MUSTARD", "NAVY", "ORANGE", "PINK",
    "PURPLE", "RED", "ROSE", "SILVER", "TURQUOISE", "VARIOUS", "WHITE", "YELLOW",
)  # fmt: skip
WORN_DRESS: Final = frozenset({"CASUAL_DRESSES", "MINI_DRESSES"})  # all that a photo of `dress_patterns` tells

REPOSITORY: Final = Path(__file__).resolve().parents[2]
OFFICIAL: Final = REPOSITORY / "data" / "vinted" / "official"
OPEN_LABELS: Final = REPOSITORY / "data" / "labels" / "vinted_open.csv"

PHOTO_NAMES: Final = ("data.zip", "images.zip", "data", "images")
# The official archive wraps a `data.zip` of a few hundred MB.
WRAPPED_LIMITS: Final = ArchiveLimits(max_member_bytes=8_000_000_000)


@dataclass(frozen=True)
class Photos:
    """Photo files by uuid, read straight out of a folder or a zip."""

    store: FileStore
    members: Mapping[str, str]  # uuid -> name in the store
    rivals: Mapping[str, Sequence[str]]  # uuid -> names of more photos, as of thumbnails or another folder

    def read(self, uuid: str) -> bytes:
        """Return the file's bytes.

        Raises:
            KeyError: there is no photo of this uuid.
            MemberError: it is there and cannot be read, or is one of several that differ.
        """
        photo = self.store.read(self.members[uuid])
        for rival in self.rivals.get(uuid, ()):
            if self.store.read(rival) != photo:
                raise MemberError(self.members[uuid], f"another photo has this uuid: {rival}; remove one")
        return photo


@dataclass(frozen=True)
class Dataset:
    """One data set in the official layout."""

    photos: Photos
    labelled: pd.DataFrame | None  # uuid, cc3, color1 (str; color1 None where rows disagreed), tags (int64)
    test: pd.DataFrame | None  # uuid, as many rows and in the order of the file
    example: pd.DataFrame | None  # example_predictions.parquet, which sets columns and dtypes of the answer
    tables: Mapping[str, Path]  # the parquet files, by part
    report: dict[str, Any] = field(default_factory=dict)  # what was dropped or merged, counted and named


def load(path: Path, *, part: str) -> Dataset:
    """Read a folder or an archive in the official layout.

    Args:
        path: holds `data.parquet`, `test.parquet`, `example_predictions.parquet` and the photos, as
            `data.zip` or as a folder `data`. They may lie one folder down, as archives often have them.
        part: 'labelled' reads and needs `data.parquet`; 'test' reads and needs `test.parquet`.

    Raises:
        UserError: a file is missing or unreadable, or a value is not allowed; it names file, column, row
            and value.
    """
    name = {"labelled": "data.parquet", "test": "test.parquet"}[part]
    folder = _folder_of(Path(path), name)
    table = folder / name
    # The tables first: photos are opened when nothing can fail any more, so that no file is left open.
    if part == "test":
        test, example = check_test(load_parquet(table), table), _read_example(folder)
        return Dataset(open_photos(folder), None, test, example, {part: table})
    rows = read_parquet(table, labelled_schema())
    if rows.empty:
        raise UserError(f"{table}: there are no rows in it; give one for each labelled photo")
    labelled, report = merge_repeats(rows, table)
    return Dataset(open_photos(folder), labelled, None, None, {part: table}, report)


def open_photos(folder: Path) -> Photos:
    """Index the photos of a layout: `data.zip`, `images.zip`, or a folder `data` or `images`."""
    for name in PHOTO_NAMES:
        if (folder / name).exists():
            return photos_at(str(folder / name))
    raise _no_photos(folder)


def photos_at(address: str) -> Photos:
    """Index the photos of one folder or zip, by local path or fsspec address."""
    store = open_address(address)
    return Photos(store, index_by_stem(store.names), rivals_by_stem(store.names))


def _no_photos(folder: Path | str) -> UserError:
    return UserError(f"{folder}: no photos found; expected data.zip or a folder 'data' with the image files")


@dataclass(frozen=True)
class Catalogue:
    """Where a data set lies that may be larger than a machine: absolute local paths or fsspec addresses."""

    rows: str  # test.parquet, one file or a folder of parquet files
    photos: str  # a folder or a zip
    example: pd.DataFrame | None


def locate(address: str) -> Catalogue:
    """Find the files of a data set in the official layout without reading rows or photos.

    Args:
        address: a folder, by local path or fsspec address; `test.parquet` in it may itself be a folder of
            parquet files, which count in the order of their names.

    Raises:
        UserError: it is no folder, or test.parquet or the photos are not in it.
    """
    address = absolute(address)
    if kind(address) != "directory":
        raise UserError(f"{address}: no such folder; the engine 'ray' reads an unpacked folder in the official layout")
    inside = [f"{address}/{name}" for name in list_folders(address) if not name.startswith(("__", "."))]
    folder = next((f for f in (address, *inside) if kind(f"{f}/test.parquet")), None)
    if folder is None:
        raise UserError(f"{address}: test.parquet is not in it; the official layout has it beside data.zip")
    photos = next((f"{folder}/{name}" for name in PHOTO_NAMES if kind(f"{folder}/{name}")), None)
    if photos is None:
        raise _no_photos(folder)
    example = f"{folder}/example_predictions.parquet"
    if kind(example) is None:
        return Catalogue(f"{folder}/test.parquet", photos, None)
    with open_file(example) as file:
        return Catalogue(f"{folder}/test.parquet", photos, check_example(pd.read_parquet(file), example))


def _folder_of(path: Path, wanted: str) -> Path:
    """Find the folder that holds `wanted`, unwrapping an archive into a temporary folder first."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; --data takes a folder or archive in the official layout")
    folder = path if path.is_dir() else unpack(path, WRAPPED_LIMITS)
    found = [folder, *sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(("__", ".")))]
    for candidate in found:
        if (candidate / wanted).is_file():
            return candidate
    raise UserError(
        f"{path}: {wanted} is not in it; the official layout has it beside data.zip. For photos alone there is "
        "python -m challenges.vinted predict photo.jpg ..."
    )


def labelled_schema() -> pa.DataFrameSchema:
    """Schema of `data.parquet`."""
    import pandera.pandas as pa

    return pa.DataFrameSchema(
        {
            "uuid": pa.Column(str, pa.Check.str_length(min_value=1), nullable=False),
            "cc3": pa.Column(checks=pa.Check.isin(CATEGORIES), nullable=False),
            "color1": pa.Column(checks=pa.Check.isin(COLORS), nullable=False),
            **{name: pa.Column(checks=pa.Check.isin([0, 1]), nullable=False) for name in TAGS},
        }
    )


def check_test(frame: pd.DataFrame, where: Path | str) -> pd.DataFrame:
    """Check rows of `test.parquet`; the index holds their numbers in the file `where`."""
    import pandera.pandas as pa

    schema = pa.DataFrameSchema({"uuid": pa.Column(str, pa.Check.str_length(min_value=1), nullable=False)})
    return check_table(frame, schema, where)


def check_example(frame: pd.DataFrame, where: Path | str) -> pd.DataFrame:
    """Check `example_predictions.parquet`: its columns are the assignment's, and of types that answers can be given in.

    Raises:
        UserError: a column is missing; uuid is not of texts; a category is neither one of the names nor a code from 0,
            or one column holds names and the other codes; a tag is none of number, bool and text.
    """
    import pandera.pandas as pa

    columns = ("uuid", "category1", "category2", *TAGS)
    frame = check_table(frame, pa.DataFrameSchema({name: pa.Column() for name in columns}), where)
    found = {name: _content(frame[name]) for name in columns}
    allowed = {"uuid": _TEXTS, "category1": _TEXTS | _NUMBERS, "category2": _TEXTS | _NUMBERS}
    for name in columns:
        if found[name] not in allowed.get(name, _TEXTS | _NUMBERS | {"boolean"}):
            wanted = "texts" if name == "uuid" else "numbers or texts"
            raise UserError(f"{where}: column {name!r} holds {found[name]}; it must hold {wanted}")
    if holds_codes(frame["category1"]) != holds_codes(frame["category2"]):
        raise UserError(
            f"{where}: column 'category1' holds {found['category1']} and 'category2' {found['category2']}; "
            "both must hold names, or both codes"
        )
    # Codes that count from 1, or names in other words, would be answered in ours and read as theirs.
    known = list(range(len(CATEGORIES))) if holds_codes(frame["category1"]) else list(CATEGORIES)
    category = pa.Column(checks=pa.Check.isin(known), nullable=True)
    return check_table(frame, pa.DataFrameSchema({"category1": category, "category2": category}), where)


def holds_codes(column: pd.Series) -> bool:
    """Whether categories are given as numbers there, not as names."""
    return _content(column) in _NUMBERS


_TEXTS: Final = frozenset({"string", "empty"})  # nulls alone say nothing else
_NUMBERS: Final = frozenset({"integer", "floating"})  # whole ones beside a null are read as floats


def _content(column: pd.Series) -> str:
    """What the values are, whatever they are stored as: a word of `pandas.api.types.infer_dtype`."""
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    return pd.api.types.infer_dtype(values, skipna=True)


def _read_example(folder: Path) -> pd.DataFrame | None:
    path = folder / "example_predictions.parquet"
    return check_example(load_parquet(path), path) if path.is_file() else None


def merge_repeats(frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Drop exact repeats; join rows of one uuid that differ in tags or colour; refuse two categories.

    A joined row has every tag that any of its rows has, and no colour where they disagree.

    Returns:
        The frame with one row a uuid, in the order of first appearance, and a report of what was done.
    """
    columns = ["uuid", "cc3", "color1", *TAGS]
    distinct = frame[columns].drop_duplicates()
    per_uuid = distinct.groupby("uuid", sort=False)
    contradicting = per_uuid["cc3"].nunique() > 1
    if contradicting.any():
        uuid = contradicting.index[contradicting][0]
        rows = frame.index[frame["uuid"] == uuid].tolist()
        values = frame.loc[rows, "cc3"].tolist()
        raise UserError(
            f"{path}: column 'cc3', rows {rows}: uuid {uuid!r} has the categories {values}; keep one row for each photo"
        )
    merged = per_uuid.agg({"cc3": "first", "color1": _agreed, **dict.fromkeys(TAGS, "max")}).reset_index()
    joined = per_uuid.size()
    report = {
        "rows": len(frame),
        "exact_repeats_dropped": len(frame) - len(distinct),
        "rows_joined": len(distinct) - len(merged),
        "joined_uuids": joined.index[joined > 1].tolist(),
    }
    return merged.astype(dict.fromkeys(TAGS, "int64")), report


def _agreed(values: pd.Series) -> str | None:
    return values.iloc[0] if values.nunique() == 1 else None


def load_patterns(path: Path) -> tuple[Photos, pd.DataFrame]:
    """Read the extra photos of worn dresses: `labels.parquet` (uuid, tags) beside `images.zip`."""
    import pandera.pandas as pa

    folder = _folder_of(Path(path), "labels.parquet")
    tags = {tag: pa.Column(checks=pa.Check.isin([0, 1])) for tag in TAGS}
    frame = read_parquet(folder / "labels.parquet", pa.DataFrameSchema({"uuid": pa.Column(str), **tags}))
    return open_photos(folder), frame


@dataclass(frozen=True)
class Labels:
    """What is known of N photos, as arrays."""

    categories: NDArray[np.bool_]  # (N, 5): the possible categories; all True where nothing is known
    tags: NDArray[np.float32]  # (N, 3): 0 or 1, nan where unknown
    colors: NDArray[np.int64]  # (N,): index into COLORS, -1 where unknown


def encode(frame: pd.DataFrame) -> Labels:
    """Encode the tables' words. A frame without `cc3` is of worn dresses: casual or mini, which is not known."""
    if "cc3" in frame:
        categories = frame["cc3"].to_numpy()[:, None] == np.array(CATEGORIES)
        colors = np.array([COLORS.index(c) if isinstance(c, str) else -1 for c in frame["color1"]])
    else:
        categories = np.tile([c in WORN_DRESS for c in CATEGORIES], (len(frame), 1))
        colors = np.full(len(frame), -1)
    tags = frame[list(TAGS)].to_numpy(dtype=np.float32)
    return Labels(categories.astype(bool), tags, colors.astype(np.int64))


def photo_key(uuid: str) -> str:
    """Eight hex digits by which a model remembers a photo that it was trained on."""
    return hashlib.sha256(uuid.encode()).hexdigest()[:8]


def contributors(uuids: pd.Series) -> NDArray[np.object_]:
    """Who took each photo, as far as our labels of the open data set know; else the photo's own uuid."""
    known = pd.read_csv(OPEN_LABELS, usecols=["uuid", "contributor"]).set_index("uuid")["contributor"]
    return uuids.map(known).fillna(uuids).to_numpy(dtype=object)


def write_layout(out: Path, photos: Mapping[str, bytes], labelled: pd.DataFrame, test: pd.DataFrame) -> None:
    """Write a data set in the official layout.

    `photos` maps uuid to JPEG bytes; `labelled` has uuid, cc3, color1 and tags; `test` has uuid. The
    example predictions are what the assignment's are: valid, and random.
    """
    import zipfile

    from common.data.tables import write_parquet

    with replace_atomically(out / "data.zip") as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for uuid, data in photos.items():  # stored, not deflated: JPEG does not shrink
            archive.writestr(zipfile.ZipInfo(f"data/{uuid}.jpeg", (2026, 1, 1, 0, 0, 0)), data)
    write_parquet(labelled[["uuid", "cc3", "color1", *TAGS]].astype(dict.fromkeys(TAGS, "int64")), out / "data.parquet")
    write_parquet(test[["uuid"]], out / "test.parquet")
    rng = np.random.default_rng(0)
    first = rng.integers(0, len(CATEGORIES), len(test))
    second = (first + rng.integers(1, len(CATEGORIES), len(test))) % len(CATEGORIES)
    tags = rng.integers(0, 2, (len(test), len(TAGS)))
    example = pd.DataFrame({"uuid": test["uuid"], "category1": first, "category2": second})
    write_parquet(
        example.join(pd.DataFrame(tags, columns=list(TAGS), index=example.index)), out / "example_predictions.parquet"
    )
