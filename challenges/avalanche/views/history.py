"""Who did what when, and a way back."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from challenges.avalanche.database import database_url
from challenges.avalanche.store import Event
from challenges.avalanche.views.context import Context, get_store, may_edit, plain, report

N_SHOWN = 300


def history_table(events: list[Event]) -> pd.DataFrame:
    """Events as a table, for the page and for exports."""
    undone_by = {event.undoes: event.version for event in reversed(events) if event.undoes is not None}
    return pd.DataFrame(
        {
            "step": [e.version for e in events],
            "when (UTC)": [f"{e.at:%Y-%m-%d %H:%M:%S}" for e in events],
            "who": [e.who for e in events],
            "what": [e.what for e in events],
            "changes": [e.n_changes for e in events],
            "undone by step": [str(undone_by.get(e.version, "")) for e in events],
        }
    )


@st.cache_resource(show_spinner=False, max_entries=16)
def _history(url: str, number: int, version: int) -> list[Event]:  # noqa: ARG001 - of the cache's key
    return get_store(url).history(number, N_SHOWN)


def show(here: Context) -> None:
    """The page."""
    st.header("History")
    events = _history(database_url(), here.number, here.book.version)
    if not events:
        st.info("Nothing was decided yet.")
        return
    people = sorted({event.who for event in events})
    who = st.pills("By", people, format_func=plain, key=here.key("history-who"))
    shown = [event for event in events if who is None or event.who == who]
    st.caption("Every step stays. To undo one is a step of its own, and can be undone too. Tick the step to undo.")
    picked = st.dataframe(
        history_table(shown), hide_index=True, on_select="rerun", selection_mode="single-row",
        height=min(520, 60 + 35 * len(shown)),
        key=here.key(f"history-{shown[0].version}-{who}"),  # ticks are kept by position
    )  # fmt: skip
    rows = picked["selection"]["rows"]  # type: ignore[index]
    if not may_edit(here):
        return
    if rows and rows[0] < len(shown):
        _undo(here, shown[rows[0]])
    else:
        undone = {event.undoes for event in events}
        mine = next((e for e in events if e.who == here.who and e.undoes is None and e.version not in undone), None)
        if mine is not None:
            _undo(here, mine, "my last step: ")


def _undo(here: Context, event: Event, prefix: str = "") -> None:
    st.button(
        f"Undo {prefix}{plain(event.what)}", icon=":material/undo:", on_click=report,
        args=(lambda: here.store.undo(here.number, here.who, event.version), f"undid {event.what}"),
    )  # fmt: skip
