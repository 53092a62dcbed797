"""The themes of a discovery at a level of their tree: few broad ones, or many fine ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from challenges.avalanche.codebook import MACHINE
from challenges.avalanche.describe import describe_theme, word_themes
from challenges.avalanche.discovery import Discovery, at_level
from challenges.avalanche.operations import Operation, adopt
from challenges.avalanche.segments import wilson

N_CLAUSES: Final = 4_000
"""Of a level are worded, the surest: more tell nothing new."""
N_QUOTES: Final = 5


@dataclass(frozen=True)
class Level:
    """G groups of the T themes that were found, the largest first."""

    groups: NDArray[np.int64]  # (T,) group of each theme
    labels: tuple[str, ...]
    descriptions: tuple[str, ...]
    shares: pd.DataFrame  # count, share, low, high; of the usable answers
    quotes: tuple[tuple[int, ...], ...]  # rows of answers


def cut(found: Discovery, n_themes: int, n_usable: int) -> Level:
    """The themes as at most `n_themes`.

    Args:
        found: the discovery, of one theme at least.
        n_themes: 1 to T.
        n_usable: answers of the question that say something.
    """
    groups = at_level(found, n_themes)
    of = found.assignments.assign(group=groups[found.assignments["theme_id"].to_numpy()])
    answers = of.groupby("group")["row"].nunique().reindex(range(groups.max() + 1), fill_value=0)
    counts = np.array(answers.tolist(), dtype=np.int64)
    order = np.argsort(-counts, kind="stable")
    rank = np.argsort(order)
    groups, counts = rank[groups], counts[order]
    if len(counts) == len(found.themes):
        themes = sorted(found.themes, key=lambda theme: int(groups[theme.id]))
        labels, descriptions = [theme.label for theme in themes], [theme.description for theme in themes]
    else:
        surest = of.nlargest(N_CLAUSES, "probability")
        wordings = word_themes(surest["clause"].tolist(), rank[surest["group"].to_numpy()], len(counts))
        labels = [wording.label for wording in wordings]
        descriptions = [describe_theme(wording) for wording in wordings]
    intervals = wilson(counts, np.full(len(counts), n_usable, dtype=np.int64))
    shares = pd.DataFrame({"count": counts}).join(pd.DataFrame(intervals, columns=["share", "low", "high"]))
    quotes = []
    for group in range(len(counts)):
        of_themes = [theme.quotes for theme in found.themes if groups[theme.id] == group]
        turns = [quote for turn in range(N_QUOTES) for quotes_of in of_themes for quote in quotes_of[turn : turn + 1]]
        quotes.append(tuple(dict.fromkeys(turns))[:N_QUOTES])
    return Level(groups, tuple(labels), tuple(descriptions), shares, tuple(quotes))


def adoption(found: Discovery, level: Level, finer: bool) -> Operation:
    """Make the themes of a level the project's, with the machine's decisions.

    Args:
        found: the discovery.
        level: of `cut`.
        finer: whether to keep the themes that were found below those of the level; their answers then have these.
    """
    themes: list[tuple[str, str, int | None]] = [
        (label, description, None) for label, description in zip(level.labels, level.descriptions, strict=True)
    ]
    position = level.groups.tolist()
    if finer:
        taken = {label.casefold() for label in level.labels}
        sizes = np.bincount(level.groups)
        for theme in found.themes:
            if sizes[level.groups[theme.id]] > 1 and theme.label.casefold() not in taken:
                themes.append((theme.label, theme.description, int(level.groups[theme.id])))
                position[theme.id] = len(themes) - 1
    codes: dict[int, set[int]] = {}
    for row, theme_id in zip(found.assignments["row"], found.assignments["theme_id"], strict=True):
        codes.setdefault(int(row), set()).add(position[theme_id])
    return adopt(themes, codes, MACHINE)
