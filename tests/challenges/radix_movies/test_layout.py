"""Tables of films in every layout that people save."""

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from challenges.radix_movies.dataset import load, related_films, split_folds, title_key
from challenges.radix_movies.layout import GENRES, known_genre, split_genres
from challenges.radix_movies.synopsis import clean_text, is_empty, is_foreign
from common.errors import UserError

PLOT = "A detective hunts the man who stole the painting from the museum, and the trail leads to his own family."


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_separator_and_name_of_a_column_is_understood(separator: str, tmp_path: Path):
    joined = "," if separator == "|" else "|"
    rows = [["id", "Name", "release_date", "Overview", "Genre"]]
    rows += [[f"tt{i}", f'A "film" {i}', "1999-01-31", f"{PLOT}\n{i}", f"Sci-Fi{joined}Drama"] for i in range(3)]
    pd.DataFrame(rows[1:], columns=rows[0]).to_csv(tmp_path / "films.csv", sep=separator, index=False)
    dataset = load(tmp_path)
    assert [film.movie_id for film in dataset.films] == ["tt0", "tt1", "tt2"]
    film = dataset.films[1]
    assert (film.title, film.year, film.synopsis) == ('A "film" 1', 1999, f"{PLOT} 1")
    assert film.genres == {"Science Fiction", "Drama"}


def test_a_damaged_archive_is_the_users_to_mend(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("films.csv", f"movie_id,plot,genres\n7,{PLOT},Drama\n")
    content = bytearray((tmp_path / "all.zip").read_bytes())
    content[60] ^= 0xFF
    (tmp_path / "all.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"all\.zip: films\.csv: .*download or copy it again"):
        load(tmp_path / "all.zip")


def test_parquet_and_indicator_columns(tmp_path: Path):
    frame = pd.DataFrame({"movie_id": [7, 8], "plot": [PLOT, PLOT], "Drama": [1, 0], "Sci-Fi": [0, 1], "War": [1, 0]})
    frame.to_parquet(tmp_path / "films.parquet")
    films = load(tmp_path).films
    assert [(film.movie_id, film.genres) for film in films] == [
        ("7", {"Drama", "War"}), ("8", {"Science Fiction"}),
    ]  # fmt: skip


@given(
    st.lists(st.sampled_from(GENRES), unique=True, max_size=6),
    st.sampled_from(["|", ", ", ";", " / ", "json", "tmdb", "py"]),
)
def test_genres_survive_every_spelling_of_a_list(genres: list[str], style: str):
    cell = {
        "json": json.dumps(genres),
        "tmdb": str([{"id": i, "name": genre} for i, genre in enumerate(genres)]),
        "py": str(tuple(genres)),
    }.get(style) or style.join(genres)
    assert [known_genre(name) for name in split_genres(cell)] == genres


@given(st.text(max_size=200))
def test_no_cell_of_genres_and_no_synopsis_breaks_the_reading(cell: str):
    assert all(name == name.strip() and name for name in split_genres(cell))
    text, _ = clean_text(cell)
    assert clean_text(text)[0] == text or "&" in text or "<" in text
    assert isinstance(is_foreign(text), bool)
    assert is_empty(text) is (sum(map(str.isalpha, text)) < 20)


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        (PLOT, False),
        ("Un jeune homme rencontre une femme mystérieuse qui l'entraîne dans une aventure à Paris.", True),
        ("Ein junger Mann trifft eine geheimnisvolle Frau, die ihn in ein Abenteuer führt.", True),
        ("Un joven conoce a una mujer misteriosa que lo lleva a una peligrosa aventura a través de la guerra.", True),
        ("Da en ung kvinde vender hjem for at begrave sin far, opdager hun, at han havde en hemmelighed. Her møder hun "
         "en gammel ven, men for at finde sandheden må hun have mod til at se tilbage.", True),
        ("Her møter han en mann som har mistet alt, og de drar ut på en reise for å finne fred. Men før de når fram, "
         "må de kjempe for livet.", True),
        ("Toen Jan een kind was, had zijn vader een boerderij. Zijn vrouw was ooit verliefd op een ander, en had hem "
         "dat nooit verteld. Weet hij of zij hem wil vergeven of niet?", True),
        ("Toe Jan 'n kind was, het sy pa 'n plaas gehad. Hy weet nie of hy moet bly of gaan nie. Sy vrou was verlief "
         "op 'n ander man, en hy will weet of dit waar was.", True),
        ("Kommissar Weber will endlich wissen, was an jenem Abend geschah. Als er an der Tür klingelt, ahnt er nicht, "
         "was ihn erwartet, und was er an Beweisen hat, will er an die Presse geben.", True),
        ("Eccentric scientist Victor Von Frankenstein creates a grotesque creature in an unorthodox scientific "
         "experiment.", False),  # as few function words as a synopsis has
        ("Molly and Ray, con artists in a small town, have had enough of it.", False),
        ("Молодой человек встречает женщину", True),
        ("Boy meets girl.", False),  # too short to judge
    ],
)  # fmt: skip
def test_a_foreign_synopsis_is_told_by_its_words(text: str, foreign: bool):
    assert is_foreign(text) is foreign


