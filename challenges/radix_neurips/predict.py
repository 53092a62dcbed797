"""Corpus + queries -> the most similar papers of each query, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_neurips.dataset import Corpus, abstract_key
from challenges.radix_neurips.lexical import Keyphraseness, Tfidf
from challenges.radix_neurips.model import Floats, best, hybrid_scores, represent
from common.cli import progress

if TYPE_CHECKING:
    import pandas as pd

    from common.models.text import TextEncoder

_QUERIES_AT_A_TIME: Final = 256


def rank(
    corpus: Corpus, queries: Corpus, encoder: TextEncoder, phrases: Keyphraseness | None, k: int
) -> tuple[NDArray[np.int64], Floats]:
    """Return the rows (Q, k) of the corpus that are the most similar to each query, and their scores, at most 1.

    A query never finds the paper of its own id; row numbers are ids within one corpus only. A paper of the same
    abstract under another id is found: whether it counts is for the reader to say, and `tabulate` names it.
    """
    papers, texts = corpus.papers(), queries.papers()
    comparable = queries is corpus or not (corpus.numbered or queries.numbered)
    position = {str(paper_id): row for row, paper_id in enumerate(corpus.ids)} if comparable else {}
    own = np.array([position.get(str(query_id), -1) for query_id in queries.ids], dtype=np.int64)  # (Q,)
    # Queries that stand in the corpus word for word, as those of an evaluation do, are not encoded again.
    known = [row >= 0 and papers[row] == text for row, text in zip(own, texts, strict=True)]
    new = [text for text, same in zip(texts, known, strict=True) if not same]
    tfidf = Tfidf()
    with progress("reading words", total=len(papers)) as advance:
        tfidf.fit(papers, phrases, advance)
    with progress("encoding titles and abstracts", total=2 * (len(papers) + len(new))) as advance:
        everything = represent([*papers, *new], tfidf, encoder, advance)
    rows = np.where(known, own, len(papers) + np.cumsum(~np.array(known)) - 1)  # (Q,) of `everything`
    corpus_vectors = everything.select(np.arange(len(papers)))
    found, scores = [], []
    with progress("ranking", total=len(texts)) as advance:
        for start in range(0, len(texts), _QUERIES_AT_A_TIME):
            part = slice(start, start + _QUERIES_AT_A_TIME)
            all_scores = hybrid_scores(everything.select(rows[part]), corpus_vectors)  # (Q', N)
            best_rows, best_scores = best(all_scores, k, own[part])
            found.append(best_rows)
            scores.append(best_scores)
            advance(len(best_rows))
    return np.concatenate(found), np.concatenate(scores)


def tabulate(
    corpus: Corpus, queries: Corpus, found: NDArray[np.int64], scores: Floats
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return the table (query_id, rank from 1, paper_id, score) and the finds with the query's very abstract."""
    import pandas as pd

    n_queries, k = found.shape
    table = pd.DataFrame(
        {
            "query_id": np.repeat(queries.ids, k),
            "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), n_queries),
            "paper_id": corpus.ids[found.ravel()],
            "score": scores.ravel(),
        }
    )
    table = table[np.isfinite(table["score"])].reset_index(drop=True)
    keys = np.array([abstract_key(text) for text in corpus.abstracts])
    asked = np.array([abstract_key(text) for text in queries.abstracts])
    same = (keys[found] == asked[:, None]) & (asked != "")[:, None]  # (Q, k)
    identical = [
        {"query_id": str(queries.ids[q]), "paper_id": str(corpus.ids[found[q, r]])} for q, r in np.argwhere(same)
    ]
    return table, identical
