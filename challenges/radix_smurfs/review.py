"""A page on this machine where a person confirms or corrects weak labels, crop by crop, saved as they go."""

from __future__ import annotations

import csv
import json
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from challenges.radix_smurfs.classify import Figure, category_ids, read_figures, read_labels
from challenges.radix_smurfs.dataset import NAMES, SmurfDataset
from challenges.radix_smurfs.weak_labels import LABELLING_FUNCTIONS, measure, weak_labels
from common.data.images import encode_jpeg
from common.data.tables import json_text, replace_atomically
from common.errors import UserError

PAGE: Final = Path(__file__).with_name("review.html")
CROP_SIDE: Final = 200  # pixels: the longer side of a crop on the page
MAX_BODY: Final = 2_000_000  # bytes of a request: names of some 50,000 crops
# The page holds its own script and style, and talks to nobody but this server.
POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Proposal:
    """One crop on the page."""

    annotation_id: int
    name: str  # the likeliest
    probability: float
    sure: bool  # confident enough to be trained on unseen
    votes: tuple[str, ...]  # names of the functions that voted
    jpeg: bytes


@dataclass
class Review:
    """The crops, and what a person said of them; every answer is on disk before it is acknowledged."""

    proposals: tuple[Proposal, ...]  # the least sure first
    path: Path
    categories: Mapping[int, str]  # names by id, as the data set has them
    answers: dict[int, tuple[str, str]] = field(default_factory=dict)  # name and judgement by annotation id
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, labels: Mapping[int, str]) -> int:
        """Take a person's word for some crops; returns how many are reviewed.

        Raises:
            ValueError: an annotation or a name that there is none of; nothing is saved then.
            UserError: the file cannot be written, or is no review any more.
        """
        proposed = {proposal.annotation_id: proposal.name for proposal in self.proposals}
        for annotation_id, name in labels.items():
            if annotation_id not in proposed or name not in NAMES:
                raise ValueError(f"there is no annotation {annotation_id} or no name {name!r}")
        with self._lock:
            self._read()
            together = dict(self.answers)
            for annotation_id, name in labels.items():
                if annotation_id not in together or together[annotation_id][0] != name:  # else its judgement stays
                    together[annotation_id] = name, "confirmed" if proposed[annotation_id] == name else "corrected"
            self._save(together)
            self.answers = together
            return len(together)

    def _read(self) -> None:
        """Take over what stands in the file: another review may have written to it, or a person in an editor."""
        if self.path.exists():
            labels = read_labels(self.path, self.categories)
            with self.path.open(newline="", encoding="utf-8-sig") as file:
                judgements = [row.get("judgement") or "" for row in csv.DictReader(file)]
            for (annotation_id, label), judgement in zip(labels.items(), judgements, strict=True):
                self.answers[annotation_id] = NAMES[label], judgement

    def _save(self, answers: Mapping[int, tuple[str, str]]) -> None:
        ids = dict(zip(NAMES, category_ids(self.categories), strict=True))
        with replace_atomically(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["annotation_id", "category_id", "judgement"])
            rows.writerows([key, ids[name], judgement] for key, (name, judgement) in sorted(answers.items()))

    def as_dict(self) -> dict[str, Any]:
        """What the page shows.

        Raises:
            UserError: the file is no review any more.
        """
        with self._lock:
            self._read()
        shown = [
            {
                "id": str(p.annotation_id),  # a script's numbers end at 2^53
                "name": p.name,
                "probability": round(p.probability, 3),
                "sure": p.sure,
                "votes": p.votes,
                "reviewed": self.answers[p.annotation_id][0] if p.annotation_id in self.answers else None,
            }
            for p in self.proposals
        ]
        return {"names": NAMES, "file": str(self.path), "figures": shown}


