"""From answers to themes: group, sort every clause, name, quote, lay out; each step can be replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from challenges.avalanche import model
from challenges.avalanche.clauses import split_clauses
from challenges.avalanche.dataset import Question
from challenges.avalanche.describe import Wording, choose_quotes, describe_theme, word_themes
from challenges.avalanche.embedding import Embedder, embed
from challenges.avalanche.layout import lay_out
from challenges.avalanche.model import Clusterer, Grouping, consensus, plain_form, theme_tree
from challenges.avalanche.segments import wilson
from common.metrics.bootstrap import Interval

SAMPLE: Final = 2_000
"""Distinct texts that are grouped; the others join the theme that they resemble."""
MIN_SECOND: Final = 0.01
"""An answer is split into clauses where a second theme is at least so probable."""
MIN_CLAUSE: Final = 0.5
"""A clause adds its theme to an answer if the theme is at least so probable."""
MIN_FIRST: Final = 0.5
"""An answer that was grouped and stood apart joins a theme after all if that is at least so probable."""
MARGIN_OF_THEME: Final = 0.05
MARGIN_OF_ANSWER: Final = 0.1
"""A theme's answers have to be more alike than any two answers, and an answer more like its theme, by this share of
what lacks to identity."""
MIN_QUOTABLE: Final = 3
"""Quotes are of answers with one theme only, where there are so many."""
SHARPNESS: Final = 10.0
"""Inverse regularisation of the classifier that sorts answers."""

Splitter = Callable[[str], Sequence[str]]
Worder = Callable[[Sequence[str], NDArray[np.int64], int], list[Wording]]
Placer = Callable[[NDArray[np.float32], NDArray[np.int64], int], NDArray[np.float32]]


@dataclass(frozen=True)
class FoundTheme:
    """A theme that was found."""

    id: int  # 0 to T - 1, the largest first
    label: str
    description: str  # one line of phrases
    n_answers: int
    share: Interval  # of the usable answers
    quotes: tuple[int, ...]  # rows of answers, central and varied


@dataclass(frozen=True)
class Discovery:
    """The themes of one question."""

    assignments: pd.DataFrame
    """One row for each theme of an answer, the answer's most probable first: `row` of the answers, `theme_id`,
    `clause` (the text that is about it), `probability`. Answers that belong nowhere have none."""
    themes: tuple[FoundTheme, ...]
    tree: NDArray[np.float64]  # (T - 1, 4) scipy linkage of the themes
    positions: NDArray[np.float32]  # (N, 2) map of the answers, alike ones near; nan for unusable ones


def at_level(discovery: Discovery, n_themes: int) -> NDArray[np.int64]:
    """Cut the tree: of each theme by id the group, from 0, in which it is when there are at most `n_themes`."""
    groups = model.at_level(discovery.tree, n_themes) if discovery.themes else np.empty(0, np.int64)
    return np.asarray(pd.factorize(groups)[0], dtype=np.int64)


def discover(
    question: Question,
    vectors: NDArray[np.float32] | None = None,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
    embedder: Embedder | None = None,
    cluster: Clusterer = consensus,
    split: Splitter = split_clauses,
    word: Worder = word_themes,
    place: Placer = lay_out,
    with_map: bool = True,
) -> Discovery:
    """Find the themes of the answers; what analysts coded is not looked at.

    Args:
        question: with its answers.
        vectors: (N, D) of the answers by `embedder`; None: they are made.
        seed: same seed, same themes.
        on_progress: called with the number of texts that have been encoded since the last call.
        embedder: texts -> vectors; None: the shipped encoder.
        cluster: groups texts and says what belongs nowhere.
        split: answer -> clauses.
        word: clauses, (C,) theme of each, number of themes -> label and phrases of each theme.
        place: vectors, positions of those that were grouped, seed -> (U, 2) map.
        with_map: whether to lay the answers out, which takes about as long as the rest; else positions are nan.
    """
    encode = embedder or (lambda texts: embed(texts, on_progress=on_progress))
    answers = question.answers
    rows = np.flatnonzero(answers["usable"].to_numpy(dtype=bool))  # (U,)
    texts = answers["response"].iloc[rows].tolist()
    positions = np.full((len(answers), 2), np.nan, np.float32)
    if not texts:
        return Discovery(_table([]), (), np.empty((0, 4)), positions)
    used = encode(texts) if vectors is None else np.asarray(vectors, np.float32)[rows]  # (U, D)
    sampled, form, grouping = _group(texts, seed, encode, cluster)
    grouping = _drop_loose(grouping, used[sampled])
    if with_map:
        positions[rows] = place(used, sampled, seed)
    assigned = _assign(texts, used, sampled, form, grouping, encode, split)
    counts = assigned.groupby("theme_id")["row"].nunique()
    order = counts.sort_values(ascending=False, kind="stable").index.to_numpy(dtype=np.int64)  # new id -> old
    assigned["theme_id"] = assigned["theme_id"].map({old: new for new, old in enumerate(order)}).astype(np.int64)
    themes = _themes(assigned, texts, used, rows, word)
    assigned["row"] = rows[assigned["row"]]
    return Discovery(assigned, themes, theme_tree(grouping.closeness[np.ix_(order, order)]), positions)


def _group(
    texts: Sequence[str], seed: int, encode: Embedder, cluster: Clusterer
) -> tuple[NDArray[np.int64], NDArray[np.int64], Grouping]:
    """Group the distinct texts, or a sample of them.

    Returns:
        (M,) the first position of each; (U,) of all texts which of these says the same, -1: none; and their themes.
    """
    forms = pd.Series(texts).map(plain_form)
    first = forms.drop_duplicates().index.to_numpy(dtype=np.int64)
    if len(first) > SAMPLE:
        first = np.sort(np.random.default_rng(seed).choice(first, SAMPLE, replace=False))
    chosen = forms.iloc[first].tolist()
    counts = np.array(forms.value_counts().loc[chosen], dtype=np.int64)
    return first, pd.Index(chosen).get_indexer(pd.Index(forms)), cluster(chosen, counts, seed, encode)


def _assign(
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    sampled: NDArray[np.int64],
    form: NDArray[np.int64],
    grouping: Grouping,
    encode: Embedder,
    split: Splitter,
) -> pd.DataFrame:
    """Sort all answers, and clauses of those that may have a second theme, by a classifier of the grouped ones."""
    grouped = grouping.labels >= 0
    if not grouped.any():
        return _table([])
    sort = _fit_sorter(vectors[sampled[grouped]], grouping.labels[grouped])
    probability = sort(vectors)  # (U, T)
    first = probability.argmax(axis=1)
    nowhere = _belong_nowhere(vectors, sampled, form, grouping, probability)
    ordered = np.sort(probability, axis=1)
    unsure = (ordered[:, -2] >= MIN_SECOND) & ~nowhere if ordered.shape[1] > 1 else np.zeros(len(texts), np.bool_)
    parts = {i: split(texts[i]) for i in np.flatnonzero(unsure).tolist()}
    parts = {i: clauses for i, clauses in parts.items() if len(clauses) > 1}
    flat = [clause for clauses in parts.values() for clause in clauses]
    of_clauses = sort(encode(flat)) if flat else np.empty((0, probability.shape[1]))
    found, start = [], 0
    for i in range(len(texts)):
        if nowhere[i]:
            continue
        if i not in parts:
            found.append((i, int(first[i]), texts[i], float(probability[i, first[i]])))
            continue
        clauses = parts[i]
        found += _themes_of(i, clauses, of_clauses[start : start + len(clauses)], probability[i])
        start += len(clauses)
    return _table(found)


def _themes_of(
    row: int, clauses: Sequence[str], of_clauses: NDArray[np.floating], of_answer: NDArray[np.floating]
) -> list[tuple[int, int, str, float]]:
    """An answer's first theme, and those that a clause of it is surely about."""
    best = of_clauses.argmax(axis=0)  # (T,) the clause that is most about each theme
    first = int(of_answer.argmax())
    sure = {int(of_clauses[c].argmax()) for c in range(len(clauses)) if of_clauses[c].max() >= MIN_CLAUSE} - {first}
    mean = (of_answer + of_clauses.max(axis=0)) / 2
    others = sorted(sure, key=lambda theme: -mean[theme])
    top = max([mean[first], *mean[others]])  # the answer as a whole decides which theme is first
    return [(row, first, clauses[best[first]], float(top))] + [
        (row, theme, clauses[best[theme]], float(mean[theme])) for theme in others
    ]


