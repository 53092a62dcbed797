"""How far persons agree where several coded the same answers, and where they do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from challenges.avalanche.agreement import Agreement, compare_coders, disagreements
from challenges.avalanche.codebook import MACHINE, Codebook
from challenges.avalanche.database import database_url
from challenges.avalanche.findings import counted
from challenges.avalanche.operations import code_answer
from challenges.avalanche.views.context import Context, act, may_edit, plain

N_SHOWN = 200


def show(here: Context) -> None:
    """The page."""
    st.header("Agreement between analysts")
    coders = [who for who in here.book.coders() if who != MACHINE]
    if len(coders) < 2:
        st.info("Fewer than two persons have coded so far; agreement shows where two coded the same answers.")
        return
    everybody = st.multiselect("Who", coders, default=coders, key=here.key("coders"))
    if len(everybody) < 2:
        return
    agreed = _compared(
        database_url(), here.number, here.book.version, tuple(everybody), len(here.question.answers), here.book
    )
    if not agreed.n_both:
        st.info("These persons have no answer in common yet.")
        return
    columns = st.columns(3)
    columns[0].metric("Answers that two or more coded", f"{agreed.n_both:,}")
    columns[1].metric("with the very same themes", f"{agreed.same:.0%}")
    columns[2].metric(
        "Krippendorff's alpha", _number(agreed.alpha),
        help="Over all decisions of theme or not. 1: as one; 0: as by chance. From 0.8 on conclusions are safe, "
        "from 0.667 tentative (Krippendorff 2004).",
    )  # fmt: skip
    st.dataframe(
        agreed.themes, hide_index=True,
        column_config={
            "alpha": st.column_config.NumberColumn("Krippendorff's alpha", format="%.2f"),
            "kappa": st.column_config.NumberColumn("Cohen's kappa (two persons)", format="%.2f"),
        },
    )  # fmt: skip
    st.caption("The themes they agree on least come first: their descriptions need to be made clearer.")
    _resolve(here, everybody)


@st.cache_resource(show_spinner="comparing \u2026", max_entries=16)
def _compared(
    url: str,  # noqa: ARG001 - of the cache's key
    number: int,  # noqa: ARG001
    version: int,  # noqa: ARG001
    coders: tuple[str, ...],
    n_rows: int,
    _book: Codebook,
) -> Agreement:
    return compare_coders(_book, n_rows, coders)


def _resolve(here: Context, coders: list[str]) -> None:
    rows = disagreements(here.book, coders)
    st.subheader(f"{counted(len(rows), 'answer')} coded differently")
    if not rows:
        return
    table = pd.DataFrame(
        {"answer": [here.responses[row] for row in rows[:N_SHOWN]]}
        | {who: [_themes(here, row, who) for row in rows[:N_SHOWN]] for who in coders}
    )
    event = st.dataframe(
        table, hide_index=True, on_select="rerun", selection_mode="single-row", height=320,
        key=here.key(f"differently-{hash(tuple(rows))}"),  # ticks are kept by position
    )  # fmt: skip
    picked = event["selection"]["rows"]  # type: ignore[index]
    if not picked or picked[0] >= len(table) or not may_edit(here):
        return
    row = rows[picked[0]]
    own = here.book.decisions[row].get(here.who)
    for who in coders:
        decided = here.book.decisions[row].get(who)
        if decided is not None and who != here.who:
            operation = code_answer(here.who, row, decided.themes, own)
            st.button(
                f"Decide: {plain(_themes(here, row, who))}", on_click=act, key=here.key(f"decide-{row}-{who}"),
                args=(here, f"decided answer {row + 1} as {_themes(here, row, who)}", operation),
            )  # fmt: skip


def _themes(here: Context, row: int, who: str) -> str:
    decided = here.book.decisions[row].get(who)
    if decided is None:
        return ""
    return " | ".join(sorted(here.book.themes[t].name for t in decided.themes)) or "(none)"


def _number(value: float) -> str:
    return "\u2013" if np.isnan(value) else f"{value:.2f}"
