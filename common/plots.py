"""One look for every figure.

Functions return a `matplotlib.figure.Figure` that no global state knows of: nothing to close, no window
system needed. A notebook shows it as the last value of a cell after `%matplotlib inline`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.data.tables import replace_atomically
from common.metrics.calibration import ReliabilityCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, Color Universal Design (2008): told apart with every kind of colour vision. Its yellow is
# left out, too faint for lines on white.
PALETTE: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
QUIET: Final = "#8A8A8A"
GRID: Final = "#E4E4E4"
WIDTH_INCHES: Final = 9.0
"""Width of a notebook's column; at the style's 100 dpi 900 pixels."""
GAP_INCHES: Final = 0.08
"""Between the pictures of a grid."""
MIN_BIN_ROWS: Final = 10
"""Accuracy of fewer rows is noise: a reliability diagram does not draw it."""

P = ParamSpec("P")
R = TypeVar("R")


def use_style() -> AbstractContextManager[None]:
    """Context in which every new figure has the look; the functions here apply it themselves."""
    import matplotlib as mpl
    from cycler import cycler

    return mpl.rc_context(
        {
            "figure.dpi": 100,
            "savefig.dpi": 150,
            "figure.facecolor": "white",
            "path.simplify": False,  # it would slant the corners of step curves
            "svg.hashsalt": "",
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titlelocation": "left",
            "axes.prop_cycle": cycler(color=PALETTE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": QUIET,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": GRID,
            "grid.linewidth": 0.8,
            "lines.linewidth": 1.8,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "xtick.color": QUIET,
            "ytick.color": QUIET,
            "xtick.labelcolor": "black",
            "ytick.labelcolor": "black",
        }
    )


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure atomically; the suffix names the format (.png, .svg, .pdf).

    Raises:
        UserError: the folder cannot be written.
    """
    with use_style(), replace_atomically(path) as part:
        # Neither a date nor a version: same figure, same bytes.
        dated = {".png": "Software", ".svg": "Date", ".pdf": "CreationDate"}.get(path.suffix.lower())
        figure.savefig(part, metadata={dated: None} if dated else None, format=path.suffix.lower().lstrip("."))


def _styled(function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with use_style():
            return function(*args, **kwargs)

    return in_style


@_styled
def image_grid(
    images: Sequence[NDArray[np.uint8]],
    captions: Sequence[str] | None = None,
    *,
    n_columns: int = 5,
    wrong: Sequence[bool] | None = None,
    title: str = "",
) -> Figure:
    """Pictures side by side, each whole and in its own proportions.

    Args:
        images: RGB (H, W, 3) or grey (H, W), of any sizes.
        captions: text under each image, may have several lines.
        n_columns: images in a row.
        wrong: which captions to set in the colour of errors.
        title: above the grid.

    Raises:
        ValueError: no images, or captions or marks of another number.
    """
    if len(images) == 0 or any(len(marks) != len(images) for marks in (captions, wrong) if marks is not None):
        raise ValueError("image_grid needs images, and as many captions and marks as images")
    rows = [range(start, min(start + n_columns, len(images))) for start in range(0, len(images), n_columns)]
    cell = WIDTH_INCHES / n_columns
    n_lines = max((caption.count("\n") + 1 for caption in captions or []), default=0)
    below = 0.06 + 0.15 * n_lines
    # A row is as tall as its tallest picture needs, but no more than 3:2 upright.
    tallest = [min(1.5, max(images[i].shape[0] / images[i].shape[1] for i in row)) for row in rows]
    heights = [(cell - GAP_INCHES) * ratio + below for ratio in tallest]
    above = 0.35 if title else 0.0
    width, height = cell * min(n_columns, len(images)), sum(heights) + above
    # Placed by hand: a layout engine would let long captions squeeze the pictures.
    figure = _new_figure(width, height, layout=None)
    figure.text(0.06 / width, 1 - 0.08 / height, title, ha="left", va="top", fontsize=11, parse_math=False)
    bottom = height - above
    for row, row_height in zip(rows, heights, strict=True):
        bottom -= row_height
        for column, i in enumerate(row):
            box = (column * cell + GAP_INCHES / 2, bottom + below, cell - GAP_INCHES, row_height - below)
            axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height), anchor="S")
            axes.imshow(images[i], cmap="gray", vmin=0, vmax=255)
            axes.axis("off")
            if captions is not None:
                axes.text(
                    (box[0] + box[2] / 2) / width, (box[1] - 0.04) / height, captions[i],
                    transform=figure.transFigure, ha="center", va="top", fontsize=8, parse_math=False,
                    color=PALETTE[1] if wrong is not None and wrong[i] else "black",
                )  # fmt: skip
    return figure


