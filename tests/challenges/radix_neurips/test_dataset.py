"""Papers are found in any usual table; what cannot be used is named, what repeats is told."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from challenges.radix_neurips.dataset import Columns, Corpus, identical_abstracts, load, near_duplicates
from challenges.radix_neurips.sample import generate, write_sample
from common.data.text_tables import read_text_table
from common.errors import UserError

ROWS = pd.DataFrame(
    {
        "paper_id": ["a", "b", "c"],
        "year": [1999, 2021, 2023],
        "title": ["Kernels, again", "Bandits; a \u201csurvey\u201d", "Graphs"],
        "abstract": ["We study kernels;\nthe rest, is known.", 'He said "go"; we went.', "Graphs | are\tfine."],
    }
)


def texts(corpus: Corpus) -> list[str]:
    return [*corpus.titles, *corpus.abstracts]


def save(frame: pd.DataFrame, path: Path, how: str) -> Path:
    if how == "parquet":
        frame.to_parquet(path / "p.parquet")
        return path / "p.parquet"
    separator, encoding = {"csv": (",", "utf-8"), "tsv": ("\t", "utf-16"), "bom": (";", "utf-8-sig")}[how.split("-")[0]]
    name = "p.tsv" if how == "tsv" else "p.csv"
    (path / name).write_bytes(frame.to_csv(index=False, sep=separator).encode(encoding))
    if how == "csv-zip":
        with zipfile.ZipFile(path / "p.zip", "w") as file:
            file.write(path / name, "folder/p.csv")
            file.writestr("__MACOSX/folder/._p.csv", "litter")
        return path / "p.zip"
    return path if how == "csv-folder" else path / name


@pytest.mark.parametrize("how", ["csv", "tsv", "bom", "parquet", "csv-zip", "csv-folder"])
def test_any_usual_file_gives_the_same_papers(tmp_path: Path, how: str):
    corpus = load(save(ROWS, tmp_path, how))
    assert corpus.ids.tolist() == ["a", "b", "c"]
    assert corpus.years.tolist() == [1999, 2021, 2023]
    assert corpus.titles[0] == "Kernels, again"
    assert corpus.abstracts == ["We study kernels; the rest, is known.", 'He said "go"; we went.', "Graphs | are fine."]
    assert corpus.report["papers"] == 3
    assert corpus.report["unusable"] == {}


def test_columns_go_by_many_names_and_can_be_given(tmp_path: Path):
    other = ROWS.rename(columns={"paper_id": "Forum ID", "year": "publication_date", "abstract": "Paper Abstract"})
    other["publication_date"] = "3 Dec " + ROWS["year"].astype(str)
    path = save(other, tmp_path, "csv")
    with pytest.raises(UserError, match="no column 'abs'"):
        load(path, Columns(abstract="abs"))
    corpus = load(path, Columns(abstract="Paper Abstract"))
    assert texts(corpus) == texts(load(save(ROWS, tmp_path, "parquet")))
    assert corpus.years.tolist() == [1999, 2021, 2023]
    only_titles = load(save(ROWS[["title"]].assign(x=1), tmp_path, "parquet"))
    assert only_titles.ids.tolist() == ["0", "1", "2"]
    assert only_titles.years.tolist() == [0, 0, 0]


def test_an_export_of_zotero_is_read_as_it_is(tmp_path: Path):
    columns = ["Key", "Item Type", "Publication Year", "Title", "DOI", "Abstract Note"]
    rows = [
        ["AB1", "conferencePaper", 2019, "Bandits", "", "We pull arms."],
        ["AB2", "", 2020, "Kernels", "10.1/x", ""],
    ]
    corpus = load(save(pd.DataFrame(rows, columns=columns), tmp_path, "csv"))
    assert corpus.ids.tolist() == ["AB1", "AB2"]
    assert corpus.years.tolist() == [2019, 2020]
    assert corpus.abstracts == ["We pull arms.", ""]


def test_columns_that_hold_no_paper_are_named(tmp_path: Path):
    (tmp_path / "p.csv").write_text("doi,title,x\n,One,a\n,Two,b\n")
    with pytest.raises(UserError, match=r"none of 2 rows is a paper \(no paper id; 'doi' for paper_id, .* --id-column"):
        load(tmp_path / "p.csv")


def test_rows_that_are_no_papers_are_named(tmp_path: Path):
    rows = pd.DataFrame(
        {
            "id": ["a", "", "a", "b", "c", "d"],
            "title": ["One", "Two", "Three", "", " \x07", "Six"],
            "abstract": ["Text.", "Text.", "Text.", "N/A", "\n", None],
        }
    )
    report = (corpus := load(save(rows, tmp_path, "parquet"))).report
    assert corpus.ids.tolist() == ["a", "d"]
    assert list(report["unusable"]) == ["row 2", "row 3", "row 4", "row 5"]
    assert "stands twice" in report["unusable"]["row 3"]
    assert report["without_abstract"] == 1
    assert report["short_abstracts"]["papers"] == 1


def test_ids_hold_nothing_that_a_terminal_obeys(tmp_path: Path):
    rows = ROWS.assign(paper_id=["\x1b[31ma\u202e ", "b\n", "\x07"])
    corpus = load(save(rows, tmp_path, "parquet"))
    assert corpus.ids.tolist() == ["[31ma", "b"]
    assert corpus.report["unusable"] == {"row 3": "no paper id"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"title,abstract\n", "no rows"),
        (b"a,b\n1,2\n", "no column of titles or abstracts"),
        (b"title,abstract\n,\n , \n", "none of 2 rows is a paper"),
        (b"\x89PNG\x00\x00\x01\x02", "not text"),
    ],
)
def test_what_is_no_table_of_papers_is_refused(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load(tmp_path / "p.csv")


def test_wrong_places_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "nothing.csv")
    with pytest.raises(UserError, match="no table, but nothing"):
        load(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(UserError, match="not a readable parquet"):
        load(tmp_path)
    (tmp_path / "b.csv").write_text("title,abstract\nA,B\n")
    with pytest.raises(UserError, match="holds 2 tables"):
        load(tmp_path)
    (tmp_path / "x.pdf").write_bytes(b"%PDF")
    with pytest.raises(UserError, match=r"no table, but x\.pdf"):
        load(tmp_path / "x.pdf")


def test_ragged_rows_and_windows_text_are_read(tmp_path: Path):
    (tmp_path / "p.csv").write_bytes("title,abstract\nÜber Netze,Kurz\nzwei,b,c\ndrei\n".encode("cp1252"))
    table = read_text_table(tmp_path / "p.csv")
    assert table.rows == [["Über Netze", "Kurz"], ["zwei", "b"], ["drei", ""]]
    assert table.ragged == [2, 3]


def test_repeats_are_told(tmp_path: Path):
    base = generate(1)[0].abstract
    rows = pd.DataFrame({"paper_id": list("abcd"), "title": ["A", "B", "C", "D"]})
    rows["abstract"] = [
        base,
        f"  {base.upper()}",
        base.replace("experiments", "extensive experiments") + " One more.",
        "",
    ]
    corpus = load(save(rows, tmp_path, "csv"))
    assert identical_abstracts(corpus).tolist() == [0, 0, 1, 2]
    assert {(i, j) for i, j, _ in near_duplicates(corpus)} == {(0, 1), (0, 2), (1, 2)}
    assert corpus.report["identical_abstracts"] == [["a", "b"]]
    assert {tuple(pair[:2]) for pair in corpus.report["near_duplicates"]} == {("a", "c"), ("b", "c")}


def test_near_duplicates_agree_with_comparing_all(tmp_path: Path):
    write_sample(tmp_path, n_papers=60)
    corpus = load(tmp_path / "neurips_papers.zip")
    doubled = Corpus(
        np.array([*corpus.ids, "x"]),
        np.append(corpus.years, 0),
        [*corpus.titles, "X"],
        [*corpus.abstracts, corpus.abstracts[7] + " Indeed so."],
        {},
    )

    def shingles(text: str) -> set[tuple[str, ...]]:
        words = "".join(c if c.isalnum() or c == "_" else " " for c in text.casefold()).split()
        return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}

    sets = [shingles(text) for text in doubled.abstracts]
    expected = {
        (i, j)
        for j in range(61)
        for i in range(j)
        if len(sets[i] & sets[j]) >= 0.5 * len(sets[i] | sets[j])
    }  # fmt: skip
    assert {(i, j) for i, j, _ in near_duplicates(doubled)} == expected
    assert (7, 60) in expected


@pytest.mark.slow
@pytest.mark.real_data
def test_real_corpus(shared_data: Path):
    corpus = load(shared_data / "neurips" / "neurips_papers.zip")
    report = corpus.report
    assert len(corpus) == 20_196
    assert not report["unusable"]
    assert len(report["identical_abstracts"]) == 21
    mended = {flaw: count["papers"] for flaw, count in report["mended"].items()}
    assert mended["latex"] > 3_000
    assert mended["soft_hyphen"] > 1_500
    assert mended["broken_word"] > 500
    assert not any("(cid:" in text or "\\" in text for text in texts(corpus))
