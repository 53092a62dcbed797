"""Themes found: by consensus, in any number, with nothing lost; and what is written of them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from sklearn.metrics import f1_score

from challenges.avalanche.baselines import k_means, tf_idf
from challenges.avalanche.dataset import Question, Survey, load
from challenges.avalanche.describe import Wording, choose_quotes, word_themes
from challenges.avalanche.discovery import Discovery, at_level, discover
from challenges.avalanche.embedding import Embedder
from challenges.avalanche.evaluate import best_matches, score
from challenges.avalanche.model import Grouping, co_association, consensus
from challenges.avalanche.pictures import draw_map, draw_tree
from challenges.avalanche.predict import as_markdown, tabulate, write


def ask(*texts: str) -> Question:
    answers = pd.DataFrame({"respondent_id": map(str, range(len(texts))), "response": texts, "original": texts})
    answers = answers.assign(themes=[()] * len(texts), usable=answers["response"] != "", reason="", row=0)
    return Question("Why?", answers, pd.DataFrame(index=answers.index))


@pytest.fixture(scope="module")
def found(sample: Survey, embedder: Embedder) -> Discovery:
    return discover(sample.questions[0], embedder=embedder)


def test_texts_that_share_words_are_together_and_a_lone_one_is_nowhere(embedder: Embedder):
    texts = [f"{a} battery {b}" for a in ("bad", "poor", "weak") for b in ("life", "pack", "time")]
    texts += [f"{a} maps {b}" for a in ("no", "lost", "wrong") for b in ("here", "offline", "today")]
    grouping = consensus(texts, np.ones(18, np.int64), 0, embedder)
    assert not set(grouping.labels[:9]) & set(grouping.labels[9:]) - {-1}
    assert len(grouping.closeness) == len(set(grouping.labels) - {-1}) <= 6
    found = discover(ask(*texts, "xyzzy"), embedder=embedder, with_map=False)
    assert 18 not in set(found.assignments["row"])
    assert len(found.assignments) >= 16


def test_co_association_is_the_share_of_clusterings():
    together = co_association(np.array([[0, 0, 1], [1, 0, 0]]))
    assert together.tolist() == [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]


def test_every_usable_answer_is_there_once_for_each_of_its_themes(sample: Survey, found: Discovery):
    answers, assigned = sample.questions[0].answers, found.assignments
    assert not assigned.duplicated(["row", "theme_id"]).any()
    assert answers["usable"][assigned["row"].unique()].all()
    assert assigned["probability"].between(0, 1).all()
    assert (
        assigned.groupby("row")["probability"].idxmax()
        == assigned.drop_duplicates("row")
        .set_index("row")
        .index.map(lambda row: assigned.index[assigned["row"] == row][0])
    ).all()
    for theme in found.themes:
        own = assigned.loc[assigned["theme_id"] == theme.id, "row"]
        assert theme.n_answers == len(own) >= 3
        assert set(theme.quotes) <= set(own)
        assert theme.share.low < theme.share.estimate < theme.share.high
    assert [t.id for t in found.themes] == list(range(len(found.themes)))
    assert [t.n_answers for t in found.themes] == sorted((t.n_answers for t in found.themes), reverse=True)
    assert len({t.label for t in found.themes}) == len(found.themes)
    assert np.isfinite(found.positions[answers["usable"]]).all()
    assert np.isnan(found.positions[~answers["usable"]]).all()


def test_it_agrees_with_the_known_themes_far_beyond_chance_and_is_the_same_for_one_seed(
    sample: Survey, found: Discovery, embedder: Embedder
):
    assert score(sample.questions[0], found.assignments)["ami"] > 0.3
    again = discover(sample.questions[0], embedder=embedder, with_map=False)
    pd.testing.assert_frame_equal(again.assignments, found.assignments)
    assert again.themes == found.themes


def test_the_tree_gives_any_number_of_themes(found: Discovery):
    n_themes = len(found.themes)
    assert n_themes > 4
    for n in (1, 3, n_themes, n_themes + 5):
        groups = at_level(found, n)
        assert len(set(groups)) <= n
        assert len(groups) == n_themes
    assert len(set(at_level(found, n_themes))) == n_themes
    coarse, fine = at_level(found, 2), at_level(found, 4)
    assert all(len(set(coarse[fine == group])) == 1 for group in set(fine))


def test_two_clauses_two_themes(embedder: Embedder):
    prices = [f"{a} too expensive {b}" for a in ("it is", "far", "much", "way") for b in ("for me", "now", "lately")]
    moving = [f"I am moving {b}" for b in ("away", "abroad", "house", "to Spain", "out", "soon", "home", "in May")]
    question = ask(*prices, *moving, "it is too expensive for me and I am moving abroad")
    found = discover(question, embedder=embedder, with_map=False)
    both = found.assignments[found.assignments["row"] == 20]
    assert len(both) == 2
    assert set(both["clause"]) == {"it is too expensive for me", "I am moving abroad"}


def test_answers_that_say_the_same_belong_to_the_same_theme_or_nowhere():
    topics = ("price", "maps", "ads")
    question = ask(*(f"{topic} {i}" for topic in topics for i in range(5)), "price maps ads", "Price maps ads!")

    def embedder(texts: Sequence[str]) -> np.ndarray:
        vectors = np.array([[0.1, *(topic in text.lower() for topic in topics)] for text in texts], np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    def by_topic(texts: Sequence[str], counts: np.ndarray, seed: int, embedder: Embedder) -> Grouping:
        alone = [[topic for topic in topics if topic in text] for text in texts]
        labels = [topics.index(said[0]) if len(said) == 1 else -1 for said in alone]
        return Grouping(np.array(labels), np.eye(3))

    found = discover(question, embedder=embedder, cluster=by_topic, with_map=False)
    assert sorted(found.assignments["row"]) == list(range(15))


@pytest.mark.parametrize(
    "texts", [(), ("",), ("slow",), ("slow", "slow"), ("slow", "slow", "slow."), ("a b", "c d", "e f")]
)
def test_few_answers_are_no_accident(texts: tuple[str, ...], embedder: Embedder):
    found = discover(ask(*texts), embedder=embedder)
    assert len(found.themes) == (1 if texts[:3] == ("slow", "slow", "slow.") else 0)
    assert found.positions.shape == (len(texts), 2)
    assert at_level(found, 3).tolist() == [0] * len(found.themes)


def test_many_answers_are_sorted_by_a_sample(monkeypatch: pytest.MonkeyPatch, sample: Survey, embedder: Embedder):
    monkeypatch.setattr("challenges.avalanche.discovery.SAMPLE", 60)
    found = discover(sample.questions[0], embedder=embedder)
    n_usable = int(sample.questions[0].answers["usable"].sum())
    assert found.assignments["row"].nunique() > 0.7 * n_usable
    assert np.isfinite(found.positions).all(axis=1).sum() == n_usable


def test_every_step_can_be_replaced(sample: Survey, embedder: Embedder):
    def by_k_means(texts, counts, seed, embedder):
        labels = k_means(5, tf_idf)(texts, seed, embedder)
        from challenges.avalanche.model import Grouping

        return Grouping(labels, np.eye(5))

    found = discover(
        sample.questions[0], embedder=embedder, cluster=by_k_means, split=lambda answer: (answer,),
        word=lambda clauses, themes, n: [Wording(f"theme {i}", ()) for i in range(n)],
        place=lambda vectors, sampled, seed: vectors[:, :2],
    )  # fmt: skip
    assert [theme.label for theme in found.themes] == [f"theme {i}" for i in range(len(found.themes))]
    assert len(found.themes) <= 5
    assert found.assignments["row"].is_unique  # no clauses, no second themes
    rows = np.flatnonzero(sample.questions[0].answers["usable"])
    texts = sample.questions[0].answers["response"].iloc[rows].tolist()
    np.testing.assert_array_equal(found.positions[rows], embedder(texts)[:, :2])


def test_labels_are_phrases_that_distinguish_and_quotes_are_varied(embedder: Embedder):
    clauses = (
        ["the price keeps rising"] * 4 + ["The price is rising"] * 3 + ["the maps are wrong"] * 5 + ["wrong maps here"]
    )
    themes = np.array([0] * 7 + [1] * 6)
    first, second = word_themes(clauses, themes, 2)
    assert "price" in first.label.lower()
    assert "maps" in second.label.lower()
    assert len(first.label.split()) > 1
    texts = ["no maps at all today", "no maps at all today", "no maps at all, today", "the maps are all wrong here"]
    quotes = choose_quotes(texts, embedder(texts), np.ones(4), n=2)
    assert quotes[1] == 3
    assert len(choose_quotes(texts, embedder(texts), np.ones(4))) == 3  # the same words once


def test_a_label_is_short_whatever_stands_between_two_spaces():
    clauses = ["\u6599" * 300, "\u6599" * 300, "too slow", "too slow"]
    labels = [wording.label for wording in word_themes(clauses, np.array([0, 0, 1, 1]), 2)]
    assert labels == ["\u6599" * 59 + "\u2026", "Too slow"]


def test_what_is_written_holds_every_answer_and_runs_nothing(
    sample: Survey, found: Discovery, tmp_path: Path, embedder: Embedder
):
    evil = ask("<script>alert(1)</script> too slow", "[x](javascript:y) too slow", "$x^2$ too slow", "")
    survey = Survey("evil", (sample.questions[0], evil), {"flaws": {}})
    discoveries = [found, discover(evil, embedder=embedder)]
    written = write(survey, discoveries, tmp_path, {"seed": 0})
    table = pd.read_parquet(written.themes)
    asked = [
        (q.text, *pair)
        for q in survey.questions
        for pair in zip(q.answers["respondent_id"], q.answers["original"], strict=True)
    ]
    assert set(zip(table["question"], table["respondent_id"], table["response"], strict=True)) == set(asked)
    assert ((table["theme_id"] == -1) == (table["theme"] == "")).all()
    assert list(table.columns[:6]) == ["question", "respondent_id", "response", "theme_id", "theme", "probability"]
    assert table["theme_id"].max() == sum(len(d.themes) for d in discoveries) - 1
    page = written.page.read_text("utf-8")
    assert "<script>" not in page
    assert "](javascript" not in page
    report = json.loads(written.report.read_text("utf-8"))
    assert len(report["found"][0]["themes"]) == len(found.themes)
    assert {path.name for path in written.pictures} >= {"map_1.png", "tree_1.png"}
    assert all(path.stat().st_size > 1000 for path in written.pictures)
    renamed = replace(survey, questions=survey.questions[:1])
    assert len(tabulate(renamed, discoveries[:1])) < len(table)
    assert as_markdown(renamed, discoveries[:1]).count("\n### ") == len(found.themes)


def test_pictures_of_an_earlier_run_go_and_those_of_somebody_else_stay(
    sample: Survey, found: Discovery, tmp_path: Path
):
    """A user may write into a folder that holds pictures: of the city's map, of a maple, of a tree house."""
    others = {"map_of_town.png", "maple.png", "treehouse.png", "my map.png"}
    for name in (*others, "map_7.png", "tree_7.png"):
        (tmp_path / name).write_bytes(b"")
    write(replace(sample, questions=sample.questions[:1]), [found], tmp_path, {"seed": 0})
    assert {path.name for path in tmp_path.glob("*.png")} == others | {"map.png", "tree.png"}