@_styled
def plot_confusion_matrix(matrix: NDArray[np.integer], names: Sequence[str], title: str = "") -> Figure:
    """Counts, on the share of each true class (row) as shade.

    Args:
        matrix: (C, C) counts, true classes as rows.
        names: C class names.
        title: above the figure.
    """
    matrix = np.asarray(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)  # (C, C)
    side = min(WIDTH_INCHES, 2.4 + 0.75 * len(names))
    figure = _new_figure(side, side * 0.85)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        share = shares[row, column]
        axes.text(
            column, row, f"{count:,}\n{_percent(share)}" if count else "0", ha="center", va="center", fontsize=9,
            color="white" if share > 0.6 else QUIET if count == 0 else "black",
        )  # fmt: skip
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=30, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


@_styled
def plot_precision_recall(
    labels: NDArray[np.bool_],
    scores: NDArray[np.floating],
    names: Sequence[str],
    thresholds: Sequence[float] | None = None,
    title: str = "",
) -> Figure:
    """Precision-recall curve of each tag, with its average precision in the legend.

    Args:
        labels: (N, T) which tags each row has.
        scores: (N, T) probability of each tag.
        names: T tag names; a tag that no row has gets no curve.
        thresholds: T thresholds; where they lie on the curves is marked.
        title: above the figure.
    """
    from sklearn.metrics import precision_recall_curve

    from common.metrics.multilabel import average_precision, tag_scores

    labels, scores = np.asarray(labels, dtype=bool), np.asarray(scores)
    area = average_precision(labels, scores)  # (T,)
    chosen = tag_scores(labels, scores >= np.asarray(thresholds)) if thresholds is not None else None
    figure = _new_figure(WIDTH_INCHES * 0.65, WIDTH_INCHES * 0.5)
    axes = figure.subplots()
    for tag in np.flatnonzero(labels.any(axis=0)).tolist():
        precision, recall, _ = precision_recall_curve(labels[:, tag], scores[:, tag])
        full = np.flatnonzero(recall == 1)[-1]  # beyond it, precision only falls
        # Recall falls along the curve; as steps it encloses exactly the average precision.
        (line,) = axes.step(recall[full:], precision[full:], where="post", label=f"{names[tag]}  AP {area[tag]:.2f}")
        if chosen is not None:
            axes.plot(chosen.recall[tag], chosen.precision[tag], "o", ms=8, mec="white", color=line.get_color())
    if chosen is not None:
        axes.plot([], [], "o", color=QUIET, label="chosen threshold")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02), title=title)
    axes.legend(loc="lower left")
    return figure


@_styled
def plot_reliability(curves: Mapping[str, ReliabilityCurve], title: str = "") -> Figure:
    """Accuracy against confidence of each curve, over how many rows have that confidence.

    Args:
        curves: `reliability_curve` by name, e.g. before and after calibration.
        title: above the figure.
    """
    figure = _new_figure(WIDTH_INCHES * 0.6, WIDTH_INCHES * 0.6)
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls="--", label="perfectly calibrated")
    for position, (name, curve) in enumerate(curves.items()):
        drawn = curve.count >= MIN_BIN_ROWS
        color = PALETTE[position % len(PALETTE)]
        axes.plot(curve.confidence[drawn], curve.accuracy[drawn], "o-", ms=5, color=color, label=name)
        counts.stairs(curve.count, np.linspace(0, 1, len(curve.count) + 1), lw=1.5, color=color)
    axes.set(ylabel=f"accuracy (bins of {MIN_BIN_ROWS} rows or more)", xlim=(0, 1), ylim=(0, 1.02), title=title)
    axes.legend(loc="upper left")
    counts.set(xlabel="confidence", ylabel="rows", ylim=(0, None))
    figure.align_ylabels()
    return figure


@_styled
def plot_training_curves(history: Sequence[Mapping[str, float]], panels: Mapping[str, Sequence[str]]) -> Figure:
    """Curves over epochs, panels side by side.

    Args:
        history: figures of each epoch, in order; one may lack some of them.
        panels: which figures each panel shows, by the panel's title: {"loss": ["train_loss", ...], ...}.
    """
    from matplotlib.ticker import MaxNLocator

    figure = _new_figure(WIDTH_INCHES, 3.2)
    epochs = np.arange(1, len(history) + 1)
    axes: Axes
    for axes, (panel, keys) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for key in keys:
            values = np.array([epoch.get(key, np.nan) for epoch in history], dtype=np.float64)
            known = ~np.isnan(values)
            axes.plot(epochs[known], values[known], "o-", ms=3, label=key.replace("_", " "))
        axes.set(xlabel="epoch", title=panel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
    return figure


def _percent(share: float) -> str:
    """Whole percents that never call a few none, or most all."""
    if 0 < share < 0.01:
        return "<1%"
    return ">99%" if 0.99 < share < 1 else f"{share:.0%}"


def _new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=layout)
