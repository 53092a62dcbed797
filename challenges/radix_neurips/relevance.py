"""Which papers count as similar: those of one year that share a rare keyword of their authors."""

from __future__ import annotations

import ast
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_neurips.dataset import Corpus, abstract_key
from challenges.radix_neurips.lexical import Keyphraseness, learn_keyphraseness
from common.data.tables import load_parquet
from common.errors import UserError

RAREST: Final = 2  # papers of the year that use a keyword which makes them similar
COMMONEST: Final = 20  # papers; what more share is a field
SKETCH: Final = 256  # checksums
_NO_LIST: Final = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)  # what literal_eval raises

Keywords = Mapping[str, frozenset[str]]
"""By paper id, in lower case."""


def read_keywords(path: Path, canon: Path | None = None) -> dict[str, frozenset[str]]:
    """Read the keywords of papers: a parquet table of paper_id and keywords, a list or its text.

    Args:
        path: of the table.
        canon: of a table of variant and canonical spelling, parted by a tab, below a header; None folds nothing.

    Raises:
        UserError: a file cannot be read, lacks a column, or has a cell that is no list.
    """
    frame = load_parquet(path)
    if not {"paper_id", "keywords"} <= set(frame.columns):
        raise UserError(
            f"{path}: needs the columns paper_id and keywords; it has {', '.join(map(repr, frame.columns))}"
        )
    spelling = _read_canon(canon) if canon is not None else {}
    keywords = {}
    cells = zip(frame["paper_id"], frame["keywords"], frame["keywords"].isna(), strict=True)
    for row, (paper_id, cell, missing) in enumerate(cells):
        try:
            names = () if missing else _listed(cell)
        except _NO_LIST as error:
            raise UserError(
                f"{path}, row {row}: {str(cell)[:60]!r} is no list of keywords; write ['a', 'b']"
            ) from error
        plain = (" ".join(str(name).lower().split()) for name in names)
        keywords[str(paper_id)] = frozenset(spelling.get(name, name) for name in plain if name)
    return keywords


def _listed(cell: object) -> Iterable[object]:
    """The keywords of a cell; one of `_NO_LIST` is raised where it holds something else."""
    names = ast.literal_eval(cell) if isinstance(cell, str) else cell
    if names is None:
        return ()
    if not isinstance(names, list | tuple | set | np.ndarray):  # a text would fall into its letters
        raise TypeError(type(names).__name__)
    return names


def _read_canon(path: Path) -> dict[str, str]:
    try:
        rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()[1:] if line]
        return dict(rows)  # type: ignore[arg-type]  # of two cells, or the error below
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a table of variant and canonical spelling, parted by a tab ({error})") from error


def shared_keywords(ids: Sequence[str] | NDArray[np.str_], keywords: Keywords) -> dict[int, dict[int, int]]:
    """Return for each row the rows of similar papers, with the number of papers that use the rarest shared keyword.

    Rows without one are left out. `ids` are the papers of one year; a keyword that fewer than `RAREST` or more than
    `COMMONEST` of them use makes nothing similar.
    """
    users: dict[str, list[int]] = defaultdict(list)
    for row, paper_id in enumerate(ids):
        for name in keywords.get(str(paper_id), ()):
            users[name].append(row)
    similar: dict[int, dict[int, int]] = defaultdict(dict)
    for rows in users.values():
        if RAREST <= len(rows) <= COMMONEST:
            for row in rows:
                for other in rows:
                    if other != row:
                        similar[row][other] = min(len(rows), similar[row].get(other, len(rows)))
    return dict(sorted(similar.items()))


def keyphraseness_of(corpus: Corpus, keywords: Keywords) -> Keyphraseness:
    """What the titles of papers, and the keywords of those that have some, teach of terms."""
    return learn_keyphraseness(corpus.papers(), [keywords.get(str(paper_id)) or None for paper_id in corpus.ids])


def paper_checksums(corpus: Corpus) -> set[str]:
    """What papers are known by, whatever file they come in: year and title, without case, spaces and punctuation."""
    keys = zip(corpus.years.tolist(), map(abstract_key, corpus.titles), strict=True)
    return {hashlib.sha256(f"{year} {title}".encode()).hexdigest()[:8] for year, title in keys if title}


def sketch_papers(corpus: Corpus) -> str:
    """The smallest checksums: other papers, some hundred of which are among these, have one of them.

    Broder, 'On the resemblance and containment of documents' (1997).
    """
    return " ".join(sorted(paper_checksums(corpus))[:SKETCH])
