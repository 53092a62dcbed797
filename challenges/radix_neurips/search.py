"""One question -> the papers most similar to it, each with the reason.

What is asked is a text, a paper of the corpus, or several papers, whose middle is looked around: the mean of their
vectors. Papers that are asked about are not found. Of papers with nearly the same abstract the best is found, and the
others are named under it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from challenges.radix_neurips.cleaning import MAX_CHARACTERS, Vocabulary, clean_text
from challenges.radix_neurips.dataset import Corpus, abstract_key
from challenges.radix_neurips.explain import Span, Weights, explain
from challenges.radix_neurips.index import ALL_YEARS, FaissStore, Kind, VectorStore, Years
from challenges.radix_neurips.lexical import Tfidf, split_words
from challenges.radix_neurips.model import DENSE_WEIGHT, encode_papers, unit
from common.errors import UserError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from common.models.text import TextEncoder

MOST_CHARACTERS = MAX_CHARACTERS
MOST_EXAMPLES = 20
_CANDIDATES = 1_000  # of the vectors and of the words, where not all papers are compared
_TITLE = re.compile(r"\s*(\S[^\n]{0,299})\n\s*\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Paper:
    """A paper of the corpus."""

    paper_id: str
    title: str
    year: int | None


@dataclass(frozen=True)
class Found:
    """A paper that was found, and why."""

    paper_id: str
    title: str
    year: int | None
    score: float
    same_abstract: bool  # as that of the query, under another id
    shared_phrases: tuple[str, ...]
    sentence: str  # of its abstract, the nearest to the query
    highlights: tuple[Span, ...]  # of the sentence, what the query shares
    near_duplicates: tuple[Paper, ...]  # papers with nearly the same abstract, which would have been found as well


@dataclass(frozen=True)
class Similar:
    """The answer to a question."""

    queried: tuple[Paper, ...]  # the papers asked about; none for a text
    found: tuple[Found, ...]  # the most similar first


@dataclass(frozen=True)
class _Question:
    """What is looked for, in the terms of the ranking."""

    vector: NDArray[np.float32]  # (d,) of unit length
    terms: csr_matrix  # (1, V) of unit length
    weights: Weights
    abstracts: frozenset[str]  # keys of the abstracts asked about
    rows: tuple[int, ...] = ()  # of the papers asked about


class Searcher:
    """A corpus in memory, ready to be asked, by many threads at once.

    Args:
        corpus: the papers.
        store: their vectors.
        tfidf: fitted on them.
        columns: (V, N) their TF-IDF vectors side by side: a question touches the papers of its own terms only.
        encoder: of the vectors.
        words: in how many papers a word stands; by it the words of a question are mended.
        data_fingerprint: of the file the corpus was read from.
    """

    def __init__(
        self,
        corpus: Corpus,
        store: VectorStore,
        tfidf: Tfidf,
        columns: csr_matrix,
        encoder: TextEncoder,
        words: Vocabulary,
        data_fingerprint: str,
    ) -> None:
        self.corpus, self.store, self.tfidf, self.columns = corpus, store, tfidf, columns
        self.encoder, self.words, self.data_fingerprint = encoder, words, data_fingerprint
        self._row = {paper_id: row for row, paper_id in enumerate(corpus.ids.tolist())}
        self._near = _near_rows(corpus, self._row)
        exact = isinstance(store, FaissStore) and store.kind is Kind.EXACT
        self._vectors = store.vectors(corpus.ids.tolist()) if exact else None  # (N, d)

    def like_text(self, text: str, k: int = 10, *, years: Years = ALL_YEARS) -> Similar:
        """Find the papers most similar to a text: sentences, an abstract, or a title, a blank line and an abstract.

        Raises:
            UserError: the text is too long, or has no words.
        """
        if len(text) > MOST_CHARACTERS:
            raise UserError(f"the text has {len(text):,} characters: give an abstract, of {MOST_CHARACTERS:,} at most")
        title, abstract = (clean_text(part, self.words)[0] for part in split_title(text))
        if not split_words(f"{title} {abstract}"):
            raise UserError("the text has no words to look for: give an abstract")
        vector = encode_papers([(title, abstract)], self.encoder)[0]
        terms, weights = self.tfidf.transform([(title, abstract)]), self.tfidf.weights(title, abstract)
        question = _Question(vector, terms, weights, frozenset({abstract_key(abstract)} - {""}))
        return Similar((), self._find(question, k, years))

    def like_papers(self, ids: Sequence[str], k: int = 10, *, years: Years = ALL_YEARS) -> Similar:
        """Find the papers most similar to one, or to the middle of several; these are not found themselves.

        Raises:
            UserError: no id, too many, or one that is not in the corpus.
        """
        from scipy.sparse import csr_matrix

        ids = list(dict.fromkeys(ids))
        if not 1 <= len(ids) <= MOST_EXAMPLES:
            raise UserError(f"{len(ids)} papers are given: give 1 to {MOST_EXAMPLES} ids of the corpus")
        for paper_id in ids:
            if paper_id not in self._row:
                raise UserError(f"there is no paper {paper_id[:80]!r} in the corpus: give one of its ids")
        rows = [self._row[paper_id] for paper_id in ids]
        papers = [(self.corpus.titles[row], self.corpus.abstracts[row]) for row in rows]
        vector = unit(self.store.vectors(ids).mean(axis=0, keepdims=True))[0]
        terms = csr_matrix(np.ones((1, len(ids)), np.float32)) @ self.tfidf.transform(papers)
        weights: Counter[str] = Counter()
        for paper in papers:
            weights.update(self.tfidf.weights(*paper))  # type: ignore[arg-type]  # a Counter adds floats as well
        question = _Question(
            vector,
            terms / max(float(np.sqrt(terms.multiply(terms).sum())), 1e-9),
            weights,
            frozenset({abstract_key(abstract) for _, abstract in papers} - {""}),
            tuple(rows),
        )
        return Similar(tuple(map(self._paper, rows)), self._find(question, k, years))

    def _find(self, question: _Question, k: int, years: Years) -> tuple[Found, ...]:
        """The k best papers, with reasons; nearly equal ones are folded into the best of them."""
        folded: dict[int, list[int]] = {}  # by the row of the one that is kept
        scores: dict[int, float] = {}
        for row, score in self._ranked(question, years):
            same = next((kept for kept in folded if row in self._near.get(kept, ())), None)
            if same is not None:
                folded[same].append(row)
            elif len(folded) == k:
                break
            else:
                folded[row], scores[row] = [], score
        weights = self._weights(question, list(folded))
        return tuple(
            self._explained(question, row, its_weights, scores[row], others)
            for (row, others), its_weights in zip(folded.items(), weights, strict=True)
        )

    def _weights(self, question: _Question, rows: Sequence[int]) -> list[Weights]:
        """What the terms of the question weigh in papers: looked up, since counting ten papers' terms takes longer."""
        terms = list(question.weights)
        values = self.columns[self.tfidf.columns(terms)][:, rows].T.toarray()  # (papers, terms)
        return [{terms[i]: float(row[i]) for i in np.flatnonzero(row)} for row in values]

    def _ranked(self, question: _Question, years: Years) -> Iterator[tuple[int, float]]:
        """Rows and scores, the best first; of equal scores the first in the corpus."""
        lexical = (question.terms @ self.columns).toarray()[0]  # (N,)
        rows = np.flatnonzero(years.hold(self.corpus.years))
        if self._vectors is not None:
            vectors = self._vectors if len(rows) == len(lexical) else self._vectors[rows]
            # Not `@`: BLAS's threads would go on spinning, and take from the encoder of the next question.
            dense = np.einsum("nd,d->n", vectors, question.vector)
        else:
            near = self.store.search(question.vector[None], _CANDIDATES, years=years)
            by_vector = [self._row[paper_id] for paper_id in near.ids[0].tolist() if paper_id]
            by_words = rows[np.argsort(-lexical[rows], kind="stable")[:_CANDIDATES]]
            rows = np.union1d(by_vector, by_words).astype(np.int64)
            dense = self.store.vectors(self.corpus.ids[rows].tolist()) @ question.vector
        scores = (lexical[rows] + DENSE_WEIGHT * dense) / (1 + DENSE_WEIGHT)  # as model.hybrid_scores has it
        asked = set(question.rows)
        for i in np.argsort(-scores, kind="stable"):
            if (row := int(rows[i])) not in asked:
                yield row, float(scores[i])

    def _explained(self, question: _Question, row: int, weights: Weights, score: float, folded: Sequence[int]) -> Found:
        title, abstract = self.corpus.titles[row], self.corpus.abstracts[row]
        reason = explain(question.weights, weights, title, abstract)
        paper = self._paper(row)
        return Found(
            paper.paper_id,
            paper.title,
            paper.year,
            score,
            abstract_key(abstract) in question.abstracts,
            reason.shared_phrases,
            reason.sentence,
            reason.highlights,
            tuple(map(self._paper, folded)),
        )

    def _paper(self, row: int) -> Paper:
        return Paper(str(self.corpus.ids[row]), self.corpus.titles[row], int(self.corpus.years[row]) or None)


def split_title(text: str) -> tuple[str, str]:
    r"""Return title and abstract of a text whose first line is followed by a blank one; else the title is empty.

    >>> split_title("Fair bandits\n\nWe pull arms.")
    ('Fair bandits', 'We pull arms.')
    """
    found = _TITLE.fullmatch(text.replace("\r\n", "\n"))
    return (found[1].strip(), found[2].strip()) if found else ("", text)


def _near_rows(corpus: Corpus, row: dict[str, int]) -> dict[int, set[int]]:
    """By row, the rows of papers whose abstract is the same or nearly so."""
    pairs = chain(
        ((a, b) for a, b, _ in corpus.report["near_duplicates"]),
        *(combinations(group, 2) for group in corpus.report["identical_abstracts"]),
    )
    near: dict[int, set[int]] = {}
    for a, b in pairs:
        if a in row and b in row:
            near.setdefault(row[a], set()).add(row[b])
            near.setdefault(row[b], set()).add(row[a])
    return near
