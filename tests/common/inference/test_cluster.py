"""Shards cover the rows; a lost worker changes nothing; what is finished is not done again."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.inference.batch import Engine, map_blocks
from common.inference.cluster import Shard, Worker, cut_into_shards, map_on_ray, map_shards

# Ray uses what Ray deprecates, and leaves its child processes and sockets to the end of the interpreter.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "ResourceWarning")]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """A folder of parquet files: the numbers 0 to 49, in order."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for i, (start, stop) in enumerate([(0, 23), (23, 24), (24, 50)]):
        pd.DataFrame({"x": range(start, stop)}).to_parquet(folder / f"part-{i}.parquet")
    return str(folder)


def doubler(before: Callable[[Shard], None] = lambda shard: None) -> Callable[[], Worker]:
    """Make workers that answer with twice `x`, after `before`."""

    def make_worker() -> Worker:
        def work(shard: Shard) -> pa.Table:
            before(shard)
            return pa.table({"x": shard.read()["x"].to_numpy(), "twice": 2 * shard.read()["x"].to_numpy()})

        return work

    return make_worker


def read_all(paths: list[Path]) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_give_the_local_answer(ray_cluster: str, tmp_path: Path):
    """Blocks of households, and a function of their arrays. All is nested, so Ray pickles it by value."""
    seen, killed = tmp_path / "seen", tmp_path / "killed"
    seen.mkdir()
    blocks = list(np.random.default_rng(3).gamma(2, size=(12, 50, 24)).astype(np.float32))  # each (households, hours)

    def features(readings: np.ndarray) -> pa.Table:
        return pa.table({"mean": readings.mean(axis=1), "peak": readings.argmax(axis=1), "first": readings[:, 0]})

    def features_on_a_bad_day(readings: np.ndarray, fatal: float = blocks[7][0, 0]) -> pa.Table:
        (seen / str(os.getpid())).touch()
        deadline = time.monotonic() + 120
        while len(list(seen.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)  # until both workers have begun
        if readings[0, 0] == fatal and not killed.exists():
            killed.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return features(readings)

    found = map_blocks(features_on_a_bad_day, blocks, Engine.RAY, description="features")
    assert found == map_blocks(features, blocks, description="features") == list(map(features, blocks))
    with pytest.raises(ProcessLookupError):
        os.kill(int(killed.read_text()), 0)
    assert len(list(seen.iterdir())) == 3  # two, and one in the lost one's place


@pytest.mark.slow
def test_the_users_mistake_reaches_the_driver_as_it_is(ray_cluster: str):
    def make_function() -> Callable[[int], int]:
        raise UserError("manifest.json is missing")

    with pytest.raises(UserError, match=r"^manifest\.json is missing$"):
        list(map_on_ray(make_function, [1]))


@pytest.mark.slow
def test_a_bug_is_an_error_with_its_name(ray_cluster: str):
    with pytest.raises(Exception, match="ZeroDivisionError"):
        map_blocks(lambda block: 1 // block, [0], Engine.RAY, description="dividing")


def test_without_ray_the_message_names_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[distributed\]'"):
        map_blocks(str, [1], Engine.RAY, description="nothing")


def test_every_shard_is_worked_on_once_and_comes_back_in_order(no_cluster: None, rows: str, tmp_path: Path):
    shards, worked = cut_into_shards(rows, 4), []
    paths = map_shards(doubler(worked.append), shards, tmp_path / "shards", "run", description="doubling")
    assert sorted(worked, key=shards.index) == shards
    assert [pq.read_metadata(path).num_rows for path in paths] == [len(shard) for shard in shards]
    assert read_all(paths)["x"].tolist() == list(range(50))
    assert read_all(paths)["twice"].tolist() == list(range(0, 100, 2))
    assert sorted(p.name for p in (tmp_path / "shards").iterdir()) == [path.name for path in paths]


def test_a_run_that_stopped_goes_on_with_what_is_missing(no_cluster: None, rows: str, tmp_path: Path):
    shards, folder, worked = cut_into_shards(rows, 10), tmp_path / "shards", []

    def stop_at_the_second(shard: Shard) -> None:
        if shard == shards[1]:
            raise UserError("column 'x' is missing")

    with pytest.raises(UserError, match="column 'x' is missing"):
        map_shards(doubler(stop_at_the_second), shards, folder, "run", description="doubling")
    finished = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(finished) == len(shards) - 2  # the last come first
    (folder / ".00001-of-00007.0123456789ab.tmp.parquet").write_bytes(b"PAR1")  # as SIGKILL leaves it
    paths = map_shards(doubler(worked.append), shards, folder, "run", description="doubling")
    assert sorted(worked, key=shards.index) == shards[:2]
    assert all(path.stat().st_mtime_ns == when for path, when in finished.items())
    assert read_all(paths)["twice"].tolist() == list(range(0, 100, 2))
    assert sorted(folder.iterdir()) == paths


def test_shards_of_another_run_are_not_reused(no_cluster: None, rows: str, tmp_path: Path):
    shards, folder = cut_into_shards(rows, 10), tmp_path / "shards"
    map_shards(doubler(), shards, folder, "first", description="doubling")

    def add_a_thousand() -> Worker:
        return lambda shard: pa.table({"twice": 2 * shard.read()["x"].to_numpy() + 1000})

    for cut in (shards, cut_into_shards(rows, 8)):
        paths = map_shards(add_a_thousand, cut, folder, "second", description="adding")
        assert read_all(paths)["twice"].tolist() == list(range(1000, 1100, 2))
        assert sorted(folder.iterdir()) == paths


@pytest.mark.parametrize("left", [b"", b"PAR1", b"PAR1" + bytes(50) + b"PAR1"], ids=["empty", "cut off", "zeros"])
def test_a_damaged_shard_is_worked_on_again(no_cluster: None, rows: str, tmp_path: Path, left: bytes):
    """As a machine that lost its power may leave it: the run was refused as a bug of ours, each time anew."""
    shards, folder, worked = cut_into_shards(rows, 10), tmp_path / "shards", []
    paths = map_shards(doubler(), shards, folder, "run", description="doubling")
    paths[2].write_bytes(left)
    map_shards(doubler(worked.append), shards, folder, "run", description="doubling")
    assert worked == [shards[2]]
    assert read_all(paths)["twice"].tolist() == list(range(0, 100, 2))


def test_a_finished_run_needs_no_cluster(no_cluster: None, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shards = cut_into_shards(rows, 20)
    paths = map_shards(doubler(), shards, tmp_path / "shards", "run", description="doubling")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "ray", None)
    assert map_shards(doubler(), shards, tmp_path / "shards", "run", description="doubling") == paths


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=4), st.integers(1, 12), st.integers(1, 9)
)  # rows of each file, rows of a group, rows of a shard
def test_shards_cover_every_row_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], group: int, rows_per_shard: int
):
    folder = tmp_path_factory.mktemp("rows")
    start = 0
    for i, size in enumerate(sizes):
        pq.write_table(pa.table({"x": range(start, start + size)}), folder / f"{i}.parquet", row_group_size=group)
        start += size
    shards = cut_into_shards(str(folder), rows_per_shard)
    frames = [shard.read() for shard in shards]
    assert pd.concat(frames)["x"].tolist() == list(range(start))
    assert all(frame.index.tolist() == list(range(s.start, s.stop)) for s, frame in zip(shards, frames, strict=True))
    assert all(1 <= len(shard) <= rows_per_shard for shard in shards) or start == 0


def test_default_size_depends_on_the_rows_alone(tmp_path: Path):
    for n, longest, count in [(0, 0, 1), (50, 50, 1), (6_400, 200, 32), (1_000_000, 4_096, 245)]:
        pq.write_table(pa.table({"x": range(n)}), tmp_path / "rows.parquet")
        shards = cut_into_shards(str(tmp_path / "rows.parquet"))
        assert (max(map(len, shards)), len(shards)) == (longest, count)


def test_hidden_and_half_written_files_are_no_data(rows: str):
    for name in (".a.parquet", "_b.parquet", "sub/_c.parquet", "_temporary/d.parquet"):
        (Path(rows) / name).parent.mkdir(exist_ok=True)
        (Path(rows) / name).write_bytes(b"PAR1")
    assert sum(len(shard) for shard in cut_into_shards(rows, 10)) == 50


def test_what_is_no_parquet_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="no parquet file"):
        cut_into_shards(str(tmp_path))
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    with pytest.raises(UserError, match=r"broken\.parquet: cannot be read"):
        cut_into_shards(str(tmp_path))
    with pytest.raises(UserError, match="no such file"):
        cut_into_shards(str(tmp_path / "nothing.parquet"))
