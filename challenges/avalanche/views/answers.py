"""All answers: as a map and as a table, to be searched, filtered and coded many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from challenges.avalanche.charts import answer_map, enclosed, part_to_draw
from challenges.avalanche.codebook import MACHINE, Codebook
from challenges.avalanche.database import database_url
from challenges.avalanche.findings import counted
from challenges.avalanche.operations import add_theme, code_many, confirm
from challenges.avalanche.views.context import Context, act, get_codes, get_discovery, get_question, may_edit, report

UNCODED, BY_MACHINE, DISAGREED = "(no decision)", "(only the machine's)", "(persons disagree)"
_ADD, _REMOVE = "Add themes", "Take themes away"


def show_map(here: Context) -> None:
    """The page of the map."""
    st.header("Map of all answers")
    found = get_discovery(here)
    if found is None:
        st.info("The map comes with the themes: let them be found first, on the page Find themes.")
        return
    rows = _filter(here, "map")
    themes, codes, _ = get_codes(here)
    deepest = codes.shape[1] - 1 - codes[:, ::-1].argmax(axis=1) if themes else 0
    of_theme = np.where(codes.any(axis=1), deepest, -1)
    placed = rows[np.isfinite(found.positions[rows]).all(axis=1)]
    drawn = part_to_draw(placed, of_theme)
    st.caption(
        "Alike answers lie close. Point at one to read it; draw around some to code them." + _left_out(drawn, placed)
    )
    names = [here.book.themes[theme].name for theme in themes]
    event = st.plotly_chart(
        answer_map(found.positions, here.responses, drawn, of_theme, names), theme=None, key=here.key("map"),
        on_select="rerun", selection_mode=("lasso", "box", "points"),
        config={"displaylogo": False, "scrollZoom": True},
    )  # fmt: skip
    selection: Any = event["selection"]  # type: ignore[index]
    around = placed[enclosed(found.positions[placed], selection.get("lasso", []), selection.get("box", []))]
    chosen = sorted({*around.tolist(), *(_row(point["customdata"]) for point in selection["points"])})
    if chosen:
        _bulk(here, chosen, "map")
        _read_only(here, chosen)


def _left_out(drawn: NDArray[np.int64], placed: NDArray[np.int64]) -> str:
    if len(drawn) == len(placed):
        return ""
    return (
        f" {len(drawn):,} of {len(placed):,} are drawn, some of every theme: search or filter to see the others. "
        "Drawing around points takes in the others that lie there."
    )


def show_table(here: Context) -> None:
    """The page of the table."""
    st.header("Answers")
    rows = _filter(here, "table")
    table = _table(here, rows)
    of = counted(len(here.question.answers), "answer")
    st.caption(f"{len(rows):,} of {of}. Tick some, or all in the header, to code them.")
    event = st.dataframe(
        table, hide_index=True, height=430, on_select="rerun", selection_mode="multi-row",
        key=here.key(f"table-{hash(rows.tobytes())}"),  # ticks are kept by position: other rows have their own
        column_config={"answer": st.column_config.TextColumn(width="large")},
    )  # fmt: skip
    ticked = [int(rows[i]) for i in event["selection"]["rows"] if i < len(rows)]  # type: ignore[index]
    if ticked:
        _bulk(here, ticked, "table")
    else:
        st.caption("Nothing is ticked.")


def _filter(here: Context, name: str) -> NDArray[np.int64]:
    """Rows that pass what is typed and chosen above."""
    themes, codes, decided = get_codes(here)
    columns = st.columns([3, 3, 2, 2])
    words = columns[0].text_input("Search", key=here.key(f"{name}-words"), placeholder="all of these words")
    options = [UNCODED, BY_MACHINE, DISAGREED, *themes]
    wanted = columns[1].multiselect(
        "Themes (any of)", options, key=here.themes_key(f"{name}-themes"),
        format_func=lambda o: here.theme_name(o) if isinstance(o, int) and o in here.book.themes else str(o),
    )  # fmt: skip
    segment = columns[2].selectbox(
        "Segment", [None, *here.question.segments.columns], key=here.key(f"{name}-segment"),
        format_func=lambda c: "all" if c is None else str(c),
    )  # fmt: skip
    passes = matching(here.question.answers["response"], words)
    if segment is not None:
        values = here.question.segments[segment]
        value = columns[3].selectbox(
            "is", sorted(values.unique()), key=here.key(f"{name}-value"), format_func=lambda v: v or "(not given)"
        )
        passes &= (values == value).to_numpy()
    if wanted:
        any_of = codes[:, [themes.index(t) for t in wanted if t in themes]].any(axis=1)
        if UNCODED in wanted:
            any_of |= ~decided
        for option, test in ((BY_MACHINE, _by_machine), (DISAGREED, _disagreed)):
            if option in wanted:
                any_of |= test(here)
        passes &= any_of
    return np.flatnonzero(passes)


def matching(responses: pd.Series[str], words: str) -> NDArray[np.bool_]:
    """Which answers hold all these words, whatever their case."""
    passes = np.ones(len(responses), dtype=np.bool_)
    lower = responses.str.lower()
    for word in words.lower().split():
        passes &= lower.str.contains(word, regex=False).to_numpy(dtype=bool)
    return passes


def _by_machine(here: Context) -> NDArray[np.bool_]:
    rows = [row for row, decided in here.book.decisions.items() if set(decided) == {MACHINE}]
    return np.isin(np.arange(len(here.question.answers)), rows)


def _disagreed(here: Context) -> NDArray[np.bool_]:
    rows = [
        row
        for row, decided in here.book.decisions.items()
        if len({decision.themes for who, decision in decided.items() if who != MACHINE}) > 1
    ]
    return np.isin(np.arange(len(here.question.answers)), rows)


def _table(here: Context, rows: NDArray[np.int64]) -> pd.DataFrame:
    return _whole_table(database_url(), here.number, here.book.version, here.book).iloc[rows]


@st.cache_resource(show_spinner=False, max_entries=4)
def _whole_table(url: str, number: int, version: int, _book: Codebook) -> pd.DataFrame:  # noqa: ARG001 - of the key
    question = get_question(url, number)
    present = [_book.present(row) for row in range(len(question.answers))]
    names = {theme: _book.themes[theme].name for theme in _book.themes}
    table = pd.DataFrame(
        {
            "answer": question.answers["response"],
            "themes": [" | ".join(sorted(names[t] for t in p[1].themes)) or "(none)" if p else "" for p in present],
            "by": [p[0] if p else "" for p in present],
            "respondent": question.answers["respondent_id"],
            "not usable": question.answers["reason"],
        }
    )
    columns = {f"{name} (2)" if name in table else str(name): values for name, values in question.segments.items()}
    return table.assign(**columns)


def _bulk(here: Context, rows: Sequence[int], name: str) -> None:
    """A form that codes many answers at once."""
    if not may_edit(here):
        return
    themes = here.book.ordered()
    with st.form(here.key(f"{name}-bulk"), border=True):
        st.text(f"{counted(len(rows), 'answer')} chosen")
        columns = st.columns(3)
        for column, label in zip(columns, (_ADD, _REMOVE), strict=False):
            column.multiselect(label, themes, format_func=here.theme_name, key=here.themes_key(f"{name}-{label}"))
        columns[2].text_input("Add a new theme", max_chars=200, key=here.key(f"{name}-new"))
        buttons = st.columns(4)
        # Callbacks, so that their rows are those that were shown: others may change meanwhile what a filter lets pass.
        buttons[0].form_submit_button("Code them", type="primary", on_click=_apply, args=(here, rows, name))
        decided = [row for row in rows if here.book.present(row)]
        buttons[1].form_submit_button(
            "Confirm their themes", on_click=act, disabled=not decided,
            args=(here, f"confirmed {counted(len(decided), 'answer')}", confirm(here.who, decided)),
        )  # fmt: skip
        buttons[2].form_submit_button(
            "No theme fits", on_click=act,
            args=(here, f"no theme fits {counted(len(rows), 'answer')}", code_many(here.who, rows, remove=themes)),
        )  # fmt: skip


def _apply(here: Context, rows: Sequence[int], name: str) -> None:
    add, remove = (st.session_state[here.themes_key(f"{name}-{label}")] for label in (_ADD, _REMOVE))
    new = " ".join(st.session_state[here.key(f"{name}-new")].split())
    if not (add or remove or new):
        st.session_state["told"] = ("error", "choose a theme to add or to take away")
        return

    def do() -> None:
        _code(here, rows, add, remove, new)
        st.session_state[here.key(f"{name}-new")] = ""

    report(do, f"coded {counted(len(rows), 'answer')}")


def _code(here: Context, rows: Sequence[int], add: list[int], remove: list[int], new: str) -> None:
    book = here.book
    if new:
        here.store.apply(here.number, here.who, f"added the theme {new}", add_theme(new))
        book = here.store.codebook(here.number)
        add = [*add, *(theme for theme in book.themes if book.themes[theme].name == new)]
    names = [book.themes[t].name for t in add if t in book.themes] + [f"not {here.book.themes[t].name}" for t in remove]
    what = f"coded {counted(len(rows), 'answer')} as {', '.join(names)}"
    here.store.apply(here.number, here.who, what, code_many(here.who, rows, add, remove))


def _read_only(here: Context, rows: Sequence[int]) -> None:
    st.dataframe(_table(here, np.array(rows, dtype=np.int64)), hide_index=True, height=300)


def _row(customdata: Any) -> int:
    return int(customdata[0] if isinstance(customdata, (list, tuple)) else customdata)
