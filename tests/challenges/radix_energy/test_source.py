"""The one table of a file, zip or folder, and whether it has a header."""

import gzip
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from challenges.radix_energy.source import looks_like_data, open_source
from common.errors import UserError

HOURS = pd.date_range("2024-01-01", periods=48, freq="h").strftime("%Y-%m-%d %H:%M").tolist()
TABLE = pd.DataFrame({"who": ["a", "b"] * 24, "when": HOURS, "used": [0.25 * i for i in range(48)]})


def same(path: Path) -> None:
    source = open_source(path)
    assert source.names == list(TABLE)
    assert source.head[1].tolist() == ["b", HOURS[1], "0.25"]
    (used, who), ragged = source.read([2, 0], [2])
    assert used.to_pylist() == TABLE["used"].tolist()
    assert who.cast(pa.string()).to_pylist() == TABLE["who"].tolist()
    assert ragged == []


@pytest.mark.parametrize("name", ["a.csv.gz", "a.parquet", "a.tsv", "a.txt", "a.CSV", "a.PARQUET"])
def test_kinds_of_files(tmp_path: Path, name: str):
    if name.lower().endswith("parquet"):
        TABLE.to_parquet(tmp_path / name)
    else:
        TABLE.to_csv(tmp_path / name, index=False, sep="\t" if name == "a.tsv" else ",")
    same(tmp_path / name)
    same(tmp_path)  # the folder that holds it
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / name, f"data/{name}")
        archive.writestr("__MACOSX/data/._a.csv", "resource fork")
        archive.writestr("README.md", "# readings")
    same(tmp_path / "b.zip")
    with pytest.raises(UserError, match="holds 2 tables"):
        open_source(tmp_path)


def test_columns_of_parquet_that_are_no_cells_are_not_seen(tmp_path: Path):
    table = pa.table({"raw": [b"x"], "list": [[1]], "wide": pa.array([b"xy"], pa.binary(2)), "n": [1]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert open_source(tmp_path / "a.parquet").names == ["n"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"\n\n", "no text in it"),
        ("a.csv", b"\x00\x01\x02" * 50, "not text"),
        ("a.csv", b"household\na\nb\n", "one column only"),
        (
            "a.csv",
            b"Meter export, Leuven\ntime,a,b,c\n" + b"2024-01-01,1,2,3\n" * 9,
            "the first line .'Meter export, L",
        ),
        ("a.csv", b"Meter export\nwho,time,kwh\n" + b"a,2024-01-01,1\n" * 9, "remove the lines above the header"),
        ("a.csv.gz", b"not gzip", "not readable as gzip"),
        ("a.csv.gz", gzip.compress(bytes(20_000_000)), "refused, expands to more than"),
        ("a.xlsx", b"PK", "is not read"),
        ("a.zip", b"PK\x03\x04", "not a readable zip"),
    ],
)
def test_what_is_no_table_is_the_users_mistake(tmp_path: Path, name: str, content: bytes, words: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        open_source(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hostile_zips(tmp_path: Path):
    def zipped(*members: tuple[str, bytes]) -> Path:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)
        return tmp_path / "a.zip"

    for members, words in [
        ([("../a.csv", b"x")], "leads out of the archive"),
        ([("a.csv", bytes(30_000_000))], "expands more than"),
        ([("a.csv", b"x"), ("b.csv", b"y")], r"holds 2 tables \(a\.csv, b\.csv\); give a file"),
        ([("a.txt.md", b"x")], r"holds no table, but a\.txt\.md; it must"),
        ([("in.zip", b"PK")], r"holds no table, but in\.zip; it must"),
        ([("a.csv.gz", gzip.compress(bytes(20_000_000)))], "refused, expands"),
    ]:
        with pytest.raises(UserError, match=words):
            open_source(zipped(*members))
    with pytest.raises(UserError, match="no such file"):
        open_source(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([["a", "0.3", "0.25", "0.1"], ["b", "0.2", "0.2", "0.1"]], True),
        ([["a", "3", "3", "1"], ["b", "2", "2", "2"]], True),
        ([["a", HOURS[0], "0.3"], ["a", HOURS[1], "0.2"]], True),
        ([["id", "0", "1", "2"], ["b", "2", "2", "2"]], False),
        ([["", "1001", "1007"], ["0", "2.5", "2"]], False),
        ([["id", HOURS[0], HOURS[1]], ["b", "2.5", "2"]], False),
        ([["household", "time", "kwh"], ["a", HOURS[0], "1"]], False),
    ],
)
def test_a_missing_header_shows(rows: list[list[str]], expected: bool):
    assert looks_like_data(rows) is expected