def prepare(dataset: SmurfDataset, path: Path) -> tuple[Review, dict[str, str]]:
    """Label a data set weakly for a review that is kept in `path`, and goes on where that file ends.

    Returns:
        The review, and the reason for each image that cannot be read.

    Raises:
        UserError: the file is there and is no review of this data set, or the data set lacks a category.
    """
    category_ids(dataset.categories)  # all four, or nothing can be saved
    labels = read_labels(path, dataset.categories) if path.exists() else {}
    strangers = sorted(set(labels) - {instance.id for instance in dataset.instances})
    if strangers:
        raise UserError(f"{path}: annotation {strangers[0]} is not in this data set: name another file")
    unreadable: dict[str, str] = {}
    found = [figure for group in read_figures(dataset, unreadable) for figure in group]
    weak = weak_labels([measure(figure.crop, figure.mask) for figure in found])
    proposals = [
        Proposal(
            annotation_id=figure.instance.id,
            name=NAMES[int(row.argmax())],
            probability=float(row.max()),
            sure=bool(label >= 0),
            votes=tuple(f.name for f, voted in zip(LABELLING_FUNCTIONS, votes, strict=True) if voted),
            jpeg=encode_jpeg(outline(figure), 85),
        )
        for figure, row, label, votes in zip(found, weak.probabilities, weak.labels, weak.votes, strict=True)
    ]
    proposals.sort(key=lambda p: (p.sure, p.probability, p.annotation_id))
    return Review(tuple(proposals), path, dataset.categories), unreadable


def outline(figure: Figure) -> NDArray[np.uint8]:
    """RGB picture of a figure with a line around its mask, its longer side CROP_SIDE."""
    scale = CROP_SIDE / max(figure.mask.shape)
    size = max(1, round(figure.mask.shape[1] * scale)), max(1, round(figure.mask.shape[0] * scale))
    crop = cv2.resize(figure.crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    mask = cv2.resize(figure.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(crop.copy(), contours, -1, (255, 0, 255), 1), np.uint8)


def serve_review(review: Review, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Show the page until Ctrl-C.

    Args:
        review: from `prepare`.
        host: address to listen on.
        port: 0 takes a free one.
        announce: called with the address once it listens.

    Raises:
        UserError: the port is taken or not allowed.
    """
    with create_server(review, host, port) as server:
        announce(f"http://{host}:{server.server_address[1]}/")
        server.serve_forever()


def create_server(review: Review, host: str, port: int) -> ThreadingHTTPServer:
    """The listening server; `serve_forever` answers.

    Raises:
        UserError: the port is taken or not allowed.
    """
    try:
        return ThreadingHTTPServer((host, port), partial(_Handler, review, host))
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a port"
        raise UserError(f"cannot listen on {host}:{port} ({why}): choose another --port") from error


class _Handler(BaseHTTPRequestHandler):
    """GET /, /figures, /crops/<annotation id>; POST /labels {"<annotation id>": "<name>"}."""

    timeout = 30  # seconds for a request to arrive

    def __init__(self, review: Review, host: str, *arguments: Any) -> None:
        self.review, self.host = review, host
        super().__init__(*arguments)

    def handle(self) -> None:
        """Requests until the browser leaves, which it may do before an answer is whole."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        """The page, what it shows, and the crops."""
        if not self._is_addressed_to_us():
            return
        if self.path == "/":
            self._reply(PAGE.read_bytes(), "text/html; charset=utf-8")
        elif self.path == "/figures":
            try:
                self._reply(json_text(self.review.as_dict()).encode(), "application/json")
            except UserError as error:
                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        else:
            crops = {f"/crops/{p.annotation_id}": p.jpeg for p in self.review.proposals}
            if self.path in crops:
                self._reply(crops[self.path], "image/jpeg")
            else:
                self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        """Names for some crops, saved before the answer."""
        if not self._is_addressed_to_us():
            return
        # A page of another site can send this only after asking, which nobody answers.
        if self.path != "/labels" or self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.NOT_FOUND, "POST takes JSON at /labels")
            return
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length) or int(length) > MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request has a length, of at most {MAX_BODY} bytes")
            return
        try:
            body = json.loads(self.rfile.read(int(length)))
            n_reviewed = self.review.answer({int(key): name for key, name in body.items()})
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, f"not an object of names by annotation id ({error})")
        except UserError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        else:
            self._reply(json_text({"n_reviewed": n_reviewed}).encode(), "application/json")

    def _is_addressed_to_us(self) -> bool:
        """Refuse names that somebody else's DNS points here: their pages could read the answers."""
        name = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        if self.host == "0.0.0.0" or name in (self.host, "localhost"):  # noqa: S104 - the user opened it to all
            return True
        self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this address is not served here")
        return False

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True  # what is left of the request is not read
        self._reply(json_text({"error": why}).encode(), "application/json", status)

    def _reply(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal belongs to the person who reviews."""
