"""What a client is shown: one page of findings, shares, segments, quotes, and files to take away."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from challenges.avalanche.charts import segment_dots, share_bars
from challenges.avalanche.database import database_url
from challenges.avalanche.export import code_table, slides, to_csv, workbook
from challenges.avalanche.findings import Findings, compare_by, counted, percent, records, sentences
from challenges.avalanche.views.context import Context, get_findings, get_question, plain
from challenges.avalanche.views.history import history_table

MAX_SHOWN = 15
Compared = dict[str, tuple[pd.DataFrame, pd.DataFrame]]


def _choose(here: Context) -> Findings:
    depths = max((len(here.book.path(theme)) for theme in here.book.themes), default=1)
    columns = st.columns(2)
    with_machine = columns[0].toggle(
        "Count the machine's themes where no person has decided", value=True, key=here.key("with-machine"),
        help="Off: only answers that persons have coded are counted.",
    )  # fmt: skip
    depth = None
    if depths > 1:
        levels = [*range(1, depths), None]
        depth = columns[1].segmented_control(
            "Level of the tree", levels, default=None, key=here.key("depth"),
            format_func=lambda d: "all" if d is None else "top" if d == 1 else f"to level {d}",
        )  # fmt: skip
    return get_findings(here, with_machine, depth)


def _head(here: Context, title: str) -> Findings | None:
    st.header(title)
    st.text(here.question.text)
    findings = _choose(here)
    if not findings.n_coded or not findings.shares["count"].any():
        st.info("Nothing is coded yet.")
        return None
    return findings


@st.cache_resource(show_spinner="comparing segments \u2026", max_entries=16)
def _compared(
    url: str,
    number: int,
    version: int,  # noqa: ARG001 - of the cache's key
    key: tuple[object, ...],  # noqa: ARG001
    method: str,
    _findings: Findings,
) -> Compared:
    question = get_question(url, number)
    return {str(column): compare_by(_findings, question, column, method) for column in question.segments.columns}


def _all_compared(here: Context, findings: Findings, method: str = "holm") -> Compared:
    key = (findings.with_machine, findings.themes)
    return _compared(database_url(), here.number, here.book.version, key, method, findings)


def show_summary(here: Context) -> None:
    """The page that fits on one page, and the exports."""
    findings = _head(here, "Summary")
    if findings is None:
        return
    compared = _all_compared(here, findings)
    numbers = st.columns(4)
    numbers[0].metric("Answers", f"{findings.n_answers:,}")
    numbers[1].metric("With something to say", f"{findings.n_usable:,}")
    numbers[2].metric("Coded", percent(findings.n_coded / max(findings.n_usable, 1)))
    numbers[3].metric("Themes", f"{len(findings.themes):,}")
    with st.container(border=True):
        for sentence in sentences(findings, compared):
            st.markdown(f"- {plain(sentence)}")
    left, right = st.columns([3, 2])
    left.plotly_chart(share_bars(findings.shares.head(8)), theme=None, key=here.key("summary-bars"))
    with right:
        for theme, row in list(zip(findings.themes, records(findings.shares), strict=True))[:4]:
            if findings.quotes[theme]:
                st.markdown(f"**{plain(str(row.theme))}**")
                _quote(here, findings.quotes[theme][0])
    _downloads(here, findings, compared)


def _downloads(here: Context, findings: Findings, compared: Compared) -> None:
    st.subheader("Take away")
    name = "".join(c if c.isalnum() or c in "-_ " else "_" for c in here.project.name).strip() or "project"
    columns = st.columns(3)

    def excel() -> bytes:
        history = history_table(here.store.history(here.number, 100_000))
        return workbook(findings, here.question, here.book, compared, history)

    columns[0].download_button(
        "PowerPoint: charts that can be edited", lambda: slides(findings, here.responses, compared), f"{name}.pptx",
        on_click="ignore", icon=":material/slideshow:", width="stretch",
    )  # fmt: skip
    columns[1].download_button(
        "Excel: findings, answers, audit trail", excel, f"{name}.xlsx", on_click="ignore",
        icon=":material/table:", width="stretch",
    )  # fmt: skip
    columns[2].download_button(
        "CSV: coded answers", lambda: to_csv(code_table(here.question, here.book, findings.with_machine)),
        f"{name}.csv", "text/csv", on_click="ignore", icon=":material/csv:", width="stretch",
    )  # fmt: skip


def show_shares(here: Context) -> None:
    """The page of theme shares."""
    findings = _head(here, "How often each theme comes up")
    if findings is None:
        return
    st.plotly_chart(share_bars(findings.shares.head(_how_many(here, findings))), theme=None, key=here.key("shares"))
    st.caption(
        f"Share of {counted(findings.n_coded, 'coded answer')}; an answer may have several themes, so shares may add "
        "up to more than 100 %. Whiskers are 95 % Wilson intervals: what asking as many other people could have given "
        "as well."
    )
    st.dataframe(findings.shares.round(4), hide_index=True)


def _how_many(here: Context, findings: Findings) -> int:
    total = len(findings.themes)
    return st.slider("Themes", 3, total, min(MAX_SHOWN, total), key=here.key(f"n-{total}")) if total > 3 else total


def show_segments(here: Context) -> None:
    """The page that compares segments."""
    findings = _head(here, "Who says what")
    if findings is None:
        return
    columns = list(here.question.segments.columns)
    if not columns:
        st.info("The table had no further columns to compare by.")
        return
    left, right = st.columns(2)
    column = left.selectbox("Compare by", columns, key=here.key("compare-by"))
    method = right.segmented_control(
        "Correction for the number of themes", ["holm", "fdr"], default="holm", key=here.key("method"),
        format_func=lambda m: "Holm: no false finding" if m == "holm" else "Benjamini-Hochberg: few false ones",
    )  # fmt: skip
    shares, tests = _all_compared(here, findings, method or "holm")[str(column)]
    if shares.empty:
        st.info("This column says nothing of the coded answers.")
        return
    only = st.toggle("Only themes that differ", value=False) and tests["differs"].any()
    order = [t for t in findings.shares["theme"] if not only or tests.set_index("theme").at[t, "differs"]][:MAX_SHOWN]
    differing = int(tests["differs"].sum())
    st.caption(
        f"Themes that differ between segments (bold, with *), after correction: {differing} of {len(tests)}. "
        "Whiskers are 95 % intervals."
    )
    st.plotly_chart(segment_dots(shares, tests, order), theme=None, key=here.key("segments"))
    st.dataframe(tests.round(4), hide_index=True)


def show_quotes(here: Context) -> None:
    """The page of quotes."""
    findings = _head(here, "In their words")
    if findings is None:
        return
    shown = findings.themes[: _how_many(here, findings)]
    for theme, row in zip(shown, records(findings.shares.head(len(shown))), strict=True):
        if not findings.quotes[theme]:
            continue
        st.markdown(f"**{plain(str(row.theme))}** \u00b7 {percent(row.share)} of coded answers")
        if here.book.themes[theme].description:
            st.caption(plain(here.book.themes[theme].description))
        for i in findings.quotes[theme]:
            _quote(here, i)


def _quote(here: Context, row: int) -> None:
    with st.container(border=True):
        st.text(f"\u201c{here.responses[row]}\u201d")
