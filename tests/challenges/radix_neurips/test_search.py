"""Searching: the ranking of `batch`, reasons, folding, filters, several papers, and the index on disk."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from challenges.radix_neurips import search as search_module
from challenges.radix_neurips.index import FaissStore, Kind, Years
from challenges.radix_neurips.lexical import load_keyphraseness
from challenges.radix_neurips.milvus import MilvusStore
from challenges.radix_neurips.predict import rank
from challenges.radix_neurips.search import Found, Searcher, split_title
from common.errors import UserError
from common.models.text import SHIPPED


def ids(found: tuple[Found, ...]) -> list[str]:
    return [paper.paper_id for paper in found]


def flat(found: tuple[Found, ...]) -> set[str]:
    """Ids found, and those named under them."""
    return {*ids(found), *(other.paper_id for paper in found for other in paper.near_duplicates)}


def test_the_ranking_is_that_of_batch(searcher: Searcher):
    corpus = searcher.corpus
    rows, scores = rank(corpus, corpus.select(np.arange(20, 26)), searcher.encoder, load_keyphraseness(SHIPPED), 10)
    for query in range(6):
        found = searcher.like_papers([str(corpus.ids[20 + query])], 10).found
        assert ids(found) == corpus.ids[rows[query]].tolist()
        np.testing.assert_allclose([paper.score for paper in found], scores[query], rtol=1e-4)


def test_a_papers_own_text_finds_it_first_and_says_that_it_is_the_same(searcher: Searcher):
    corpus = searcher.corpus
    for row in (30, 31, 60):
        found = searcher.like_text(f"{corpus.titles[row]}\n\n{corpus.abstracts[row]}", 3).found
        assert found[0].paper_id == corpus.ids[row]
        assert [paper.same_abstract for paper in found] == [True, False, False]
        assert searcher.like_text(corpus.abstracts[row], 3).found[0].paper_id == corpus.ids[row]


def test_a_paper_is_not_found_for_itself_but_its_twin_is_and_says_so(searcher: Searcher):
    first = str(searcher.corpus.ids[0])
    found = searcher.like_papers([first], 5)
    assert [paper.paper_id for paper in found.queried] == [first]
    assert first not in flat(found.found)
    assert found.found[0].paper_id == "twin"
    assert found.found[0].same_abstract
    assert [paper.paper_id for paper in found.found[0].near_duplicates] == ["near"]
    assert not any(paper.same_abstract for paper in found.found[1:])


def test_nearly_equal_papers_take_one_place(searcher: Searcher):
    found = searcher.like_text(searcher.corpus.abstracts[0], 5).found
    assert len(found) == 5
    assert {found[0].paper_id, *(other.paper_id for other in found[0].near_duplicates)} == {
        str(searcher.corpus.ids[0]),
        "twin",
        "near",
    }


def test_reasons_are_in_both_texts(searcher: Searcher):
    text = "Regret minimisation of contextual bandits with Thompson sampling. We evaluate on news recommendation."
    found = searcher.like_text(text, 10).found
    for paper in found[:5]:
        row = searcher.corpus.ids.tolist().index(paper.paper_id)
        whole = f"{searcher.corpus.titles[row]}\n{searcher.corpus.abstracts[row]}".lower()
        assert paper.shared_phrases
        assert all(phrase in whole for phrase in paper.shared_phrases)
        assert paper.sentence in searcher.corpus.abstracts[row]
    marked = " ".join(paper.sentence[a:b].lower() for paper in found[:5] for a, b in paper.highlights)
    assert "thompson sampling" in marked or "contextual bandits" in marked or "regret minimisation" in marked


def test_years_filter_and_what_they_leave_keeps_its_order(searcher: Searcher):
    text = searcher.corpus.abstracts[12]
    everything = [paper for paper in searcher.like_text(text, 200).found if (paper.year or 0) >= 2022]
    filtered = searcher.like_text(text, 200, years=Years(first=2022)).found
    assert ids(filtered) == ids(tuple(everything))
    assert len(filtered) > 5
    assert searcher.like_text(text, years=Years(last=1900)).found == ()


def test_several_papers_are_looked_around_together(searcher: Searcher):
    corpus = searcher.corpus
    topic = [str(corpus.ids[row]) for row in (2, 17, 32)]  # of one topic: the sample goes round all 15
    found = searcher.like_papers(topic, 3)
    assert [paper.paper_id for paper in found.queried] == topic
    assert not {*topic} & flat(found.found)
    assert {corpus.ids.tolist().index(paper_id) % 15 for paper_id in ids(found.found)} == {2}
    assert found == searcher.like_papers([*topic, topic[0]], 3)


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: text.replace(" ", "\n  "), lambda text: text.replace("We", "\\textbf{We}")]
)
def test_case_space_and_latex_hardly_move_results(searcher: Searcher, change):
    for row in (40, 41):
        text = searcher.corpus.abstracts[row]
        before, after = (ids(searcher.like_text(t, 10).found) for t in (text, change(text)))
        assert after[0] == before[0]
        assert len({*before} & {*after}) >= 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no words"),
        (" \n\t\x00\x1b ", "no words"),
        ("... !?", "no words"),
        ("the of and", "no words"),
        ("word " * 200_000, "1,000,000 characters"),
    ],
)
def test_a_text_without_words_or_too_long_is_a_mistake(searcher: Searcher, text: str, message: str):
    with pytest.raises(UserError, match=message):
        searcher.like_text(text)


@pytest.mark.parametrize(
    "text", ["深層学習によるグラフの分類", "Обучение подкреплением", "x\ud800y words", "<b>&amp;</b> bandits"]
)
def test_any_other_text_is_answered(searcher: Searcher, text: str):
    found = searcher.like_text(text, 3).found
    assert len(found) == 3
    assert all(np.isfinite(paper.score) for paper in found)


def test_papers_that_are_not_there_or_too_many_are_a_mistake(searcher: Searcher):
    with pytest.raises(UserError, match="no paper 'nowhere'"):
        searcher.like_papers(["twin", "nowhere"])
    with pytest.raises(UserError, match="1 to 20"):
        searcher.like_papers([])


def test_a_title_stands_before_a_blank_line():
    assert split_title("A title\r\n \r\nAn abstract.\n\nMore.") == ("A title", "An abstract.\n\nMore.")
    assert split_title("One line\nand another") == ("", "One line\nand another")
    assert split_title("x" * 400 + "\n\nabstract")[0] == ""


@pytest.mark.parametrize("store", ["ivf-pq", "milvus"])
def test_a_store_that_finds_candidates_gives_the_same_papers(
    searcher: Searcher, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(search_module, "_CANDIDATES", 60)
    corpus, dimensions = searcher.corpus, searcher.encoder.dimensions
    other = (
        MilvusStore(str(tmp_path / "papers.db"), dimensions, searcher.encoder.fingerprint)
        if store == "milvus"
        else FaissStore(dimensions, Kind.IVF_PQ)
    )
    other.add(corpus.ids.tolist(), searcher.store.vectors(corpus.ids.tolist()), corpus.years)
    large = Searcher(
        corpus, other, searcher.tfidf, searcher.columns, searcher.encoder, searcher.words, searcher.data_fingerprint
    )
    for text, years in ((corpus.abstracts[7], Years()), (corpus.abstracts[8], Years(2021, 2022))):
        expected, found = (s.like_text(text, 10, years=years).found for s in (searcher, large))
        assert len({*ids(expected)} & {*ids(found)}) >= 9
        assert ids(expected)[0] == ids(found)[0]
    if isinstance(other, MilvusStore):
        other.close()


def test_answers_are_plain_values(searcher: Searcher):
    paper = dataclasses.asdict(searcher.like_text("bandits", 1).found[0])
    assert isinstance(paper["paper_id"], str)
    assert isinstance(paper["year"], int)
    assert isinstance(paper["score"], float)
