"""Surveys as they come: layouts, encodings, flaws; and the sample, which has them all."""

import csv
import io
import re
from pathlib import Path

import openpyxl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from challenges.avalanche.clauses import split_clauses
from challenges.avalanche.cleaning import clean_answer, plain_markdown, why_unusable
from challenges.avalanche.dataset import Survey, load
from challenges.avalanche.sample import IMPROVE, LIKE, write_sample
from common.errors import UserError

HEADER = ("question", "respondent_id", "response", "theme")
ROWS = [
    ("Why?", "1", "Don\u2019t need it", "Use"),
    ("Why?", "2", "too dear, caf\u00e9 \u00fcber", "Price"),
    ("Why?", "2", "too dear, caf\u00e9 \u00fcber", "Taste"),
    ("Why?", "2", "too dear, caf\u00e9 \u00fcber", "Price"),
    ("Why?", "2", "another text", "null"),
    ("How?", "1", "  n/a ", ""),
    ("How?", "3", "\U0001f44d!!", "null"),
    ("", "4", "Don\ufffdt", "Use"),
    ("How?", "", "", "null"),
]


def as_csv(rows=ROWS, header=HEADER) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([header, *rows])
    return stream.getvalue()


def shown(survey: Survey) -> list[tuple[object, ...]]:
    return [
        (q.text, a.respondent_id, a.response, a.themes, a.reason)
        for q in survey.questions
        for a in q.answers.itertuples()
    ]


EXPECTED = [
    ("Why?", "1", "Don\u2019t need it", ("Use",), ""),
    ("Why?", "2", "too dear, caf\u00e9 \u00fcber", ("Price", "Taste"), ""),
    ("Why?", "2", "another text", (), ""),
    ("How?", "1", "n/a", (), "says nothing"),
    ("How?", "3", "\U0001f44d!!", (), "only signs"),
    ("How?", "4", "Don't", ("Use",), ""),
    ("How?", "row 9", "", (), "blank"),
]


def test_rows_become_answers_and_every_flaw_is_named(tmp_path: Path):
    (tmp_path / "a.csv").write_text(as_csv(), "utf-8")
    survey = load(tmp_path / "a.csv")
    assert shown(survey) == EXPECTED
    assert {kind: flaw["first"] for kind, flaw in survey.report["flaws"].items()} == {
        "blank": [9], "broken_characters_mended": [8], "no_respondent_id": [9], "only_signs": [7],
        "question_taken_from_the_row_above": [8], "respondent_with_another_text": [5], "row_repeated": [4],
        "says_nothing": [6], "uncoded": [5, 6, 7, 9],
    }  # fmt: skip
    assert survey.questions[1].answers["original"].tolist() == ["  n/a ", "\U0001f44d!!", "Don\ufffdt", ""]
    assert survey.report["encoding"] == "utf-8"


def test_windows_encoding_and_text_decoded_with_it_by_mistake(tmp_path: Path):
    rows = [row for row in ROWS if "\U0001f44d" not in row[2] and "\ufffd" not in row[2]]
    (tmp_path / "a.csv").write_bytes(as_csv(rows).encode("cp1252"))
    survey = load(tmp_path / "a.csv")
    assert survey.report["encoding"] == "cp1252"
    assert shown(survey)[:3] == EXPECTED[:3]
    mistaken = "Don\u2019t need it, caf\u00e9".encode().decode("cp1252")
    (tmp_path / "b.csv").write_text(as_csv([("Why?", "1", mistaken, "")]), "utf-8")
    assert load(tmp_path / "b.csv").questions[0].answers["response"].tolist() == ["Don\u2019t need it, caf\u00e9"]


def test_excel_with_other_names_and_segments(tmp_path: Path):
    book = openpyxl.Workbook()
    for row in [("ID", "Verbatim", "Plan", ""), (7.0, "too slow", "free\ttoday", "x"), (8, "too dear", None, "y")]:
        book.active.append(row)
    book.active["E1"] = "Code"
    book.active["E2"] = "Speed"
    book.save(tmp_path / "a.xlsx")
    survey = load(tmp_path / "a.xlsx")
    (question,) = survey.questions
    assert question.text == "Verbatim"
    assert question.answers["respondent_id"].tolist() == ["7", "8"]
    assert question.answers["themes"].tolist() == [("Speed",), ()]
    assert question.segments.to_dict("list") == {"Plan": ["free today", ""], "column 4": ["x", "y"]}


