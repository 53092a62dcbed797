"""Uncoded answers one after the other, the most useful first, with the machine's suggestions and their reasons."""

from __future__ import annotations

from typing import Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from challenges.avalanche.codebook import MACHINE
from challenges.avalanche.coding import neighbourhoods
from challenges.avalanche.database import database_url
from challenges.avalanche.findings import counted, shortened
from challenges.avalanche.operations import add_theme, code_answer
from challenges.avalanche.suggestions import Learner, Suggested, suggest_themes
from challenges.avalanche.views.context import (
    Context,
    act,
    get_vectors,
    may_edit,
    plain,
    report,
    vectors_of,
)

N_KEYS: Final = 9
RENEW_AFTER: Final = 10
"""Decisions until the suggestions are computed anew."""
LIKELY: Final = 0.5
"""Themes of this probability or more are chosen beforehand."""


def show(here: Context) -> None:
    """The page."""
    st.header("Queue")
    if not may_edit(here):
        return
    if not here.book.themes:
        st.info("There are no themes to suggest yet: let them be found on the page Find themes, or add your own.")
        return
    decided = {row for row, by in here.book.decisions.items() if set(by) - {MACHINE}}
    suggested = _suggestions(here, len(decided))
    if suggested is None:
        st.info("Code a few answers on the page Answers first: the machine learns from them.")
        return
    usable = here.question.answers["usable"].to_numpy(dtype=bool)
    skipped: set[int] = st.session_state.setdefault(here.key("skipped"), set())
    order = dict.fromkeys([*suggested.order.tolist(), *range(len(usable))])  # last what was undone since it was learned
    waiting = [row for row in order if usable[row] and row not in decided and row not in skipped]
    # What is on the screen stays, and what each key means: others, and the machine, go on meanwhile.
    row, of_row = st.session_state.get(here.key("asked"), (None, suggested))
    if row is not None and row not in skipped and here.who not in here.book.decisions.get(row, {}):
        waiting, suggested = [row, *(other for other in waiting if other != row)], of_row
    if not waiting:
        st.success("Nothing waits: every answer is coded or was skipped.")
        if skipped:
            st.button("Look at the skipped ones", on_click=skipped.clear)
        return
    st.caption(
        f"{counted(len(waiting), 'answer')} to decide, the most useful first. Keys: 1 to {N_KEYS} choose themes, "
        "S saves, 0 says that no theme fits, X skips."
    )
    st.session_state[here.key("asked")] = waiting[0], suggested
    _ask(here, waiting[0], suggested, skipped)


def _suggestions(here: Context, n_decided: int) -> Suggested | None:
    vectors, book, responses = get_vectors(here), here.book, here.responses
    with st.spinner("learning from what was coded \u2026"):
        nearby = _nearby(database_url(), here.number)
        return _learner(database_url(), here.number).renew(
            (n_decided // RENEW_AFTER, tuple(book.themes)), lambda: suggest_themes(book, vectors, responses, nearby)
        )


@st.cache_resource(show_spinner=False, max_entries=8)
def _learner(url: str, number: int) -> Learner:  # noqa: ARG001 - of the cache's key
    return Learner()


@st.cache_resource(show_spinner=False, max_entries=4)
def _nearby(url: str, number: int) -> NDArray[np.float32]:
    return neighbourhoods(vectors_of(url, number))


def _ask(here: Context, row: int, suggested: Suggested, skipped: set[int]) -> None:
    known = {theme: j for j, theme in enumerate(suggested.themes)}
    chance = {t: float(suggested.probabilities[row, known[t]]) if t in known else 0.0 for t in here.book.themes}
    ranked = sorted(here.book.themes, key=lambda t: (-chance[t], here.theme_name(t)))
    key = here.key(f"chosen-{row}")
    chosen: set[int] = st.session_state.setdefault(key, {t for t in ranked if chance[t] >= LIKELY})
    chosen.intersection_update(here.book.themes)
    with st.container(border=True):
        st.text(here.responses[row])
    left, right = st.columns([2, 1])
    with left:
        for i, theme in enumerate(ranked[:N_KEYS]):
            _option(here, row, theme, i, chance[theme], chosen, _why(here, row, theme, suggested, known))
    with right:
        others = ranked[N_KEYS:]
        if others:
            more = here.themes_key(f"more-{row}")
            st.session_state[more] = [theme for theme in others if theme in chosen]
            st.multiselect(
                "Other themes", others, format_func=here.theme_name, key=more, on_change=_choose_others,
                args=(chosen, others, more),
            )  # fmt: skip
        # The buttons are this answer's own: who presses twice before the next one is there has not seen that.
        own = here.book.decisions.get(row, {}).get(here.who)
        names = ", ".join(here.book.themes[t].name for t in ranked if t in chosen)
        st.button(
            "Save and next", type="primary", shortcut="s", on_click=act, disabled=not chosen, width="stretch",
            key=here.key(f"save-{row}"),
            args=(here, f"coded answer {row + 1} as {names}", code_answer(here.who, row, set(chosen), own)),
        )  # fmt: skip
        nothing = code_answer(here.who, row, [], own)
        st.button(
            "No theme fits", shortcut="0", on_click=act, args=(here, f"no theme fits answer {row + 1}", nothing),
            width="stretch", key=here.key(f"nothing-{row}"),
        )  # fmt: skip
        st.button("Skip", shortcut="x", on_click=skipped.add, args=(row,), width="stretch", key=here.key(f"skip-{row}"))
        with st.form(here.key("new-theme"), clear_on_submit=True, border=False):
            st.text_input("New theme for this answer", key=here.key("new-name"), max_chars=200)
            st.form_submit_button("Add and choose", on_click=_add, args=(here, chosen))


def _option(here: Context, row: int, theme: int, i: int, chance: float, chosen: set[int], why: str) -> None:
    on = theme in chosen
    columns = st.columns([6, 1, 5], vertical_alignment="center")
    columns[0].button(
        plain(here.theme_name(theme)), shortcut=str(i + 1), key=here.key(f"option-{row}-{theme}"),
        type="primary" if on else "secondary",
        icon=":material/check_box:" if on else ":material/check_box_outline_blank:",
        on_click=_toggle, args=(chosen, theme), width="stretch",
    )  # fmt: skip
    columns[1].text(f"{chance:.0%}" if chance else "")
    columns[2].text(why)


def _why(here: Context, row: int, theme: int, suggested: Suggested, known: dict[int, int]) -> str:
    nearest = int(suggested.nearest[row, known[theme]]) if theme in known else -1
    if nearest < 0 or nearest == row:
        return "no coded answer yet"
    return f"like \u201c{shortened(here.responses[nearest], 60)}\u201d"


def _toggle(chosen: set[int], theme: int) -> None:
    chosen.symmetric_difference_update({theme})


def _choose_others(chosen: set[int], others: list[int], key: str) -> None:
    chosen.difference_update(others)
    chosen.update(st.session_state[key])


def _add(here: Context, chosen: set[int]) -> None:
    name = " ".join(st.session_state[here.key("new-name")].split())
    add = add_theme(name)
    report(lambda: here.store.apply(here.number, here.who, f"added the theme {name}", add), f"added the theme {name}")
    made = here.store.codebook(here.number).find(name)  # or one of that name that there was
    if made is not None:
        chosen.add(made)
