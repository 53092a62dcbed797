"""The review over real HTTP: proposals, answers on disk at once, what is refused."""

import json
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from challenges.radix_smurfs.classify import read_labels
from challenges.radix_smurfs.dataset import CATEGORY_IDS, NAMES, SmurfDataset, load
from challenges.radix_smurfs.review import Review, create_server, prepare
from challenges.radix_smurfs.sample import write_sample
from common.errors import UserError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> SmurfDataset:
    return load(write_sample(tmp_path_factory.mktemp("sample"), n_images=4, n_frames=0))


@pytest.fixture
def review(dataset: SmurfDataset, tmp_path: Path) -> Review:
    prepared, unreadable = prepare(dataset, tmp_path / "reviewed.csv")
    assert unreadable == {}
    return prepared


@pytest.fixture
def address(review: Review) -> Iterator[str]:
    with create_server(review, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        return bytes(answer.read())


def post(url: str, body: Any, kind: str = "application/json") -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_a_person_confirms_and_corrects(review: Review, address: str, dataset: SmurfDataset) -> None:
    assert b"Who is who?" in get(address + "/")
    shown = json.loads(get(address + "/figures"))
    assert shown["names"] == list(NAMES)
    assert {f["id"] for f in shown["figures"]} == {str(i.id) for i in dataset.instances}  # a script would round numbers
    sure = [f["sure"] for f in shown["figures"]]
    assert sure == sorted(sure)  # the least sure first
    first, second = shown["figures"][:2]
    picture = cv2.imdecode(np.frombuffer(get(f"{address}/crops/{first['id']}"), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert max(picture.shape) == 200
    other = next(name for name in NAMES if name != second["name"])
    assert post(address + "/labels", {first["id"]: first["name"]}) == (200, {"n_reviewed": 1})
    assert post(address + "/labels", {second["id"]: other}) == (200, {"n_reviewed": 2})
    rows = dict(line.split(",", 1) for line in review.path.read_text().splitlines()[1:])
    assert rows[first["id"]] == f"{CATEGORY_IDS[first['name']]},confirmed"
    assert rows[second["id"]] == f"{CATEGORY_IDS[other]},corrected"
    labels = read_labels(review.path, dataset.categories)  # what training reads
    assert labels == {int(first["id"]): NAMES.index(first["name"]), int(second["id"]): NAMES.index(other)}
    again, _ = prepare(dataset, review.path)  # another day
    assert reviewed(again) == {first["id"]: first["name"], second["id"]: other}


def reviewed(review: Review) -> dict[str, str]:
    """As the page shows it."""
    return {f["id"]: f["reviewed"] for f in review.as_dict()["figures"] if f["reviewed"]}


def test_what_others_wrote_into_the_file_stays(review: Review, dataset: SmurfDataset) -> None:
    noted, mine, theirs = (i.id for i in dataset.instances[:3])
    review.path.write_text(f'annotation_id,category_id,judgement\n{noted},1,"unsure: half cut off, red hat"\n')
    review.answer({noted: "Papa Smurf", mine: "Smurf"})  # the same word again is no other judgement
    second, _ = prepare(dataset, review.path)  # in another terminal
    second.answer({theirs: "Vanity Smurf"})
    review.answer({mine: "Smurfette"})
    assert reviewed(review) == {str(noted): "Papa Smurf", str(mine): "Smurfette", str(theirs): "Vanity Smurf"}
    assert f'{noted},1,"unsure: half cut off, red hat"\n' in review.path.read_text()
    assert len(review.path.read_text().splitlines()) == 4
    review.path.unlink()
    review.answer({mine: "Smurf"})
    assert len(read_labels(review.path, dataset.categories)) == 3


def test_a_file_that_was_spoilt_meanwhile_is_said_and_left(review: Review, address: str) -> None:
    review.path.write_text("annotation_id,category_id\n0,nobody\n")
    answered, said = post(address + "/labels", {"0": "Smurf"})
    assert answered == 500
    assert "line 2" in said["error"]
    with pytest.raises(urllib.error.HTTPError, match="500") as error:
        get(address + "/figures")
    error.value.close()
    assert review.path.read_text().endswith("nobody\n")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ({"0": "Brainy"}, "application/json", 400),
        ({"9999": "Smurf"}, "application/json", 400),
        ({"x": "Smurf"}, "application/json", 400),
        (["Smurf"], "application/json", 400),
        (b"{", "application/json", 400),
        (b"[" * 50_000, "application/json", 400),
        ({"0": "Smurf"}, "text/plain", 404),
    ],
)
def test_what_is_refused_changes_nothing(review: Review, address: str, body: Any, kind: str, status: int) -> None:
    answered, said = post(address + "/labels", body, kind)
    assert answered == status
    assert said["error"]
    assert not review.path.exists()


@pytest.mark.parametrize("length", ["²", "9" * 5000, "-1", "", "2000001"])
def test_a_length_that_is_none_or_too_large_is_refused(address: str, length: str) -> None:
    connection = HTTPConnection(address.removeprefix("http://"), timeout=10)
    headers = {"Content-Type": "application/json", "Content-Length": length.encode("latin-1")}
    connection.request("POST", "/labels", headers=headers)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_browser_that_leaves_prints_nothing_on_the_terminal(address: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A page that is loaded anew resets the connections of the crops that were on their way."""
    host, _, port = address.removeprefix("http://").partition(":")
    for _ in range(10):
        with socket.create_connection((host, int(port))) as leaving:
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, when closed
            leaving.sendall(b"GET /figures HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while any(thread.name.endswith("(process_request_thread)") for thread in threading.enumerate()):
        pass
    get(address + "/figures")
    assert capfd.readouterr() == ("", "")


def test_unknown_pages_and_foreign_names_are_refused(address: str) -> None:
    for path in ("/crops/9999", "/../review.py", "/nothing"):
        with pytest.raises(urllib.error.HTTPError, match="404") as error:
            get(address + path)
        error.value.close()
    connection = HTTPConnection(address.removeprefix("http://"), timeout=10)
    connection.request("GET", "/figures", headers={"Host": "evil.example:80"})
    assert connection.getresponse().status == 421
    connection.close()


def test_a_file_that_cannot_be_written_is_said_and_nothing_kept(dataset: SmurfDataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    review, _ = prepare(dataset, tmp_path / "file" / "reviewed.csv")
    with pytest.raises(UserError, match="cannot write"):
        review.answer({dataset.instances[0].id: "Smurf"})
    assert review.answers == {}


def test_a_review_of_other_data_is_refused(dataset: SmurfDataset, tmp_path: Path) -> None:
    path = tmp_path / "reviewed.csv"
    path.write_text("annotation_id,category_id,judgement\n4711,0,confirmed\n")
    with pytest.raises(UserError, match="annotation 4711 is not in this data set"):
        prepare(dataset, path)


def test_a_taken_port_is_one_line(review: Review) -> None:
    with create_server(review, "127.0.0.1", 0) as server, pytest.raises(UserError, match="choose another --port"):
        create_server(review, "127.0.0.1", server.server_address[1])
