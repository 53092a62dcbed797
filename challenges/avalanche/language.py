"""The language that sets one group of answers apart from another, with its uncertainty."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from challenges.avalanche.segments import Z_95

PRIOR_TERMS: Final = 500.0
"""How many terms the prior weighs as much as: with fewer of its own, a group is thought to speak like all."""
WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
# English words that no phrase begins or ends with. Elsewhere the log-odds alone discount them.
HOLLOW: Final = frozenset(WORD.findall(
    "a an the and or but of to in on at by for with from as is are was were be been am i i'm i'll i've it it's its "
    "this that these those my me we our us you your he she they them their his her do did does have has had "
    "will would can could should so just if than then there when what which who how all any some very really about "
    "because also please thanks thank get got let into out up"
))  # fmt: skip


@dataclass(frozen=True)
class TermCounts:
    """Which answers say which terms: a sparse (N, V) matrix by rows."""

    terms: tuple[str, ...]  # V words and phrases of two words
    indptr: NDArray[np.int64]  # (N + 1,) where each answer's terms begin
    indices: NDArray[np.int64]  # the answers' terms, one answer's after the other's

    def total(self, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(V,) how many of the marked (N,) answers say each term."""
        entries = np.repeat(rows, np.diff(self.indptr))
        return np.bincount(self.indices[entries], minlength=len(self.terms)).astype(np.float64)


def count_terms(texts: Sequence[str], min_answers: int = 2) -> TermCounts:
    """Find words and phrases of two words, in lower case; an answer says a term once, however often it repeats it.

    Args:
        texts: N answers.
        min_answers: terms of fewer answers are left out; what one person says tells nothing of a group.
    """
    said = [dict.fromkeys(_terms(text)) for text in texts]
    n_answers = Counter(term for terms in said for term in terms)
    terms = sorted(term for term, n in n_answers.items() if n >= min_answers)
    number = {term: i for i, term in enumerate(terms)}
    kept = [[number[term] for term in of_answer if term in number] for of_answer in said]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in kept], dtype=np.int64)])
    return TermCounts(tuple(terms), indptr.astype(np.int64), np.array([i for row in kept for i in row], dtype=np.int64))


def log_odds(
    counts_a: NDArray[np.float64],
    n_a: float,
    counts_b: NDArray[np.float64],
    n_b: float,
    prior: NDArray[np.float64],
    n_prior: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-odds ratio of every term in A against B, under an informative Dirichlet prior.

    Monroe, Colaresi and Quinn, Fightin' Words (Political Analysis 16, 2008). The prior is how all speak, so words
    that everybody uses come out near 0, and rare ones are not shouted about.

    Args:
        counts_a: (V,) counts of each term in A.
        n_a: of how many: all terms of A, or all its texts where terms are counted once a text.
        counts_b: (V,) in B.
        n_b: of how many.
        prior: (V,) positive pseudo-counts.
        n_prior: of how many, more than any of them.

    Returns:
        (V,) estimates, positive where A says the term more, and (V,) standard errors.
    """
    in_a, in_b = counts_a + prior, counts_b + prior
    out_a, out_b = n_a + n_prior - in_a, n_b + n_prior - in_b
    return np.log(in_a / out_a) - np.log(in_b / out_b), np.sqrt(1 / in_a + 1 / out_a + 1 / in_b + 1 / out_b)


def compare(counts: TermCounts, rows_a: NDArray[np.bool_], rows_b: NDArray[np.bool_]) -> pd.DataFrame:
    """What the answers A say more than B, and less.

    Args:
        counts: of all N answers; they are the prior.
        rows_a: (N,) one theme's answers, say.
        rows_b: (N,) another's, or all others. An answer of both counts on both sides.

    Returns:
        One row for each term that A or B says, the most telling of A first: term, log_odds, low and high (95 %),
        z, n_a and n_b (answers that say it), p (two-sided, adjusted after Benjamini and Hochberg).
    """
    from scipy.stats import false_discovery_control, norm

    columns = ["term", "log_odds", "low", "high", "z", "n_a", "n_b", "p"]
    if not counts.terms or not rows_a.any() or not rows_b.any():
        return pd.DataFrame(columns=columns)
    everybody = counts.total(np.ones(len(rows_a), dtype=np.bool_))
    a, b = counts.total(rows_a), counts.total(rows_b)
    prior = PRIOR_TERMS * everybody / everybody.sum()
    estimate, error = log_odds(a, a.sum(), b, b.sum(), prior, PRIOR_TERMS)
    z = estimate / error
    said = a + b > 0
    if not said.any():
        return pd.DataFrame(columns=columns)
    p = np.ones(len(z))
    p[said] = false_discovery_control(2 * norm.sf(np.abs(z[said])))
    low, high = estimate - Z_95 * error, estimate + Z_95 * error
    table = pd.DataFrame(dict(zip(columns, (counts.terms, estimate, low, high, z, a, b, p), strict=True)))
    return table[said].sort_values("z", ascending=False, ignore_index=True)


def telling(table: pd.DataFrame, n: int, against: bool = False) -> pd.DataFrame:
    """The first `n` terms of `compare` for A (or against A), each said once: 'price rise' stands for 'price', 'rise'.

    A word gives way to a phrase where at least half of its uses are in that phrase. Words like 'the' are left out.

    Args:
        table: of `compare`.
        n: at most so many.
        against: the terms of B instead.
    """
    ordered = table[table["z"] < 0].iloc[::-1] if against else table[table["z"] > 0]
    uses = dict(zip(ordered["term"], ordered["n_b" if against else "n_a"], strict=True))
    in_phrases: dict[str, float] = {}
    for phrase in [term for term in uses if " " in term]:
        for word in phrase.split():
            in_phrases[word] = max(in_phrases.get(word, 0), uses[phrase])
    kept: list[str] = []
    for term in uses:
        if len(kept) == n:
            break
        words = set(term.split())
        if term in HOLLOW:
            continue
        if in_phrases.get(term, 0) < uses[term] / 2 and all(words.isdisjoint(other.split()) for other in kept):
            kept.append(term)
    return ordered[ordered["term"].isin(kept)]


def _terms(text: str) -> list[str]:
    words = [word.replace("\u2019", "'") for word in WORD.findall(text.lower())]
    pairs = pairwise(words)
    return words + [f"{a} {b}" for a, b in pairs if a not in HOLLOW and b not in HOLLOW]
