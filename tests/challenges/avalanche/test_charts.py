"""Pictures: what they show, and that no text becomes markup in them."""

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from hypothesis import given
from hypothesis import strategies as st

from challenges.avalanche.charts import (
    all_terms,
    answer_map,
    distinguishing_terms,
    enclosed,
    escape,
    look,
    pair_heatmap,
    part_to_draw,
    segment_dots,
    share_bars,
    theme_tree,
)
from challenges.avalanche.language import compare, count_terms, telling
from challenges.avalanche.segments import as_segments, co_occurrence, compare_segments, theme_shares

EVIL = '<img src=x onerror="alert(1)">'


def drawn(figure: go.Figure) -> str:
    content = str(figure.to_json())
    assert "<img" not in json.dumps(json.loads(content), ensure_ascii=False)
    return content


@given(st.text(max_size=300))
def test_escaped_text_has_no_markup_but_its_line_breaks(text: str) -> None:
    assert "<" not in escape(text, 20, 3).replace("<br>", "")
    assert escape(text, 20, 3).count("<br>") <= 2


def test_answers_are_on_the_map_in_the_look_of_their_theme() -> None:
    positions = np.random.default_rng(0).normal(size=(6, 2))
    names = [EVIL, *"bcdefghij"]
    figure = answer_map(positions, [EVIL] * 6, np.arange(5), np.array([0, 0, 1, -1, 9, 0]), names)
    drawn(figure)
    assert sorted(row for trace in figure.data for row in trace.customdata) == [0, 1, 2, 3, 4]
    assert [len(trace.x) for trace in figure.data] == [1, 2, 1, 1]
    assert len({look(i) for i in range(42)}) == 42


def test_of_many_answers_a_part_is_drawn_with_some_of_every_theme() -> None:
    of_theme = np.repeat([-1, 0, 1, 2], [40, 1_000, 3, 8])
    part = part_to_draw(np.arange(1_051), of_theme, 100)
    assert len(set(part.tolist())) == 100
    assert np.bincount(of_theme[part] + 1)[[2, 3]].tolist() == [3, 5]
    fewer = part_to_draw(np.arange(0, 1_051, 2), of_theme, 100)
    assert not (fewer % 2).any()
    assert set(part[part % 2 == 0].tolist()) <= set(fewer.tolist())
    assert part_to_draw(np.array([4, 7]), of_theme).tolist() == [4, 7]


def test_a_lasso_and_a_box_take_in_what_lies_in_them() -> None:
    positions = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.2], [5.0, 5.0]])
    lasso = {"x": [-1, 3, 3, -1], "y": [-1, -1, 0.5, 0.5]}
    assert enclosed(positions, [lasso], []).tolist() == [True, False, True, False]
    assert enclosed(positions, [lasso], [{"x": [6, 4], "y": [4, 6]}]).tolist() == [True, False, True, True]
    assert not enclosed(positions, [], []).any()


def test_the_tree_keeps_every_theme_and_colours_groups() -> None:
    tree = np.array([[0, 1, 0.2, 2], [2, 3, 0.4, 2], [4, 5, 0.9, 4]])
    figure = theme_tree(tree, [EVIL, "b", "c", "d"], [4, 3, 2, 1], np.array([0, 0, 1, 1]))
    drawn(figure)
    assert [label.split(" (")[-1] for label in figure.layout.yaxis.ticktext] == ["4)", "3)", "2)", "1)"]
    colours = [trace.line.color for trace in figure.data[:-1]]
    assert colours[0] != colours[1]
    assert colours[2] not in colours[:2]


def test_bars_and_dots_show_the_numbers_with_their_intervals() -> None:
    codes = np.array([[1, 0], [1, 1], [0, 0], [1, 0]] * 20, dtype=bool)
    shares = theme_shares(codes, [EVIL, "b"])
    figure = share_bars(shares)
    drawn(figure)
    np.testing.assert_allclose(figure.data[0].x, [0.25, 0.75])
    np.testing.assert_allclose(figure.data[0].x + figure.data[0].error_x.array, shares["high"].iloc[::-1])
    by, tests = compare_segments(codes, [EVIL, "b"], as_segments(pd.Series([EVIL, "y"] * 40)))
    figure = segment_dots(by, tests, [EVIL, "b"])
    drawn(figure)
    assert len(figure.data) == 2
    assert figure.layout.yaxis.ticktext[0] == "<b>b *</b>"  # only where y is said, and never


def test_language_and_pairs_are_drawn() -> None:
    texts = ["too expensive <img>", "expensive", "moving abroad", "moving house"] * 10
    a = np.array([True, True, False, False] * 10)
    table = compare(count_terms(texts), a, ~a)
    figure = distinguishing_terms(telling(table, 3), telling(table, 3, against=True), EVIL, "b")
    drawn(figure)
    assert "expensive" in " ".join(figure.layout.yaxis.ticktext)
    assert (np.array(figure.data[0].x) > 0).all()
    assert (np.array(figure.data[1].x) < 0).all()
    drawn(all_terms(table, table["term"].tolist()))
    codes = np.random.default_rng(0).random((50, 3)) < 0.5
    figure = pair_heatmap(co_occurrence(codes, [EVIL, "b", "c"]), [EVIL, "b", "c"])
    drawn(figure)
    assert np.isfinite(np.array(figure.data[0].z, dtype=float)).sum() == 3
