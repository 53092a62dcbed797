"""What the data is: a table of films and their posters, whatever is wrong with them, and the splits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from challenges.radix_movies.layout import (
    COLUMN_NAMES,
    GENRES,
    indicator_columns,
    is_true,
    known_genre,
    split_genres,
)
from challenges.radix_movies.synopsis import clean_text, is_empty, is_foreign
from common.data.archives import ArchiveLimits, FileStore, MemberError, open_store, unpack
from common.data.images import ImageError, decode_image, resize_image
from common.data.stems import index_by_stem
from common.data.text_tables import TextTable, find_columns, name_some, read_text_table
from common.errors import UserError

N_EXAMPLES: Final = 20
"""Of each flaw, named in the report beside the count."""
NEAR_POSTER_BITS: Final = 8
"""Posters whose 64-bit hashes differ in no more bits are one picture."""
BLANK_SPREAD: Final = 3.0
"""Standard deviation of grey levels (0-255) below which a poster shows nothing."""
_IMAGE_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
_LEADING_YEAR: Final = re.compile(r"(?:^|\D)(1[89]\d\d|20\d\d)(?:\D|$)")


@dataclass(frozen=True)
class Film:
    """One row of the table, cleaned. An empty text or number is one that is not there."""

    movie_id: str
    title: str
    synopsis: str  # '' where it is missing, empty or not English
    year: int | None
    genres: frozenset[str]  # of `GENRES`; empty where unknown


class FlawLog:
    """Flaws by kind: how many, and which the first were."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, kind: str, what: str) -> None:
        """Count a flaw and keep its name, if it is among the first."""
        self.counts[kind] += 1
        named = self.examples.setdefault(kind, [])
        if len(named) < N_EXAMPLES:
            named.append(what)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: {kind: {"count": 3, "examples": [...]}}."""
        return {kind: {"count": self.counts[kind], "examples": self.examples[kind]} for kind in sorted(self.counts)}


@dataclass(frozen=True)
class Posters:
    """Poster files by film, read straight out of a folder or a zip; there may be none at all."""

    store: FileStore | None
    members: Mapping[str, str]  # movie_id -> name in the store

    def read(self, movie_id: str) -> bytes:
        """Return the file's bytes.

        Raises:
            KeyError: there is no poster of this film.
            MemberError: it is there and cannot be read.
        """
        if self.store is None:
            raise KeyError(movie_id)
        return self.store.read(self.members[movie_id])


@dataclass(frozen=True)
class Dataset:
    """Films in the order of the file, their posters, and what was wrong with the table."""

    path: Path
    table: Path
    films: list[Film]
    posters: Posters
    flaws: FlawLog
    found: dict[str, Any] = field(default_factory=dict)  # what was found out about the layout

    @property
    def labels(self) -> NDArray[np.bool_]:
        """(N, 18) which genres each film has."""
        return np.array([[genre in film.genres for genre in GENRES] for film in self.films]).reshape(-1, len(GENRES))


def load(path: Path, *, labelled: bool = False) -> Dataset:
    """Read a folder (or zip) with a table of films and their posters, or a table alone.

    Args:
        path: holds one CSV, TSV or parquet file, with any names of columns that `layout` knows, and the posters as
            `<movie_id>.jpg` in a folder or zip, or beside the table. A table alone is taken without posters, unless
            they lie beside it.
        labelled: films without a genre are dropped, and counted.

    Raises:
        UserError: there is no table, or it cannot be read, or holds no films.
    """
    path = Path(path)
    if path.suffix.lower() == ".zip" and path.is_file():
        path = _unwrap(path)
    table = read_text_table(path, ignore="prediction")
    columns = find_columns(table, COLUMN_NAMES)
    if "movie_id" not in columns:
        raise UserError(
            f"{table.name}: no column names the films (movie_id, imdb_id, id ...); it has {name_some(table.columns)}: "
            "rename the right one"
        )
    flaws = FlawLog()
    films = _read_films(table, columns, flaws)
    if labelled:
        films = _with_genres(films, table, flaws)
    posters = _find_posters(path if path.is_dir() else table.path.parent, films, flaws)
    if "synopsis" not in columns and not any(film.movie_id in posters.members for film in films):
        raise UserError(
            f"{table.name}: no posters and no column of synopses (synopsis, overview, plot ...), so nothing to predict "
            f"from; it has {name_some(table.columns)}: rename the right one"
        )
    found = {
        "table": Path(table.name).name,
        "columns": {name: table.columns[i] for name, i in columns.items()},
        "films": len(films),
        "posters": str(posters.store.path) if posters.store else None,
    }
    return Dataset(path, table.path, films, posters, flaws, found)


def _unwrap(path: Path) -> Path:
    """Unpack a zip of the whole data set; the folder that alone is in it, or in that, is the data set's."""
    here = unpack(path, ArchiveLimits(max_member_bytes=8_000_000_000))
    while len(inside := [p for p in here.iterdir() if not p.name.startswith(("__", "."))]) == 1 and inside[0].is_dir():
        here = inside[0]
    return here