def test_letters_that_the_pictures_font_lacks_say_nothing_on_the_terminal(
    sample: Survey, found: Discovery, tmp_path: Path
):
    themes = tuple(replace(theme, label="\u96fb\u6c60") for theme in found.themes)  # a warning would be an error here
    write(replace(sample, questions=sample.questions[:1]), [replace(found, themes=themes)], tmp_path, {"seed": 0})


def test_pictures_of_long_labels_and_questions_are_whole(sample: Survey, found: Discovery):
    found = replace(found, themes=tuple(replace(theme, label="long " * 12) for theme in found.themes))
    for figure in (draw_tree(found), draw_map(replace(sample.questions[0], text="Why, oh why? " * 20), found)):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        drawn = figure.get_tightbbox(canvas.get_renderer())
        assert 0 <= drawn.x0 < drawn.x1 <= figure.get_figwidth()


def test_the_score_is_one_for_the_coded_themes_themselves_and_zero_for_one_group(sample: Survey):
    question = sample.questions[0]
    coded = question.answers["themes"].explode().dropna()
    perfect = pd.DataFrame({"row": coded.index, "theme_id": pd.factorize(coded)[0]})
    scores = score(question, perfect)
    assert {name: round(scores[name], 9) for name in ("ami", "ari", "homogeneity", "best_match_f1")} == dict.fromkeys(
        ("ami", "ari", "homogeneity", "best_match_f1"), 1.0
    )
    assert score(question, perfect.assign(theme_id=0))["ami"] == pytest.approx(0, abs=1e-9)


