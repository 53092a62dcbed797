"""What the data is: questions, respondents, answers and maybe themes; the only file that knows the layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from challenges.avalanche.cleaning import clean_answer, plain_cell, why_unusable
from challenges.avalanche.codebook import MACHINE
from common.data.text_tables import TextTable, find_columns, name_some, read_text_table
from common.errors import UserError

COLUMN_NAMES: Final = {
    "question": ("question", "questiontext", "questionlabel", "prompt"),
    "respondent_id": (
        "respondentid", "respondent", "responseid", "participantid", "participant", "userid", "customerid", "caseid",
        "id", "uuid",
    ),
    "response": (
        "response", "responses", "responsetext", "answer", "answers", "answertext", "verbatim", "verbatims", "comment",
        "comments", "openend", "openended", "openendedresponse", "feedback", "text",
    ),
    "theme": ("theme", "themes", "code", "codes", "codedtheme", "label", "labels", "topic", "topics", "category"),
}  # fmt: skip
"""Names that a column goes by, in lower case, letters and digits only, the surest first."""
NOT_A_THEME: Final = frozenset({"", "null", "none", "nan", "n/a", "na", "-", "uncoded"})
"""What stands in the column of themes, in lower case, where an answer was not coded."""
EXPORTED: Final = ("coded_by", "why_unusable")
"""Columns by which a table is known for the dashboard's own CSV."""
N_NAMED: Final = 20
"""Rows of a flaw that the report names, beside their count."""
VERY_LONG: Final = 2_000
"""Characters; longer answers are kept whole, and reported."""


@dataclass(frozen=True)
class Question:
    """One question and its answers."""

    text: str
    answers: pd.DataFrame
    """One row an answer, in order of appearance, numbered from 0: `respondent_id` str; `response` str, one line,
    mended; `original` str, as it stands in the file; `themes` tuple[str, ...], empty where uncoded; `usable` bool, not
    where there is nothing to code; `reason` str, why not usable, else ''; `row` int, first row of the file, from 1."""
    segments: pd.DataFrame
    """Same rows; every further column of the table as text. It may have no columns."""


@dataclass(frozen=True)
class Survey:
    """The questions of one file."""

    name: str  # stem of the file
    questions: tuple[Question, ...]
    report: dict[str, Any]  # the layout that was found, and of each flaw its count and first rows


def load(path: Path, columns: Mapping[str, str] | None = None) -> Survey:
    """Read a survey: CSV, TSV, parquet or Excel, alone, in a zip or in a folder.

    Rows of one question, respondent and text are one answer with several themes. A respondent's other text is an
    answer of its own. Without a column of questions, the name of the column of answers is the question; without
    respondents, each row is one. Of what the dashboard exported, themes by the machine are left out.

    Args:
        path: of the file.
        columns: names of columns by field (question, respondent_id, response, theme), where they are not found.

    Raises:
        UserError: it cannot be read, a column named is missing, or none holds answers.
    """
    columns = dict(columns or {})
    if unknown := set(columns) - set(COLUMN_NAMES):
        raise UserError(f"no field {sorted(unknown)[0]!r}; columns are given for {', '.join(COLUMN_NAMES)}")
    table = read_text_table(Path(path))
    exported = set(EXPORTED) <= set(table.columns)
    if exported:
        table = replace(
            table, columns=list(map(plain_cell, table.columns)), rows=[list(map(plain_cell, row)) for row in table.rows]
        )
    found = find_columns(table, COLUMN_NAMES, columns)
    if "response" not in found:
        raise UserError(
            f"{table.name}: no column of answers (response, answer, comment ...) among {name_some(table.columns)}; "
            "name it, as in --column response=NAME"
        )
    if exported:
        found |= {name: table.columns.index(name) for name in EXPORTED}
    flaws: dict[str, list[Any]] = {"row_of_other_length": list(table.ragged)} if table.ragged else {}
    rows = _clean_rows(table, found, flaws)
    others = [i for i in range(len(table.columns)) if i not in found.values()]
    segments = pd.DataFrame(
        {name: [clean_answer(row[i])[0] for row in table.rows] for name, i in _distinct_names(table, others).items()},
        index=rows.index,
    )
    questions = tuple(
        _question(str(text), of_question, segments, flaws) for text, of_question in rows.groupby("question", sort=False)
    )
    report = {
        "file": Path(table.name).name,
        "encoding": table.encoding,
        "separator": table.separator,
        "columns": {field: table.columns[i] for field, i in found.items()},
        "segments": list(segments.columns),
        "rows": len(rows),
        "questions": [
            {"question": q.text, "answers": len(q.answers), "usable": int(q.answers["usable"].sum())} for q in questions
        ],
        "flaws": {kind: {"count": len(which), "first": which[:N_NAMED]} for kind, which in sorted(flaws.items())},
    }
    return Survey(table.path.stem, questions, report)