def test_cells_that_span_the_themes_of_an_answer_in_excel(tmp_path: Path):
    book = openpyxl.Workbook()
    for row in [
        ("question", "respondent", "response", "theme"),
        ("Why?", 1, "dear and slow", "Price"), (None, None, None, "Speed"), (None, None, None, "Ads"),
        (None, 2, None, "Nothing said"), (None, None, "ads", "Ads"), (None, None, None, "null"),
        ("How?", None, None, "Price"),
    ]:  # fmt: skip
        book.active.append(row)
    for cells in ("A2:A7", "B2:B4", "C2:C4"):
        book.active.merge_cells(cells)
    book.save(tmp_path / "a.xlsx")
    survey = load(tmp_path / "a.xlsx")
    assert shown(survey) == [
        ("Why?", "1", "dear and slow", ("Price", "Speed", "Ads"), ""),
        ("Why?", "2", "", ("Nothing said",), "blank"),
        ("Why?", "row 5", "ads", ("Ads",), ""),
        ("Why?", "row 6", "", (), "blank"),
        ("How?", "row 7", "", ("Price",), "blank"),
    ]
    flaws = {kind: flaw["first"] for kind, flaw in survey.report["flaws"].items()}
    assert flaws["respondent_and_response_taken_from_the_row_above"] == [2, 3]
    assert flaws["no_respondent_id"] == [5, 6, 7]
    (tmp_path / "a.csv").write_text("response,theme\n,None said\nslow,Speed\n,None said\n")
    (without_respondents,) = load(tmp_path / "a.csv").questions
    assert without_respondents.answers["themes"].tolist() == [("None said",), ("Speed",), ("None said",)]


def test_columns_are_named_where_they_are_not_found(tmp_path: Path):
    (tmp_path / "a.csv").write_text("who,what\n1,slow\n2,dear\n")
    with pytest.raises(UserError, match="no column of answers"):
        load(tmp_path / "a.csv")
    survey = load(tmp_path / "a.csv", {"response": "what", "respondent_id": "who"})
    assert survey.questions[0].answers["respondent_id"].tolist() == ["1", "2"]
    with pytest.raises(UserError, match="no column 'What'"):
        load(tmp_path / "a.csv", {"response": "What"})
    with pytest.raises(UserError, match="no field 'text'"):
        load(tmp_path / "a.csv", {"text": "what"})


def test_the_sample_is_the_same_for_one_seed_and_has_what_real_surveys_have(tmp_path: Path, sample: Survey):
    contents = [write_sample(tmp_path / name, 40, seed).read_bytes() for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert contents[0] == contents[1] != contents[2]
    assert [question.text for question in sample.questions] == [IMPROVE, LIKE]
    assert list(sample.questions[0].segments) == ["plan", "area"]
    n_themes = sample.questions[0].answers["themes"].map(len)
    assert n_themes.max() > 1
    assert {"blank", "only_signs", "says_nothing", "row_repeated", "respondent_with_another_text"} & set(
        sample.report["flaws"]
    ) >= {"row_repeated", "respondent_with_another_text", "says_nothing"}


@pytest.mark.real_data
def test_the_assignments_own_file(shared_data: Path):
    survey = load(shared_data / "avalanche" / "coded_responses.csv")
    (question,) = survey.questions
    assert question.text == "Why are you cancelling?"
    assert len(question.answers) == 600
    assert question.answers["usable"].all()
    assert (question.answers["themes"].map(len) == 1).sum() == 519
    assert question.answers["themes"].explode().nunique() == 18
    assert survey.report["flaws"]["uncoded"]["count"] == 28
    assert survey.report["flaws"]["broken_characters_mended"]["count"] == 46


@given(st.text(max_size=60))
def test_cleaning_leaves_one_line(text: str):
    clean, was_mended = clean_answer(text)
    assert clean == " ".join(clean.split())
    assert not any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in clean)
    assert why_unusable(clean) or any(c.isalnum() for c in clean)
    if text.isascii() and text.isprintable():
        assert (clean, was_mended) == (" ".join(text.split()), False)


@example("a;a;und;a;a")
@given(st.text(alphabet="ab ,.!;()andbut\n-", max_size=80))
def test_no_word_is_lost_between_clauses_but_conjunctions(answer: str):
    def words(text: str) -> list[str]:
        conjunctions = ("and", "but", "und")  # of all languages, those that these letters spell
        return [word for word in re.findall(r"\w+", text) if word not in conjunctions]

    assert [word for clause in split_clauses(answer) for word in words(clause)] == words(answer)


@pytest.mark.parametrize(
    ("answer", "clauses"),
    [
        ("too expensive and I am moving", ("too expensive", "I am moving")),
        ("price", ("price",)),
        ("my wife and I", ("my wife and I",)),
        ("Zu teuer und die Karten fehlen", ("Zu teuer", "die Karten fehlen")),
        ("slow. Also it crashes - and I moved!", ("slow. Also it crashes", "I moved!")),
        ("", ("",)),
    ],
)
def test_clauses(answer: str, clauses: tuple[str, ...]):
    assert split_clauses(answer) == clauses


def test_markdown_of_others_does_not_work():
    assert plain_markdown("[x](javascript:y) <img src=z>") == r"\[x\]\(javascript:y\) \<img src\=z\>"
