"""The engine 'ray' gives what the engine 'local' gives: same rows, same values, same report."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from challenges.vinted.cli import app
from challenges.vinted.dataset import load
from challenges.vinted.predict import DEFAULT_MODEL, predict_file
from common.cli import run
from common.data.tables import write_parquet
from common.errors import UserError
from common.inference.batch import Engine

REPOSITORY = Path(__file__).resolve().parents[3]
# Ray uses what Ray deprecates, and leaves its child processes and sockets to the end of the interpreter.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "ResourceWarning")]

Report = list[dict[str, object]]


@pytest.fixture(scope="module")
def photos(sample: Path) -> dict[str, bytes]:
    """Some of the sample's test photos by uuid, and some that cannot be read."""
    dataset = load(sample, part="test")
    assert dataset.test is not None
    good = {uuid: dataset.photos.read(uuid) for uuid in dataset.test["uuid"][:12]}
    first = next(iter(good.values()))
    return good | {"cut": first[: len(first) // 2], "text": b"not found", "empty": b""}


@pytest.fixture(scope="module")
def uuids(photos: dict[str, bytes]) -> list[str]:
    """The rows to predict: every photo, one that is not there, and some a second time."""
    return [*photos, "missing", *list(photos)[:5]]


@pytest.fixture(scope="module")
def layouts(
    photos: dict[str, bytes], uuids: list[str], sample: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """One data set twice: as the assignment has it, and as a lake has it (a folder of tables, a folder of photos)."""
    official, lake = tmp_path_factory.mktemp("official ü"), tmp_path_factory.mktemp("lake")
    with zipfile.ZipFile(official / "data.zip", "w") as archive:
        for uuid, data in photos.items():
            archive.writestr(f"data/{uuid}.jpeg", data)
    write_parquet(pd.DataFrame({"uuid": uuids}), official / "test.parquet")
    (lake / "data").mkdir()
    for uuid, data in photos.items():
        (lake / "data" / f"{uuid}.jpeg").write_bytes(data)
    for i, start in enumerate(range(0, len(uuids), 5)):
        write_parquet(pd.DataFrame({"uuid": uuids[start : start + 5]}), lake / "test.parquet" / f"part-{i}.parquet")
    example = (sample / "example_predictions.parquet").read_bytes()
    for folder in (official, lake):
        (folder / "example_predictions.parquet").write_bytes(example)
    return {"official": official, "lake": lake}


@pytest.fixture(scope="module")
def local(layouts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """What the engine 'local' writes and reports."""
    out = tmp_path_factory.mktemp("local") / "p.parquet"
    return out, predict_file(DEFAULT_MODEL, layouts["official"], out, probabilities=True)[1]


def assert_same(out: Path, report: Report, local: tuple[Path, Report]) -> None:
    for suffix in (".parquet", ".probabilities.parquet"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(out.with_suffix(suffix)), pd.read_parquet(local[0].with_suffix(suffix)), check_exact=True
        )
    assert [row["uuid"] for row in report] == ["cut", "text", "empty", "missing"]
    # The reason may name the file as it is called where it lies.
    assert [(row["row"], row["uuid"]) for row in report] == [(row["row"], row["uuid"]) for row in local[1]]


def shard_files(out: Path) -> dict[str, int]:
    """When each finished shard beside `out` was written, by name."""
    return {path.name: path.stat().st_mtime_ns for path in out.with_suffix(".shards").glob("[0-9]*-of-*.parquet")}


@dataclass
class Web:
    """A server of files, and what was asked of it."""

    root: Path
    host: str = ""
    sent: dict[str, int] = field(default_factory=dict)  # bytes of each file
    looks: int = 0
    held: str = ""  # a photo that is not sent before `release`
    asked: threading.Event = field(default_factory=threading.Event)  # for the photo held
    release: threading.Event = field(default_factory=threading.Event)


class WebHdfs(BaseHTTPRequestHandler):
    """The reading half of Hadoop's WebHDFS: a folder over HTTP, files by ranges of bytes."""

    def __init__(self, web: "Web", *args: object) -> None:
        self.web = web
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        path = self.web.root / urllib.parse.unquote(url.path).removeprefix("/webhdfs/v1").strip("/")
        if not path.exists():
            error = {"exception": "FileNotFoundException", "message": str(path)}
            self.answer(404, json.dumps({"RemoteException": error}).encode())
        elif query["op"] == "GETFILESTATUS":
            self.answer(200, json.dumps({"FileStatus": self.status(path, "")}).encode())
        elif query["op"] == "LISTSTATUS":
            found = [self.status(p, p.name) for p in sorted(path.iterdir())]
            self.answer(200, json.dumps({"FileStatuses": {"FileStatus": found}}).encode())
        else:
            if path.stem == self.web.held:
                self.web.asked.set()
                self.web.release.wait(timeout=300)
            data = path.read_bytes()[int(query["offset"]) :][: int(query["length"])]
            self.web.sent[path.name] = self.web.sent.get(path.name, 0) + len(data)
            self.answer(200, data)

    def status(self, path: Path, name: str) -> dict[str, object]:
        stat = path.stat()
        kind = "DIRECTORY" if path.is_dir() else "FILE"
        # The access time is another one at every look, as on a real file system.
        self.web.looks += 1
        times = {"modificationTime": stat.st_mtime_ns // 10**6, "accessTime": self.web.looks}
        return {"pathSuffix": name, "type": kind, "length": stat.st_size} | times

    def answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(BrokenPipeError):  # the one who asked was killed
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def web(layouts: dict[str, Path]) -> Iterator[Web]:
    """Serve both layouts."""
    web = Web(layouts["official"].parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(WebHdfs, web)) as server:
        web.host = f"webhdfs://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield web
        web.release.set()
        server.shutdown()


@pytest.mark.slow
def test_same_rows_values_and_report(
    ray_cluster: str, layouts: dict[str, Path], local: tuple[Path, Report], tmp_path: Path
):
    out = tmp_path / "p.parquet"
    n_rows, report = predict_file(DEFAULT_MODEL, layouts["official"], out, engine=Engine.RAY, probabilities=True)
    assert_same(out, report, local)
    assert report == local[1]
    assert n_rows == len(pd.read_parquet(out))
    for suffix in (".parquet", ".probabilities.parquet"):
        assert out.with_suffix(suffix).read_bytes() == local[0].with_suffix(suffix).read_bytes()


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_stopped(
    ray_cluster: str,
    web: Web,
    layouts: dict[str, Path],
    uuids: list[str],
    local: tuple[Path, Report],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
):
    """The driver gets SIGKILL while a worker waits for a photo; the cluster outlives it."""
    out = tmp_path / "p.parquet"
    data = f"{web.host}/{layouts['lake'].name}"
    arguments = ["predict", "--engine", "ray", "--data", data, "--out", str(out), "--probabilities"]
    web.held = uuids[11]  # in the third shard of five
    command = [sys.executable, "-m", "challenges.vinted", *arguments]
    driver = subprocess.Popen(command, env=os.environ | {"RAY_ADDRESS": ray_cluster}, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not (web.asked.is_set() and len(shard_files(out)) >= 2) and driver.poll() is None:
        assert time.monotonic() < deadline, "the driver is too slow"
        time.sleep(0.05)
    driver.kill()
    _, errors = driver.communicate()
    assert driver.returncode == -signal.SIGKILL, errors
    assert all(line.startswith("predicting: ") for line in errors.splitlines()), errors
    finished = shard_files(out)
    assert not out.exists()
    assert 2 <= len(finished) < 5
    web.release.set()

    with pytest.raises(SystemExit) as done:
        run(app, [*arguments, "--json"])
    output, errors = capfd.readouterr()
    assert done.value.code == 0, errors
    assert all(line.startswith("predicting: ") for line in errors.splitlines()), errors
    summary = json.loads(output)
    assert (summary["n_photos"], summary["n_unreadable"]) == (len(uuids), 4)
    assert_same(out, json.loads((tmp_path / "p.report.json").read_text())["unreadable"], local)
    assert len(shard_files(out)) == 5
    assert finished.items() <= shard_files(out).items()


@pytest.mark.parametrize("name", ["official", "lake"])
@pytest.mark.parametrize("remote", [False, True])
def test_folders_and_zips_near_and_far(
    no_cluster: None,
    layouts: dict[str, Path],
    web: Web,
    local: tuple[Path, Report],
    tmp_path: Path,
    name: str,
    remote: bool,
):
    out, folder = tmp_path / "p.parquet", layouts[name]
    address = f"{web.host}/{folder.name}" if remote else f"file://{folder}"
    _, report = predict_file(DEFAULT_MODEL, address, out, engine=Engine.RAY, probabilities=True)
    assert_same(out, report, local)
    before = shard_files(out)
    assert len(before) == {"official": 1, "lake": 5}[name]
    predict_file(DEFAULT_MODEL, address, out, engine=Engine.RAY)
    assert shard_files(out) == before


def test_finished_shards_are_kept_until_the_data_change(
    no_cluster: None, layouts: dict[str, Path], uuids: list[str], tmp_path: Path
):
    folder, out = tmp_path / "data", tmp_path / "p.parquet"
    folder.mkdir()
    for name in ("data.zip", "example_predictions.parquet"):
        (folder / name).symlink_to(layouts["official"] / name)
    write_parquet(pd.DataFrame({"uuid": uuids[:3]}), folder / "test.parquet" / "0.parquet")
    write_parquet(pd.DataFrame({"uuid": uuids[3:5]}), folder / "test.parquet" / "1.parquet")

    def predict() -> dict[str, int]:
        predict_file(DEFAULT_MODEL, folder, out, engine=Engine.RAY)
        return shard_files(out)

    first = predict()
    before = out.read_bytes()
    out.unlink()
    assert predict() == first
    assert out.read_bytes() == before
    write_parquet(pd.DataFrame({"uuid": uuids[5:7]}), folder / "test.parquet" / "1.parquet")
    again = predict()
    assert again.keys() == first.keys()
    assert all(again[name] != first[name] for name in first)
    assert pd.read_parquet(out)["uuid"].tolist() == [*uuids[:3], *uuids[5:7]]


def test_a_broken_row_is_named_by_file_and_row(no_cluster: None, layouts: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.zip").symlink_to(layouts["official"] / "data.zip")
    rows = pd.Series([str(i) for i in range(100)], dtype="object")
    rows[70] = None  # in the second shard of the file
    pd.DataFrame({"uuid": rows}).to_parquet(folder / "test.parquet")
    with pytest.raises(UserError, match=r"test\.parquet: column 'uuid', row 70: .* a value must be given"):
        predict_file(DEFAULT_MODEL, folder, tmp_path / "p.parquet", engine=Engine.RAY)
    assert not (tmp_path / "p.parquet").exists()


def test_an_empty_table_gives_an_empty_answer(no_cluster: None, layouts: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "data.zip").symlink_to(layouts["official"] / "data.zip")
    pd.DataFrame({"uuid": pd.Series([], dtype="str")}).to_parquet(folder / "test.parquet")
    for engine in Engine:
        assert predict_file(DEFAULT_MODEL, folder, tmp_path / f"{engine}.parquet", engine=engine) == (0, [])
    pd.testing.assert_frame_equal(*(pd.read_parquet(tmp_path / f"{engine}.parquet") for engine in Engine))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("/no/such/folder", "no such folder"),
        (str(REPOSITORY / "pyproject.toml"), "an unpacked folder"),
        (str(REPOSITORY / "common"), "test.parquet is not in it"),
        ("nosuch://bucket", "nosuch"),
    ],
)
def test_mistakes(data: str, words: str, tmp_path: Path):
    with pytest.raises(UserError, match=words):
        predict_file(DEFAULT_MODEL, data, tmp_path / "p.parquet", engine=Engine.RAY)


def test_a_remote_zip_is_read_in_parts(web: Web, layouts: dict[str, Path]):
    from challenges.vinted.dataset import photos_at

    photos = photos_at(f"{web.host}/{layouts['official'].name}/data.zip")
    before = web.sent.get("data.zip", 0)
    uuid = next(u for u in photos.members if u not in ("cut", "text", "empty"))
    data = photos.read(uuid)
    assert data == photos_at(str(layouts["official"] / "data.zip")).read(uuid)
    assert len(data) <= web.sent["data.zip"] - before < len(data) + 2**17
    assert sum(map(len, map(photos.read, photos.members))) > len(data) + 2**17  # so that the line above says something


def test_a_remote_address_needs_the_engine_ray(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as done:
        run(app, ["predict", "--data", "s3://bucket/catalogue", "--out", str(tmp_path / "p.parquet")])
    assert done.value.code == 2
    assert "--engine ray" in capsys.readouterr().err
