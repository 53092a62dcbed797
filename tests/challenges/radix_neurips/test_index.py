"""Stores of vectors: one contract for all, and what is FAISS's own: kinds, growing, the artifact on disk."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from challenges.radix_neurips import index
from challenges.radix_neurips.index import ALL_YEARS, FaissStore, Kind, VectorStore, Years, load_store, save_store
from challenges.radix_neurips.milvus import MilvusStore
from common.errors import UserError

DIMENSIONS = 16
FINGERPRINT = "0" * 64


def unit(seed: int, n: int) -> np.ndarray:
    """Draw (n, DIMENSIONS) vectors around a few directions, as papers lie around topics."""
    rng = np.random.default_rng(seed)
    topics = np.random.default_rng(0).normal(size=(12, DIMENSIONS))
    vectors = topics[rng.integers(12, size=n)] + 0.7 * rng.normal(size=(n, DIMENSIONS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def names(n: int, start: int = 0) -> list[str]:
    return [f"paper {i}" for i in range(start, start + n)]


def years(n: int) -> np.ndarray:
    return 1990 + np.arange(n) % 10


@pytest.fixture(params=["exact", "ivf-pq", "hnsw", "milvus"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorStore]:
    """A store of each kind with 600 papers of ten years, so small that each kind finds the true neighbours."""
    monkeypatch.setattr(index, "_CELLS_PROBED", 1_000)
    made: VectorStore
    if request.param == "milvus":
        made = MilvusStore(str(tmp_path / "papers.db"), DIMENSIONS, FINGERPRINT)
    else:
        made = FaissStore(DIMENSIONS, Kind(request.param))
    made.add(names(600), unit(1, 600), years(600))
    yield made
    if isinstance(made, MilvusStore):
        made.close()


def exact(queries: np.ndarray, vectors: np.ndarray, ids: list[str], k: int) -> np.ndarray:
    order = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]
    return np.asarray(ids)[order]


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len({*a} & {*b}) / len(b) for a, b in zip(found, truth, strict=True)]))


def test_every_store_keeps_the_contract(store: VectorStore):
    queries, vectors, ids = unit(2, 20), unit(1, 600), np.asarray(names(600))
    found = store.search(queries, 10)
    assert found.ids.shape == found.scores.shape == (20, 10)
    assert recall(found.ids, exact(queries, vectors, names(600), 10)) >= 0.95
    assert (np.diff(found.scores, axis=1) <= 1e-6).all()
    rows = {paper_id: row for row, paper_id in enumerate(ids)}
    true_scores = np.take_along_axis(queries @ vectors.T, np.vectorize(rows.get)(found.ids), axis=1)
    np.testing.assert_allclose(found.scores, true_scores, atol=0.02)

    nineties = years(600) <= 1992
    filtered = store.search(queries, 10, years=Years(last=1992))
    assert recall(filtered.ids, exact(queries, vectors[nineties], list(ids[nineties]), 10)) >= 0.95
    one = store.search(queries, 60, years=Years(1995, 1995))
    assert set(one.ids.ravel()) == {*ids[years(600) == 1995]}  # all 60, though most are far from any query
    store.add(["undated"], queries[:1], np.array([0]))
    assert store.search(queries, 1).ids[0, 0] == "undated"
    for bounds in (Years(last=1992), Years(first=0)):
        assert store.search(queries, 1, years=bounds).ids[0, 0] != "undated"
    store.delete(["undated"])
    none = store.search(queries, 3, years=Years(2050))
    assert (none.ids == "").all()
    assert np.isneginf(none.scores).all()

    nearest = str(found.ids[0, 0])
    assert nearest not in store.search(queries[:1], 10, exclude={nearest, "unknown"}).ids
    store.delete([nearest, "unknown"])
    store.delete([nearest])
    assert len(store) == 599
    assert nearest not in store.search(queries[:1], 10).ids
    with pytest.raises(UserError, match=f"no paper '{nearest}'"):
        store.vectors([nearest])

    store.add(["new\" or '1' == '1", "paper 5"], queries[:2], np.array([2024, 2025]))  # one new, one in another place
    assert len(store) == 600
    assert store.search(queries[:1], 1).ids[0, 0] == "new\" or '1' == '1"
    assert store.search(queries[1:2], 1, years=Years(2025)).ids[0, 0] == "paper 5"
    np.testing.assert_allclose(store.vectors(["paper 5", "paper 7"]), [queries[1], vectors[7]], atol=0.02)
    store.delete(["new\" or '1' == '1"])
    assert len(store) == 599


def test_an_empty_store_finds_nothing_and_ids_must_be_sound():
    store = FaissStore(DIMENSIONS)
    assert (store.search(unit(0, 2), 3).ids == "").all()
    store.add([], np.empty((0, DIMENSIONS), np.float32), np.empty(0, int))
    with pytest.raises(ValueError, match="twice"):
        store.add(["a", "a"], unit(0, 2), years(2))
    with pytest.raises(ValueError, match="wide"):
        store.add(["a", "b"], unit(0, 2)[:, :5], years(2))


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "EXACT_UP_TO", 1_000)


@pytest.mark.usefixtures("small_limit")
def test_a_store_that_outgrows_exact_search_turns_into_ivf_pq_and_goes_on():
    store = FaissStore(DIMENSIONS)
    store.add(names(900), unit(1, 900), years(900))
    store.delete(names(100))
    assert store.kind is Kind.EXACT
    store.add(names(2_000, 900), unit(2, 2_000), years(2_000))
    assert store.kind is Kind.IVF_PQ
    assert len(store) == 2_800
    store.add(names(500, 2_900), unit(3, 500), years(500))
    store.delete(names(100, 100))
    vectors = np.concatenate([unit(1, 900)[200:], unit(2, 2_000), unit(3, 500)])
    queries = unit(4, 50)
    assert recall(store.search(queries, 10).ids, exact(queries, vectors, names(3_200, 200), 10)) >= 0.95


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("kind", [Kind.IVF_PQ, Kind.HNSW])
def test_filters_that_hide_much_cost_no_recall(kind: Kind):
    store, vectors, when = FaissStore(DIMENSIONS, kind), unit(1, 12_000), years(12_000)
    store.add(names(12_000), vectors, when)
    queries = unit(2, 50)
    for hidden in (Years(1991), Years(1999), Years(1995, 1998)):  # leaves 90 %, 10 %, 40 %
        kept = hidden.hold(when)
        truth = exact(queries, vectors[kept], list(np.asarray(names(12_000))[kept]), 10)
        assert recall(store.search(queries, 10, years=hidden).ids, truth) >= 0.95


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(["add", "delete"]), st.sets(st.integers(0, 30))), max_size=8),
    first=st.none() | st.integers(1989, 2001),
    last=st.none() | st.integers(1989, 2001),
)
def test_a_store_after_any_history_answers_as_a_new_one(steps: list, first: int | None, last: int | None):
    vectors, when = unit(3, 31), years(31)
    store, held = FaissStore(DIMENSIONS), set()
    for step, rows in steps:
        ids = [f"paper {row}" for row in rows]
        if step == "add":
            store.add(ids, vectors[sorted(rows)][np.argsort(np.argsort(list(rows)))], when[list(rows)])
            held |= rows
        else:
            store.delete(ids)
            held -= rows
    kept = [row for row in sorted(held) if (first or 0) <= when[row] <= (last or 9_999)]
    found = store.search(vectors[:2], 31, years=Years(first, last))
    assert len(store) == len(held)
    for query in range(2):
        order = sorted(kept, key=lambda row: -float(vectors[query] @ vectors[row]))
        assert [i for i in found.ids[query] if i] == [f"paper {row}" for row in order]


def saved(folder: Path, kind: Kind | None = None) -> FaissStore:
    store = FaissStore(DIMENSIONS, kind)
    store.add(names(500), unit(1, 500), years(500))
    store.delete(names(20))
    save_store(store, folder, encoder="encoder a", data_fingerprint=FINGERPRINT, beside={"notes.txt": b"beside"})
    return store


@pytest.mark.parametrize("kind", [None, Kind.IVF_PQ, Kind.HNSW])
def test_a_store_read_back_is_the_same_and_goes_on(tmp_path: Path, kind: Kind | None):
    store = saved(tmp_path / "index", kind)
    again, artifact, beside = load_store(tmp_path / "index", "encoder a")
    assert beside["notes.txt"].read_bytes() == b"beside"
    assert artifact.manifest.metrics == {"n_papers": 480, "n_deleted": 20}
    assert again.kind is store.kind
    for queries, k, when in ((unit(2, 9), 10, ALL_YEARS), (unit(3, 1), 600, Years(1993))):
        expected, found = store.search(queries, k, years=when), again.search(queries, k, years=when)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.scores, expected.scores)
    again.add(["new"], unit(5, 1), years(1))
    assert again.search(unit(5, 1), 1).ids[0, 0] == "new"


def test_an_empty_store_can_be_kept(tmp_path: Path):
    save_store(FaissStore(DIMENSIONS), tmp_path, encoder="a", data_fingerprint=FINGERPRINT)
    store, _, _ = load_store(tmp_path, "a")
    store.add(names(3), unit(0, 3), years(3))
    assert len(store) == 3


def test_an_index_of_another_encoder_or_another_thing_is_refused(tmp_path: Path):
    saved(tmp_path)
    with pytest.raises(UserError, match="made by the encoder encoder a, not by encoder b"):
        load_store(tmp_path, "encoder b")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["config"] = {}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="holds no index"):
        load_store(tmp_path, "encoder a")
    with pytest.raises(UserError, match="there is no model"):
        load_store(tmp_path / "nowhere", "encoder a")


def test_a_damaged_index_is_refused(tmp_path: Path):
    saved(tmp_path)
    path = next(tmp_path.glob("*vectors.faiss"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        load_store(tmp_path, "encoder a")


def test_a_killed_save_leaves_the_old_index_and_a_finished_one_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    saved(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    larger = FaissStore(DIMENSIONS)
    larger.add(names(700), unit(4, 700), years(700))

    def killed(directory: Path, *, files: dict, **_: object) -> None:
        for name, content in files.items():
            (directory / name).write_bytes(content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(index, "save_artifact", killed)
        with pytest.raises(KeyboardInterrupt):
            save_store(larger, tmp_path, encoder="encoder a", data_fingerprint=FINGERPRINT)
    assert len(load_store(tmp_path, "encoder a")[0]) == 480
    save_store(larger, tmp_path, encoder="encoder a", data_fingerprint=FINGERPRINT)
    assert len(load_store(tmp_path, "encoder a")[0]) == 700
    assert not before & {path.name for path in tmp_path.iterdir()} - {"manifest.json"}


def test_stores_are_built_alike_from_the_same_seed():
    def build() -> Callable:
        store = FaissStore(DIMENSIONS, Kind.IVF_PQ, seed=3)
        store.add(names(2_000), unit(1, 2_000), years(2_000))
        return store.search

    first, second = build()(unit(2, 5), 10), build()(unit(2, 5), 10)
    np.testing.assert_array_equal(first.ids, second.ids)