def _clean_rows(table: TextTable, found: Mapping[str, int], flaws: dict[str, list[Any]]) -> pd.DataFrame:
    """One row each of the table, numbered from 1: question, respondent_id, response, original, theme."""
    fallback = table.columns[found["response"]] or "question"
    question = ""
    rows: list[tuple[str, ...]] = []
    for number, cells in enumerate(table.rows, start=1):

        def cell(field: str, cells: list[str] = cells) -> str:
            return clean_answer(cells[found[field]])[0] if field in found else ""

        asked = cell("question")
        if "question" in found and not asked:  # as in workbooks, where one cell spans the rows below it
            flaws.setdefault("question_taken_from_the_row_above", []).append(number)
        question = asked or question or fallback
        theme = cell("theme")
        if theme.lower() in NOT_A_THEME:
            theme = ""
        respondent, original = cell("respondent_id"), cells[found["response"]]
        response, was_broken = clean_answer(original)
        if theme and not respondent and not response and "respondent_id" in found and rows and rows[-1][0] == question:
            flaws.setdefault("respondent_and_response_taken_from_the_row_above", []).append(number)
            rows.append((*rows[-1][:4], theme))
            continue
        if not respondent:
            if "respondent_id" in found:
                flaws.setdefault("no_respondent_id", []).append(number)
            respondent = f"row {number}"
        if was_broken:
            flaws.setdefault("broken_characters_mended", []).append(number)
        if "\ufffd" in response:
            flaws.setdefault("characters_lost", []).append(number)
        if len(response) > VERY_LONG:
            flaws.setdefault("very_long", []).append(number)
        if theme and cell("coded_by") == MACHINE:
            flaws.setdefault("theme_of_the_machine_left_out", []).append(number)
            theme = ""
        rows.append((question, respondent, response, original, theme))
    index = pd.RangeIndex(1, len(rows) + 1)
    return pd.DataFrame(rows, index=index, columns=["question", "respondent_id", "response", "original", "theme"])


def _question(text: str, rows: pd.DataFrame, segments: pd.DataFrame, flaws: dict[str, list[Any]]) -> Question:
    """Join the rows of each answer."""
    first = ~rows.duplicated(["respondent_id", "response"])
    themes: dict[tuple[str, str], dict[str, None]] = {}
    for respondent, response, theme in zip(rows["respondent_id"], rows["response"], rows["theme"], strict=True):
        themes.setdefault((respondent, response), {}).update({theme: None} if theme else {})
    answers = rows.loc[first, ["respondent_id", "response", "original"]].reset_index(names="row")
    answers["themes"] = pd.Series([tuple(found) for found in themes.values()], dtype=object)
    answers["reason"] = [why_unusable(response) for response in answers["response"]]
    answers["usable"] = answers["reason"] == ""
    for kind, found in {
        "row_repeated": rows.index[rows.duplicated(["respondent_id", "response", "theme"])],
        "respondent_with_another_text": answers.loc[answers.duplicated("respondent_id"), "row"],
        "text_of_several_respondents": answers.loc[answers["usable"] & answers.duplicated("response"), "row"],
        "uncoded": answers.loc[answers["themes"].map(len) == 0, "row"],
        **{
            reason.replace(" ", "_"): answers.loc[answers["reason"] == reason, "row"]
            for reason in answers["reason"].unique()
            if reason
        },
    }.items():
        if len(found):
            flaws.setdefault(kind, []).extend(int(row) for row in found)
    return Question(text, answers, segments.loc[answers["row"]].reset_index(drop=True))


def _distinct_names(table: TextTable, columns: list[int]) -> dict[str, int]:
    """The columns by name; one without a name, or with that of an earlier one, is told apart by its number."""
    names: dict[str, int] = {}
    for i in columns:
        name = table.columns[i] or f"column {i + 1}"
        names[name if name not in names else f"{name} ({i + 1})"] = i
    return names
