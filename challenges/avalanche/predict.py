"""What discovery writes: a table for programs, a page and two pictures for people, and a report."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from challenges.avalanche.cleaning import plain_markdown
from challenges.avalanche.dataset import Question, Survey
from challenges.avalanche.discovery import Discovery, discover
from challenges.avalanche.embedding import TEXT_ENCODER, embed
from common.cli import progress
from common.data.tables import replace_atomically, write_json, write_parquet
from common.inference.batch import Engine

NOWHERE: Final = -1
"""`theme_id` of answers without a theme."""
_PICTURE: Final = re.compile(r"(?:map|tree)(?:_\d+)?\.png")


@dataclass(frozen=True)
class Written:
    """The files of a discovery."""

    themes: Path
    report: Path
    page: Path
    pictures: tuple[Path, ...]


def discover_survey(
    survey: Survey, seed: int = 0, engine: Engine = Engine.LOCAL, encoder: str | Path = TEXT_ENCODER
) -> list[Discovery]:
    """Discover the themes of each question, with a progress bar of encoded texts.

    Raises:
        UserError: there is no such encoder.
    """
    with progress("reading answers") as advance:

        def embedder(texts: Sequence[str]) -> NDArray[np.float32]:
            return embed(texts, encoder, engine, advance)

        return [discover(question, seed=seed, embedder=embedder) for question in survey.questions]


def tabulate(survey: Survey, discoveries: Sequence[Discovery]) -> pd.DataFrame:
    """One row for each theme of an answer, the most probable first, in the order of the file.

    Columns question, respondent_id, response (as it stands in the file), theme_id, theme, probability, clause. An
    answer that belongs nowhere, or says nothing, has one row, with theme_id -1, an empty theme and probability 0.
    Where there are several questions, theme ids of a later one go on after those of the one before.
    """
    parts, first_id = [], 0
    for question, found in zip(survey.questions, discoveries, strict=True):
        labels = {theme.id: theme.label for theme in found.themes}
        answers = question.answers[["respondent_id", "original"]].rename(columns={"original": "response"})
        table = answers.assign(question=question.text).join(found.assignments.set_index("row"))
        table["theme"] = table["theme_id"].map(labels).astype(object).fillna("")
        numbered = table["theme_id"].astype(np.float64) + first_id
        table["theme_id"] = numbered.fillna(NOWHERE).astype(np.int64)
        table["probability"] = table["probability"].fillna(0.0).astype(np.float64)
        table["clause"] = table["clause"].astype(object).fillna("")
        parts.append(table)
        first_id += len(found.themes)
    columns = ["question", "respondent_id", "response", "theme_id", "theme", "probability", "clause"]
    return pd.concat(parts, ignore_index=True)[columns]


def write(survey: Survey, discoveries: Sequence[Discovery], out: Path, settings: Mapping[str, Any]) -> Written:
    """Write themes.parquet, report.json, themes.md, and of each question a map and a tree of its themes.

    Args:
        survey: what was read.
        discoveries: of each of its questions.
        out: folder.
        settings: for the report.

    Raises:
        UserError: the folder cannot be written.
    """
    from challenges.avalanche.pictures import draw_map, draw_tree
    from common.plots import save_figure

    pictures = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ")  # of letters that the font lacks, one by one: they become boxes
        for number, (question, found) in enumerate(zip(survey.questions, discoveries, strict=True), start=1):
            suffix = f"_{number}" if len(discoveries) > 1 else ""
            if found.themes:
                pictures.append(out / f"map{suffix}.png")
                save_figure(draw_map(question, found), pictures[-1])
            if len(found.themes) > 1:
                pictures.append(out / f"tree{suffix}.png")
                save_figure(draw_tree(found), pictures[-1])
    for old in out.glob("*.png"):
        if _PICTURE.fullmatch(old.name) and old not in pictures:  # of an earlier run with other questions
            old.unlink()
    written = Written(out / "themes.parquet", out / "report.json", out / "themes.md", tuple(pictures))
    with replace_atomically(written.page) as temporary:
        temporary.write_text(as_markdown(survey, discoveries), encoding="utf-8")
    write_json(survey.report | {"settings": settings, "found": summarise(survey, discoveries)}, written.report)
    write_parquet(tabulate(survey, discoveries), written.themes)
    return written


def summarise(survey: Survey, discoveries: Sequence[Discovery]) -> list[dict[str, Any]]:
    """Of each question what was found, for JSON."""
    return [
        {
            "question": question.text,
            "usable": int(question.answers["usable"].sum()),
            "themes": [theme.__dict__ | {"quotes": _quotes(question, theme.quotes)} for theme in found.themes],
            "several_themes": int((found.assignments["row"].value_counts() > 1).sum()),
            "nowhere": int(question.answers["usable"].sum()) - found.assignments["row"].nunique(),
            "tree": found.tree,
        }
        for question, found in zip(survey.questions, discoveries, strict=True)
    ]


def as_markdown(survey: Survey, discoveries: Sequence[Discovery]) -> str:
    """The themes with counts, intervals and quotes, to be read."""
    lines = [f"# {plain_markdown(survey.name)}", ""]
    for summary in summarise(survey, discoveries):
        lines += [f"## {plain_markdown(summary['question'])}", ""]
        lines += [
            f"{summary['usable']:,} usable answers, {len(summary['themes'])} themes. {summary['several_themes']:,} "
            f"answers have several, {summary['nowhere']:,} belong nowhere. Intervals are 95 %.",
            "",
        ]
        for theme in summary["themes"]:
            share = theme["share"]
            lines += [
                f"### {plain_markdown(theme['label'])}",
                "",
                f"{theme['n_answers']:,} answers, {share.estimate:.1%} ({share.low:.1%} to {share.high:.1%}). "
                f"{plain_markdown(theme['description'])}",
                "",
                *[f"> {plain_markdown(quote)}\n>" for quote in theme["quotes"]],
                "",
            ]
    return "\n".join(lines)


def _quotes(question: Question, rows: Sequence[int]) -> list[str]:
    return [str(question.answers["response"].iat[row]) for row in rows]
