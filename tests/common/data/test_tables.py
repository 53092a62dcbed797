"""Atomic writes, strict JSON, and schema errors that name the place."""

import dataclasses
import errno
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data import tables
from common.data.tables import (
    append_parquet,
    check_output,
    check_table,
    json_text,
    read_parquet,
    replace_atomically,
    report_path,
    write_json,
    write_parquet,
    write_with_report,
)
from common.errors import UserError

SCHEMA = pa.DataFrameSchema(
    {
        "uuid": pa.Column(str, pa.Check.str_length(1), unique=True),
        "cc3": pa.Column(str, pa.Check.isin(["BLOUSES", "MINI_DRESSES"])),
        "floral": pa.Column("int64", pa.Check.isin([0, 1])),
    },
    strict=True,
)


def good_frame() -> pd.DataFrame:
    return pd.DataFrame({"uuid": ["a", "b", "c"], "cc3": ["BLOUSES", "MINI_DRESSES", "BLOUSES"], "floral": [0, 1, 0]})


def test_a_write_replaces_the_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "a.txt"
    for text in ("one", "two"):
        with replace_atomically(target) as temporary:
            assert temporary.parent == target.parent
            assert temporary.suffix == ".txt"
            temporary.write_text(text)
            assert not target.exists() or target.read_text() == "one"
        assert target.read_text() == text
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(error), replace_atomically(target) as temporary:  # noqa: PT012 - fails half way
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_place_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*a\.txt.*choose another place"):
        write_json({}, tmp_path / "file" / "a.txt")
    with pytest.raises(UserError, match="is a folder"):
        write_json({}, tmp_path)


def test_parquet_comes_back_as_written(tmp_path: Path) -> None:
    write_parquet(good_frame().set_index(pd.Index([5, 6, 9])), tmp_path / "a.parquet")
    assert pq.read_schema(tmp_path / "a.parquet").names == ["uuid", "cc3", "floral"]  # and no index
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "a.parquet", SCHEMA), good_frame())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(cc3=["BLOUSES", "SKIRTS", "x"]),
         r"column 'cc3', row 1: 'SKIRTS' is not allowed; it must satisfy isin.*BLOUSES.*\(and 1 more\)"),
        (lambda f: f.assign(cc3=["BLOUSES", None, "BLOUSES"]), r"'cc3', row 1: .* a value must be given"),
        (lambda f: f.assign(uuid=["a", "b", "a"]), r"'uuid', row 0: 'a' .* only once \(and 1 more\)"),
        (lambda f: f.assign(floral=[0, 1, 7]), r"'floral', row 2: 7 is not allowed; .*isin\(\[0, 1\]\)"),
        (lambda f: f.assign(floral=["0", "1", "0"]), r"column 'floral' has type \w+; it must be int64"),
        (lambda f: f.assign(uuid=[1, 2, 3]), r"column 'uuid' has the value 1 in row 0; it must be str\w+ \(and"),
        (lambda f: f.drop(columns="cc3"), r"column 'cc3' is missing; the file has 'uuid', 'floral'"),
        (lambda f: f.assign(extra=1), r"column 'extra' does not belong"),
        (lambda f: f.set_index(pd.Index([7, 8, 9])).assign(floral=[0, 1, 7]), r"row 2: 7"),
    ],
)  # fmt: skip
def test_a_broken_table_is_refused_by_place(tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / "data.parquet"
    change(good_frame()).to_parquet(path)  # type: ignore[operator]
    with pytest.raises(UserError, match=message) as caught:
        read_parquet(path, SCHEMA)
    assert str(caught.value).startswith(f"{path}: column")
    assert "\n" not in str(caught.value)


def test_a_rule_on_the_whole_table(tmp_path: Path) -> None:
    schema = pa.DataFrameSchema(checks=pa.Check(lambda f: len(f) > 5, error="at least six rows"))
    good_frame().to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet: the table .*at least six rows"):
        read_parquet(tmp_path / "a.parquet", schema)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            pa.DataFrameSchema({"cc3": pa.Column("int64", coerce=True), "floral": pa.Column(checks=pa.Check.lt(9))}),
            "column 'cc3' has the value 'BLOUSES' in row 0; it must be int64 (and 5 more)",
        ),
        (
            pa.DataFrameSchema(checks=pa.Check(lambda f: f["floral"] > 0, error="a flower")),
            "column 'uuid', row 0: 'a' is not allowed; it must satisfy a flower (and 5 more)",
        ),
        (
            pa.DataFrameSchema({"floral": pa.Column(checks=pa.Check(lambda c: c.sum() > 9, error="many flowers"))}),
            "column 'floral' is False; it must satisfy many flowers",
        ),
        (
            pa.DataFrameSchema({"floral": pa.Column(checks=pa.Check.lt(1))}),
            "column 'floral', row 1: 1 is not allowed; it must satisfy less_than(1)",
        ),
    ],
    ids=["converted", "of rows", "of a column", "of a cell"],
)
def test_every_kind_of_rule_has_its_words(schema: pa.DataFrameSchema, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_table(good_frame(), schema, "a")
    assert str(caught.value) == f"a: {message}"


@pytest.mark.parametrize("data", [b"", b"uuid,cc3\na,b\n" * 10, b"PAR1" + bytes(50) + b"PAR1"])
def test_what_is_not_parquet_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(
        UserError, match=r"a\.parquet: not a readable parquet file \(.*arquet.*\); copy or write it again$"
    ):
        read_parquet(tmp_path / "a.parquet", SCHEMA)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(good_frame(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a readable parquet"):
        read_parquet(path, SCHEMA)


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_parquet(tmp_path / "none.parquet", SCHEMA)
    with pytest.raises(UserError, match="is not a file"):
        read_parquet(tmp_path, SCHEMA)


@dataclasses.dataclass(frozen=True)
class Pair:
    x: int
    y: float


def test_json_understands_what_metrics_are_made_of(tmp_path: Path) -> None:
    metrics = {
        "f1": np.float32(0.5), "n": np.int64(3), "yes": np.bool_(True), "matrix": np.eye(2, dtype=int),
        "none": None, "nan": [float("nan"), np.float64("inf")], "pair": Pair(1, 2.5),
        "path": Path("a"), "set": {2, 1}, 3: "Kleid mit Blümchen",
    }  # fmt: skip
    write_json(metrics, tmp_path / "m.json")
    text = (tmp_path / "m.json").read_text(encoding="utf-8")
    assert "Blümchen" in text
    assert json.loads(text) == {
        "f1": 0.5, "n": 3, "yes": True, "matrix": [[1, 0], [0, 1]], "none": None, "nan": [None, None],
        "pair": {"x": 1, "y": 2.5}, "path": "a", "set": [1, 2], "3": "Kleid mit Blümchen",
    }  # fmt: skip
    with pytest.raises(TypeError, match="object has no JSON form"):
        json_text({"a": object()})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_plain_json_comes_back(value: object) -> None:
    assert json.loads(json_text(value)) == value


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(1, 8))
def test_appended_frames_come_back_as_one(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], row_group_rows: int
):
    path = tmp_path_factory.mktemp("append") / "t.parquet"
    frames = [pd.DataFrame({"x": np.arange(n), "name": pd.Series(["ü"] * n, dtype="str")}) for n in sizes]
    with pytest.MonkeyPatch.context() as patch, append_parquet(path) as append:
        patch.setattr(tables, "_ROW_GROUP_ROWS", row_group_rows)
        for frame in frames:
            append(frame)
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.concat(frames, ignore_index=True))
    groups = pq.ParquetFile(path).metadata
    assert all(groups.row_group(g).num_rows >= row_group_rows for g in range(groups.num_row_groups - 1))


