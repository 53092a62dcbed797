"""The store of `index` on Milvus, a vector database for collections that no single machine holds.

The same client speaks to a cluster (`http://host:19530`), to the hosted service, and to Milvus Lite, a library that
keeps a collection in a local file and serves for tests. The server shards, replicates, indexes and persists.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from challenges.radix_neurips.index import ALL_YEARS, Neighbours, Years
from common.errors import UserError

if TYPE_CHECKING:
    from pymilvus import MilvusClient

_ROWS_PER_CALL = 5_000  # 8 MB of vectors; a server takes 64 MB at most
_ID_BYTES = 1_024

Result = TypeVar("Result")


class MilvusStore:
    """Vectors of one encoder in one collection, `papers_<encoder>`: those of two encoders cannot meet.

    Rows are keyed by a hash of the paper's id: a key goes into expressions of Milvus's language, where an id, which
    is anything a file may hold, would have to be escaped, and Milvus Lite has no way to.

    Args:
        uri: of a server, or a file for Milvus Lite.
        dimensions: of the vectors.
        encoder: fingerprint of the encoder that makes the vectors.
        token: `user:password` or an API key, where the server asks for one.

    Raises:
        UserError: pymilvus is missing, the server cannot be reached, or the collection has other dimensions.
    """

    def __init__(self, uri: str, dimensions: int, encoder: str, *, token: str = "") -> None:
        try:
            from pymilvus import MilvusClient
        except ImportError as error:
            raise UserError("a Milvus store needs pymilvus; run: pip install -e '.[distributed]'") from error
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # what it logs as errors is raised as well
        self.dimensions = dimensions
        self.collection = "papers_" + re.sub(r"\W", "_", encoder)
        self._uri = uri
        self._client: MilvusClient = self._ask(MilvusClient, uri, token=token)
        if not self._ask(self._client.has_collection, self.collection):
            self._create()
        fields = self._ask(self._client.describe_collection, self.collection)["fields"]
        found = next(int(field["params"]["dim"]) for field in fields if field["name"] == "vector")
        if found != dimensions:
            raise UserError(f"{uri}: {self.collection} has {found} dimensions, not {dimensions}: give another encoder")
        self._ask(self._client.load_collection, self.collection)

    def __len__(self) -> int:
        """Return the number of papers."""
        rows = self._ask(self._client.query, self.collection, filter="", output_fields=["count(*)"])
        return int(rows[0]["count(*)"])

    def add(self, ids: Sequence[str], vectors: NDArray[np.float32], years: NDArray[np.integer]) -> None:
        """Add papers; one that is there already is replaced.

        Raises:
            ValueError: shapes that do not fit.
            UserError: the server refuses.
        """
        if vectors.shape != (len(ids), self.dimensions) or years.shape != (len(ids),):
            raise ValueError(
                f"{len(ids)} ids, vectors {vectors.shape}, years {years.shape}, not {self.dimensions} wide"
            )
        for start in range(0, len(ids), _ROWS_PER_CALL):
            part = slice(start, start + _ROWS_PER_CALL)
            rows = [
                {"key": _key(paper_id), "paper_id": paper_id, "year": int(year), "vector": vector}
                for paper_id, year, vector in zip(ids[part], years[part], vectors[part].astype(np.float32), strict=True)
            ]
            self._ask(self._client.upsert, self.collection, rows)

    def delete(self, ids: Sequence[str]) -> None:
        """Forget papers; ids that are not there change nothing."""
        for start in range(0, len(ids), _ROWS_PER_CALL):
            keys = [_key(paper_id) for paper_id in ids[start : start + _ROWS_PER_CALL]]
            self._ask(self._client.delete, self.collection, ids=keys)

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the papers' vectors.

        Raises:
            UserError: an id is not there.
        """
        keys = [_key(paper_id) for paper_id in ids]
        rows = self._ask(self._client.get, self.collection, ids=keys, output_fields=["vector"]) if keys else []
        found = {row["key"]: row["vector"] for row in rows}
        for paper_id, key in zip(ids, keys, strict=True):
            if key not in found:
                raise UserError(f"there is no paper {str(paper_id)!r} in the index: give an id of the indexed corpus")
        return np.array([found[key] for key in keys], np.float32).reshape(len(keys), self.dimensions)

    def search(
        self, queries: NDArray[np.float32], k: int, *, years: Years = ALL_YEARS, exclude: Collection[str] = ()
    ) -> Neighbours:
        """Return the k nearest papers of each query. The excluded are asked for in excess, and dropped here."""
        excluded = set(exclude)
        known = ("year >", None if years == ALL_YEARS else 0)
        bounds = (known, ("year >=", years.first), ("year <=", years.last))
        rows = self._ask(
            self._client.search,
            self.collection,
            data=list(queries.astype(np.float32)),
            limit=k + len(excluded),
            filter=" and ".join(f"{side} {int(year)}" for side, year in bounds if year is not None),
            output_fields=["paper_id"],
        )
        scores = np.full((len(queries), k), -np.inf, np.float32)
        ids: list[list[str]] = []
        for query, hits in enumerate(rows):
            kept = [(hit["entity"]["paper_id"], hit["distance"]) for hit in hits]
            kept = [(paper_id, score) for paper_id, score in kept if paper_id not in excluded][:k]
            scores[query, : len(kept)] = [score for _, score in kept]
            ids.append([paper_id for paper_id, _ in kept] + [""] * (k - len(kept)))
        return Neighbours(scores, np.array(ids, np.str_).reshape(len(queries), k))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _create(self) -> None:
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("paper_id", DataType.VARCHAR, max_length=_ID_BYTES)
        schema.add_field("year", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.dimensions)
        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type="AUTOINDEX", metric_type="IP")  # the server knows its size, we do not
        # Strong: a search sees every paper added before it.
        self._ask(
            self._client.create_collection,
            self.collection,
            schema=schema,
            index_params=index,
            consistency_level="Strong",
        )

    def _ask(self, function: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
        from pymilvus.exceptions import MilvusException

        try:
            return function(*arguments, **named)
        except MilvusException as error:
            raise UserError(f"Milvus at {self._uri}: {' '.join(error.message.split())}") from error


def _key(paper_id: str) -> str:
    return hashlib.blake2b(paper_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
