"""Papers as weighted words and pairs of words: TF-IDF in which a title counts for more, and BM25 beside it."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray

from common.artifacts import load_artifact
from common.models.text import CHALLENGE as TEXT_ENCODER

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float32]

TITLE_WEIGHT: Final = 4  # how often a word of the title counts
LONGEST_TERM: Final = 3  # words
# How terms weigh once it is known which are keywords; see `Tfidf`.
_RARITY, _DAMPING, _KEYPHRASE, _TRIPLE = 1.5, 0.7, 1.3, 0.75
_KEYPHRASENESS: Final = "keyphraseness.safetensors"
_DOUBT: Final = 3  # papers that do not name the term, added to what was seen
_TITLED: Final = 0.5
_WORD: Final = re.compile(r"[^\W_]{2,}")
_STOP_WORDS: Final = """
a about above across after again all also although among an and any are as at be because been before being
below between both but by can could did do does doing down due during each either etc even every few first for from
further given had has have having he hence her here his how however if in into is it its itself just least less
like made make many may me might more most much must my neither no nor not now of off often on once one only onto or
other our out over own per rather same several she should since so some still such than that the their them then
there thereby therefore these they this those though three through thus to together too toward towards two under
until up upon us use used using various very via was we well were what when where whether which while who whose why
will with within without would yet you your
"""
STOP_WORDS: Final = frozenset(_STOP_WORDS.split())
"""Words that say nothing of a topic."""


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without their plural s and without stop words.

    >>> split_words("Bandits with knapsacks: the queries of policies")
    ['bandit', 'knapsack', 'query', 'policy']
    """
    return [_singular(word) for word in _WORD.findall(text.lower()) if word not in STOP_WORDS]


def _singular(word: str) -> str:
    """The S stemmer, Harman, 'How effective is suffixing?' (1991), which here leaves 'analysis' alone as well."""
    if len(word) > 4 and word.endswith("ies") and word[-4] not in "ea":
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith("es") and word[-3] not in "aeo":
        return word[:-1]
    if len(word) > 3 and word.endswith("s") and word[-2] not in "uis":
        return word[:-1]
    return word


def count_terms(title: str, abstract: str) -> Counter[str]:
    """Count words and runs of two and three words, those of the title `TITLE_WEIGHT` times.

    >>> count_terms("Fair bandits", "Bandits.")
    Counter({'bandit': 5, 'fair': 4, 'fair bandit': 4})
    """
    counts: Counter[str] = Counter()
    for text, weight in ((title, TITLE_WEIGHT), (abstract, 1)):
        words = split_words(text)
        for n in range(1, LONGEST_TERM + 1):
            for term in map(" ".join, zip(*(words[start:] for start in range(n)), strict=False)):
                counts[term] += weight
    return counts


@dataclass(frozen=True)
class Keyphraseness:
    """How often authors who use a term make it a keyword, or name it in the title.

    After Mihalcea and Csomai, 'Wikify!' (2007). Terms are known by a checksum, as in `Tfidf`.
    """

    terms: NDArray[np.uint32]  # (T,) ascending
    strength: Floats  # (T,) sqrt(keyword / used) + 0.5 sqrt(in the title / used)

    def of(self, terms: NDArray[np.uint32]) -> Floats:
        """Return the strength of each term, 0 where it is not known."""
        place, known = _find(self.terms, terms)
        found = np.zeros(len(terms), np.float32)
        found[known] = self.strength[place[known]]
        return found