def _fit_sorter(
    vectors: NDArray[np.float32], labels: NDArray[np.int64]
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Learn the themes of grouped texts: (N, D) vectors -> (N, T) probabilities."""
    n_themes = int(labels.max()) + 1
    if n_themes == 1:
        return lambda others: np.ones((len(others), 1))
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=SHARPNESS, max_iter=500).fit(vectors, labels)
    return lambda others: np.asarray(fitted.predict_proba(others), dtype=np.float64)


def _belong_nowhere(
    vectors: NDArray[np.float32],
    sampled: NDArray[np.int64],
    form: NDArray[np.int64],
    grouping: Grouping,
    probability: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """(U,) answers that stood apart when they were grouped and that no theme claims, and others that fit none."""
    centres = _centres(vectors[sampled], grouping.labels)  # (T, D)
    own = np.einsum("ud,ud->u", vectors, centres[probability.argmax(axis=1)])  # (U,) cosine with their theme
    nowhere = own < _usual_likeness(vectors[sampled], MARGIN_OF_ANSWER)
    apart = (form >= 0) & (grouping.labels[form] < 0)
    return np.asarray(nowhere | apart & (probability.max(axis=1) < MIN_FIRST), dtype=np.bool_)


def _drop_loose(grouping: Grouping, vectors: NDArray[np.float32]) -> Grouping:
    """Leave out themes of leftovers, whose (M, D) answers are hardly more alike than any two answers are."""
    bar = _usual_likeness(vectors, MARGIN_OF_THEME)
    kept = []
    for theme in range(len(grouping.closeness)):
        own = vectors[grouping.labels == theme]
        total, n = float((own.sum(axis=0) ** 2).sum()), len(own)
        if n == 1 or (total - n) / (n * (n - 1)) >= bar:
            kept.append(theme)
    number = np.full(len(grouping.closeness) + 1, -1)
    number[kept] = np.arange(len(kept))
    return Grouping(number[grouping.labels], grouping.closeness[np.ix_(kept, kept)])  # -1 stays: the last entry


def _usual_likeness(vectors: NDArray[np.float32], margin: float) -> float:
    """The mean cosine of two different answers, and of what lacks to 1 the share `margin`."""
    n = len(vectors)
    mean = (float((vectors.sum(axis=0) ** 2).sum()) - n) / max(n * (n - 1), 1)
    return mean + margin * (1 - mean)


def _centres(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """(T, D) mean vectors of the themes, of unit length."""
    means = np.stack([vectors[labels == theme].mean(axis=0) for theme in range(labels.max() + 1)])
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)


def _table(found: Sequence[tuple[int, int, str, float]]) -> pd.DataFrame:
    columns = {"row": np.int64, "theme_id": np.int64, "clause": object, "probability": np.float64}
    return pd.DataFrame(list(found), columns=list(columns)).astype(columns)


def _themes(
    assigned: pd.DataFrame,
    texts: Sequence[str],
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    word: Worder,
) -> tuple[FoundTheme, ...]:
    """Name, count and quote the themes; `assigned` has positions among `texts`."""
    n_themes = int(assigned["theme_id"].max()) + 1 if len(assigned) else 0
    wordings = word(assigned["clause"].tolist(), assigned["theme_id"].to_numpy(), n_themes)
    themes = []
    for theme, wording in enumerate(wordings):
        own = assigned[assigned["theme_id"] == theme]
        members = own["row"].to_numpy()
        whole = own["clause"].to_numpy() == np.array([texts[i] for i in members], dtype=object)
        pool = members[whole] if whole.sum() >= MIN_QUOTABLE else members  # rather answers that are about it alone
        strength = (
            own["probability"].to_numpy()[whole] if whole.sum() >= MIN_QUOTABLE else own["probability"].to_numpy()
        )
        quotes = choose_quotes([texts[i] for i in pool], vectors[pool], strength)
        themes.append(
            FoundTheme(
                theme,
                wording.label,
                describe_theme(wording),
                len(own),
                Interval(*wilson(np.array(len(own)), np.array(len(texts))).tolist()),
                tuple(int(rows[pool[i]]) for i in quotes),
            )
        )
    return tuple(themes)
