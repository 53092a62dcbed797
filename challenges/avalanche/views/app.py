"""The script that Streamlit runs for everybody who looks: which question, which page."""

from collections.abc import Callable
from typing import Final

import streamlit as st

from challenges.avalanche.database import database_url
from challenges.avalanche.findings import counted
from challenges.avalanche.store import Project
from challenges.avalanche.views import (
    agreement,
    answers,
    client,
    context,
    discover,
    history,
    language,
    projects,
    queue,
    themes,
)
from common.errors import UserError

# Without icons: for a page's icon in its tab, browsers would ask a server outside.
PAGES: Final[dict[str, list[tuple[str, Callable[..., None]]]]] = {
    "Project": [("Projects", projects.show)],
    "Analyst": [
        ("Find themes", discover.show),
        ("Map", answers.show_map),
        ("Answers", answers.show_table),
        ("Queue", queue.show),
        ("Themes", themes.show),
        ("Language", language.show),
        ("Together", language.show_pairs),
        ("Agreement", agreement.show),
        ("History", history.show),
    ],
    "Client": [
        ("Summary", client.show_summary),
        ("Shares", client.show_shares),
        ("Segments", client.show_segments),
        ("Quotes", client.show_quotes),
    ],
}


def main() -> None:
    """One run of the script."""
    pages = {
        group: [
            st.Page(_page(function), title=title, url_path=title.lower().replace(" ", "-"))
            for title, function in entries
        ]
        for group, entries in PAGES.items()
    }
    chosen = st.navigation(pages, expanded=True)
    st.set_page_config(f"{chosen.title} - survey themes", layout="wide")
    try:
        here = _here()
    except UserError as error:
        st.error(context.plain(str(error)))
        st.stop()
    st.session_state["context"] = here
    context.tell()
    chosen.run()


def _here() -> context.Context | None:
    """What the address and the sidebar say; None: there is no project."""
    store = context.the_store()
    with st.sidebar:
        who = _remembered_text("Your name", "analyst")
        all_projects = store.projects()
        project = _choose_project(all_projects)
        number = _choose_question(project) if project else None
    st.session_state["who"] = who
    if project is None or number is None:
        return None
    question = context.get_question(database_url(), number)
    here = context.Context(store, who, project, number, question, store.codebook(number))
    with st.sidebar:
        _counts(here)
    return here


def _page(function: Callable[..., None]) -> Callable[[], None]:
    def run() -> None:
        here = st.session_state["context"]
        try:
            if function is projects.show:
                projects.show(context.the_store(), st.session_state["who"], here)
            elif here is None:
                st.info("There is no project yet: make one on the page Projects.")
            else:
                function(here)
        except UserError as error:
            st.error(context.plain(str(error)))

    run.__name__ = function.__name__ + function.__module__.rpartition(".")[2]
    return run


def _remembered_text(label: str, name: str) -> str:
    """A text that stays in the address, so that a reload finds it and a link carries it."""
    if name not in st.session_state:
        st.session_state[name] = st.query_params.get(name, "")
    typed = st.text_input(label, key=name, max_chars=40, placeholder="type it to code").strip()
    if typed:
        st.query_params[name] = typed
    return typed


def _choose_project(found: list[Project]) -> Project | None:
    if not found:
        return None
    by_id = {project.id: project for project in found}
    asked = st.session_state.get("project", _number(st.query_params.get("project")))
    if asked not in by_id:
        asked = found[0].id
    st.session_state["project"] = asked
    chosen = st.selectbox("Project", list(by_id), key="project", format_func=lambda i: by_id[i].name)
    st.query_params["project"] = str(chosen)
    return by_id[chosen]


def _choose_question(project: Project) -> int | None:
    texts = dict(project.questions)
    if not texts:
        return None
    asked = st.session_state.get("question", _number(st.query_params.get("question")))
    if asked not in texts:
        asked = next(iter(texts))
    st.session_state["question"] = asked
    if len(texts) > 1:
        asked = int(st.selectbox("Question", list(texts), key="question", format_func=lambda i: texts[i]))
    else:
        st.text(texts[asked])
    st.query_params["question"] = str(asked)
    return int(asked)


def _counts(here: context.Context) -> None:
    usable = here.question.answers["usable"].to_numpy(dtype=bool)
    coded = int((context.get_codes(here, with_machine=False)[2] & usable).sum())
    n = int(usable.sum())
    st.progress(coded / max(n, 1), f"{coded:,} of {counted(n, 'answer')} coded by persons")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


main()