def learn_keyphraseness(papers: Iterable[tuple[str, str]], keywords: Iterable[Collection[str] | None]) -> Keyphraseness:
    """Count in how many papers a term stands, of how many it is a keyword, and in how many titles it is.

    Shares are drawn towards 0 where papers are few, and terms of one paper are left out.

    Args:
        papers: title and abstract of each.
        keywords: of each; None where they are not known. Titles teach all the same.
    """
    used: Counter[int] = Counter()
    titled: Counter[int] = Counter()
    used_beside_keywords: Counter[int] = Counter()
    chosen: Counter[int] = Counter()
    for (title, abstract), names in zip(papers, keywords, strict=True):
        terms = {_checksum(term) for term in count_terms(title, abstract)}
        used.update(terms)
        titled.update({_checksum(term) for term in count_terms(title, "")})
        if names is not None:
            used_beside_keywords.update(terms)
            chosen.update({_checksum(" ".join(split_words(name))) for name in names})
    known = sorted(chosen.keys() | {term for term in titled if used[term] > 1})
    keyword_share = [min(1.0, chosen[term] / (used_beside_keywords[term] + _DOUBT)) for term in known]
    title_share = [titled[term] / (used[term] + _DOUBT) for term in known]
    strength = np.sqrt(keyword_share) + _TITLED * np.sqrt(title_share)
    return Keyphraseness(np.array(known, np.uint32), strength.astype(np.float32))


