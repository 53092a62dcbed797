"""Where the papers' vectors lie: what a store can do, and one embedded in this process on FAISS.

| kind | what it is | when |
| --- | --- | --- |
| exact | every vector is compared | up to `EXACT_UP_TO` vectors |
| ivf-pq | k-means cells; in the nearest, 4-bit codes find candidates, which are compared again at 8 bits | beyond |
| hnsw | a graph of neighbours over 8-bit vectors | on request: `benchmarks/radix_neurips.py` has the trade-off |

Johnson, Douze, Jegou: "Billion-scale similarity search with GPUs" (2019); Jegou, Douze, Schmid: "Product quantization
for nearest neighbor search" (2011); Malkov, Yashunin: "Efficient and robust approximate nearest neighbor search using
hierarchical navigable small world graphs" (2018).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from common.artifacts import Artifact, load_artifact, save_artifact
from common.errors import UserError

if TYPE_CHECKING:
    import faiss

CHALLENGE = "radix_neurips"
_VECTORS, _PAPERS = "vectors.faiss", "papers.parquet"
EXACT_UP_TO = 50_000
"""Vectors that one core compares in about 5 ms (benchmarks/radix_neurips.py)."""
_POINTS_PER_CELL = 40  # that k-means learns from; FAISS asks for 39 or more
_KMEANS_ROUNDS = 10
_CELLS_PROBED = 64
_COMPARED_AGAIN = 500  # of the candidates that the codes find
_HNSW_LINKS, _HNSW_BUILD, _HNSW_SEARCH = 32, 80, 64
_ONE_BY_ONE = 8  # so few queries are not worth waking other threads for


class Kind(StrEnum):
    """How a FAISS store finds neighbours."""

    EXACT = "exact"
    IVF_PQ = "ivf-pq"
    HNSW = "hnsw"


@dataclass(frozen=True)
class Years:
    """From the first to the last year, both included; None is open. 0, an unknown year, lies in no bounds."""

    first: int | None = None
    last: int | None = None

    def hold(self, years: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return, for each year, whether it is one of these."""
        held = years > 0 if self != ALL_YEARS else np.ones(years.shape, np.bool_)
        if self.first is not None:
            held &= years >= self.first
        if self.last is not None:
            held &= years <= self.last
        return held


ALL_YEARS = Years()


@dataclass(frozen=True)
class Neighbours:
    """The nearest vectors of Q queries, the nearest first; where fewer were found, -inf and an empty id."""

    scores: NDArray[np.float32]  # (Q, k) inner products
    ids: NDArray[np.str_]  # (Q, k)


