"""Papers: loaded from a table with columns of varying names, cleaned by counted rules, repeats named."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_neurips.cleaning import Vocabulary, clean_text, count_words
from common.cli import progress
from common.data.text_tables import TextTable, find_columns, name_some, read_text_table
from common.errors import UserError

COLUMN_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "paper_id": (
        "paperid",
        "id",
        "forum",
        "forumid",
        "hash",
        "arxivid",
        "docid",
        "key",
        "identifier",
        "queryid",
        "doi",
    ),
    "title": ("title", "papertitle", "articletitle", "name", "papername"),
    "abstract": ("abstract", "abstractnote", "papertext", "summary", "abstracttext", "text", "description", "content"),
    "year": ("year", "publicationyear", "date", "published", "publicationdate"),
}
"""Of each field the names its column goes by, letters and digits only, the surest first."""
SHORT_ABSTRACT: Final = 100  # characters; below, an abstract says hardly more than the title
EXAMPLES: Final = 20  # named of each flaw
_NO_ABSTRACT: Final = frozenset({"", "n/a", "na", "none", "null", "nan", "-", "abstract missing", "no abstract"})
_SHINGLE_WORDS: Final = 5
_RARE: Final = 30  # papers; a shingle that more have is a phrase of the field
_NEAR: Final = 0.5  # Jaccard similarity of shingles


@dataclass(frozen=True)
class Corpus:
    """N papers."""

    ids: NDArray[np.str_]  # (N,) unique
    years: NDArray[np.int32]  # (N,) 0 where unknown
    titles: list[str]  # cleaned
    abstracts: list[str]  # cleaned; may be empty where there is a title
    report: dict[str, Any]  # what was found, mended and left out, and how often
    numbered: bool = False  # the ids are row numbers, which say nothing in another table

    def __len__(self) -> int:
        """Return N."""
        return len(self.ids)

    def papers(self) -> list[tuple[str, str]]:
        """Title and abstract of each."""
        return list(zip(self.titles, self.abstracts, strict=True))

    def words(self) -> Vocabulary:
        """In how many papers each word stands: by what other texts are mended."""
        return count_words(f"{title} {abstract}" for title, abstract in self.papers())

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Corpus:
        """Return some of the papers."""
        rows = np.arange(len(self))[rows]
        titles, abstracts = ([texts[i] for i in rows] for texts in (self.titles, self.abstracts))
        return Corpus(self.ids[rows], self.years[rows], titles, abstracts, self.report, self.numbered)


@dataclass(frozen=True)
class Columns:
    """Names of columns to take as given instead of finding them."""

    paper_id: str | None = None
    title: str | None = None
    abstract: str | None = None
    year: str | None = None


def load(
    path: Path, columns: Columns = Columns(), vocabulary: Vocabulary | None = None, *, mend: bool = True
) -> Corpus:
    """Read papers from a CSV or parquet file, a zip of one, or a folder that holds one.

    Args:
        path: where they are.
        columns: what the columns are called, where looking for usual names is not enough.
        vocabulary: by which words are mended; by default that of these papers.
        mend: False leaves the texts as they are, but for spaces.

    Raises:
        UserError: the file cannot be read, has no column of titles or abstracts, or no paper that can be used.
    """
    table = read_text_table(path)
    found = _find_columns(table, columns)
    cells = {field: [row[position] for row in table.rows] for field, position in found.items()}
    n_rows = len(table.rows)
    titles, abstracts = (cells.get(field, [""] * n_rows) for field in ("title", "abstract"))
    abstracts = ["" if text.strip().lower() in _NO_ABSTRACT else text for text in abstracts]
    numbered = "paper_id" not in cells
    # Ids are printed as they are: what a terminal would obey goes.
    ids = [str(i) if numbered else _printable(cells["paper_id"][i]) for i in range(n_rows)]
    if vocabulary is None:
        vocabulary = count_words(map(" ".join, zip(titles, abstracts, strict=True)))
    flaws = FlawCounts()
    with progress("cleaning", total=n_rows) as advance:
        for i in range(n_rows):
            texts = (" ".join(text.split()) for text in (titles[i], abstracts[i]))
            titles[i], abstracts[i] = (flaws.clean(ids[i], text, vocabulary) if mend else text for text in texts)
            advance()
    report: dict[str, Any] = {
        "file": table.name,
        "columns": {field: table.columns[position] for field, position in found.items()},
    }
    unusable = _unusable_rows(ids, titles, abstracts)
    rows = [i for i in range(n_rows) if i not in unusable]
    if not rows:
        taken = ", ".join(f"{name!r} for {field}" for field, name in report["columns"].items())
        raise UserError(
            f"{table.name}: none of {n_rows} rows is a paper ({next(iter(unusable.values()))}; {taken}): name other "
            "columns with --id-column, --title-column and --abstract-column"
        )
    years = _years([cells["year"][i] for i in rows]) if "year" in cells else np.zeros(len(rows), np.int32)
    report |= {
        "rows": n_rows,
        "papers": len(rows),
        "unusable": {f"row {i + 1}": reason for i, reason in unusable.items()},
        "ragged_rows": table.ragged,
        "without_year": int((years == 0).sum()),
        "mended": flaws.as_dict(),
    }
    kept_ids, kept_titles, kept_abstracts = ([texts[i] for i in rows] for texts in (ids, titles, abstracts))
    cleaned = Corpus(np.array(kept_ids), years, kept_titles, kept_abstracts, report, numbered)
    report |= _describe_abstracts(cleaned)
    return cleaned


class FlawCounts:
    """How often each kind of flaw was mended, in how many papers, and some of these."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()
        self.papers: dict[str, dict[str, None]] = {}

    def clean(self, paper_id: str, text: str, vocabulary: Vocabulary) -> str:
        """Return the cleaned text and count what was mended."""
        text, flaws = clean_text(text, vocabulary)
        self.times.update(flaws)
        for flaw in flaws:
            self.papers.setdefault(flaw, {})[paper_id] = None
        return text

    def as_dict(self) -> dict[str, Any]:
        """Times, papers and examples by flaw."""
        return {
            flaw: {"times": times, "papers": len(self.papers[flaw]), "examples": list(self.papers[flaw])[:EXAMPLES]}
            for flaw, times in self.times.most_common()
        }


