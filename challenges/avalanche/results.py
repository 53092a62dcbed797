"""Long computations: run beside the dashboard with their progress, kept in the database until their input changes."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from challenges.avalanche.dataset import Question
from challenges.avalanche.discovery import Discovery, FoundTheme, discover
from challenges.avalanche.embedding import TEXT_ENCODER, embed
from challenges.avalanche.store import Store, fingerprint
from common.artifacts import fingerprint as file_fingerprint
from common.errors import UserError
from common.metrics.bootstrap import Interval

VERSION: Final = "1"
"""Of what is computed and of how it is kept; another one makes old results void."""
_LOG: Final = logging.getLogger(__name__)


@dataclass
class Job:
    """A computation in a thread of its own; anybody may look at it."""

    stage: str = "starting"
    done: int = 0
    total: int = 0
    error: str = ""  # empty: none
    ended: threading.Event = field(default_factory=threading.Event)


_jobs: dict[tuple[str, int], Job] = {}
_starting: Final = threading.Lock()


def answers_key(question: Question) -> str:
    """What vectors and discovery follow from: the answers, the encoder, and this program's version."""
    return fingerprint(VERSION, file_fingerprint([TEXT_ENCODER]), question.text, question.answers["response"].tolist())


def vectors(
    store: Store, number: int, question: Question, on_progress: Callable[[int], None] | None = None
) -> NDArray[np.float32]:
    """(N, D) of all answers, from the database or else computed now and kept there."""
    key = answers_key(question)
    kept = store.result(number, "vectors", key)
    if kept is not None:
        return np.asarray(np.load(io.BytesIO(kept), allow_pickle=False), dtype=np.float32)
    made = embed(question.answers["response"].tolist(), on_progress=on_progress)
    out = io.BytesIO()
    np.save(out, made.astype(np.float16))  # half the bytes; the third digit of a cosine stays
    store.keep_result(number, "vectors", key, out.getvalue())
    return made


def discovery(store: Store, number: int, question: Question) -> Discovery | None:
    """What was discovered of these answers; None: nothing yet."""
    kept = store.result(number, "discovery", answers_key(question))
    return None if kept is None else unpack(kept)


def job(store: Store, number: int) -> Job | None:
    """The computation of a question that runs in this process, or ran last."""
    return _jobs.get((str(store.engine.url), number))


def start_discovery(store: Store, number: int, question: Question) -> Job:
    """Begin to discover, unless that runs already."""
    name = (str(store.engine.url), number)
    with _starting:
        running = _jobs.get(name)
        if running is not None and not running.ended.is_set():
            return running
        made = _jobs[name] = Job()
    threading.Thread(target=_run, args=(made, store, number, question), daemon=True).start()
    return made


def _run(made: Job, store: Store, number: int, question: Question) -> None:
    def advance(stage: str, total: int) -> Callable[[int], None]:
        made.stage, made.done, made.total = stage, 0, total

        def step(n: int = 1) -> None:
            made.done += n

        return step

    try:
        n_texts = question.answers["response"].nunique()
        encoded = vectors(store, number, question, advance("reading the answers", n_texts))
        found = discover(question, encoded, on_progress=advance("finding themes, reading clauses", 0))
        store.keep_result(number, "discovery", answers_key(question), pack(found))
    except UserError as error:
        made.error = str(error)
    except Exception:
        made.error = "the themes could not be found, by a fault of this program; its terminal says more"
        _LOG.exception("discovery of question %d failed", number)
        raise
    finally:
        made.ended.set()


def pack(found: Discovery) -> bytes:
    """A discovery as bytes: arrays and JSON, nothing that could run."""
    assignments = io.BytesIO()
    found.assignments.to_parquet(assignments)
    themes = json.dumps([asdict(theme) for theme in found.themes])
    out = io.BytesIO()
    np.savez_compressed(
        out,
        tree=found.tree,
        positions=found.positions.astype(np.float32),
        assignments=np.frombuffer(assignments.getvalue(), dtype=np.uint8),
        themes=np.frombuffer(themes.encode(), dtype=np.uint8),
    )
    return out.getvalue()


def unpack(content: bytes) -> Discovery:
    """The inverse of `pack`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        themes: list[dict[str, Any]] = json.loads(arrays["themes"].tobytes())
        return Discovery(
            pd.read_parquet(io.BytesIO(arrays["assignments"].tobytes())),
            tuple(
                FoundTheme(**theme | {"share": Interval(**theme["share"]), "quotes": tuple(theme["quotes"])})
                for theme in themes
            ),
            arrays["tree"],
            arrays["positions"],
        )


def has_vectors(store: Store, number: int, question: Question) -> bool:
    """Whether `vectors` need not be computed."""
    return store.has_result(number, "vectors", answers_key(question))
