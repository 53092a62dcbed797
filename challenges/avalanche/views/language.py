"""The words that set themes apart, and the themes that come together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from challenges.avalanche.charts import all_terms, distinguishing_terms, pair_heatmap
from challenges.avalanche.database import database_url
from challenges.avalanche.findings import p_value
from challenges.avalanche.language import TermCounts, compare, count_terms, telling
from challenges.avalanche.segments import co_occurrence
from challenges.avalanche.views.context import Context, get_codes, get_question

N_TERMS = 14
MAX_PAIRS = 24
"""Themes in the picture of pairs; more are not readable."""


@st.cache_resource(show_spinner="counting words \u2026", max_entries=4)
def _counts(url: str, number: int) -> TermCounts:
    return count_terms(get_question(url, number).answers["response"].tolist())


def show(here: Context) -> None:
    """The page of distinguishing language."""
    st.header("Language that distinguishes themes")
    with_machine = st.toggle("Count the machine's themes where no person has decided", value=True)
    themes, codes, decided = get_codes(here, with_machine)
    usable = here.question.answers["usable"].to_numpy(dtype=bool)
    having = [t for t, n in zip(themes, codes[decided & usable].sum(axis=0), strict=True) if n]
    if not having:
        st.info("No answer has a theme yet.")
        return
    columns = st.columns(2)
    most = max(having, key=lambda t: int(codes[:, themes.index(t)].sum()))
    key = here.themes_key("lang-a")
    if st.session_state.get(key) not in having:
        st.session_state[key] = most
    a = columns[0].selectbox("Theme", having, format_func=here.theme_name, key=key)
    others, key = [None, *(t for t in having if t != a)], here.themes_key("lang-b")
    if st.session_state.get(key) not in others:
        del st.session_state[key]
    b = columns[1].selectbox(
        "against", others, key=key,
        format_func=lambda t: "all other answers" if t is None else here.theme_name(t),
    )  # fmt: skip
    rows_a: NDArray[np.bool_] = codes[:, themes.index(a)] & usable
    rows_b = (codes[:, themes.index(b)] if b is not None else decided & ~rows_a) & usable
    table = compare(_counts(database_url(), here.number), rows_a, rows_b)
    if table.empty:
        st.info("These answers share too few words to compare.")
        return
    first, second = telling(table, N_TERMS), telling(table, N_TERMS, against=True)
    names = here.book.themes[a].name, here.book.themes[b].name if b is not None else "all other answers"
    views = ["The most telling", "All terms", "Numbers"]  # of tabs all would be drawn, the hidden ones too
    view = st.segmented_control("As", views, default=views[0], key=here.key("lang-view"), label_visibility="collapsed")
    if view == "Numbers":
        st.dataframe(table.round(3), hide_index=True)
    elif view == "All terms":
        picture = all_terms(table, [*first["term"], *second["term"]])
        st.plotly_chart(picture, theme=None, key=here.key("all-terms"))
    else:
        st.plotly_chart(distinguishing_terms(first, second, *names), theme=None, key=here.key("terms"))
        st.caption(
            "Log-odds ratio of each word or phrase under an informative Dirichlet prior, the language of all answers "
            "(Monroe, Colaresi and Quinn 2008). An interval that crosses 0: the difference may be chance."
        )


@st.cache_resource(show_spinner="counting pairs \u2026", max_entries=16)
def _pairs(
    url: str,  # noqa: ARG001 - of the cache's key
    number: int,  # noqa: ARG001
    version: int,  # noqa: ARG001
    with_machine: bool,  # noqa: ARG001
    _codes: NDArray[np.bool_],
    _names: list[str],
) -> pd.DataFrame:
    return co_occurrence(_codes, _names)


def show_pairs(here: Context) -> None:
    """The page of themes that come together."""
    st.header("Themes that come together")
    with_machine = st.toggle("Count the machine's themes where no person has decided", value=True)
    themes, codes, decided = get_codes(here, with_machine)
    usable = here.question.answers["usable"].to_numpy(dtype=bool)
    leaves = [j for j, t in enumerate(themes) if t not in {theme.parent for theme in here.book.themes.values()}]
    counted = codes[decided & usable][:, leaves]
    order = [j for j in np.argsort(-counted.sum(axis=0), kind="stable")[:MAX_PAIRS] if counted[:, j].any()]
    if len(order) < 2:
        st.info("Fewer than two themes have answers.")
        return
    names = [here.book.themes[themes[leaves[j]]].name for j in order]
    pairs = _pairs(database_url(), here.number, here.book.version, with_machine, counted[:, order], names)
    st.caption(
        "Numbers are answers that have both; colour says how many times more (blue) or less (orange) than by chance; "
        "* is not chance, corrected for the number of pairs."
    )
    width = 300 + 24 * len(names)  # pixels: less cannot be read, so a narrow screen scrolls
    st.html(f"<style>.st-key-pairs {{overflow-x: auto}} .st-key-pairs > div {{min-width: {width}px}}</style>")
    with st.container(key="pairs"):
        st.plotly_chart(pair_heatmap(pairs, names), theme=None, key=here.key("pairs"))
    shown = pairs[pairs["both"] > 0].assign(p_adjusted=[p_value(p) for p in pairs[pairs["both"] > 0]["p_adjusted"]])
    st.dataframe(shown.round(2), hide_index=True)
