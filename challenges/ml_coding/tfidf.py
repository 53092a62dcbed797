"""TF-IDF: a document as its terms' counts, each weighed by how few documents have the term.

tf-idf(t, d) = tf(t, d) idf(t), then each document is scaled to length 1, so that a dot product of two is their
cosine. df is the number of documents with a term, N that of all. Names and formulas: Manning, Raghavan and
Schütze, Introduction to Information Retrieval (2008), figure 6.15, and scikit-learn.

Complexity: O(T) time and memory for T tokens: rows are sparse (CSR), a dense matrix would take N x V.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from challenges.ml_coding.parameters import check_option

Floats = NDArray[np.float64]

TERM_FREQUENCIES: dict[str, Callable[[Floats], Floats]] = {
    "natural": lambda counts: counts,
    "logarithm": lambda counts: 1 + np.log(counts),
    "boolean": np.ones_like,
}
"""tf of a count, which is at least 1: what is absent is not stored."""

INVERSE_DOCUMENT_FREQUENCIES: dict[str, Callable[[Floats, int], Floats]] = {
    "none": lambda df, _: np.ones_like(df),
    "standard": lambda df, n: np.log(n / df),
    "plus_one": lambda df, n: np.log(n / df) + 1,
    "smooth": lambda df, n: np.log((1 + n) / (1 + df)) + 1,
    "probabilistic": lambda df, n: np.log(np.maximum(n - df, df) / df),
}
"""idf of document frequencies (V,) among n documents.

"standard" gives a term of all documents 0 and so drops it; "plus_one" keeps it (scikit-learn's
smooth_idf=False); "smooth" does as if one more document had every term, so that no df is 0 (scikit-learn's
default); "probabilistic" is max(0, ln((n - df) / df)): 0 for all that half of the documents have.
"""


class TfidfVectorizer(TransformerMixin, BaseEstimator):
    """Documents are sequences of tokens; terms that `fit` did not see are left out.

    Args:
        tf: "natural" (the count), "logarithm" (1 + ln count) or "boolean" (1).
        idf: "none", "standard", "plus_one", "smooth" or "probabilistic".
        norm: "l2", "l1" or None; a document without known terms stays 0.

    Attributes: vocabulary_ (term -> column, in alphabetical order), idf_ (V,).

    Example:
        >>> TfidfVectorizer(norm=None).fit_transform([["a", "b"], ["a", "a"]]).toarray().round(2)
        array([[1.  , 1.41],
               [2.  , 0.  ]])
    """

    def __init__(
        self,
        tf: Literal["natural", "logarithm", "boolean"] = "natural",
        idf: Literal["none", "standard", "plus_one", "smooth", "probabilistic"] = "smooth",
        norm: Literal["l1", "l2"] | None = "l2",
    ) -> None:
        self.tf = tf
        self.idf = idf
        self.norm = norm

    def fit(self, documents: Sequence[Sequence[str]], y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's
        """Learn vocabulary and document frequencies.

        Raises:
            ValueError: no document has a term, or another tf, idf or norm.
        """
        check_option("tf", self.tf, TERM_FREQUENCIES)
        check_option("idf", self.idf, INVERSE_DOCUMENT_FREQUENCIES)
        check_option("norm", self.norm, ["l2", "l1", None])
        df: Counter[str] = Counter()
        for document in documents:
            df.update(set(document))  # once a document, however often it has the term
        if not df:
            raise ValueError(f"none of {len(documents)} documents has a term")
        self.vocabulary_ = {term: column for column, term in enumerate(sorted(df))}
        frequencies = np.array([df[term] for term in self.vocabulary_], dtype=np.float64)  # (V,)
        self.idf_ = INVERSE_DOCUMENT_FREQUENCIES[self.idf](frequencies, len(documents))  # (V,)
        return self

    def transform(self, documents: Iterable[Sequence[str]]) -> Any:
        """The scipy.sparse.csr_array (M, V) of the documents."""
        from scipy.sparse import csr_array

        check_is_fitted(self)
        columns: list[int] = []
        counts: list[int] = []
        ends = [0]  # row i has the entries ends[i] to ends[i + 1]
        for document in documents:
            seen = Counter(self.vocabulary_[term] for term in document if term in self.vocabulary_)
            columns.extend(seen)
            counts.extend(seen.values())
            ends.append(len(columns))
        indices, starts = np.array(columns, dtype=np.int64), np.array(ends, dtype=np.int64)  # (E,), (M + 1,)
        values = TERM_FREQUENCIES[self.tf](np.array(counts, dtype=np.float64)) * self.idf_[indices]  # (E,)
        if self.norm is not None:
            rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))  # (E,) row of each entry
            sizes = np.abs(values) if self.norm == "l1" else values**2  # (E,)
            lengths = np.bincount(rows, weights=sizes, minlength=len(starts) - 1)  # (M,)
            lengths = lengths if self.norm == "l1" else np.sqrt(lengths)
            values = values / np.where(lengths > 0, lengths, 1.0)[rows]  # (E,)
        matrix = csr_array((values, indices, starts), shape=(len(starts) - 1, len(self.vocabulary_)))
        matrix.sort_indices()
        return matrix
