"""The table of films as it comes: what its columns are called, how its genres are spelled and parted."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Final

from common.data.text_tables import TextTable

COLUMN_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "movie_id": ("movieid", "filmid", "imdbid", "tmdbid", "id", "tconst", "poster", "posterid", "key"),
    "synopsis": ("synopsis", "overview", "plot", "plotsummary", "summary", "description", "storyline", "text"),
    "title": ("title", "movietitle", "filmtitle", "originaltitle", "name", "moviename", "movie", "film"),
    "genres": ("genres", "genre", "genrenames", "labels", "label", "categories", "tags"),
    "year": ("year", "releaseyear", "releasedate", "date"),
}
"""Of each field the names it goes by, letters and digits only, the surest first."""
GENRES: Final = (
    "Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Family", "Fantasy",
    "History", "Horror", "Music", "Mystery", "Romance", "Science Fiction", "Thriller", "War", "Western",
)  # fmt: skip
ALIASES: Final = {
    "scifi": "Science Fiction",
    "sf": "Science Fiction",
    "animated": "Animation",
    "children": "Family",
    "childrens": "Family",
    "historical": "History",
    "documentaries": "Documentary",
    "musical": "Music",
    "romantic": "Romance",
    "crimes": "Crime",
    "suspense": "Thriller",
}
"""Other spellings of our genres, letters only."""

_KNOWN: Final = {re.sub(r"[^a-z]", "", genre.lower()): genre for genre in GENRES} | ALIASES
_SEPARATORS: Final = re.compile(r"[|;,/]|\s+&\s+")
_TRUE: Final = frozenset({"1", "1.0", "true", "yes"})
_FALSE: Final = frozenset({"0", "0.0", "false", "no", ""})


def indicator_columns(table: TextTable) -> dict[str, int]:
    """Columns named like a genre that hold only 0 and 1 (or true and false): genre -> position."""
    found = {}
    for position, column in enumerate(table.columns):
        genre = known_genre(column)
        if genre and {row[position].strip().lower() for row in table.rows} <= _TRUE | _FALSE:
            found[genre] = position
    return found


def is_true(cell: str) -> bool:
    """Whether an indicator's cell says yes."""
    return cell.strip().lower() in _TRUE


def known_genre(name: str) -> str | None:
    """Our name of a genre in whatever spelling, None where it is none of ours: 'sci-fi' -> 'Science Fiction'."""
    return _KNOWN.get(re.sub(r"[^a-z]", "", name.lower()))


def split_genres(cell: str) -> list[str]:
    """The names in a cell of genres, without repeats, as they are spelled.

    Names stand parted by | , ; / or &, or as a JSON or Python list of names or of objects with a 'name', as TMDB's
    own dumps have it.

    >>> split_genres("Sci-Fi|Drama")
    ['Sci-Fi', 'Drama']
    >>> split_genres("[{'id': 18, 'name': 'Drama'}]")
    ['Drama']
    """
    cell = cell.strip()
    names = _literal_names(cell) if cell[:1] in ("[", "{", "(") else None
    if names is None:
        names = _SEPARATORS.split(cell.strip("[](){}"))
    stripped = (name.strip().strip("'\"").strip() for name in names)
    return list(dict.fromkeys(name for name in stripped if name))


def _literal_names(cell: str) -> list[str] | None:
    values: object = None
    for read in (json.loads, ast.literal_eval):
        try:
            values = read(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        break
    if isinstance(values, dict):
        values = [values]
    if not isinstance(values, (list, tuple, set)):
        return None
    return [str(value.get("name", "")) if isinstance(value, dict) else str(value) for value in values]
