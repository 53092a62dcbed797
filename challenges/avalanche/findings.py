"""What a client is shown: shares of themes, differences between segments, quotes; and one sentence for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from challenges.avalanche.codebook import Codebook, code_matrix
from challenges.avalanche.dataset import Question
from challenges.avalanche.describe import choose_quotes
from challenges.avalanche.segments import as_segments, compare_segments, theme_shares

N_QUOTES: Final = 3


@dataclass(frozen=True)
class Findings:
    """The findings of one question; shares are of the answers that were coded."""

    project: str
    question: str
    n_answers: int
    n_usable: int
    n_coded: int  # usable answers that were decided of, those without any theme included
    with_machine: bool  # whether the machine's themes count where no person has decided
    themes: tuple[int, ...]  # ids, the most frequent first
    shares: pd.DataFrame  # theme, count, n, share, low, high; in the order of `themes`
    quotes: Mapping[int, tuple[int, ...]]  # rows of answers, by theme
    codes: NDArray[np.bool_]  # (n_answers, T)
    coded: NDArray[np.bool_]  # (n_answers,)


def find(
    project: str,
    question: Question,
    book: Codebook,
    with_machine: bool = False,
    depth: int | None = None,
    vectors: NDArray[np.float32] | None = None,
) -> Findings:
    """Count themes and choose quotes.

    Args:
        project: its name.
        question: with its answers.
        book: its present codebook.
        with_machine: whether the machine's themes count where no person has decided.
        depth: how far down the tree: 1 is the top themes only, into which those below them count; None: all.
        vectors: (N, D) of the answers, for central and varied quotes; None: those of typical length.
    """
    usable = question.answers["usable"].to_numpy(dtype=bool)
    shown = [theme for theme in book.ordered() if depth is None or len(book.path(theme)) <= depth]
    codes, decided = code_matrix(book, len(usable), shown, with_machine=with_machine)
    coded = decided & usable
    order = np.argsort(-codes[coded].sum(axis=0), kind="stable")
    codes, shown = codes[:, order], [shown[i] for i in order]
    responses = question.answers["response"].tolist()
    quotes = {theme: _quotes(np.flatnonzero(codes[:, j] & coded), responses, vectors) for j, theme in enumerate(shown)}
    shares = theme_shares(codes[coded], [book.themes[theme].name for theme in shown])
    counts = len(usable), int(usable.sum()), int(coded.sum())
    return Findings(project, question.text, *counts, with_machine, tuple(shown), shares, quotes, codes, coded)


def compare_by(
    findings: Findings, question: Question, column: str, method: str = "holm"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`compare_segments` of the coded answers by one column of the survey."""
    segments = as_segments(question.segments[column])[findings.coded]
    return compare_segments(findings.codes[findings.coded], findings.shares["theme"].tolist(), segments, method)


def _quotes(rows: NDArray[np.int64], responses: Sequence[str], vectors: NDArray[np.float32] | None) -> tuple[int, ...]:
    """Rows of a theme's answers to quote: central and varied, or of usual length where there are no vectors."""
    if len(rows) == 0:
        return ()
    texts = [responses[row] for row in rows]
    if vectors is not None:
        return tuple(int(rows[i]) for i in choose_quotes(texts, vectors[rows], np.zeros(len(rows)), N_QUOTES))
    lengths = np.array([len(text) for text in texts])
    usual = np.argsort(np.abs(lengths - np.median(lengths)), kind="stable").tolist()
    first_of = {texts[i].casefold(): i for i in reversed(usual)}
    return tuple(int(rows[i]) for i in usual if first_of[texts[i].casefold()] == i)[:N_QUOTES]


def sentences(findings: Findings, tests: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]) -> list[str]:
    """The findings in words: the frequent themes, then which segments differ, the surest first.

    Args:
        findings: of `find`.
        tests: of each column of the survey what `compare_by` gives.
    """
    said = []
    for row in records(findings.shares.head(3)):
        if row.count:
            interval = f"{percent(row.low)} to {percent(row.high)}"
            of = counted(row.n, "coded answer")
            said.append(f"{percent(row.share)} ({interval}) of {of} speak of {row.theme}.")
    differing = [
        (test.p_adjusted, column, test.theme)
        for column, (_, table) in tests.items()
        for test in records(table[table["differs"]])
    ]
    for p, column, theme in sorted(differing)[:3]:
        shares = tests[column][0]
        of_theme = shares[shares["theme"] == theme].sort_values("share")
        least, most = of_theme.iloc[0], of_theme.iloc[-1]
        said.append(
            f"{theme} differs by {column}: {percent(most['share'])} in {most['segment']}, "
            f"{percent(least['share'])} in {least['segment']} (corrected {p_value(p)})."
        )
    return said


def records(table: pd.DataFrame) -> Iterable[Any]:
    """Rows of a table as named tuples of what its columns hold, which a type checker cannot know."""
    return table.itertuples()


def counted(n: int, noun: str) -> str:
    """A number of things, as in '1 answer' and '2,000 answers'."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def shortened(text: str, length: int) -> str:
    """A text, or as many of its first characters with an ellipsis."""
    return text if len(text) <= length else text[:length].rstrip() + " \u2026"


def percent(share: float) -> str:
    """Whole percents that never call a few none, or most all."""
    if np.isnan(share):
        return "-"
    if 0 < share < 0.01:
        return "<1%"
    return ">99%" if 0.99 < share < 1 else f"{share:.0%}"


def p_value(p: float) -> str:
    """As papers print them."""
    return "not tested" if np.isnan(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
