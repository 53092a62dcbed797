"""Agreement between persons who coded the same answers, theme by theme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from challenges.avalanche.codebook import Codebook, code_matrix
from common.metrics.agreement import cohen_kappa, krippendorff_alpha


@dataclass(frozen=True)
class Agreement:
    """How far some persons agree on the answers that at least two of them coded."""

    n_both: int  # such answers
    same: float  # share of them whose coders all gave the very same themes
    alpha: float  # Krippendorff's, over all decisions whether an answer has a theme
    themes: pd.DataFrame  # theme, answers (some coder gave it), alpha, kappa (two persons only); least agreed first


def compare_coders(book: Codebook, n_rows: int, coders: Sequence[str]) -> Agreement:
    """Measure the agreement of persons.

    Args:
        book: the present codebook.
        n_rows: N, answers of the question.
        coders: two or more.
    """
    themes = book.ordered()
    matrices = [code_matrix(book, n_rows, themes, who) for who in coders]
    by = np.stack([decided for _, decided in matrices])  # (C, N)
    rows = np.flatnonzero(by.sum(axis=0) >= 2)  # (M,)
    codes = np.stack([codes for codes, _ in matrices])[:, rows]  # (C, M, T)
    by = by[:, rows]

    def alpha(columns: slice) -> float:
        chosen = codes[:, :, columns]
        said = chosen.astype(object)
        said[~by] = None
        return krippendorff_alpha(said.reshape(len(coders), -1).tolist())

    found = []
    for j, theme in enumerate(themes):
        if not (codes[:, :, j] & by).any():
            continue
        kappa = cohen_kappa(*codes[:, :, j].tolist()) if len(coders) == 2 else float("nan")  # of two, both coded all
        name = " \u203a ".join(book.themes[t].name for t in book.path(theme))
        found.append((name, int((codes[:, :, j] & by).any(axis=0).sum()), alpha(slice(j, j + 1)), kappa))
    table = pd.DataFrame(found, columns=["theme", "answers", "alpha", "kappa"]).sort_values("alpha", ignore_index=True)
    same = [len({tuple(codes[c, i]) for c in np.flatnonzero(by[:, i])}) == 1 for i in range(len(rows))]
    overall = alpha(slice(None)) if len(rows) and themes else float("nan")
    return Agreement(len(rows), float(np.mean(same)) if same else float("nan"), overall, table)


def disagreements(book: Codebook, coders: Sequence[str]) -> list[int]:
    """Rows of answers to which these persons gave different themes."""
    return sorted(
        row
        for row, decided in book.decisions.items()
        if len({decision.themes for who, decision in decided.items() if who in coders}) > 1
    )