class Tfidf:
    """TF-IDF vectors of unit length; words and runs of words, weighted by whether they are what papers are about.

    Salton and Buckley, 'Term-weighting approaches in automatic text retrieval' (1988), with
    idf = 1 + log((1 + N) / (1 + N_term)). Without keyphraseness, the usual (1 + log count) idf of words and pairs.
    With it, a term weighs (1 + 0.7 log(count)) idf^1.5 (1 + 1.3 strength), runs of three words 3/4 of that: once
    it is known which terms name a topic, rare terms and runs may weigh more and repetition less. The constants were
    chosen on the papers of 2021 (README).

    Terms are known by a 32-bit checksum, so a fitted index is two arrays and holds no words; of two million terms
    some 500 share a checksum.

    Attributes:
        terms_: (V,) uint32, ascending, the checksums of terms that two papers or more have.
        idf_: (V,) float32, all of a term's weight but its count.
        damping_: by how much the logarithm of the count weighs.

    >>> tfidf = Tfidf().fit([("Fair bandits", "Arms."), ("Bandits", "Fair arms."), ("Kernels", "Means.")])
    >>> vectors = tfidf.transform([("", "fair arms"), ("Bandits", "")])
    >>> vectors.shape, (vectors @ vectors.T).toarray().round(2).tolist()
    ((2, 3), [[1.0, 0.0], [0.0, 1.0]])
    """

    def __init__(
        self, terms: NDArray[np.uint32] | None = None, idf: Floats | None = None, damping: float = 1.0
    ) -> None:
        self.terms_ = np.empty(0, np.uint32) if terms is None else terms
        self.idf_ = np.empty(0, np.float32) if idf is None else idf
        self.damping_ = damping

    def fit(
        self,
        papers: Iterable[tuple[str, str]],
        keyphraseness: Keyphraseness | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Self:
        """Count in how many papers, pairs of title and abstract, each term stands."""
        found: tuple[list[NDArray[np.uint32]], ...] = ([], [], [])  # by the number of words
        n_papers = 0
        for title, abstract in papers:
            terms = list(count_terms(title, abstract))
            for n_words, checksums in enumerate(found, start=1):
                checksums.append(np.array([_checksum(t) for t in terms if t.count(" ") == n_words - 1], np.uint32))
            n_papers += 1
            if on_progress is not None:
                on_progress(1)
        factors = (1.0, 1.0, 0.0) if keyphraseness is None else (1.0, 1.0, _TRIPLE)
        weights: dict[int, float] = {}
        for checksums, factor in zip(found, factors, strict=True):
            terms_n, counts = np.unique(np.concatenate([np.empty(0, np.uint32), *checksums]), return_counts=True)
            kept = (counts >= 2) & (factor > 0)
            idf = 1 + np.log((1 + n_papers) / (1 + counts[kept]))
            if keyphraseness is not None:
                idf = factor * idf**_RARITY * (1 + _KEYPHRASE * keyphraseness.of(terms_n[kept]))
            weights.update(zip(terms_n[kept].tolist(), idf.tolist(), strict=True))
        self.terms_ = np.array(sorted(weights), np.uint32)
        self.idf_ = np.array([weights[term] for term in self.terms_.tolist()], np.float32)
        self.damping_ = 1.0 if keyphraseness is None else _DAMPING
        return self

    def transform(self, papers: Sequence[tuple[str, str]]) -> csr_matrix:
        """Return the papers' (N, V) vectors; one without a known term is all zeros."""
        from scipy.sparse import csr_matrix

        columns, values, starts = [np.empty(0, np.int64)], [np.empty(0, np.float32)], [0]
        for title, abstract in papers:
            _, column, value = self._vector(title, abstract)
            order = np.argsort(column, kind="stable")
            columns.append(column[order])
            values.append(value[order])
            starts.append(starts[-1] + len(column))
        parts = (np.concatenate(values), np.concatenate(columns), starts)
        return csr_matrix(parts, shape=(len(papers), len(self.terms_)))

    def weights(self, title: str, abstract: str) -> dict[str, float]:
        """Return the weight of each known term of one paper, for explanations; terms are as `count_terms` has them."""
        terms, _, values = self._vector(title, abstract)
        return dict(zip(terms, values.tolist(), strict=True))

    def columns(self, terms: Iterable[str]) -> NDArray[np.int64]:
        """Return the columns of known terms."""
        return np.searchsorted(self.terms_, np.array([_checksum(term) for term in terms], np.uint32))

    def _vector(self, title: str, abstract: str) -> tuple[list[str], NDArray[np.int64], Floats]:
        """The known terms of one paper, their columns and values; of length 1."""
        counts = count_terms(title, abstract)
        column, known = _find(self.terms_, np.array([_checksum(term) for term in counts], np.uint32))
        column = column[known]
        numbers = np.array(list(counts.values()), np.float32)[known]
        value = (1 + self.damping_ * np.log(numbers)) * self.idf_[column]
        value = value / max(float(np.linalg.norm(value)), 1e-9)
        return list(compress(counts, known)), column, value.astype(np.float32)


def _find(known: NDArray[np.uint32], terms: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each of the terms stands among the known, ascending ones, and whether it does."""
    if len(known) == 0:
        return np.zeros(len(terms), np.int64), np.zeros(len(terms), np.bool_)
    place = np.minimum(np.searchsorted(known, terms), len(known) - 1)
    return place, known[place] == terms


def _checksum(term: str) -> int:
    return zlib.crc32(term.encode("utf-8", "replace"))


def bm25_scores(queries: Sequence[tuple[str, str]], papers: Sequence[tuple[str, str]]) -> Floats:
    """Return the (Q, N) BM25 scores (Lucene's variant, by bm25s) of papers for queries.

    Kamphuis et al., 'Which BM25 do you mean?' (2020). Words of the title count `TITLE_WEIGHT` times, as in TF-IDF.
    """
    import bm25s

    def words(paper: tuple[str, str]) -> list[str]:
        title, abstract = paper
        return TITLE_WEIGHT * split_words(title) + split_words(abstract)

    index = bm25s.BM25()
    index.index(list(map(words, papers)), show_progress=False)
    scores = [index.get_scores(words(query)) for query in queries]
    return np.array(scores, dtype=np.float32)


def save_keyphraseness(phrases: Keyphraseness) -> dict[str, bytes]:
    """The file of an artifact from which `load_keyphraseness` reads."""
    from safetensors.numpy import save

    return {_KEYPHRASENESS: save({"terms": phrases.terms, "strength": phrases.strength})}


def load_keyphraseness(directory: Path) -> Keyphraseness | None:
    """Read the term weights beside an encoder; None where it has none, as one off the shelf.

    Raises:
        UserError: a damaged artifact.
    """
    from safetensors.numpy import load

    artifact = load_artifact(directory, TEXT_ENCODER)
    if _KEYPHRASENESS not in artifact.manifest.files:
        return None
    arrays = load(artifact.path(_KEYPHRASENESS).read_bytes())
    return Keyphraseness(arrays["terms"], arrays["strength"])
