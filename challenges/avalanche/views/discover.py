"""The themes that the machine finds, at the level of their tree that the analyst chooses."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from challenges.avalanche import results
from challenges.avalanche.charts import theme_tree
from challenges.avalanche.database import database_url
from challenges.avalanche.discovery import Discovery
from challenges.avalanche.findings import counted, percent
from challenges.avalanche.levels import Level, adoption, cut
from challenges.avalanche.views.context import Context, act, get_discovery, may_edit, plain


def show(here: Context) -> None:
    """The page."""
    st.header("Find themes")
    st.text(here.question.text)
    running = results.job(here.store, here.number)
    found = get_discovery(here)
    if running is not None and running.error:
        st.error(plain(running.error))
    if running is not None and not running.ended.is_set():
        _watch(here)
    elif found is None:
        st.caption(
            "All answers are read and sorted by what they say. Nobody says beforehand how many themes there are."
        )
        st.button(
            "Find themes", type="primary", on_click=_start,
            args=(here,), icon=":material/travel_explore:",
        )  # fmt: skip
    else:
        _choose(here, found)


def _start(here: Context) -> None:
    results.start_discovery(here.store, here.number, here.question)


@st.fragment(run_every=1.0)
def _watch(here: Context) -> None:
    running = results.job(here.store, here.number)
    if running is None or running.ended.is_set():
        st.rerun()
    share = min(1.0, running.done / running.total) if running.total else 0.0
    of = f" of {running.total:,}" if running.total else ""
    st.progress(share, f"{running.stage} \u2026 {running.done:,}{of}")
    st.caption("You may go on with something else; the result is kept.")


@st.cache_resource(show_spinner="wording the themes \u2026", max_entries=64)
def _level(url: str, number: int, n: int, n_usable: int, _found: Discovery) -> Level:  # noqa: ARG001 - of the key
    return cut(_found, n, n_usable)


def _choose(here: Context, found: Discovery) -> None:
    n_found = len(found.themes)
    if n_found == 0:
        st.info("No two answers are alike enough to be a theme.")
        return
    n = n_found
    if n_found > 1:
        n = st.slider("Number of themes: the level of their tree", 1, n_found, n_found, key=here.key("level"))
    n_usable = int(here.question.answers["usable"].sum())
    level = _level(f"{database_url()} {id(found)}", here.number, n, n_usable, found)
    placed, n_themes = found.assignments["row"].nunique(), len(level.labels)
    st.caption(
        f"{counted(n_themes, 'theme')} with {placed:,} of {counted(n_usable, 'usable answer')}; "
        "the rest belong nowhere."
    )
    if may_edit(here):
        finer = n < n_found and st.checkbox("Keep the finer themes below them", key=here.key("finer"))
        st.button(
            f"Use these {n_themes} themes" if n_themes > 1 else "Use this theme", type="primary",
            on_click=act, icon=":material/done_all:",
            args=(here, f"took over {counted(n_themes, 'theme')} found", adoption(found, level, finer)),
            help="They become themes of the project; their answers count as the machine's until a person decides.",
        )  # fmt: skip
    views = ["Themes", "Tree"] if n_found > 1 else ["Themes"]
    view = st.segmented_control("As", views, default=views[0], key=here.key("found-as"), label_visibility="collapsed")
    if view == "Tree":
        names = [theme.label for theme in found.themes]
        sizes = [theme.n_answers for theme in found.themes]
        st.plotly_chart(theme_tree(found.tree, names, sizes, level.groups), theme=None, key=here.key("tree"))
    else:
        _list(here, level)


def _list(here: Context, level: Level) -> None:
    intervals = level.shares[["share", "low", "high"]].itertuples(index=False)
    table = pd.DataFrame(
        {
            "theme": level.labels,
            "answers": level.shares["count"],
            "share": [f"{percent(share)} ({percent(low)} to {percent(high)})" for share, low, high in intervals],
            "description": level.descriptions,
        }
    )
    st.caption("Tick a theme to read it.")
    event = st.dataframe(
        table, hide_index=True, on_select="rerun", selection_mode="single-row", height=min(300, 38 + 35 * len(table)),
        key=here.key(f"found-{len(level.labels)}"),
    )  # fmt: skip
    picked = [i for i in event["selection"]["rows"] if i < len(level.labels)]  # type: ignore[index]
    for i in picked or range(min(3, len(level.labels))):
        with st.container(border=True):
            st.markdown(f"**{plain(level.labels[i])}**")
            for row in level.quotes[i]:
                st.text(f"\u201c{here.responses[row]}\u201d")