def test_each_theme_is_matched_with_the_found_one_of_the_highest_f1(sample: Survey):
    question = sample.questions[0]
    coded = question.answers["themes"][question.answers["usable"] & (question.answers["themes"].map(len) > 0)]
    rng = np.random.default_rng(0)
    found = pd.DataFrame({"row": rng.permutation(coded.index)[: len(coded) // 2]})
    found["theme_id"] = [place % 3 + 5 * (len(coded[row]) > 1) for place, row in enumerate(found["row"])]
    matches = best_matches(question, found)
    assert set(matches) == set(coded.explode())
    for theme, f1 in matches.items():
        truth = coded.map(lambda themes, theme=theme: theme in themes)
        scores = [f1_score(truth, coded.index.isin(rows["row"])) for _, rows in found.groupby("theme_id")]
        assert f1 == pytest.approx(max(scores))
    assert best_matches(question, found[:0]) == dict.fromkeys(matches, 0.0)


@pytest.mark.real_data
@pytest.mark.slow
def test_the_floor_on_the_assignments_own_data(shared_data: Path):
    (question,) = load(shared_data / "avalanche" / "coded_responses.csv").questions
    found = discover(question, seed=3, with_map=False)
    scores = score(question, found.assignments)
    assert scores["ami"] >= 0.62
    assert 10 <= len(found.themes) <= 30


def test_clusterings_take_one_core_also_where_nothing_is_loaded_yet():
    code = """
import numpy as np
from threadpoolctl import threadpool_info
from challenges.avalanche import model

def watch(*given, fit=model.fit_k_means):
    n_threads.update(pool["num_threads"] for pool in threadpool_info())
    return fit(*given)

n_threads, model.fit_k_means, model.N_CLUSTERINGS = set(), watch, 2
model.consensus(["a", "b", "c"], np.ones(3, np.int64), 0, lambda texts: np.eye(len(texts), dtype=np.float32))
print(n_threads)
"""
    env = os.environ | {"OMP_NUM_THREADS": "2"}
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert ran.stdout == "{1}\n"