def test_html_is_stripped():
    assert clean_text("<p>A &lt;b&gt;boy&nbsp;&amp; his dog<br/>\x00 run<script>alert(1)</script>") == (
        "A <b>boy & his dog run", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "no column names the films"),
        ("id,Inhalt\n1,text\n", "no posters and no column of synopses .* it has 'id', 'Inhalt'"),
        ("movie_id,synopsis\n", "no rows below the header"),
        ("", "the file is empty"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_one_line(content: str, message: str, tmp_path: Path):
    (tmp_path / "films.csv").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_or_with_two_tables_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no table"):
        load(tmp_path)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("movie_id,synopsis\n1,x\n")
    with pytest.raises(UserError, match=r"2 tables \(a.csv, b.csv\)"):
        load(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "nowhere")


def test_posters_that_bear_no_films_id_are_told(tmp_path: Path):
    """A spreadsheet took the zeros from 00000001."""
    (tmp_path / "films.csv").write_text(f'movie_id,synopsis\n1,"{PLOT}"\n')
    (tmp_path / "posters").mkdir()
    (tmp_path / "posters" / "00000001.jpg").touch()
    flaws = load(tmp_path).flaws.examples
    assert flaws == {"missing_poster": ["1"], "poster_without_film": ["00000001.jpg"]}
    (tmp_path / "films.csv").write_text("movie_id,title\n1,A film\n")
    with pytest.raises(UserError, match="no posters and no column of synopses"):
        load(tmp_path)


def test_a_less_sure_name_of_a_column_does_not_hide_a_surer_one(tmp_path: Path):
    (tmp_path / "films.csv").write_text("id,movie_id,text,synopsis\n1,tt1,a,b\n")
    assert load(tmp_path).found["columns"] == {"movie_id": "movie_id", "synopsis": "synopsis"}


def test_sequels_and_like_posters_are_one_group_and_never_parted(sample):
    films = sample.films
    groups = related_films(films, [0 if i in (3, 50) else None for i in range(len(films))])
    assert groups[3] == groups[50]
    assert title_key("Star Quest II: The Return") == title_key("Star Quest") == "star quest"
    for i, film in enumerate(films):
        for j in range(i):
            if title_key(film.title) == title_key(films[j].title):
                assert groups[i] == groups[j]
    folds = split_folds(sample.labels, groups, n_folds=3)
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    assert set(folds) == {0, 1, 2}


@pytest.mark.real_data
def test_every_real_synopsis_is_english(shared_data: Path):
    synopses = pd.read_csv(shared_data / "movies" / "movies_dataset.csv")["synopsis"].dropna()
    assert len(synopses) > 3_000
    assert [text for text in synopses if is_foreign(clean_text(text)[0])] == []
