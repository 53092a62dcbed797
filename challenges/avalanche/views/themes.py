"""The tree of themes: rename, describe, move, merge, split, delete, and add from a phrase or from examples."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from challenges.avalanche.codebook import Theme
from challenges.avalanche.findings import counted, percent
from challenges.avalanche.operations import (
    add_theme,
    code_many,
    delete_theme,
    edit_theme,
    merge_themes,
    split_theme,
)
from challenges.avalanche.parts import alike, parts
from challenges.avalanche.views.answers import matching
from challenges.avalanche.views.context import Context, act, get_codes, get_vectors, may_edit, report

N_ALIKE: Final = 40
"""Answers that are shown as alike a phrase or examples."""
MAX_PARTS: Final = 6


def show(here: Context) -> None:
    """The page."""
    st.header("Themes")
    themes, codes, _ = get_codes(here)
    if themes:
        st.dataframe(_tree(here, themes, codes), hide_index=True, height=min(460, 60 + 35 * len(themes)))
    else:
        st.info("There are no themes yet: let them be found on the page Find themes, or add your own below.")
    if not may_edit(here):
        return
    edit, merge, split, add = st.tabs(["Rename, move, delete", "Merge", "Split", "Add"])
    with add:
        _add(here)
    if not themes:
        return
    with edit:
        _edit(here, themes)
    with merge:
        _merge(here, themes)
    with split:
        _split(here, themes)


def _tree(here: Context, themes: list[int], codes: NDArray[np.bool_]) -> pd.DataFrame:
    persons = get_codes(here, with_machine=False)[1]
    n = max(int(here.question.answers["usable"].sum()), 1)
    return pd.DataFrame(
        {
            "theme": [
                "\u2003" * (len(here.book.path(t)) - 1) + ("\u2514 " if here.book.themes[t].parent else "")
                + here.book.themes[t].name
                for t in themes
            ],
            "answers": codes.sum(axis=0),
            "of usable ones": [percent(k / n) for k in codes.sum(axis=0)],
            "coded by persons": persons.sum(axis=0),
            "description": [here.book.themes[t].description for t in themes],
        }
    )  # fmt: skip


def _edit(here: Context, themes: list[int]) -> None:
    theme = st.selectbox("Theme", themes, format_func=here.theme_name, key=here.themes_key("edit"))
    seen = here.book.themes[theme]
    of = f"{theme}-{here.book.version}"  # what others changed shows at once
    with st.form(here.key(f"edit-{of}"), border=False):
        name = st.text_input("Name", seen.name, max_chars=200, key=here.key(f"name-{of}"))
        described = st.text_input("Description", seen.description, key=here.key(f"description-{of}"))
        places = [None, *(t for t in themes if theme not in here.book.path(t))]
        parent = st.selectbox(
            "Below", places, index=places.index(seen.parent), key=here.key(f"parent-{of}"),
            format_func=lambda t: "(at the top)" if t is None else here.theme_name(t),
        )  # fmt: skip
        st.form_submit_button("Save", type="primary", on_click=_save, args=(here, theme, seen, of))
    st.button(
        "Delete this theme", icon=":material/delete:", on_click=act, key=here.key(f"delete-{of}"),
        args=(here, f"deleted the theme {seen.name}", delete_theme(theme)),
        help="Its answers lose it; themes below it move up. It can be undone on the page History.",
    )  # fmt: skip
    del name, described, parent  # read by the callback, with what the form showed


def _save(here: Context, theme: int, seen: Theme, of: str) -> None:
    name, described, parent = (
        st.session_state[here.key(f"{field}-{of}")] for field in ("name", "description", "parent")
    )
    what = f"changed the theme {seen.name}" if seen.name == name else f"renamed the theme {seen.name} to {name}"
    act(here, what, edit_theme(theme, seen, name, described.strip(), parent))


def _merge(here: Context, themes: list[int]) -> None:
    with st.form(here.key("merge"), border=False, clear_on_submit=True):
        st.multiselect("Merge these themes", themes, format_func=here.theme_name, key=here.themes_key("merge-from"))
        st.selectbox("into", themes, format_func=here.theme_name, key=here.themes_key("merge-into"))
        st.form_submit_button("Merge", type="primary", on_click=_do_merge, args=(here,))


def _do_merge(here: Context) -> None:
    gone, target = (st.session_state[here.themes_key(f"merge-{end}")] for end in ("from", "into"))
    gone = [theme for theme in gone if theme != target]
    if not gone:
        st.session_state["told"] = ("error", "choose the themes to merge, and another one to merge them into")
        return
    names = ", ".join(here.book.themes[theme].name for theme in gone)
    act(here, f"merged {names} into {here.book.themes[target].name}", merge_themes(gone, target))


def _split(here: Context, themes: list[int]) -> None:
    theme = st.selectbox("Theme to split", themes, format_func=here.theme_name, key=here.themes_key("split"))
    rows = np.array([r for r, by in here.book.decisions.items() if any(theme in d.themes for d in by.values())])
    how = st.segmented_control("By", ["a phrase", "likeness"], default="a phrase", key=here.key("split-by"))
    if how == "a phrase":
        words = st.text_input("Answers with all of these words go to a new theme", key=here.key("split-words"))
        hit = rows[matching(here.question.answers["response"].iloc[rows], words)] if len(rows) and words else rows[:0]
        proposed = [(words, hit)] if len(hit) else []
    else:
        n = st.slider("Parts", 2, MAX_PARTS, 2, key=here.key("split-parts"))
        proposed = parts(rows, here.responses, get_vectors(here), n) if len(rows) >= n else []
    if not proposed:
        st.caption(f"{counted(len(rows), 'answer')} with this theme; none is chosen yet.")
        return
    with st.form(here.key(f"split-form-{theme}"), border=False):  # its own: a second click splits no other one
        rows_of: dict[str, list[int]] = {}  # by the key of the field with the part's name
        for i, (label, part) in enumerate(proposed):
            key = f"part-{i}-{label}"
            st.text_input(f"Name of part {i + 1}: {counted(len(part), 'answer')}", label, key=key)
            st.dataframe(_some(here, part), hide_index=True, height=150)
            rows_of[key] = part.tolist()
        # A callback, so that the parts are those that were shown: others may change meanwhile what the theme holds.
        st.form_submit_button("Split", type="primary", on_click=_do_split, args=(here, theme, rows_of))


def _do_split(here: Context, theme: int, rows_of: dict[str, list[int]]) -> None:
    named = {st.session_state[key]: rows for key, rows in rows_of.items()}
    if len(named) < len(rows_of):
        st.session_state["told"] = ("error", "two parts have the same name: name them apart")
        return
    act(here, f"split {here.book.themes[theme].name} into {', '.join(named)}", split_theme(theme, named))


def _add(here: Context) -> None:
    columns = st.columns(2)
    phrase = columns[0].text_input("A phrase that says the theme", key=here.key("add-phrase"), max_chars=200)
    words = columns[1].text_input("or answers with these words as examples", key=here.key("add-words"))
    examples = (
        np.flatnonzero(matching(here.question.answers["response"], words)) if words.strip() else np.array([], int)
    )
    near = alike(phrase, examples, get_vectors(here)) if phrase.strip() or len(examples) else None
    names = [None, *here.book.ordered()]
    of = f"{phrase}-{words}"
    with st.form(here.key("add"), border=False):
        fields = st.columns([2, 3, 2])
        fields[0].text_input("Name", phrase.strip() or words.strip(), key=here.key(f"add-name-{of}"))
        fields[1].text_input("Description", key=here.key("add-description"))
        fields[2].selectbox(
            "Below", names, format_func=lambda t: "(at the top)" if t is None else here.theme_name(t),
            key=here.themes_key("add-below"),
        )  # fmt: skip
        has_it: dict[int, bool] = {}  # by row
        if near is not None:
            usable = here.question.answers["usable"].to_numpy(dtype=bool)
            rows = [r for r in np.argsort(-near, kind="stable").tolist() if usable[r]][:N_ALIKE]
            has_it = {row: bool(near[row] >= 0.5) for row in rows}
            st.caption("The answers most alike. Tick those that have the theme.")
            table = pd.DataFrame(
                {"has it": has_it.values(), "alike": near[rows], "answer": [here.responses[r] for r in rows]}
            )
            st.data_editor(
                table, hide_index=True, height=300, disabled=["alike", "answer"], key=here.key(f"add-rows-{of}"),
                column_config={"alike": st.column_config.ProgressColumn(format="%.2f", min_value=0, max_value=1)},
            )  # fmt: skip
        # A callback: where others change the themes meanwhile, another list of them would be sent, with none chosen.
        st.form_submit_button("Add the theme", type="primary", on_click=_make, args=(here, of, has_it))


def _make(here: Context, of: str, has_it: dict[int, bool]) -> None:
    name = " ".join(st.session_state[here.key(f"add-name-{of}")].split())
    described, parent = st.session_state[here.key("add-description")], st.session_state[here.themes_key("add-below")]
    edited = st.session_state[here.key(f"add-rows-{of}")]["edited_rows"] if has_it else {}
    rows = [row for i, (row, ticked) in enumerate(has_it.items()) if edited.get(i, {}).get("has it", ticked)]

    def do() -> None:
        here.store.apply(here.number, here.who, f"added the theme {name}", add_theme(name, described.strip(), parent))
        made = here.store.codebook(here.number).find(name)
        if rows and made is not None:
            what = f"coded {counted(len(rows), 'answer')} as {name}"
            here.store.apply(here.number, here.who, what, code_many(here.who, rows, add=[made]))
        for field in ("phrase", "words", "description"):  # which are of this theme, not of the next one
            st.session_state[here.key(f"add-{field}")] = ""

    report(do, f"added the theme {name}" + (f" with {counted(len(rows), 'answer')}" if rows else ""))


def _some(here: Context, rows: NDArray[np.int64]) -> pd.DataFrame:
    return pd.DataFrame({"answer": [here.responses[row] for row in rows[:100]]})