class VectorStore(Protocol):
    """Vectors of unit length by paper id. `challenges.radix_neurips.milvus` is another one."""

    dimensions: int

    def __len__(self) -> int:
        """Return the number of papers."""

    def add(self, ids: Sequence[str], vectors: NDArray[np.float32], years: NDArray[np.integer]) -> None:
        """Add papers: N ids, (N, dimensions) vectors, (N,) years. One that is there already is replaced."""

    def delete(self, ids: Sequence[str]) -> None:
        """Forget papers; ids that are not there change nothing."""

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Return (N, dimensions) vectors as they are stored, which may be rounded.

        Raises:
            UserError: an id is not there.
        """

    def search(
        self, queries: NDArray[np.float32], k: int, *, years: Years = ALL_YEARS, exclude: Collection[str] = ()
    ) -> Neighbours:
        """Return the k nearest of (Q, dimensions) queries among the papers of these years, without the excluded."""


class FaissStore:
    """A store in the memory of this process. Many threads may search it, while none adds or deletes.

    A deleted paper is only marked: FAISS numbers vectors by position, and a graph cannot lose a node. Its space
    comes back when an exact store turns into another kind, or is built anew.

    Args:
        dimensions: of the vectors.
        kind: how to search. By default exact, and turned once into ivf-pq when it outgrows `EXACT_UP_TO`.
        seed: of the sample that k-means learns from.

    >>> store = FaissStore(2)
    >>> store.add(["east", "north"], np.eye(2, dtype=np.float32), np.array([1999, 2003]))
    >>> store.search(np.float32([[0.8, 0.6]]), 1).ids
    array([['east']], dtype='<U5')
    >>> store.search(np.float32([[0.8, 0.6]]), 1, years=Years(first=2000)).ids
    array([['north']], dtype='<U5')
    """

    def __init__(self, dimensions: int, kind: Kind | None = None, *, seed: int = 0) -> None:
        self.dimensions = dimensions
        self.kind = kind or Kind.EXACT
        self._grows = kind is None
        self._seed = seed
        self._index: Any = None  # a faiss.Index, once there is a paper
        self._ids = np.empty(0, "U1")  # (R,) of every row ever added
        self._years = np.empty(0, np.int32)
        self._alive = np.empty(0, np.bool_)
        self._rows: dict[str, int] = {}  # of those alive

    def __len__(self) -> int:
        """Return the number of papers."""
        return len(self._rows)

    def add(self, ids: Sequence[str], vectors: NDArray[np.float32], years: NDArray[np.integer]) -> None:
        """Add papers; one that is there already is replaced. The first ones teach ivf-pq its cells.

        Raises:
            ValueError: shapes that do not fit, or an id that comes twice or is empty.
        """
        if vectors.shape != (len(ids), self.dimensions) or years.shape != (len(ids),):
            raise ValueError(
                f"{len(ids)} ids, vectors {vectors.shape}, years {years.shape}, not {self.dimensions} wide"
            )
        if len(set(ids)) < len(ids) or "" in ids:
            raise ValueError("an id comes twice, or is empty")
        if not len(ids):
            return
        self.delete(ids)
        if self._grows and self.kind is Kind.EXACT and len(self) + len(ids) > EXACT_UP_TO:
            self._turn_into_ivf_pq(ids, vectors, years)
            return
        vectors = np.ascontiguousarray(vectors, np.float32)
        if self._index is None:
            self._index = _create(self.kind, vectors, self._seed)
        self._rows |= zip(ids, range(len(self._ids), len(self._ids) + len(ids)), strict=True)
        self._index.add(vectors)
        self._ids = np.concatenate([self._ids, np.asarray(ids)])
        self._years = np.concatenate([self._years, years.astype(np.int32)])
        self._alive = np.concatenate([self._alive, np.ones(len(ids), np.bool_)])

    def delete(self, ids: Sequence[str]) -> None:
        """Forget papers; ids that are not there change nothing."""
        rows = [self._rows.pop(paper_id) for paper_id in set(ids) if paper_id in self._rows]
        self._alive[rows] = False

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the papers' vectors, which all kinds but the exact one have rounded to 8 bits.

        Raises:
            UserError: an id is not there.
        """
        for paper_id in ids:
            if paper_id not in self._rows:
                raise UserError(f"there is no paper {str(paper_id)!r} in the index: give an id of the indexed corpus")
        if not len(ids):
            return np.empty((0, self.dimensions), np.float32)
        rows = np.array([self._rows[paper_id] for paper_id in ids], np.int64)
        found: NDArray[np.float32] = self._stored().reconstruct_batch(rows)
        return found

    def search(
        self, queries: NDArray[np.float32], k: int, *, years: Years = ALL_YEARS, exclude: Collection[str] = ()
    ) -> Neighbours:
        """Return the k nearest papers of each query.

        A filter that leaves few papers has them compared exactly; one that leaves more has an approximate search
        look the further, the more it hides.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        kept = self._alive.copy() if years == ALL_YEARS else self._alive & years.hold(self._years)  # (R,)
        kept[[self._rows[paper_id] for paper_id in exclude if paper_id in self._rows]] = False
        n_kept = int(kept.sum())
        scores = np.full((len(queries), k), -np.inf, np.float32)
        ids = np.full((len(queries), k), "", self._ids.dtype)
        width = min(k, n_kept)
        if self._index is not None and width and len(queries):
            with _threads(1 if len(queries) <= _ONE_BY_ONE else None):
                found, rows = self._nearest(queries, width, kept, n_kept)  # (Q, width); row -1: not found
            ids[:, :width] = np.where(rows >= 0, self._ids[rows], "")
            scores[:, :width] = np.where(rows >= 0, found, -np.inf)
        return Neighbours(scores, ids)

    def _nearest(self, queries: NDArray[np.float32], k: int, kept: NDArray[np.bool_], n_kept: int) -> Any:
        """Scores and rows, (Q, k) each."""
        import faiss

        bits = np.packbits(kept, bitorder="little")  # referred to by the selector
        selector = faiss.IDSelectorBitmap(bits) if n_kept < len(kept) else None
        hidden = len(kept) / n_kept
        if self.kind is Kind.EXACT or n_kept <= EXACT_UP_TO < len(kept):
            return self._stored().search(queries, k, params=faiss.SearchParameters(sel=selector))
        if self.kind is Kind.HNSW:
            breadth = int(max(_HNSW_SEARCH, 2 * k) * hidden)
            parameters = faiss.SearchParametersHNSW(sel=selector, efSearch=breadth)
        else:
            probed = min(int(_CELLS_PROBED * hidden), faiss.extract_index_ivf(self._index).nlist)
            cells = faiss.SearchParametersIVF(sel=selector, nprobe=probed)
            again = max(_COMPARED_AGAIN / k, 4.0)
            parameters = faiss.IndexRefineSearchParameters(k_factor=again, base_index_params=cells)
        return self._index.search(queries, k, params=parameters)

    def _stored(self) -> faiss.Index:
        """The index of this kind that holds the vectors one after the other."""
        import faiss

        if self.kind is Kind.IVF_PQ:
            return faiss.downcast_index(self._index.refine_index)
        return faiss.downcast_index(self._index.storage) if self.kind is Kind.HNSW else self._index

    def _turn_into_ivf_pq(self, ids: Sequence[str], vectors: NDArray[np.float32], years: NDArray[np.integer]) -> None:
        """Build this store anew, of the papers it holds and these."""
        other = FaissStore(self.dimensions, Kind.IVF_PQ, seed=self._seed)
        held = self._ids[self._alive]
        if len(held):
            vectors = np.concatenate([self._index.reconstruct_n()[self._alive], vectors])
        other.add([*held.tolist(), *ids], vectors, np.concatenate([self._years[self._alive], years]))
        self.__dict__ |= other.__dict__


def save_store(
    store: FaissStore,
    directory: Path,
    *,
    encoder: str,
    data_fingerprint: str,
    beside: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Write a store as an artifact; one that is there is replaced by the renaming of its manifest.

    Args:
        store: what to write.
        directory: of the artifact.
        encoder: fingerprint of the encoder that made the vectors.
        data_fingerprint: of the corpus.
        beside: more files of the artifact, by name.
    """
    import faiss
    import pandas as pd

    index = faiss.IndexFlatIP(store.dimensions) if store._index is None else store._index
    papers = pd.DataFrame({"paper_id": store._ids, "year": store._years, "alive": store._alive})
    contents = {
        _VECTORS: faiss.serialize_index(index).tobytes(),
        _PAPERS: papers.to_parquet(index=False),
    } | dict(beside)
    # Named by their contents as well: until the manifest is replaced, the old one still finds the old files.
    names = {name: f"{hashlib.sha256(content).hexdigest()[:12]}-{name}" for name, content in contents.items()}
    stale = _files(directory) - set(names.values())
    save_artifact(
        directory,
        challenge=CHALLENGE,
        files={names[name]: content for name, content in contents.items()},
        config={"kind": store.kind, "grows": store._grows, "seed": store._seed, "names": names},
        labels={},
        input={"encoder": encoder, "dimensions": store.dimensions},
        data_fingerprint=data_fingerprint,
        metrics={"n_papers": len(store), "n_deleted": len(store._ids) - len(store)},
        packages={name: version(name) for name in ("faiss-cpu", "numpy")},
    )
    for name in stale:
        (directory / name).unlink(missing_ok=True)