def test_frames_without_rows_decide_no_types(tmp_path: Path):
    frames = [pd.DataFrame({"x": pd.Series(texts, dtype=object)}) for texts in ([], ["a"], [], ["b"])]
    with append_parquet(tmp_path / "a.parquet") as append:
        for frame in frames:
            append(frame)
    assert pd.read_parquet(tmp_path / "a.parquet")["x"].tolist() == ["a", "b"]
    with append_parquet(tmp_path / "b.parquet") as append:
        append(frames[0])
    assert pd.read_parquet(tmp_path / "b.parquet").shape == (0, 1)


def test_nulls_decide_no_types(tmp_path: Path):
    frames = [pd.DataFrame({"x": x, "y": y}) for x, y in (([None], ["c"]), ([], []), (["a"], [None]), (["b"], ["d"]))]
    with append_parquet(tmp_path / "a.parquet") as append:
        for frame in frames:
            append(frame)
    written = pd.read_parquet(tmp_path / "a.parquet")
    assert written["x"].dropna().tolist() == ["a", "b"]
    assert written["y"].dropna().tolist() == ["c", "d"]
    assert [*written.isna().sum()] == [1, 1]


@pytest.mark.parametrize("columns", [["x", "y", "z"], ["x"], ["x", "z"]])
def test_frames_of_other_columns_are_refused(tmp_path: Path, columns: list[str]):
    frames = [
        pd.DataFrame({"x": [1], "y": [2]}),
        pd.DataFrame({"y": [4], "x": [3]}),  # in another order they are the same
        pd.DataFrame({column: [5] for column in columns}),
    ]

    def append_all(frames: list[pd.DataFrame]) -> None:
        with append_parquet(tmp_path / "a.parquet") as append:
            for frame in frames:
                append(frame)

    append_all(frames[:2])
    assert pd.read_parquet(tmp_path / "a.parquet").to_dict("list") == {"x": [1, 3], "y": [2, 4]}
    with pytest.raises(ValueError, match=r"a\.parquet: a frame has the columns \['x'.*, the first \['x', 'y'\]"):
        append_all(frames)


