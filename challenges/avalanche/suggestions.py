"""What the machine would say of uncoded answers, from what persons said of others."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from challenges.avalanche.codebook import MACHINE, Codebook
from challenges.avalanche.coding import suggest

N_EXAMPLES: Final = 100
"""Decisions of a theme that the machine learns from: more take long, and teach little."""
N_SEEDS: Final = 5
"""Answers of the machine's that stand for a theme of which persons have coded fewer."""


@dataclass(frozen=True)
class Suggested:
    """Suggestions for every answer; T themes."""

    themes: tuple[int, ...]  # ids
    probabilities: NDArray[np.float32]  # (N, T)
    nearest: NDArray[np.int64]  # (N, T) row of the nearest answer that has the theme: why; -1: none
    order: NDArray[np.int64]  # rows no person has decided of, the most useful to ask first


def known_codes(book: Codebook, vectors: NDArray[np.float32]) -> tuple[dict[int, frozenset[int]], frozenset[int]]:
    """What to learn from: persons' decisions, and for themes without enough of them the machine's most central ones.

    Returns:
        Themes by row; and the rows of them that are the machine's.
    """
    by_persons: dict[int, frozenset[int]] = {}
    by_machine: dict[int, list[int]] = {}
    for row in book.decisions:
        found = book.present(row)
        if found is None:
            continue
        if found[0] != MACHINE:
            by_persons[row] = found[1].themes
        for theme in found[1].themes if found[0] == MACHINE else ():
            by_machine.setdefault(theme, []).append(row)
    n_examples = {theme: sum(theme in themes for themes in by_persons.values()) for theme in by_machine}
    seeds: dict[int, frozenset[int]] = {}
    for theme, rows in by_machine.items():
        if n_examples[theme] < N_SEEDS:
            own = vectors[rows]
            central = np.argsort(-(own @ own.mean(axis=0)), kind="stable")[: N_SEEDS - n_examples[theme]]
            for i in central.tolist():
                seeds[rows[i]] = seeds.get(rows[i], frozenset()) | {theme}
    return by_persons | seeds, frozenset(seeds)


def _enough(codes: dict[int, frozenset[int]]) -> dict[int, frozenset[int]]:
    """`N_EXAMPLES` of every theme, and of answers that no theme fits; all where there are not so many."""
    rows = np.random.default_rng(0).permutation(sorted(codes)).tolist()
    n_examples: Counter[int | None] = Counter()
    kept = {}
    for row in rows:
        themes: frozenset[int | None] = codes[row] or frozenset([None])
        if any(n_examples[theme] < N_EXAMPLES for theme in themes):
            n_examples.update(themes)
            kept[row] = codes[row]
    return kept


def suggest_themes(
    book: Codebook,
    vectors: NDArray[np.float32],
    responses: Sequence[str],
    nearby: NDArray[np.float32] | None = None,
) -> Suggested | None:
    """Suggest themes for all answers; None where nothing is known to learn from.

    Args:
        book: the present codebook.
        vectors: (N, D) of the answers.
        responses: N answers.
        nearby: (N, D) of `coding.neighbourhoods`; None: they are made.
    """
    known, seeds = known_codes(book, vectors)
    if not any(known.values()):
        return None
    codes = _enough(known)
    names = {theme: str(theme) for theme in book.themes}
    named = {row: frozenset(names[t] for t in themes) for row, themes in codes.items()}
    found = suggest(vectors, responses, named, nearby=nearby)
    order = np.array([*(row for row in found.order.tolist() if row not in known), *sorted(seeds)], dtype=np.int64)
    return Suggested(tuple(int(name) for name in found.themes), found.probabilities, found.nearest, order)


@dataclass
class Learner:
    """The suggestions of one question: waited for the first time, then learned anew while the last ones serve."""

    suggested: Suggested | None = None
    _follows_from: Hashable = None
    _learning: threading.Lock = field(default_factory=threading.Lock)

    def renew(self, key: Hashable, learn: Callable[[], Suggested | None]) -> Suggested | None:
        """The suggestions that there are; if they follow from another key, a thread begins to learn better ones."""
        if self.suggested is None:
            with self._learning:
                if self.suggested is None:
                    self.suggested, self._follows_from = learn(), key
        elif key != self._follows_from and self._learning.acquire(blocking=False):
            threading.Thread(target=self._learn, args=(key, learn), daemon=True).start()
        return self.suggested

    def _learn(self, key: Hashable, learn: Callable[[], Suggested | None]) -> None:
        try:
            self.suggested, self._follows_from = learn(), key
        finally:
            self._learning.release()
