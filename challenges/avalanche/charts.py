"""Pictures of themes (Plotly). Every text is escaped: Plotly reads some HTML in labels, and answers are not ours."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from challenges.avalanche.findings import counted, p_value, percent, records
from common.plots import GRID, PALETTE, QUIET

SYMBOLS: Final = ("circle", "diamond", "square", "triangle-up", "x", "star")
"""With the colours, they tell 6 times as many themes apart, and all of them without colour vision."""
MAX_POINTS: Final = 700
"""Points of a picture: so many are drawn at once, as SVG. WebGL draws more, but takes seconds without a GPU."""
MIN_OF_THEME: Final = 5
"""Of each theme so many are drawn at least."""
_HOVER_WIDTH, _HOVER_LINES, _LABEL_WIDTH = 60, 6, 42
_DIVERGING: Final = [(0.0, PALETTE[1]), (0.5, "#FFFFFF"), (1.0, PALETTE[0])]


def escape(text: str, width: int = _LABEL_WIDTH, lines: int = 1) -> str:
    """A text for a label: cut into lines of `width` characters, at most so many, none of it markup."""
    parts = textwrap.wrap(text, width, max_lines=lines, placeholder=" \u2026") or [""]
    return "<br>".join(html.escape(part) for part in parts)


def look(position: int) -> tuple[str, str]:
    """Colour and symbol of the theme at a position."""
    return PALETTE[position % len(PALETTE)], SYMBOLS[position // len(PALETTE) % len(SYMBOLS)]


def part_to_draw(rows: NDArray[np.int64], of_theme: NDArray[np.int64], n: int = MAX_POINTS) -> NDArray[np.int64]:
    """At most `n` of the rows, in order: `MIN_OF_THEME` of each theme first, then by chance, the same at each call.

    Args:
        rows: (R,) of answers.
        of_theme: (N,) position of each answer's theme; -1: none.
        n: how many.
    """
    shuffled = np.random.default_rng(0).permutation(len(of_theme))
    shuffled = shuffled[np.isin(shuffled, rows)]  # an answer that is drawn stays so while a filter keeps it
    nth = pd.Series(of_theme[shuffled]).groupby(of_theme[shuffled]).cumcount().to_numpy()
    return np.sort(shuffled[np.argsort(nth >= MIN_OF_THEME, kind="stable")][:n])


def answer_map(
    positions: NDArray[np.floating],
    responses: Sequence[str],
    rows: NDArray[np.int64],
    of_theme: NDArray[np.int64],
    names: Sequence[str],
) -> go.Figure:
    """Answers as points, alike ones close; a selection's points carry their row as `customdata`.

    Args:
        positions: (N, 2).
        responses: N answers.
        rows: those to draw; of `part_to_draw`.
        of_theme: (N,) position of each answer's theme in `names`; -1: none.
        names: of themes, at the same position in every map so that colours stay.
    """
    figure = go.Figure()
    for theme in [-1, *range(len(names))]:
        own = rows[of_theme[rows] == theme]
        if len(own) == 0:
            continue
        colour, symbol = look(theme) if theme >= 0 else ("#C4C4C4", "circle-open")
        figure.add_scatter(
            x=positions[own, 0],
            y=positions[own, 1],
            mode="markers",
            name=escape(names[theme], 34, 2) if theme >= 0 else "no theme",
            text=[escape(responses[row], _HOVER_WIDTH, _HOVER_LINES) for row in own],
            customdata=own,
            hovertemplate="%{text}",
            marker={"color": colour, "symbol": symbol, "size": 6 if len(rows) >= MAX_POINTS else 8, "opacity": 0.75},
        )
    _finish(figure, 700)
    below = {"itemsizing": "constant", "orientation": "h", "y": 0, "yanchor": "top"}  # beside, a phone has no room
    figure.update_layout(dragmode="lasso", legend=below, hovermode="closest")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return figure


def enclosed(
    positions: NDArray[np.floating],
    lassos: Sequence[Mapping[str, Sequence[float]]],
    boxes: Sequence[Mapping[str, Sequence[float]]],
) -> NDArray[np.bool_]:
    """Which of (N, 2) positions lie within any lasso or box; Plotly gives their corners by axis, `x` and `y`."""
    from matplotlib.path import Path

    inside = np.zeros(len(positions), dtype=np.bool_)
    for lasso in lassos:
        inside |= Path(np.column_stack([lasso["x"], lasso["y"]])).contains_points(positions)
    for box in boxes:
        corners = np.column_stack([box["x"], box["y"]])
        inside |= ((positions >= corners.min(axis=0)) & (positions <= corners.max(axis=0))).all(axis=1)
    return inside


def theme_tree(
    tree: NDArray[np.float64], names: Sequence[str], sizes: Sequence[int], groups: NDArray[np.int64]
) -> go.Figure:
    """The themes' tree, each group in a colour of its own, what joins groups in grey.

    Args:
        tree: linkage of scipy over T themes.
        names: T names.
        sizes: T numbers of answers.
        groups: (T,) group of each theme, of a cut through the tree.
    """
    n = len(names)
    members = [{i} for i in range(n)]
    for a, b, *_ in tree:
        members.append(members[int(a)] | members[int(b)])
    order = _leaves(tree, n)
    place = dict(zip(order, range(n), strict=True))
    spots: list[tuple[float, float]] = [(0.0, float(place[i])) for i in range(n)]  # of each node: height, middle
    figure = go.Figure()
    for i, (a, b, height, *_) in enumerate(tree):
        (height_a, y_a), (height_b, y_b) = spots[int(a)], spots[int(b)]
        inside = {int(groups[leaf]) for leaf in members[n + i]}
        colour = PALETTE[inside.pop() % len(PALETTE)] if len(inside) == 1 else "#B0B0B0"
        figure.add_scatter(
            x=[height_a, height, height, height_b], y=[y_a, y_a, y_b, y_b], mode="lines",
            line={"color": colour, "width": 2}, hoverinfo="skip",
        )  # fmt: skip
        spots.append((float(height), (y_a + y_b) / 2))
    marks = [PALETTE[int(groups[i]) % len(PALETTE)] for i in order]
    figure.add_scatter(
        x=[0.0] * n, y=list(range(n)), mode="markers", marker={"color": marks, "size": 9}, hoverinfo="skip"
    )
    labels = [f"{escape(names[i])} ({sizes[i]:,})" for i in order]
    _finish(figure, 90 + 24 * n)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(
        title="how far apart", showgrid=False, range=[float(tree[:, 2].max()) * 1.05, -0.02 * float(tree[:, 2].max())]
    )
    figure.update_yaxes(tickvals=list(range(n)), ticktext=labels, side="right", showgrid=False)
    return figure


def _leaves(tree: NDArray[np.float64], n: int) -> list[int]:
    """The leaves in an order in which no branches cross, without recursion: trees may be deep."""
    order, stack = [], [n + len(tree) - 1]
    while stack:
        node = stack.pop()
        if node < n:
            order.append(node)
        else:
            stack += [int(tree[node - n, 1]), int(tree[node - n, 0])]
    return order


def share_bars(shares: pd.DataFrame) -> go.Figure:
    """Shares of themes (`segments.theme_shares`) with their intervals, in the table's order from above."""
    turned = shares.iloc[::-1]
    figure = go.Figure()
    figure.add_bar(
        x=turned["share"],
        y=list(range(len(turned))),
        orientation="h",
        marker={"color": PALETTE[0], "opacity": 0.85},
        error_x=_whiskers(turned["share"], turned["low"], turned["high"]),
        text=[f"  {percent(row.share)}" for row in records(turned)],
        textposition="none",
        hovertext=[
            f"{escape(row.theme)}<br>{row.count:,} of {row.n:,}: {percent(row.share)} "
            f"({percent(row.low)} to {percent(row.high)})"
            for row in records(turned)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    labels = [f"{escape(row.theme)}  <b>{percent(row.share)}</b>" for row in records(turned)]
    _finish(figure, 90 + 30 * len(turned))
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", title="share of coded answers,<br>with 95 % interval")
    figure.update_yaxes(tickvals=list(range(len(turned))), ticktext=labels, showgrid=False)
    return figure


def segment_dots(shares: pd.DataFrame, tests: pd.DataFrame, order: Sequence[str]) -> go.Figure:
    """Share of each theme by segment with intervals; themes whose share differs (corrected) are marked and bold.

    Args:
        shares: of `segments.compare_segments`.
        tests: of the same.
        order: names of the themes to show, from above.
    """
    figure = go.Figure()
    order = list(reversed(order))
    segments = list(dict.fromkeys(shares["segment"]))
    of = tests.set_index("theme")
    adjusted: dict[str, float] = dict(zip(tests["theme"], tests["p_adjusted"].tolist(), strict=True))
    for i, segment in enumerate(segments):
        rows = shares[shares["segment"] == segment].set_index("theme").loc[order]
        colour, _ = look(i)
        shift = 0.6 * ((len(segments) - 1) / 2 - i) / max(len(segments), 2)
        figure.add_scatter(
            x=rows["share"],
            y=np.arange(len(order)) + shift,
            mode="markers",
            name=f"{escape(str(segment), 30)} (n = {rows['n'].max() if len(rows) else 0:,})",
            marker={"color": colour, "symbol": SYMBOLS[i % len(SYMBOLS)], "size": 9},
            error_x=_whiskers(rows["share"], rows["low"], rows["high"], colour),
            hovertext=[
                f"{escape(theme)}, {escape(str(segment), 30)}<br>{row.count:,} of {row.n:,}: {percent(row.share)} "
                f"({percent(row.low)} to {percent(row.high)})<br>{p_value(adjusted[theme])} (corrected)"
                for theme, row in zip(order, records(rows), strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    labels = [f"<b>{escape(theme)} *</b>" if of.at[theme, "differs"] else escape(theme) for theme in order]
    _finish(figure, 130 + (22 + 11 * len(segments)) * len(order))
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", title="share of the segment's coded answers")
    figure.update_yaxes(tickvals=list(range(len(order))), ticktext=labels, range=[-0.6, len(order) - 0.4])
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0})
    return figure


def distinguishing_terms(a: pd.DataFrame, b: pd.DataFrame, name_a: str, name_b: str) -> go.Figure:
    """Log-odds with 95 % intervals of the terms that tell A and B apart.

    Args:
        a: of `language.telling`, the terms of A.
        b: those of B.
        name_a: of the theme A.
        name_b: of the theme B, or of the rest.
    """
    figure = go.Figure()
    both = pd.concat([a, b.iloc[::-1]]).iloc[::-1].reset_index(drop=True)
    for name, colour, symbol, rows in (
        (name_a, PALETTE[0], "circle", both[both["z"] > 0]),
        (name_b, PALETTE[1], "diamond", both[both["z"] < 0]),
    ):
        figure.add_scatter(
            x=rows["log_odds"],
            y=rows.index,
            mode="markers",
            name=escape(name),
            marker={"color": colour, "symbol": symbol, "size": 9},
            error_x=_whiskers(rows["log_odds"], rows["low"], rows["high"], colour),
            hovertext=[
                f"{escape(row.term)}<br>{counted(int(row.n_a), 'answer')} in {escape(name_a)}<br>"
                f"{row.n_b:,.0f} in {escape(name_b)}<br>z = {row.z:.1f}, corrected {p_value(row.p)}"
                for row in records(rows)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": QUIET, "width": 1})
    _finish(figure, 150 + 21 * len(both))
    figure.update_xaxes(
        title="log-odds with 95 % interval<br>\u2190 said more in the other \u00b7 said more here \u2192"
    )
    figure.update_yaxes(tickvals=both.index.tolist(), ticktext=[escape(term) for term in both["term"]])
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0})
    return figure


def all_terms(table: pd.DataFrame, shown: Sequence[str]) -> go.Figure:
    """The terms that most say, by their number and by how surely a term tells the groups apart (Monroe et al., fig. 5).

    Args:
        table: of `language.compare`.
        shown: terms to print beside their points.
    """
    figure = go.Figure()
    table = table.assign(said=table["n_a"] + table["n_b"]).nlargest(MAX_POINTS, "said")
    said = table["said"]
    sure = table["z"].abs() > 1.96
    colours = np.where(~sure, "#C4C4C4", np.where(table["z"] > 0, PALETTE[0], PALETTE[1]))
    figure.add_scatter(
        x=said,
        y=table["z"],
        mode="markers",
        marker={"color": colours, "size": np.clip(4 + 2 * np.abs(table["z"]), 4, 18), "opacity": 0.7},
        hovertext=[f"{escape(row.term)}<br>z = {row.z:.1f}" for row in records(table)],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    for row in records(table[table["term"].isin(list(shown))]):
        x = float(np.log10(row.n_a + row.n_b))
        figure.add_annotation(x=x, y=row.z, text=escape(row.term), showarrow=False, xanchor="left", xshift=7)
    for z in (-1.96, 1.96):
        figure.add_hline(y=z, line={"color": QUIET, "width": 1, "dash": "dot"})
    _finish(figure, 560)
    figure.update_xaxes(type="log", title="answers that say it")
    figure.update_yaxes(title="z of the log-odds; beyond the dotted lines it is more than chance")
    figure.update_layout(showlegend=False)
    return figure


def pair_heatmap(pairs: pd.DataFrame, order: Sequence[str]) -> go.Figure:
    """Themes that come in the same answers: number in each cell, colour how much more (blue) or less than by chance.

    Args:
        pairs: of `segments.co_occurrence`.
        order: names of the themes to show.
    """
    place = {name: i for i, name in enumerate(order)}
    counts = np.full((len(order), len(order)), "", dtype=object)
    colour = np.full((len(order), len(order)), np.nan)
    hover = np.full((len(order), len(order)), "", dtype=object)
    for row in records(pairs):
        if row.a not in place or row.b not in place:
            continue
        i, j = max(place[row.a], place[row.b]), min(place[row.a], place[row.b])
        counts[i, j] = f"{row.both:,}" + ("*" if row.p_adjusted < 0.05 else "")
        # Half an answer more on both sides keeps empty cells and rare themes from infinity.
        colour[i, j] = np.clip(np.log2((row.both + 0.5) / (row.expected + 0.5)), -3, 3)
        hover[i, j] = (
            f"{escape(row.a)} and {escape(row.b)}<br>{counted(row.both, 'answer')}, "
            f"{row.expected:.1f} expected by chance"
        )
        hover[i, j] += f"<br>corrected {p_value(row.p_adjusted)}"
    labels = [escape(name, 30) for name in order]
    figure = go.Figure()
    figure.add_heatmap(
        z=colour, x=list(range(len(order))), y=list(range(len(order))), text=counts, texttemplate="%{text}",
        hovertext=hover, hovertemplate="%{hovertext}<extra></extra>", hoverongaps=False, xgap=2, ygap=2,
        colorscale=_DIVERGING, zmid=0, zmin=-3, zmax=3,
        colorbar={"title": "than by chance", "tickvals": [-3, 0, 3], "ticktext": ["1/8", "same", "8 x"]},
    )  # fmt: skip
    _finish(figure, 200 + 32 * len(order))
    figure.update_layout(dragmode=False)  # on a narrow screen a finger moves the picture
    figure.update_xaxes(tickvals=list(range(len(order)))[:-1], ticktext=labels[:-1], tickangle=-35, showgrid=False)
    figure.update_yaxes(tickvals=list(range(len(order)))[1:], ticktext=labels[1:], autorange="reversed", showgrid=False)
    return figure


def _whiskers(
    middle: pd.Series[float], low: pd.Series[float], high: pd.Series[float], colour: str = "black"
) -> dict[str, object]:
    return {
        "type": "data", "symmetric": False, "array": high - middle, "arrayminus": middle - low,
        "color": colour, "thickness": 1.4, "width": 3,
    }  # fmt: skip


def _finish(figure: go.Figure, height: int) -> None:
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 8, "t": 28, "b": 44},
        font={"size": 13, "color": "black", "family": "Source Sans, Arial, sans-serif"},
        hoverlabel={"align": "left", "bgcolor": "white", "font": {"color": "black"}},
        paper_bgcolor="white",
        plot_bgcolor="white",
    )
    figure.update_xaxes(automargin=True, gridcolor=GRID, zeroline=False)
    figure.update_yaxes(automargin=True, gridcolor=GRID, zeroline=False)
