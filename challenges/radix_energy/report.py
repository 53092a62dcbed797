"""The answer as one page that a person can read: the types in words and pictures, and how sure they are."""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_energy.dataset import Dataset, Readings
from challenges.radix_energy.describe import activity_words, describe_type, type_summaries
from challenges.radix_energy.features import days_since_monday
from challenges.radix_energy.model import MIN_TYPES, Candidate, eligible
from challenges.radix_energy.train import CLEAR, Found, verdict
from common.data.tables import replace_atomically
from common.plots import PALETTE, QUIET, use_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

MAX_DRAWN: Final = 3_000
"""Points of the map, and households behind a type's figures: more are drawn at random."""
MAX_LISTED: Final = 20
N_TYPICAL: Final = 3
WIDTH_INCHES: Final = 5.2
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_NUMBER: Final = re.compile(r"-?\d[\d.e+%-]*")
"""In a reason, the one that differs from household to household."""
# The house's palette without black, which marks what fits nowhere; then the same hues darker, then lighter. Sixteen
# colours are never safe for every eye: numbers stand beside them.
COLOURS: Final = (
    *PALETTE[:6],
    "#003B5C", "#7A3500", "#005740", "#7D3F65", "#8A5F00", "#2B6F99", "#80B9DA", "#EAAE80", "#80CFB9", "#E6BCD3",
)  # fmt: skip


def write_report(path: Path, dataset: Dataset, found: Found, table: pd.DataFrame) -> None:
    """Write one HTML file that needs nothing else: no script, no network; it can be printed, or read on a phone.

    Args:
        path: the file.
        dataset: what the types were found on.
        found: the types; its households are those of `dataset.readings`, row by row.
        table: of `predict.tabulate`; its first N rows are those households.

    Raises:
        UserError: the folder cannot be written.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = lambda value: f"{value:,.0f}"
    template = environment.from_string(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    with use_style():
        page = template.render(_content(dataset, found, table.iloc[: len(dataset.readings.household_ids)]))
    with replace_atomically(path) as part:
        part.write_text(page, encoding="utf-8")


def _content(dataset: Dataset, found: Found, table: pd.DataFrame) -> dict[str, Any]:
    """Everything the template shows."""
    model, assignment, readings = found.model, found.assignment, dataset.readings
    points = model.space_.place(found.households.features)[:, :2]
    nowhere = np.flatnonzero(~assignment.typical)
    nowhere = nowhere[np.argsort(-assignment.distances[nowhere], kind="stable")]
    candidates = model.candidates_
    return {
        "n_households": len(readings.household_ids),
        "n_unused": len(dataset.unused),
        "n_nowhere": len(nowhere),
        "share_nowhere": len(nowhere) / len(points),
        "chosen": model.chosen_,
        "asked": model.n_types is not None,
        "fewer": model.supported_.n_types < model.chosen_.n_types,
        "verdict": verdict(found),
        "clear": model.chosen_.stability >= CLEAR,
        "limit": CLEAR,
        "usual_kwh": found.usual["kwh_per_day"],
        "types": _types(readings, found),
        "map": _image(map_figure(points, assignment.types, assignment.typical)),
        "n_drawn": min(len(points), MAX_DRAWN),
        "numbers": _image(number_figure(candidates, model.chosen_)),
        "n_tried": len({candidate.n_types for candidate in eligible(candidates)}),
        "min_types": MIN_TYPES,
        "nowhere": table.iloc[nowhere[:MAX_LISTED]].assign(distance=assignment.distances[nowhere[:MAX_LISTED]]),
        "reasons": Counter(_NUMBER.sub("…", reason, count=1) for reason in dataset.unused.values()).most_common(),
        "unused": list(dataset.unused.items())[:MAX_LISTED],
        "max_listed": MAX_LISTED,
        "input": dataset.report,
    }


def _types(readings: Readings, found: Found) -> list[dict[str, Any]]:
    """What the template shows of each type; households that fit nowhere count in none."""
    assignment, descriptors = found.assignment, found.households.descriptors
    rng = np.random.default_rng(0)
    kinds = range(len(found.names))
    members = [np.flatnonzero((assignment.types == kind) & assignment.typical) for kind in kinds]
    drawn = [np.sort(rng.choice(rows, min(len(rows), MAX_DRAWN), replace=False)) for rows in members]
    weeks = [average_weeks(readings.kwh[rows], readings.dates) for rows in drawn]
    bands = [profile_bands(week) if len(week) else np.zeros((3, 2, 24)) for week in weeks]
    highest = max(float(band.max()) for band in bands)
    summaries = type_summaries(descriptors, np.where(assignment.typical, assignment.types, -1), len(kinds))
    when = activity_words(summaries)
    types = []
    for kind, rows in zip(kinds, members, strict=True):
        shown = {
            "number": kind,
            "name": found.names[kind],
            "colour": _colour(kind),
            "n_households": len(rows),
            "share": len(rows) / len(assignment.types),
            "kwh": summaries.loc[kind, "kwh_per_day"],
            "when": when[kind],
        }
        if len(rows):
            shown |= {
                "sentence": describe_type(descriptors.iloc[rows], len(assignment.types)),
                "week": _image(week_figure(_known_mean(weeks[kind], 0))),
                "profiles": _image(profile_figure(bands[kind], _colour(kind), highest)),
                "examples": _examples(readings, found, kind, rows),
            }
        types.append(shown)
    return types


def _examples(readings: Readings, found: Found, kind: int, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The households nearest to the middle of a type, and of the others the least certain, as small profiles."""
    assignment = found.assignment
    nearest = rows[np.argsort(assignment.distances[rows], kind="stable")]
    typical, others = nearest[:N_TYPICAL], nearest[N_TYPICAL:]
    least_certain = others[assignment.probabilities[others, kind].argsort(kind="stable")[:1]]
    chosen = np.concatenate([typical, least_certain])
    profiles = _by_kind_of_day(average_weeks(readings.kwh[chosen], readings.dates))  # (4, 2, 24)
    low, top = min(float(np.nanmin(profiles)), 0.0), max(float(np.nanmax(profiles)), 0.01)
    examples = []
    for row, profile in zip(chosen, profiles, strict=True):
        probabilities = assignment.probabilities[row].copy()
        probability, probabilities[kind] = probabilities[kind], 0.0
        examples.append(
            {
                "household_id": str(readings.household_ids[row]),
                "least_certain": row in least_certain,
                "probability": float(probability),
                "else_type": int(probabilities.argmax()),
                "top": top,
                "zero": 80 * top / (top - low),  # 80 but for who exports
                "lines": [_polyline((hours - low) / (top - low)) for hours in profile],
            }
        )
    return examples


