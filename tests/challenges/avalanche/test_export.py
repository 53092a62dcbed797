"""Findings and the files they are taken away in, with answers and themes that would run if they were let."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from pptx import Presentation

from challenges.avalanche.cleaning import clean_answer, plain_cell, safe_cell
from challenges.avalanche.codebook import IMPORTED, MACHINE, Codebook, fold
from challenges.avalanche.dataset import Question, load
from challenges.avalanche.export import code_table, slides, to_csv, to_excel, workbook
from challenges.avalanche.findings import Findings, compare_by, counted, find, percent, sentences
from challenges.avalanche.operations import add_theme, adopt, code_answer
from challenges.avalanche.views.history import history_table

RISKY = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "<script>alert(1)</script>",
    "http://x.example",
]


@pytest.fixture(scope="module")
def question() -> Question:
    answers = pd.DataFrame({"response": [*RISKY, *["a long enough answer about the price"] * 40, "", "content \x01 x"]})
    answers["respondent_id"] = [f"={i}" for i in range(len(answers))]
    answers["reason"] = ["blank" if not text else "" for text in answers["response"]]
    answers["usable"] = answers["reason"] == ""
    answers["themes"] = [()] * len(answers)
    plan = ["=evil" if i % 2 else "basic" for i in range(len(answers))]
    return Question("=Why?", answers, pd.DataFrame({"plan": plan, "theme": ["x"] * len(answers)}))


@pytest.fixture(scope="module")
def book() -> Codebook:
    """Price and =Content of persons; row 49 is the machine's."""
    codes = {i: [0] if i % 2 else [1] for i in range(8, 48)} | {0: [0, 1], 1: [1]}
    operations = [
        adopt([("Price", "what it costs", None), ("=Content", "", None)], codes, IMPORTED),
        adopt([("Price", "", None)], {49: [0], 0: [0]}, MACHINE),
        code_answer("Ana", 2, []),
        add_theme("Deep", parent=1),
        code_answer("Ana", 3, [3]),
    ]
    made = Codebook()
    for operation in operations:
        made = fold(made, [(made.version + 1, operation(made))])
    return made


@pytest.fixture(scope="module")
def findings(question: Question, book: Codebook) -> Findings:
    return find("=Project", question, book)


def test_shares_are_of_what_persons_coded(question: Question, book: Codebook, findings: Findings) -> None:
    assert (findings.n_answers, findings.n_usable, findings.n_coded) == (50, 49, 44)
    shares = findings.shares.set_index("theme")
    assert shares["count"].to_dict() == {"Price": 22, "=Content": 22, "Deep": 1}  # Deep counts as Price too
    assert (shares["n"] == 44).all()
    assert find("p", question, book, with_machine=True).n_coded == 45
    top = find("p", question, book, depth=1)
    assert top.shares["theme"].tolist() == ["=Content", "Price"]
    empty = find("p", question, Codebook())
    assert empty.n_coded == 0
    assert empty.shares.empty
    assert sentences(empty, {}) == []


def test_quotes_are_of_the_theme_and_none_stands_twice(question: Question, book: Codebook, findings: Findings) -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    responses = question.answers["response"].tolist()
    for given in (findings, find("p", question, book, vectors=vectors)):
        for j, theme in enumerate(given.themes):
            quotes = given.quotes[theme]
            assert quotes
            assert all(given.codes[row, j] for row in quotes)
            assert len({responses[row] for row in quotes}) == len(quotes)


def test_findings_in_words(question: Question, findings: Findings) -> None:
    compared = {"plan": compare_by(findings, question, "plan")}
    said = sentences(findings, compared)
    assert said[0].startswith("50% (36% to 64%) of 44 coded answers speak of =Content")
    assert any("differs by plan" in line and "in =evil" in line and "p < 0.001" in line for line in said)
    assert [percent(x) for x in (0, 0.001, 0.5, 0.999, 1, math.nan)] == ["0%", "<1%", "50%", ">99%", "100%", "-"]
    assert [counted(n, "answer") for n in (0, 1, 2_000)] == ["0 answers", "1 answer", "2,000 answers"]


def test_csv_is_the_official_layout_without_formulas(question: Question, book: Codebook, tmp_path: Path) -> None:
    table = code_table(question, book)
    assert len(table) == 50 + 1  # row 0 has two themes
    assert table.loc[table["coded_by"] == MACHINE, "respondent_id"].tolist() == ["=49"]
    assert (code_table(question, book, with_machine=False)["coded_by"] != MACHINE).all()
    content = to_csv(table)
    read = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    assert len(read) == len(table)
    assert not read.map(lambda cell: cell.startswith(("=", "+", "-", "@", "\t", "\r"))).to_numpy().any()
    assert read["response"].iloc[0] == "'" + RISKY[0]


