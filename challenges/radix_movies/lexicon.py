"""TF-IDF of character n-grams inside words, without scikit-learn, which prediction lacks.

It is `TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=2, sublinear_tf=True)`, and a test compares the
two. N-grams see the stem that inflections share and parts of compounds: Lodhi et al., 'Text classification using
string kernels', 2002.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import scipy.sparse as sp

MIN_DOCUMENTS: Final = 2
LENGTHS: Final = (3, 4, 5)
"""Characters of an n-gram; words are padded with a space on either side."""
MAX_GRAMS: Final = 25_000
"""That are kept: the most frequent."""


@dataclass(frozen=True)
class Lexicon:
    """N-grams with their inverse document frequency: ln((1 + texts) / (1 + texts with it)) + 1."""

    terms: dict[str, int]  # n-gram -> column
    idf: NDArray[np.float32]  # (V,)

    def row(self, text: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The columns of a text's n-grams, and their weights (1 + ln count) * idf, which have unit length."""
        counts = Counter(column for gram in n_grams(text) if (column := self.terms.get(gram)) is not None)
        columns = np.fromiter(counts, np.int64, len(counts))
        weights = (1 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * self.idf[columns]
        return columns, (weights / max(float(np.linalg.norm(weights)), 1e-12)).astype(np.float32)

    def matrix(self, texts: Sequence[str]) -> sp.csr_array:
        """(N, V) rows of N texts."""
        import scipy.sparse as sp

        rows = [self.row(text) for text in texts]
        starts = np.cumsum([0, *(len(columns) for columns, _ in rows)])
        columns = np.concatenate([np.zeros(0, np.int64), *(columns for columns, _ in rows)])
        values = np.concatenate([np.zeros(0, np.float32), *(weights for _, weights in rows)])
        return sp.csr_array((values, columns, starts), shape=(len(rows), len(self.terms)))


def fit_lexicon(texts: Sequence[str]) -> Lexicon:
    """The most frequent n-grams of at least two texts."""
    documents: Counter[str] = Counter()
    for text in texts:
        documents.update(set(n_grams(text)))
    often = sorted((gram for gram in documents if documents[gram] >= MIN_DOCUMENTS), key=lambda g: (-documents[g], g))
    columns = sorted(often[:MAX_GRAMS])
    idf = [math.log((1 + len(texts)) / (1 + documents[gram])) + 1 for gram in columns]
    return Lexicon({gram: column for column, gram in enumerate(columns)}, np.array(idf, np.float32))


def n_grams(text: str) -> Iterator[str]:
    """The n-grams of each word; a word shorter than an n-gram stands for itself, once."""
    for word in text.lower().split():
        padded = f" {word} "
        for length in LENGTHS:
            yield padded[:length]
            yield from (padded[i : i + length] for i in range(1, len(padded) - length + 1))
            if length >= len(padded):
                break