def _polyline(heights: Floats) -> str:
    """(24,) heights from 0 to 1 -> the points of a line in a box of 240 by 80."""
    points = [(10 * hour + 5, 80 - 80 * height) for hour, height in enumerate(heights) if np.isfinite(height)]
    return " ".join(f"{x},{y:.1f}" for x, y in points)


def average_weeks(kwh: NDArray[np.float32], dates: NDArray[np.datetime64]) -> Floats:
    """(N, D, 24) readings -> (N, 7, 24) mean kWh of each hour of the week, Monday first; nan where never read."""
    weekday = days_since_monday(dates)
    known = ~np.isnan(kwh)
    week = np.full((len(kwh), 7, 24), np.nan)
    for day in range(7):
        days = weekday == day
        n_known = known[:, days].sum(1)
        total = np.nansum(kwh[:, days], axis=1, dtype=np.float64)
        np.divide(total, n_known, out=week[:, day], where=n_known > 0)
    return week


def profile_bands(weeks: Floats) -> Floats:
    """(N, 7, 24) -> (3, 2, 24) 10th, 50th and 90th percentile of households, on weekdays and on weekends."""
    profiles = _by_kind_of_day(weeks)  # (N, 2, 24)
    ordered = np.sort(profiles, axis=0)  # nan last
    n_known = (~np.isnan(profiles)).sum(0)  # (2, 24)
    positions = np.array([0.1, 0.5, 0.9])[:, None, None] * np.maximum(n_known - 1, 0)
    low = np.take_along_axis(ordered, np.floor(positions).astype(np.int64), axis=0)
    high = np.take_along_axis(ordered, np.ceil(positions).astype(np.int64), axis=0)
    return np.asarray(np.nan_to_num(low + (high - low) * (positions % 1)))


def _by_kind_of_day(weeks: Floats) -> Floats:
    """(N, 7, 24) -> (N, 2, 24) means over weekdays and over weekends, nan where never read."""
    return np.stack([_known_mean(weeks[:, :5], 1), _known_mean(weeks[:, 5:], 1)], axis=1)


def _known_mean(values: Floats, axis: int) -> Floats:
    n_known = (~np.isnan(values)).sum(axis)
    return np.asarray(np.where(n_known > 0, np.nansum(values, axis) / np.maximum(n_known, 1), np.nan))