def load_store(directory: Path, encoder: str) -> tuple[FaissStore, Artifact, dict[str, Path]]:
    """Read what `save_store` wrote: the store, its artifact, and the files beside it by name.

    Raises:
        UserError: no index there, a damaged one, or one whose vectors another encoder made.
    """
    import faiss
    import pyarrow.parquet as pq

    artifact = load_artifact(directory, CHALLENGE)
    manifest = artifact.manifest
    try:
        made_by, dimensions = manifest.input["encoder"], manifest.input["dimensions"]
        store = FaissStore(dimensions, Kind(manifest.config["kind"]), seed=manifest.config["seed"])
        store._grows = manifest.config["grows"]
        paths = {name: artifact.path(file) for name, file in manifest.config["names"].items()}
        vectors, table = paths.pop(_VECTORS), paths.pop(_PAPERS)
    except KeyError as error:
        raise UserError(
            f"{directory} holds no index ({error} is missing): give a folder the verb index wrote"
        ) from error
    if made_by != encoder:
        raise UserError(
            f"the index in {directory} was made by the encoder {made_by}, not by {encoder}: "
            "give the --model it was made with, or run the verb index anew"
        )
    index, papers = faiss.read_index(str(vectors)), pq.ParquetFile(table).read().to_pydict()
    if index.ntotal:
        store._index = index
    store._ids = np.array(papers["paper_id"], np.str_)
    store._years, store._alive = np.array(papers["year"], np.int32), np.array(papers["alive"], np.bool_)
    alive = np.flatnonzero(store._alive)
    store._rows = dict(zip(store._ids[alive].tolist(), alive.tolist(), strict=True))
    return store, artifact, paths


