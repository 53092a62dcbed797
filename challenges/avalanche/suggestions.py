"""What the machine would say of uncoded answers, from what persons said of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from challenges.avalanche.codebook import MACHINE, Codebook
from challenges.avalanche.coding import suggest

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


def suggest_themes(book: Codebook, vectors: NDArray[np.float32], responses: Sequence[str]) -> Suggested | None:
    """Suggest themes for all answers; None where nothing is known to learn from.

    Args:
        book: the present codebook.
        vectors: (N, D) of the answers.
        responses: N answers.
    """
    codes, seeds = known_codes(book, vectors)
    if not any(codes.values()):
        return None
    names = {theme: str(theme) for theme in book.themes}
    found = suggest(vectors, responses, {row: frozenset(names[t] for t in themes) for row, themes in codes.items()})
    order = np.concatenate([found.order, np.array(sorted(seeds), dtype=np.int64)])
    return Suggested(tuple(int(name) for name in found.themes), found.probabilities, found.nearest, order)