def _read_films(table: TextTable, columns: Mapping[str, int], flaws: FlawLog) -> list[Film]:
    indicators = {} if "genres" in columns else indicator_columns(table)
    for number in table.ragged:
        flaws.add("row_of_other_length", f"row {number}")
    films, seen = [], dict[str, Film]()
    for number, row in enumerate(table.rows, start=1):
        cells = {name: row[position] for name, position in columns.items()}
        film = _read_film(cells, number, flaws)
        if indicators:
            named = frozenset(genre for genre, position in indicators.items() if is_true(row[position]))
            film = Film(film.movie_id, film.title, film.synopsis, film.year, named)
        if film.movie_id in seen:
            same = film == seen[film.movie_id]
            flaws.add("repeated_film" if same else "repeated_id_of_another_film", film.movie_id)
        seen.setdefault(film.movie_id, film)
        films.append(film)
    return films


def _read_film(cells: Mapping[str, str], number: int, flaws: FlawLog) -> Film:
    movie_id = cells["movie_id"].strip()
    if not movie_id:
        movie_id = f"row {number}"
        flaws.add("no_id", movie_id)
    genres = set()
    for name in split_genres(cells.get("genres", "")):
        genre = known_genre(name)
        if genre is None:
            flaws.add("unknown_genre", f"{movie_id}: {name[:60]}")
        else:
            genres.add(genre)
    year = _LEADING_YEAR.search(cells.get("year", ""))
    return Film(
        movie_id,
        title=clean_text(cells.get("title", ""))[0],
        synopsis=_read_synopsis(cells.get("synopsis", ""), movie_id, flaws),
        year=int(year[1]) if year else None,
        genres=frozenset(genres),
    )


def _read_synopsis(raw: str, movie_id: str, flaws: FlawLog) -> str:
    text, had_html = clean_text(raw)
    if had_html:
        flaws.add("html_in_synopsis", movie_id)
    if is_foreign(text):
        flaws.add("foreign_synopsis", movie_id)
        return ""
    if is_empty(text):
        flaws.add("empty_synopsis", movie_id)
        return ""
    return text


def _with_genres(films: Sequence[Film], table: TextTable, flaws: FlawLog) -> list[Film]:
    """Drop repeats and what has no genre that we know: there is nothing to learn or to score."""
    kept, seen = [], set()
    for film in films:
        if not film.genres:
            flaws.add("no_known_genre", film.movie_id)
        elif film.movie_id not in seen:
            seen.add(film.movie_id)
            kept.append(film)
    if not kept:
        raise UserError(f"{table.name}: no film has a genre of ours ({', '.join(GENRES)}); name the column 'genres'")
    return kept


def open_posters(place: Path) -> Posters:
    """The pictures of a folder or zip, by the stems of their names."""
    store = open_store(place)
    return Posters(store, index_by_stem(name for name in store.names if name.lower().endswith(_IMAGE_SUFFIXES)))


def _find_posters(folder: Path, films: Sequence[Film], flaws: FlawLog) -> Posters:
    """The zip or folder in `folder`, or `folder` itself, whose files bear the most films' ids."""
    ids = {film.movie_id for film in films}
    entries = sorted(p for p in folder.iterdir() if not p.name.startswith((".", "__")))
    places = [p for p in entries if p.is_dir() or p.suffix.lower() == ".zip"]
    if any(p.suffix.lower() in _IMAGE_SUFFIXES for p in entries):
        places.insert(0, folder)
    best, most = Posters(None, {}), (0, 0)
    for place in places:
        found = open_posters(place)
        # Pictures that bear no film's id are told as such: it may have lost its zeros in a spreadsheet.
        n_found = (len(ids & found.members.keys()), len(found.members))
        if n_found > most:
            best, found, most = found, best, n_found
        if found.store is not None:
            found.store.close()
    for film in films:
        if film.movie_id not in best.members:
            flaws.add("missing_poster", film.movie_id)
    for stem in sorted(best.members.keys() - ids):
        flaws.add("poster_without_film", best.members[stem])
    return best