def test_appending_that_fails_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"before")

    def stop_in_the_middle() -> None:
        with append_parquet(path) as append:
            append(pd.DataFrame({"x": [1]}))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_in_the_middle()
    with pytest.raises(ValueError, match="no frame"), append_parquet(path):
        pass
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_a_link_is_followed_and_a_pipe_refused(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "real" / "file.json")
    write_json({"a": 1}, tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real" / "file.json").read_text()) == {"a": 1}
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UserError, match=r"pipe\.json is a device or a pipe; name a file"):
        write_json({}, tmp_path / "pipe.json")
    assert (tmp_path / "pipe.json").is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
def test_a_full_disk_is_the_users_and_leaves_nothing(tmp_path: Path):
    def fill(path: Path) -> None:
        with replace_atomically(path), Path("/dev/full").open("w") as full:
            full.write("x")

    with pytest.raises(UserError, match=r"cannot write .*a\.csv: No space left on device; free some space"):
        fill(tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


def test_an_output_is_checked_before_the_work(tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "test.parquet").touch()
    for path, inputs in ((data / "test.parquet", (data,)), (data / "test.parquet", (data / "test.parquet",))):
        with pytest.raises(UserError, match="is among what is read; choose another place"):
            check_output(path, *inputs)
    (data / "out.parquet").touch()
    (data / "out.report.json").touch()
    for path in (data / "out.parquet", data / "new.parquet", tmp_path / "new" / "out.parquet"):
        check_output(path, data)
    assert sorted(p.name for p in data.iterdir()) == ["out.parquet", "out.report.json", "test.parquet"]
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        check_output(tmp_path / "file" / "out.parquet")


@pytest.mark.parametrize(
    "name",
    [".", "/", "a" * 300 + ".parquet", "a\0b", os.fsdecode(b"caf\xe9/a.parquet")],
    ids=["here", "root", "too long", "nul", "not UTF-8"],
)
def test_what_no_file_can_be_named_is_the_users_mistake(name: str):
    with pytest.raises(UserError, match=r"name a file to write|choose another place"):
        check_output(Path(name))


def test_a_link_that_leads_to_itself_is_the_users_mistake(tmp_path: Path):
    (tmp_path / "a").symlink_to("a")
    with pytest.raises(UserError, match="choose another place"):
        check_output(tmp_path / "a")


def test_names_that_are_not_utf_8_can_be_reported(tmp_path: Path):
    name = os.fsdecode(b"caf\xe9.jpg")
    write_json({"file": name, "über": 1}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"file": name, "über": 1}
    assert json_text([name], indent=1) == '[\n "caf\\udce9.jpg"\n]'


def test_files_of_json_are_indented_utf_8(tmp_path: Path):
    write_json({"é": [1]}, tmp_path / "a.json")
    assert (tmp_path / "a.json").read_bytes() == '{\n  "é": [\n    1\n  ]\n}\n'.encode()


def test_parquet_with_broken_notes_of_pandas_is_refused(tmp_path: Path):
    pq.write_table(pyarrow.table({"a": [1]}).replace_schema_metadata({"pandas": "{}"}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet: not a readable parquet file"):
        read_parquet(tmp_path / "a.parquet", SCHEMA)


def test_a_table_and_its_report_are_written_together(tmp_path: Path):
    write_with_report(good_frame().set_index(pd.Index([5, 6, 9])), tmp_path / "a.parquet", {"é": 3})
    assert (tmp_path / "a.report.json").read_bytes() == '{\n  "é": 3\n}\n'.encode()
    assert pq.read_schema(tmp_path / "a.parquet").names == ["uuid", "cc3", "floral"]
    with pytest.raises(TypeError, match="no JSON form"):
        write_with_report(good_frame().head(1), tmp_path / "a.parquet", {"n": object()})
    assert len(pd.read_parquet(tmp_path / "a.parquet")) == 3


def test_reports_of_two_runs_do_not_meet(tmp_path: Path):
    assert report_path(tmp_path / "run.1") == tmp_path / "run.1.report.json"
    assert report_path(tmp_path / "run.PARQUET") == tmp_path / "run.report.json"
    (tmp_path / "run.1.report.json").mkdir()
    with pytest.raises(UserError, match=r"run\.1\.report\.json is a folder"):
        check_output(tmp_path / "run.1")


def test_a_file_larger_than_may_be_is_told_as_a_full_disk_is(tmp_path: Path):
    """By the file system, or by `ulimit -f`."""
    path = tmp_path / "out.json"
    with pytest.raises(UserError, match=f"cannot write {path}: File too large"), replace_atomically(path):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    assert list(tmp_path.iterdir()) == []
