"""The findings to take away: CSV in the official layout, Excel, and PowerPoint with charts that can be edited there.

No text of an answer or a theme becomes a formula: spreadsheets run what begins with = + - @, a tab or a line break.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from challenges.avalanche.cleaning import safe_cell
from challenges.avalanche.codebook import Codebook
from challenges.avalanche.dataset import Question
from challenges.avalanche.findings import Findings, counted, p_value, percent, records, sentences, shortened
from common.plots import PALETTE

UNCODED: Final = "null"
"""What stands for no theme in the official layout."""
LONGEST_CELL: Final = 32_767
"""Characters; Excel refuses longer cells."""
MAX_BARS: Final = 12
"""Themes on a slide's chart; more are not readable."""
MAX_QUOTE: Final = 350
"""Characters on a slide, which has room for three such quotes."""
Compared = Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]
"""Of columns of the survey, what `findings.compare_by` gives."""


def code_table(question: Question, book: Codebook, with_machine: bool = True) -> pd.DataFrame:
    """Every answer in the official layout, a row for each of its themes; one without any has the theme 'null'.

    Returns:
        question, respondent_id, response, theme, coded_by ('machine' for what no person has confirmed), why_unusable,
        then the survey's other columns.
    """
    rows: list[tuple[str, ...]] = []
    numbers: list[int] = []
    answers = question.answers[["respondent_id", "response", "reason"]].itertuples(index=False)
    for i, (respondent, response, reason) in enumerate(answers):
        found = book.present(i)
        who, themes = (found[0], sorted(found[1].themes)) if found else ("", [])
        if who == "machine" and not with_machine:
            who, themes = "", []
        for name in [book.themes[theme].name for theme in themes] or [UNCODED]:
            rows.append((question.text, respondent, response, name, who, reason))
            numbers.append(i)
    table = pd.DataFrame(rows, columns=["question", "respondent_id", "response", "theme", "coded_by", "why_unusable"])
    segments = question.segments.iloc[numbers].reset_index(drop=True)
    return table.join(segments.rename(columns={name: f"{name} (2)" for name in segments if name in table.columns}))


def to_csv(table: pd.DataFrame) -> bytes:
    """UTF-8 with a mark of the encoding, which Excel needs to find it.

    All text is in quotes: else the csv module lets a carriage return begin a row, and what follows it be a formula.
    """
    return _map_text(table, safe_cell).to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC).encode("utf-8-sig")


def to_excel(sheets: Mapping[str, pd.DataFrame]) -> bytes:
    """A workbook of tables; text is written as text, whatever it begins with."""
    out = io.BytesIO()
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with pd.ExcelWriter(out, engine="xlsxwriter", engine_kwargs={"options": options}) as writer:
        for name, table in sheets.items():
            _map_text(table, lambda text: text[:LONGEST_CELL]).to_excel(writer, sheet_name=name[:31], index=False)
            sheet = writer.sheets[name[:31]]
            sheet.freeze_panes(1, 0)
            for i, column in enumerate(table.columns):
                longest = max([len(str(column)), *map(len, map(str, table[column].head(200)))])
                sheet.set_column(i, i, min(60, longest + 2))
    return out.getvalue()


def workbook(
    findings: Findings, question: Question, book: Codebook, compared: Compared, history: pd.DataFrame
) -> bytes:
    """Everything in one Excel file: findings, shares, segments, answers and the audit trail."""
    themes = [book.themes[theme] for theme in findings.themes]
    shares = findings.shares.assign(
        description=[theme.description for theme in themes],
        below=["" if theme.parent is None else book.themes[theme.parent].name for theme in themes],
    )
    tests = [table.assign(column=column) for column, (_, table) in compared.items()]
    by_segment = [table.assign(column=column) for column, (table, _) in compared.items()]
    sheets = {"Findings": pd.DataFrame({"finding": sentences(findings, compared)}), "Themes": shares}
    if tests:
        sheets |= {"Segments": pd.concat(by_segment), "Tests": pd.concat(tests)}
    answers = code_table(question, book, findings.with_machine)
    return to_excel(sheets | {"Answers": answers, "Audit trail": history})