def week_figure(week: Floats) -> Figure:
    """Heat map of (7, 24) kWh an hour."""
    figure = _new_figure(2.5)
    axes = figure.add_axes((0.09, 0.17, 0.74, 0.79))
    image = axes.imshow(week, aspect="auto", cmap="viridis", vmin=min(0.0, float(np.nanmin(week))))
    axes.set_yticks(range(7), WEEKDAYS)
    _hour_axis(axes, edge=-0.5)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    bar = figure.colorbar(image, cax=figure.add_axes((0.86, 0.17, 0.03, 0.79)))
    bar.set_label("kWh an hour")
    bar.outline.set_visible(False)
    return figure


def profile_figure(bands: Floats, colour: str, highest: float) -> Figure:
    """Weekday and weekend profile of a type, with the spread of households.

    Args:
        bands: of `profile_bands`, kWh an hour.
        colour: of the type.
        highest: kWh an hour, the top of the scale that all types share.
    """
    figure = _new_figure(2.5)
    hours = np.arange(24) + 0.5
    for position, title in enumerate(("weekday", "weekend")):
        axes = figure.add_axes((0.1 + 0.46 * position, 0.17, 0.42, 0.71))
        low, middle, high = bands[:, position]
        axes.fill_between(hours, low, high, color=colour, alpha=0.25, lw=0)
        axes.plot(hours, middle, color=colour)
        axes.set(title=title, xlim=(0, 24), ylim=(min(0.0, float(bands.min())), 1.05 * max(highest, 0.01)))
        _hour_axis(axes, edge=0.0)
        if position:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel("kWh an hour")
    return figure


def map_figure(points: Floats, types: NDArray[np.integer], typical: NDArray[np.bool_]) -> Figure:
    """All households as points, at most MAX_DRAWN of them.

    Args:
        points: (N, 2).
        types: (N,) type, which gives the colour; its number stands amid its households.
        typical: (N,) False is drawn as a black cross.
    """
    from matplotlib.patheffects import withStroke

    figure = _new_figure(5.2, width=7.5)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    rng = np.random.default_rng(0)
    drawn = np.zeros(len(points), dtype=bool)
    drawn[rng.choice(len(points), min(len(points), MAX_DRAWN), replace=False)] = True
    shown = drawn & typical
    axes.scatter(points[shown, 0], points[shown, 1], s=14, c=[_colour(kind) for kind in types[shown]], alpha=0.75, lw=0)
    nowhere = points[drawn & ~typical]
    axes.scatter(nowhere[:, 0], nowhere[:, 1], s=28, c="black", marker="x", lw=1.2)
    for kind in np.unique(types[typical]):
        x, y = np.median(points[typical & (types == kind)], axis=0)
        axes.text(
            x, y, str(kind), ha="center", va="center", fontsize=15, fontweight="bold", color=_colour(kind),
            path_effects=[withStroke(linewidth=4, foreground="white")],
        )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    return figure


def number_figure(candidates: Sequence[Candidate], chosen: Candidate) -> Figure:
    """Stability and likelihood against the number of types, for both forms of types; the chosen one is ringed."""
    from matplotlib.ticker import MaxNLocator

    figure = _new_figure(3.0, width=9.0)
    panels = [figure.add_axes((0.07 + 0.5 * position, 0.16, 0.42, 0.74)) for position in (0, 1)]
    for spherical, colour, label in ((False, PALETTE[0], "elongated types"), (True, PALETTE[1], "round types")):
        of_form = [candidate for candidate in candidates if candidate.spherical == spherical]
        for axes, value in zip(panels, ("stability", "bic"), strict=True):
            scale = 1.0 if value == "stability" else 1000.0
            numbers = [candidate.n_types for candidate in of_form]
            axes.plot(numbers, [getattr(c, value) / scale for c in of_form], "o-", ms=4, color=colour, label=label)
            if chosen.spherical == spherical:
                axes.plot(chosen.n_types, getattr(chosen, value) / scale, "o", ms=13, mfc="none", mec="black", mew=1.5)
    panels[0].axhline(CLEAR, color=QUIET, lw=1, ls="--", zorder=0)
    panels[0].set(title="stability, higher is better", ylim=(min(0.0, *(c.stability for c in candidates)), 1.04))
    panels[1].set(title="BIC in thousands, lower is better")
    panels[1].legend(loc="upper right")
    for axes in panels:
        axes.set_xlabel("number of types")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _colour(kind: int) -> str:
    return COLOURS[kind % len(COLOURS)]


def _hour_axis(axes: Axes, edge: float) -> None:
    axes.set_xticks(np.arange(0, 25, 6) + edge, ["0 h", "6 h", "12 h", "18 h", ""])


def _new_figure(height: float, width: float = WIDTH_INCHES) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def _image(figure: Figure) -> str:
    """The figure as the address of an image that holds it whole."""
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
