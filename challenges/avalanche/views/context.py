"""What every page needs: who works on which question, and how to show texts that are not ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from challenges.avalanche import results
from challenges.avalanche.codebook import Codebook, code_matrix
from challenges.avalanche.database import database_url
from challenges.avalanche.dataset import Question
from challenges.avalanche.discovery import Discovery
from challenges.avalanche.findings import Findings, find
from challenges.avalanche.operations import Operation
from challenges.avalanche.store import Project, Store, is_machine, open_store
from common.errors import UserError

_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=@/\"'])")


@dataclass(frozen=True)
class Context:
    """One analyst at one question, at this moment."""

    store: Store
    who: str  # empty: has not said
    project: Project
    number: int  # the question's id
    question: Question
    book: Codebook

    @cached_property
    def responses(self) -> list[str]:
        """All answers; a list, which is made once in a run."""
        return self.question.answers["response"].tolist()  # type: ignore[no-any-return]

    def key(self, name: str) -> str:
        """Of a widget: another question has another one."""
        return f"{name}-{self.number}"

    def themes_key(self, name: str) -> str:
        """Of a widget that offers themes: after one was renamed, a browser would go on showing the old name.

        What is chosen goes along to the next key, but for themes that are gone.
        """
        key, last = self.key(f"{name}-{hash(tuple(self.book.themes.items()))}"), self.key(f"{name}-last")
        chosen = st.session_state.get(st.session_state.get(last, key))
        st.session_state[last] = key
        if key not in st.session_state and isinstance(chosen, list):
            st.session_state[key] = [t for t in chosen if not isinstance(t, int) or t in self.book.themes]
        elif key not in st.session_state and chosen in self.book.themes:
            st.session_state[key] = chosen
        return key

    def theme_name(self, theme: int) -> str:
        """A theme with those above it."""
        return " \u203a ".join(self.book.themes[t].name for t in self.book.path(theme))


def plain(text: str) -> str:
    """A text for where Streamlit reads Markdown (labels, messages): it comes out as it is, no link, no picture."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


@st.cache_resource(show_spinner=False)
def get_store(url: str) -> Store:
    """One store for all who use this server."""
    return open_store(url)


def the_store() -> Store:
    """The store of `DATABASE_URL`."""
    return get_store(database_url())


@st.cache_resource(show_spinner="reading the answers \u2026", max_entries=8)
def get_question(url: str, number: int) -> Question:
    """A question's answers never change, so they are read once."""
    return get_store(url).question(number)


@st.cache_resource(show_spinner=False, max_entries=4)
def vectors_of(url: str, number: int) -> NDArray[np.float32]:
    """(N, D) of all answers of a question."""
    return results.vectors(get_store(url), number, get_question(url, number))


@st.cache_resource(show_spinner=False, max_entries=4)
def _discovery(url: str, number: int, computed: int) -> Discovery | None:  # noqa: ARG001 - of the cache's key
    return results.discovery(get_store(url), number, get_question(url, number))


def get_vectors(context: Context) -> NDArray[np.float32]:
    """(N, D) of all answers; the first time with progress, and then kept."""
    if not results.has_vectors(context.store, context.number, context.question):
        total = context.question.answers["response"].nunique()
        bar, done = st.progress(0.0, "reading the answers \u2026"), 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            bar.progress(min(1.0, done / total), f"reading the answers \u2026 {done:,} of {total:,}")

        results.vectors(context.store, context.number, context.question, advance)
        bar.empty()
    return vectors_of(database_url(), context.number)


def get_discovery(context: Context) -> Discovery | None:
    """What was discovered, once it was; None before."""
    running = results.job(context.store, context.number)
    found = _discovery(database_url(), context.number, id(running) if running and running.ended.is_set() else 0)
    if found is None:  # another process may find it any moment
        _discovery.clear()
    return found


@st.cache_resource(show_spinner=False, max_entries=32)
def _codes(
    url: str,
    number: int,
    version: int,  # noqa: ARG001 - of the cache's key
    with_machine: bool,
    _book: Codebook,
) -> tuple[list[int], NDArray[np.bool_], NDArray[np.bool_]]:
    themes = _book.ordered()
    codes, decided = code_matrix(_book, len(get_question(url, number).answers), themes, with_machine=with_machine)
    return themes, codes, decided


def get_codes(context: Context, with_machine: bool = True) -> tuple[list[int], NDArray[np.bool_], NDArray[np.bool_]]:
    """Ids of all T themes in the tree's order, (N, T) who has them, (N,) who was decided of."""
    return _codes(database_url(), context.number, context.book.version, with_machine, context.book)


@st.cache_resource(show_spinner="counting \u2026", max_entries=16)
def _findings(
    url: str,
    number: int,
    version: int,  # noqa: ARG001 - of the cache's key
    with_machine: bool,
    depth: int | None,
    project: str,
    _book: Codebook,
) -> Findings:
    encoded = (
        vectors_of(url, number) if results.has_vectors(get_store(url), number, get_question(url, number)) else None
    )
    return find(project, get_question(url, number), _book, with_machine, depth, encoded)


def get_findings(context: Context, with_machine: bool, depth: int | None) -> Findings:
    """The findings, counted once for each version of the codebook."""
    url = database_url()
    return _findings(url, context.number, context.book.version, with_machine, depth, context.project.name, context.book)


def act(context: Context, what: str, operation: Operation) -> None:
    """Do something to the codebook, and say how it went; as a button's callback it gets what its user saw."""
    report(lambda: context.store.apply(context.number, context.who, what, operation), what)


def report(do: Callable[[], Any], what: str) -> None:
    """Do something; a user's mistake is said in place of a failure."""
    try:
        do()
    except UserError as error:
        st.session_state["told"] = ("error", str(error))
    else:
        st.session_state["told"] = ("done", what[:1].upper() + what[1:])


def tell() -> None:
    """Say how the last action went, once."""
    kind, text = st.session_state.pop("told", ("", ""))
    if kind == "error":
        st.error(plain(text), icon=":material/error:")
        st.toast(plain(text), icon=":material/error:", duration="long")  # the page may be scrolled down from its top
    elif kind == "done":
        st.toast(plain(text), icon=":material/check:")


def may_edit(context: Context) -> bool:
    """Whether the analyst has said who they are; else say that they must."""
    if not context.who:
        st.info("Type your name at the left to code: every decision is kept with who took it.")
        return False
    if is_machine(context.who):
        st.error("That name is taken by the program itself: type your own.")
        return False
    return True