def slides(findings: Findings, responses: Sequence[str], compared: Compared) -> bytes:
    """A PowerPoint file: summary, theme shares with intervals, a slide for each column that differs, quotes."""
    from pptx import Presentation as new_presentation  # noqa: N813 - a function
    from pptx.util import Inches

    deck: Any = new_presentation()
    deck.slide_width, deck.slide_height = Inches(13.333), Inches(7.5)
    _summary_slide(deck, findings, compared)
    top = findings.shares.head(MAX_BARS)
    _shares_slide(deck, findings, top)
    for column, (shares, tests) in compared.items():
        if tests["differs"].any():
            _segment_slide(deck, column, shares, tests, top["theme"].tolist())
    for theme, row in list(zip(findings.themes, records(top), strict=False))[:6]:
        quotes = [f"\u201c{shortened(responses[i], MAX_QUOTE)}\u201d" for i in findings.quotes[theme]]
        if quotes:
            slide = _slide(deck, str(row.theme))
            _paragraphs(slide, [f"{percent(row.share)} of coded answers ({row.count:,})", *quotes], size=20)
    out = io.BytesIO()
    deck.save(out)
    return out.getvalue()


def _summary_slide(deck: Any, findings: Findings, compared: Compared) -> None:
    slide = _slide(deck, f"{findings.project}: {findings.question}")
    by = "by persons, and by the machine where no person has" if findings.with_machine else "by persons"
    n = counted(findings.n_answers, "answer")
    of = f"{n}, {findings.n_usable:,} with something to say, {findings.n_coded:,} coded {by}."
    about = "Intervals are 95 % (Wilson); comparisons are corrected for the number of themes."
    _paragraphs(slide, [of, *sentences(findings, compared), about], size=20)


def _shares_slide(deck: Any, findings: Findings, shares: pd.DataFrame) -> None:
    slide = _slide(deck, "How often each theme comes up")
    turned = shares.iloc[::-1]  # bar charts are drawn from below
    chart = _bar_chart(slide, turned["theme"].tolist(), {"share of coded answers": turned["share"].tolist()})
    if chart is None:
        return
    below, above = turned["share"] - turned["low"], turned["high"] - turned["share"]
    _add_intervals(chart, below.tolist(), above.tolist())
    chart.value_axis.maximum_scale = math.ceil(turned["high"].max() * 10) / 10  # bars alone would end it before
    of = counted(findings.n_coded, "coded answer")
    note = f"Share of {of}, with 95 % intervals; an answer may have several themes."
    _note(slide, note)


def _segment_slide(deck: Any, column: str, shares: pd.DataFrame, tests: pd.DataFrame, order: Sequence[str]) -> None:
    differing = [theme for theme in order if theme in set(tests.loc[tests["differs"], "theme"])]
    slide = _slide(deck, f"What differs by {column}")
    table = shares[shares["theme"].isin(differing)].pivot_table(
        index="theme", columns="segment", values="share", sort=False
    )
    table = table.reindex([theme for theme in reversed(differing) if theme in table.index])
    series = {str(segment): table[segment].tolist() for segment in reversed(table.columns)}
    if _bar_chart(slide, table.index.tolist(), series) is None:
        return
    p = tests.set_index("theme")["p_adjusted"]
    said = "; ".join(f"{theme}: {p_value(p[theme])}" for theme in differing)
    _note(slide, f"Only themes whose share differs, corrected for the number of themes. {said}.")


def _slide(deck: Any, title: str) -> Any:
    from pptx.util import Inches, Pt

    slide = deck.slides.add_slide(deck.slide_layouts[5])  # a title only
    shape = slide.shapes.title
    shape.left, shape.top, shape.width, shape.height = Inches(0.6), Inches(0.3), Inches(12.1), Inches(1)
    shape.text_frame.text = title
    shape.text_frame.word_wrap = True
    for paragraph in shape.text_frame.paragraphs:
        paragraph.font.size, paragraph.font.bold = Pt(28), True
    return slide