def _find_columns(table: TextTable, given: Columns) -> dict[str, int]:
    """The position of each field's column; absent where there is none."""
    found = find_columns(table, COLUMN_NAMES, dataclasses.asdict(given))
    if "title" not in found and "abstract" not in found:
        raise UserError(
            f"{table.name}: no column of titles or abstracts; it has {name_some(table.columns)}: rename one, or name "
            "it with --title-column and --abstract-column"
        )
    return found


def _printable(cell: str) -> str:
    return "".join(filter(str.isprintable, cell)).strip()


def _unusable_rows(ids: Sequence[str], titles: Sequence[str], abstracts: Sequence[str]) -> dict[int, str]:
    """Rows that are no paper, with the reason."""
    unusable, seen = {}, set()
    for i, (paper_id, title, abstract) in enumerate(zip(ids, titles, abstracts, strict=True)):
        if not title and not abstract:
            unusable[i] = "neither title nor abstract"
        elif not paper_id:
            unusable[i] = "no paper id"
        elif paper_id in seen:
            unusable[i] = f"paper id {paper_id!r} stands twice; the first is kept"
        else:
            seen.add(paper_id)
    return unusable


def _years(cells: Sequence[str]) -> NDArray[np.int32]:
    """The first number of four digits of each cell, 0 where there is none."""
    matches = (re.search(r"(?<!\d)(?:1[89]|20)\d\d(?!\d)", cell) for cell in cells)
    return np.array([int(match[0]) if match else 0 for match in matches], dtype=np.int32)


def _describe_abstracts(corpus: Corpus) -> dict[str, Any]:
    """What is to be said of the abstracts: too short ones, identical and nearly equal ones."""
    lengths = np.array([len(text) for text in corpus.abstracts])
    short = np.flatnonzero((lengths > 0) & (lengths < SHORT_ABSTRACT))
    same = identical_abstracts(corpus)
    groups = [corpus.ids[same == group].tolist() for group in np.flatnonzero(np.bincount(same) > 1)]
    pairs = near_duplicates(corpus)
    near = [(i, j, share) for i, j, share in pairs if same[i] != same[j]]
    return {
        "without_abstract": int((lengths == 0).sum()),
        "short_abstracts": {"papers": len(short), "examples": corpus.ids[short[:EXAMPLES]].tolist()},
        "identical_abstracts": groups,
        "near_duplicates": [[str(corpus.ids[i]), str(corpus.ids[j]), round(share, 3)] for i, j, share in near],
    }


def abstract_key(abstract: str) -> str:
    """What two abstracts have in common that differ in case, spaces and punctuation only; empty where none is."""
    return re.sub(r"[\W_]+", "", abstract.casefold())


def identical_abstracts(corpus: Corpus) -> NDArray[np.int64]:
    """Return the (N,) group of each paper, from 0: papers of one group have the same abstract."""
    from common.data.splits import join_groups  # brings pandas, which searching does without

    keys = [abstract_key(text) or f" {i}" for i, text in enumerate(corpus.abstracts)]
    return join_groups(np.array(keys, dtype=object))


def near_duplicates(corpus: Corpus) -> list[tuple[int, int, float]]:
    """Return the pairs of rows (i < j) whose abstracts are nearly equal, with their Jaccard similarity.

    Abstracts are compared as sets of runs of five words (Broder, 'On the resemblance and containment of documents',
    1997), exactly: candidates are all pairs that share a run which few papers have.
    """
    from scipy.sparse import csr_matrix

    sets = []
    for text in corpus.abstracts:
        words = re.findall(r"\w+", text.casefold())
        runs = zip(*(words[k:] for k in range(_SHINGLE_WORDS)), strict=False)
        sets.append(np.unique(np.array([hash(run) for run in runs], np.int64)))
    sizes = np.array([len(s) for s in sets])
    _, columns, counts = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    telling = (counts[columns] > 1) & (counts[columns] <= _RARE)
    rows = np.repeat(np.arange(len(sets)), sizes)
    shape = (len(sets), len(counts))
    incidence = csr_matrix((np.ones(int(telling.sum()), np.int32), (rows[telling], columns[telling])), shape=shape)
    shared = (incidence @ incidence.T).tocoo()
    ahead = shared.row < shared.col
    i, j, both = shared.row[ahead], shared.col[ahead], shared.data[ahead]
    jaccard = both / np.maximum(sizes[i] + sizes[j] - both, 1)
    near = np.flatnonzero(jaccard >= _NEAR)
    return [(int(i[n]), int(j[n]), float(jaccard[n])) for n in near]
