"""Pictures of a discovery: the map of the answers, and the tree of the themes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from challenges.avalanche.dataset import Question
from challenges.avalanche.discovery import Discovery
from common.plots import PALETTE, QUIET, WIDTH_INCHES, use_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS: Final = "o^sD"
"""With the colours they tell 28 themes apart; the other themes are grey."""


def draw_map(question: Question, found: Discovery) -> Figure:
    """Each answer a point, alike ones near, with the colour and shape of its most probable theme."""
    from matplotlib.figure import Figure

    first = found.assignments.drop_duplicates("row").set_index("row")["theme_id"]
    theme = first.reindex(range(len(question.answers))).fillna(-1).to_numpy(dtype=np.int64)
    named = found.themes[: len(PALETTE) * len(_MARKERS)]
    with use_style():
        figure = Figure(figsize=(WIDTH_INCHES * 1.4, WIDTH_INCHES * 0.75), layout="constrained")
        axes = figure.subplots()
        here = np.isfinite(found.positions[:, 0])
        rest = here & ((theme < 0) | (theme >= len(named)))
        x, y = found.positions.T
        axes.scatter(x[rest], y[rest], s=10, color=QUIET, marker="x", label="nowhere, or other themes")
        for one in named:
            own = here & (theme == one.id)
            colour, marker = PALETTE[one.id % len(PALETTE)], _MARKERS[one.id // len(PALETTE)]
            label = _unmarked(f"{one.id + 1}  {one.label} ({one.n_answers})")
            axes.scatter(x[own], y[own], s=16, color=colour, marker=marker, alpha=0.8, label=label)
            if own.any():
                place = np.median(found.positions[own], axis=0)
                box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": colour, "alpha": 0.85}
                axes.annotate(str(one.id + 1), place, weight="bold", ha="center", va="center", fontsize=9, bbox=box)
        axes.set(xticks=[], yticks=[])
        axes.set_title(_unmarked(question.text), wrap=True)
        axes.grid(visible=False)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    return figure


def draw_tree(found: Discovery) -> Figure:
    """The themes, and how they join as one looks from further away."""
    from matplotlib.figure import Figure
    from scipy.cluster.hierarchy import dendrogram

    labels = [_unmarked(f"{theme.label} ({theme.n_answers})") for theme in found.themes]
    with use_style():
        figure = Figure(figsize=(WIDTH_INCHES, 0.3 * len(labels) + 1), layout="constrained")
        axes = figure.subplots()
        dendrogram(
            found.tree, labels=labels, orientation="left", ax=axes, color_threshold=0, above_threshold_color=PALETTE[0]
        )
        axes.set_xlabel("how far apart two themes are (1: no clustering ever puts their answers together)", wrap=True)
        axes.tick_params(axis="y", labelsize=9)
        axes.grid(visible=False)
    return figure


def _unmarked(text: str) -> str:
    """Without what matplotlib reads as mathematics."""
    return text.replace("$", r"\$")