def _paragraphs(slide: Any, lines: Sequence[str], size: int) -> None:
    from pptx.util import Inches, Pt

    frame = slide.shapes.add_textbox(Inches(0.7), Inches(1.5), Inches(11.9), Inches(5)).text_frame
    frame.word_wrap = True
    for i, line in enumerate(lines):
        paragraph = frame.paragraphs[0] if i == 0 else frame.add_paragraph()
        paragraph.text, paragraph.font.size, paragraph.space_after = line, Pt(size), Pt(14)


def _note(slide: Any, text: str) -> None:
    from pptx.util import Inches, Pt

    frame = slide.shapes.add_textbox(Inches(0.7), Inches(6.8), Inches(11.9), Inches(0.5)).text_frame
    frame.word_wrap = True
    frame.text = text
    frame.paragraphs[0].font.size = Pt(12)


def _bar_chart(slide: Any, categories: Sequence[str], series: Mapping[str, Sequence[float]]) -> Any:
    """A chart that PowerPoint can edit; None where there is nothing to draw."""
    from pptx.chart.data import CategoryChartData
    from pptx.dml.color import RGBColor
    from pptx.enum.chart import XL_CHART_TYPE, XL_LEGEND_POSITION
    from pptx.util import Inches, Pt

    if not categories:
        return None
    data: Any = CategoryChartData(number_format="0%")  # type: ignore[no-untyped-call]
    data.categories = [safe_cell(name) for name in categories]  # they also go into a workbook inside the slide
    for name, values in series.items():
        data.add_series(safe_cell(name), [None if pd.isna(value) else float(value) for value in values])
    place = Inches(0.6), Inches(1.4), Inches(12.1), Inches(5.3)
    chart = slide.shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, *place, data).chart
    chart.font.size = Pt(14)
    chart.has_title = False
    chart.has_legend = len(series) > 1
    if chart.has_legend:
        chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.BOTTOM, False
    chart.value_axis.minimum_scale = 0
    chart.value_axis.tick_labels.number_format, chart.value_axis.tick_labels.number_format_is_linked = "0%", False
    chart.value_axis.has_major_gridlines = False
    for i, drawn in enumerate(chart.plots[0].series):
        drawn.format.fill.solid()
        colour = PALETTE[(len(series) - 1 - i) % len(PALETTE)].lstrip("#")
        drawn.format.fill.fore_color.rgb = RGBColor.from_string(colour)  # type: ignore[no-untyped-call]
    chart.plots[0].gap_width = 60
    return chart


def _add_intervals(chart: Any, below: Sequence[float], above: Sequence[float]) -> None:
    """Error bars of a chart's one series; python-pptx has none, so they are written as Office's own XML."""
    from pptx.oxml import parse_xml
    from pptx.oxml.ns import nsdecls

    def literal(values: Sequence[float]) -> str:
        points = "".join(f'<c:pt idx="{i}"><c:v>{value:.6f}</c:v></c:pt>' for i, value in enumerate(values))
        return f'<c:numLit><c:formatCode>General</c:formatCode><c:ptCount val="{len(values)}"/>{points}</c:numLit>'

    bars = parse_xml(
        f'<c:errBars {nsdecls("c")}><c:errBarType val="both"/><c:errValType val="cust"/><c:noEndCap val="0"/>'
        f"<c:plus>{literal(above)}</c:plus><c:minus>{literal(below)}</c:minus></c:errBars>"
    )
    drawn = chart.plots[0].series[0]._element
    drawn.find(drawn.tag.replace("}ser", "}cat")).addprevious(bars)


def _map_text(table: pd.DataFrame, change: Any) -> pd.DataFrame:
    """The same table with every text changed, names of columns too."""
    mapped = table.map(lambda cell: change(cell) if isinstance(cell, str) else cell)
    return mapped.rename(columns=lambda name: change(str(name)))
