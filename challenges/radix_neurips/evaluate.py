"""How well similar papers are found: by keywords that authors share, by titles, and by the topics of the sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_neurips.dataset import Corpus
from challenges.radix_neurips.lexical import Keyphraseness, Tfidf, bm25_scores
from challenges.radix_neurips.model import DENSE_WEIGHT, Floats, Vectors, best, combine, hybrid_scores
from challenges.radix_neurips.relevance import Keywords, keyphraseness_of, paper_checksums, shared_keywords
from common.artifacts import load_artifact
from common.cli import progress
from common.errors import UserError
from common.metrics.bootstrap import bootstrap_interval
from common.metrics.ranking import average_precision_at_k, ndcg_at_k, recall_at_k, reciprocal_rank
from common.models.text import CHALLENGE as TEXT_ENCODER

if TYPE_CHECKING:
    from challenges.radix_neurips.sample import Paper
    from common.models.text import TextEncoder

Values = dict[str, NDArray[np.float64]]
"""A value for each query, (Q,), by metric."""
Relevant = Mapping[int, Sequence[int] | Mapping[int, int]]
"""Rows of the papers that are similar, by the row of the query."""
DEPTH: Final = 100  # places of a list that are looked at
OURS: Final = "hybrid, adapted"
_PERMUTATIONS: Final = 10_000
_SEED: Final = 0


@dataclass(frozen=True)
class Encoded:
    """Titles and abstracts of N papers by one encoder, apart."""

    title: Floats  # (N, D)
    abstract: Floats  # (N, D)

    @property
    def papers(self) -> Floats:
        """The (N, D) vectors of the papers."""
        return combine(self.title, self.abstract)


def evaluate(
    corpus: Corpus,
    raw: Corpus,
    keywords: Keywords,
    plain: TextEncoder,
    adapted: TextEncoder,
    years: tuple[int, int],
) -> dict[str, Any]:
    """Measure on the papers of one year, with what the keywords of another taught; fit for `metrics.json`.

    Args:
        corpus: papers of both years.
        raw: the same papers without cleaning.
        keywords: of their authors.
        plain: the encoder off the shelf.
        adapted: the encoder that was trained; it must not have seen keywords of the second year (`check_unseen`).
        years: from whose keywords terms were weighed, and whose papers are asked about.

    Raises:
        UserError: no two papers of the second year share a rare keyword.
    """
    asked = corpus.select(corpus.years == years[1])
    relevant = shared_keywords(asked.ids, keywords)
    if not relevant:
        raise UserError(
            f"no two of the {len(asked)} papers of {years[1]} share a rare keyword: give other --years or more keywords"
        )
    taught = {
        str(paper_id): keywords.get(str(paper_id), frozenset()) for paper_id in corpus.ids[corpus.years == years[0]]
    }
    phrases = keyphraseness_of(corpus, taught)
    encoded = {name: encode(asked, encoder) for name, encoder in (("plain", plain), ("adapted", adapted))}
    scores = all_scores(asked.papers(), asked.papers(), encoded, phrases, lambda part: (part.papers, part.papers))
    values = {name: score_queries(matrix, relevant) for name, matrix in scores.items()}
    unclean = raw.select(np.isin(raw.ids, asked.ids))
    vectors = encode(unclean, adapted).papers
    raw_scores = hybrid(unclean.papers(), unclean.papers(), phrases, vectors, vectors)
    return {
        "years": {"learned": years[0], "asked": years[1]},
        "n_papers": len(asked),
        "n_queries": len(relevant),
        "similar_per_query": float(np.mean([len(rows) for rows in relevant.values()])),
        "corpus": {
            "papers": len(corpus),
            "mended_papers": {flaw: count["papers"] for flaw, count in corpus.report["mended"].items()},
            "identical_abstracts": len(corpus.report["identical_abstracts"]),
            "near_duplicates": len(corpus.report["near_duplicates"]),
        },
        "methods": summarise(values),
        "titles": summarise(title_view(asked, encoded, phrases), ("mrr", "recall@10")),
        "cleaning": {
            "with": summarise({OURS: values[OURS]})[OURS],
            "without_minus_with": difference(score_queries(raw_scores, relevant), values[OURS]),
        },
    }


def check_unseen(model: Path, corpus: Corpus, year: int) -> None:
    """Refuse an encoder that learned from the keywords it would be tested on.

    Args:
        model: directory of the encoder.
        corpus: the papers, in whatever file they came.
        year: whose papers are asked about.

    Raises:
        UserError: the encoder was trained on keywords of papers of that year that are among these.
    """
    learned = str(load_artifact(model, TEXT_ENCODER).manifest.config.get("learned_from", "")).split()
    if not paper_checksums(corpus.select(corpus.years == year)).isdisjoint(learned):
        raise UserError(
            f"the encoder in {model} has learned from keywords of these very papers of {year}, which it would be asked "
            f"about: train one with --held-out {year} and give it as --model"
        )


def encode(corpus: Corpus, encoder: TextEncoder) -> Encoded:
    """Titles and abstracts as vectors."""
    with progress("encoding", total=2 * len(corpus)) as advance:
        return Encoded(encoder.encode(corpus.titles, advance), encoder.encode(corpus.abstracts, advance))


def all_scores(
    queries: Sequence[tuple[str, str]],
    papers: Sequence[tuple[str, str]],
    encoded: Mapping[str, Encoded],
    phrases: Keyphraseness,
    vectors: Callable[[Encoded], tuple[Floats, Floats]],
) -> dict[str, Floats]:
    """(Q, N) scores by method; `vectors` picks those of queries and papers."""
    plain, adapted = vectors(encoded["plain"]), vectors(encoded["adapted"])
    tfidf = Tfidf().fit(papers)
    words = (tfidf.transform(queries) @ tfidf.transform(papers).T).toarray()
    return {
        "random": np.random.default_rng(_SEED).random(words.shape, np.float32),
        "BM25": bm25_scores(queries, papers),
        "TF-IDF": words,
        "dense": plain[0] @ plain[1].T,
        "hybrid": (words + DENSE_WEIGHT * plain[0] @ plain[1].T) / (1 + DENSE_WEIGHT),
        "TF-IDF, adapted": hybrid(queries, papers, phrases, *adapted, dense_weight=0),
        "dense, adapted": adapted[0] @ adapted[1].T,
        OURS: hybrid(queries, papers, phrases, *adapted),
    }


def hybrid(
    queries: Sequence[tuple[str, str]],
    papers: Sequence[tuple[str, str]],
    phrases: Keyphraseness | None,
    query_vectors: Floats,
    paper_vectors: Floats,
    dense_weight: float = DENSE_WEIGHT,
) -> Floats:
    """(Q, N) scores of the hybrid ranker."""
    tfidf = Tfidf().fit(papers, phrases)
    return hybrid_scores(
        Vectors(tfidf.transform(queries), query_vectors), Vectors(tfidf.transform(papers), paper_vectors), dense_weight
    )


def title_view(asked: Corpus, encoded: Mapping[str, Encoded], phrases: Keyphraseness) -> dict[str, Values]:
    """The title of each paper as query, the abstracts as papers, its own abstract as the one that is right.

    No held-out test of an encoder that was trained on titles and abstracts of these papers, as `train` does of the last
    years, `held_out` or not.
    """
    titles, abstracts = [(title, "") for title in asked.titles], [("", abstract) for abstract in asked.abstracts]
    scores = all_scores(titles, abstracts, encoded, phrases, lambda part: (part.title, part.abstract))
    own = {row: [row] for row in range(len(asked))}
    return {name: score_queries(matrix, own, finds_itself=True) for name, matrix in scores.items()}


def topic_view(papers: Sequence[Paper], plain: TextEncoder, adapted: TextEncoder) -> dict[str, Any]:
    """The generated sample: papers of one topic are similar. Nothing is learned from it."""
    texts = [(paper.title, paper.abstract) for paper in papers]
    topics = np.array([paper.topic for paper in papers])
    relevant = {row: [int(i) for i in np.flatnonzero(topics == topics[row]) if i != row] for row in range(len(papers))}
    nothing = Keyphraseness(np.empty(0, np.uint32), np.empty(0, np.float32))
    encoded = {
        name: Encoded(encoder.encode([title for title, _ in texts]), encoder.encode([text for _, text in texts]))
        for name, encoder in (("plain", plain), ("adapted", adapted))
    }
    scores = all_scores(texts, texts, encoded, nothing, lambda part: (part.papers, part.papers))
    return summarise({name: score_queries(matrix, relevant) for name, matrix in scores.items()}, ("ndcg@10", "mrr"))


def score_queries(scores: Floats, relevant: Relevant, *, finds_itself: bool = False) -> Values:
    """The metrics of each query that has something relevant, by name, (Q,)."""
    queries = np.array(sorted(relevant), dtype=np.int64)
    found, _ = best(scores[queries], DEPTH, None if finds_itself else queries)  # (Q, DEPTH)
    n_relevant = np.array([len(relevant[int(query)]) for query in queries])
    hits = np.array([np.isin(rows, list(relevant[int(q)])) for q, rows in zip(queries, found, strict=True)], np.float64)
    ideal = np.arange(n_relevant.max())[None, :] < n_relevant[:, None]  # (Q, most) a 1 for each relevant paper
    return {
        "ndcg@10": ndcg_at_k(hits, 10, all_grades=ideal),
        "mrr": reciprocal_rank(hits),
        "recall@10": recall_at_k(hits, 10, n_relevant),
        "recall@100": recall_at_k(hits, 100, n_relevant),
        "map@100": average_precision_at_k(hits, 100, n_relevant),
    }


def summarise(values: Mapping[str, Values], metrics: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """Means with intervals by method and metric; and, where ours is among them, each other method beside it."""
    summary: dict[str, dict[str, Any]] = {}
    for name, by_metric in values.items():
        summary[name] = {metric: _mean(by_metric[metric]) for metric in metrics or by_metric}
        if name != OURS and OURS in values:
            summary[name]["ours_minus_this"] = difference(values[OURS], by_metric, (metrics or ("ndcg@10",))[0])
    return summary


def difference(ours: Values, theirs: Values, metric: str = "ndcg@10") -> dict[str, Any]:
    """Mean difference with its paired bootstrap interval and the p of a randomisation test.

    The test gives each query's pair of values random signs: Smucker, Allan and Carterette, 'A comparison of
    statistical significance tests for information retrieval evaluation' (2007).
    """
    gaps = ours[metric] - theirs[metric]  # (Q,)
    rng = np.random.default_rng(_SEED)
    by_chance = np.array([abs((gaps * rng.choice((-1.0, 1.0), len(gaps))).mean()) for _ in range(_PERMUTATIONS)])
    p = (1 + (by_chance >= abs(gaps.mean()) - 1e-12).sum()) / (1 + _PERMUTATIONS)
    return {"metric": metric, **_mean(gaps), "p": float(p)}


def _mean(values: NDArray[np.float64]) -> dict[str, float]:
    return asdict(bootstrap_interval(lambda rows: float(values[rows].mean()), len(values)))


def headline(metrics: Mapping[str, Any]) -> str:
    """The result in a few words."""
    where, methods = ("papers with keywords", "methods") if "methods" in metrics else ("generated topics", "topics")
    ours, other = (metrics[methods][name]["ndcg@10"] for name in (OURS, "BM25"))
    interval = f"{ours['estimate']:.3f} [{ours['low']:.3f}, {ours['high']:.3f}]"
    return f"nDCG@10 on {where} {interval}, BM25 {other['estimate']:.3f}"
