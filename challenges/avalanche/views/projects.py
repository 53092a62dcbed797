"""All projects, and a new one from a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import streamlit as st

from challenges.avalanche.dataset import load
from challenges.avalanche.store import Store
from challenges.avalanche.views.context import Context, plain, report
from common.errors import UserError


def show(store: Store, who: str, here: Context | None) -> None:
    """The page."""
    st.header("Projects")
    found = store.projects()
    if found:
        n_answers = store.n_answers()
        table = pd.DataFrame(
            {
                "project": [p.name for p in found],
                "questions": [len(p.questions) for p in found],
                "answers": [n_answers.get(p.id, 0) for p in found],
                "made": [p.created_at for p in found],
            }
        )
        st.dataframe(table, hide_index=True, column_config={"made": st.column_config.DatetimeColumn(format="distance")})
    st.subheader("New project")
    st.caption(
        "A table of answers: CSV, TSV, parquet or Excel, alone or in a zip. Columns: the answers; respondents, "
        "questions and themes where there are any. Every other column becomes one to compare segments by."
    )
    with st.form("new-project", border=True):
        upload = st.file_uploader("File", type=["csv", "tsv", "txt", "parquet", "xlsx", "zip"])
        name = st.text_input("Name of the project", max_chars=80, placeholder="the file's, if empty")
        with st.expander("Columns, where they are not found by their names"):
            columns = st.columns(4)
            fields = {"question": "Question", "respondent_id": "Respondent", "response": "Answer", "theme": "Theme"}
            given = {
                field: column.text_input(label, key=f"column-{field}")
                for (field, label), column in zip(fields.items(), columns, strict=True)
            }
        sent = st.form_submit_button("Make project", type="primary")
    if sent:
        if upload is None:
            st.error("Choose a file first.")
        else:
            overrides = {field: column.strip() for field, column in given.items() if column.strip()}
            _import(store, who, upload.name, upload.getvalue(), name, overrides)
    if here is not None:
        _describe(here)


def _import(store: Store, who: str, file: str, content: bytes, name: str, columns: dict[str, str]) -> None:
    made: list[int] = []

    def do() -> None:
        with tempfile.TemporaryDirectory() as folder, st.spinner("reading the file \u2026"):
            path = Path(folder) / (Path(file).name or "upload")
            path.write_bytes(content)
            try:
                made.append(store.add_project(load(path, columns), name or path.stem, who or "somebody"))
            except UserError as error:
                said = str(error).replace(f"{folder}/", "")
                raise UserError(said.replace("as in --column response=NAME", "under Columns, in Answer")) from error

    report(do, "project made")
    if made:
        st.query_params["project"] = str(made[0])
        st.session_state.pop("project", None)  # the address says which
    st.rerun()


def _describe(here: Context) -> None:
    st.subheader("This project")
    report_of = here.project.report
    st.text(here.project.name)
    flaws = report_of.get("flaws", {})
    st.caption("How its file was read")
    rows = [(kind.replace("_", " "), f"{found['count']:,}", _some(found["first"])) for kind, found in flaws.items()]
    rows = [("encoding", "", str(report_of.get("encoding", ""))), *rows]
    columns = report_of.get("columns", {})
    rows.insert(0, ("columns", f"{len(columns)}", ", ".join(f"{field}: {name}" for field, name in columns.items())))
    st.dataframe(pd.DataFrame(rows, columns=["what", "count", "where"]), hide_index=True)
    with st.expander("Delete this project"), st.form("delete-project", border=False):
        st.text("All its decisions go with it, and there is no way back. Type its name to delete it.")
        typed = st.text_input("Name")
        if st.form_submit_button("Delete for good"):
            if typed != here.project.name:
                st.error(f"Nothing was deleted: the name is {plain(here.project.name)}.")
            else:
                here.store.delete_project(here.project.id)
                st.session_state.pop("project", None)
                del st.query_params["project"]
                st.rerun()


def _some(rows: list[object]) -> str:
    return "rows " + ", ".join(map(str, rows[:8])) + (" \u2026" if len(rows) > 8 else "")