def _files(directory: Path) -> set[str]:
    """The files of the artifact that lies there, if one does."""
    try:
        return set(load_artifact(directory, CHALLENGE).manifest.files)
    except UserError:
        return set()


def _create(kind: Kind, vectors: NDArray[np.float32], seed: int) -> faiss.Index:
    """An empty index of this kind, which has learned from these vectors what it must."""
    import faiss

    dimensions = vectors.shape[1]
    if kind is Kind.EXACT:
        return faiss.IndexFlatIP(dimensions)
    if kind is Kind.HNSW:
        index = faiss.index_factory(dimensions, f"HNSW{_HNSW_LINKS}_SQ8", faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _HNSW_BUILD
        n_cells = 256
    else:
        n_cells = max(1, min(int(4 * len(vectors) ** 0.5), len(vectors) // _POINTS_PER_CELL))
        codes = next(n for n in (4, 2, 1) if dimensions % n == 0)  # numbers that share a 4-bit code
        name = f"IVF{n_cells},PQ{dimensions // codes}x4fsr,Refine(SQ8)"
        index = faiss.index_factory(dimensions, name, faiss.METRIC_INNER_PRODUCT)
        faiss.extract_index_ivf(index).cp.niter = _KMEANS_ROUNDS
    n_points = min(len(vectors), n_cells * _POINTS_PER_CELL)
    rows = np.random.default_rng(seed).choice(len(vectors), n_points, replace=False)
    index.train(vectors[np.sort(rows)])
    return index


@contextmanager
def _threads(n: int | None) -> Iterator[None]:
    """Let FAISS use so many threads in calls from this one; None: as many as it does."""
    import faiss

    usual = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(n or usual)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(usual)