def test_csv_is_imported_as_it_was(question: Question, book: Codebook, tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_bytes(to_csv(code_table(question, book)))
    survey = load(tmp_path / "export.csv")
    (again,) = survey.questions
    assert again.text == question.text
    answers = again.answers.set_index("respondent_id")
    assert answers.index.tolist() == question.answers["respondent_id"].tolist()
    assert answers["response"].tolist() == [clean_answer(text)[0] for text in question.answers["response"]]
    assert set(answers["themes"]["=0"]) == {"Price", "=Content"}
    assert answers["themes"]["=2"] == ()
    assert answers["themes"]["=49"] == ()  # the machine's
    assert survey.report["flaws"]["theme_of_the_machine_left_out"]["first"] == [51]
    segments = question.segments.rename(columns={"theme": "theme (2)"})
    pd.testing.assert_frame_equal(again.segments, segments, check_dtype=False)


def test_a_table_of_others_is_no_export(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("response,theme,coded_by\n'=slow,Speed,machine\n")
    (question,) = load(tmp_path / "a.csv").questions
    assert question.answers[["response", "themes"]].to_numpy().tolist() == [["'=slow", ("Speed",)]]
    assert question.segments.to_dict("list") == {"coded_by": ["machine"]}


@pytest.mark.parametrize("text", [*RISKY[:6], "\uff1d1"])
def test_what_would_be_a_formula_is_not(text: str) -> None:
    assert safe_cell(text) == "'" + text
    assert safe_cell("a" + text) == "a" + text


@pytest.mark.parametrize("text", [*RISKY, "", "'", "'t is dear", "'=1", "''-", "\uff1d1"])
def test_a_safe_cell_is_read_as_it_was(text: str) -> None:
    assert plain_cell(safe_cell(text)) == text


def test_excel_holds_text_as_text(question: Question, book: Codebook, findings: Findings) -> None:
    compared = {"plan": compare_by(findings, question, "plan")}
    content = workbook(findings, question, book, compared, history_table([]))
    opened = openpyxl.load_workbook(io.BytesIO(content))
    assert opened.sheetnames == ["Findings", "Themes", "Segments", "Tests", "Answers", "Audit trail"]
    cells = [cell for sheet in opened for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "b", "d"}
    assert not any(cell.hyperlink for cell in cells)
    assert any(cell.value == RISKY[0] for cell in cells)
    assert b"<f>" not in b"".join(_members(content))
    long = to_excel({"x" * 40: pd.DataFrame({"a": ["y" * 40_000]})})
    assert len(openpyxl.load_workbook(io.BytesIO(long)).active["A2"].value) == 32_767


def test_powerpoint_has_charts_with_intervals_and_no_formulas(question: Question, findings: Findings) -> None:
    compared = {"plan": compare_by(findings, question, "plan")}
    responses = question.answers["response"].tolist()
    responses[findings.quotes[findings.themes[0]][0]] = "x" * 30_000
    content = slides(findings, responses, compared)
    deck = Presentation(io.BytesIO(content))
    titles = [slide.shapes.title.text_frame.text for slide in deck.slides]
    assert titles[:3] == ["=Project: =Why?", "How often each theme comes up", "What differs by plan"]
    charts = [shape.chart for slide in deck.slides for shape in slide.shapes if shape.has_chart]
    assert len(charts) == 2
    shares = findings.shares.iloc[::-1]
    np.testing.assert_allclose(charts[0].plots[0].series[0].values, shares["share"])
    tags = [child.tag.rpartition("}")[2] for child in charts[0].plots[0].series[0]._element]
    assert tags.index("errBars") == tags.index("cat") - 1  # where Office's schema wants it
    plus = charts[0].plots[0].series[0]._element.findall(".//{*}plus//{*}v")
    np.testing.assert_allclose([float(v.text) for v in plus], shares["high"] - shares["share"], atol=1e-6)
    assert charts[0].value_axis.maximum_scale == 0.7  # beyond the highest interval's end, 0.64
    texts = [shape.text_frame.text for slide in deck.slides for shape in slide.shapes if shape.has_text_frame]
    assert any("x" * 350 + " \u2026" in text for text in texts)
    assert max(map(len, texts)) < 1_500
    with zipfile.ZipFile(io.BytesIO(content)) as deck_zip:
        books = [deck_zip.read(name) for name in deck_zip.namelist() if name.endswith(".xlsx")]
    assert len(books) == 2
    assert all(b"<f>" not in member for book in books for member in _members(book))
    assert slides(find("p", question, Codebook()), [], {})  # nothing to draw is a deck as well


def _members(content: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        return [opened.read(name) for name in opened.namelist()]