@dataclass(frozen=True)
class Poster:
    """A decoded poster, and what is odd about it."""

    pixels: NDArray[np.uint8]  # (H, W, 3) RGB
    is_still: bool  # wider than high: a still of the film, or a photo


def decode_poster(data: bytes, size: tuple[int, int]) -> Poster:
    """Decode a poster at `size` = (height, width).

    Raises:
        ImageError: it is no picture, is damaged, or shows nothing.
    """
    image = decode_image(data, min_size=size)
    if image.std() < BLANK_SPREAD:
        raise ImageError("one plain colour")
    return Poster(resize_image(image, size), is_still=image.shape[1] > image.shape[0])


def read_poster(posters: Posters, movie_id: str, size: tuple[int, int]) -> Poster | str | None:
    """The poster of a film, why it cannot be used, or None where there is none."""
    try:
        return decode_poster(posters.read(movie_id), size)
    except KeyError:
        return None
    except (MemberError, ImageError, OSError) as error:
        return str(error)


def title_key(title: str) -> str:
    """What a film's title has in common with those of its sequels; '' where nothing is left.

    >>> title_key("The Matrix: Reloaded") == title_key("Matrix 2") == "matrix"
    True
    """
    words = re.findall(r"[^\W_]+", re.split(r":| - ", title)[0].lower())
    kept = [w for w in words if w not in _TITLE_LITTER and not w.isdigit()]
    return " ".join(kept)


_TITLE_LITTER: Final = frozenset((
    "the", "a", "an", "part", "episode", "chapter", "volume", "vol", "ii", "iii", "iv", "v", "vi", "vii", "viii",
    "ix", "x",
))  # fmt: skip


def related_films(films: Sequence[Film], poster_hashes: Sequence[int | None]) -> NDArray[np.int64]:
    """(N,) group of each film: sequels, near-duplicate titles and near-duplicate posters are one.

    Args:
        films: N.
        poster_hashes: perceptual hash of each film's poster, None where there is none.
    """
    from common.data.splits import join_groups, near_duplicate_groups

    titles = np.array([title_key(film.title) or None for film in films], dtype=object)
    pictures = np.full(len(films), None, dtype=object)
    known = [i for i, value in enumerate(poster_hashes) if value is not None]
    if known:
        hashes = np.array([poster_hashes[i] for i in known], dtype=np.uint64)
        pictures[known] = near_duplicate_groups(hashes, NEAR_POSTER_BITS)
    return join_groups(titles, pictures)


def split_folds(
    labels: NDArray[np.bool_], groups: NDArray[np.int64], n_folds: int = 5, seed: int = 0
) -> NDArray[np.int64]:
    """(N,) fold of each film: no group in two, each film's rarest genre spread evenly over the folds.

    Rare genres are those that an uneven split would hurt; the frequent ones are even by their number.

    Raises:
        UserError: there are too few films for so many folds.
    """
    from common.data.splits import grouped_folds

    counts = labels.sum(axis=0)  # (18,)
    rarest = np.where(labels, counts, counts.max() + 1).argmin(axis=1)  # (N,)
    return grouped_folds(rarest, groups, n_folds, seed)


def write_layout(out: Path, films: Sequence[Film], posters: Mapping[str, bytes]) -> None:
    """Write a data set in the official layout: `movies_dataset.csv` and `movie_posters.zip`.

    Args:
        out: folder.
        films: a row each.
        posters: JPEG bytes by movie_id; films may lack one.
    """
    import csv
    import zipfile

    from common.data.tables import replace_atomically

    with replace_atomically(out / "movie_posters.zip") as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for movie_id, data in posters.items():  # stored, not deflated: JPEG does not shrink
            archive.writestr(zipfile.ZipInfo(f"{movie_id}.jpg", (2026, 1, 1, 0, 0, 0)), data)
    with (
        replace_atomically(out / "movies_dataset.csv") as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["movie_id", "title", "year", "synopsis", "genres"])
        for film in films:
            genres = "|".join(genre for genre in GENRES if genre in film.genres)
            writer.writerow([film.movie_id, film.title, film.year or "", film.synopsis, genres])
