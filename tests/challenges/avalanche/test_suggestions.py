"""From discovery to the codebook and back: levels of the tree, parts of a theme, suggestions, and what is kept."""

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from challenges.avalanche import results, suggestions
from challenges.avalanche.codebook import MACHINE, Codebook, fold
from challenges.avalanche.coding import Suggestions, suggest
from challenges.avalanche.dataset import Question, Survey
from challenges.avalanche.discovery import Discovery, discover
from challenges.avalanche.levels import adoption, cut
from challenges.avalanche.operations import Operation, add_theme, code_answer
from challenges.avalanche.parts import alike, parts
from challenges.avalanche.store import open_store
from challenges.avalanche.suggestions import N_SEEDS, Learner, Suggested, known_codes, suggest_themes

SAYINGS = {
    "price": ["the price is too high", "too expensive for me", "it costs too much", "I cannot pay this price"],
    "move": ["I am moving abroad", "we move to another country", "moving to another house", "I leave the country"],
    "ads": ["there are too many ads", "ads all the time", "I hate the advertising", "stop the ads please"],
}


@pytest.fixture(scope="module")
def question() -> Question:
    texts = [f"{text}{'!' * i}" for i in range(4) for texts in SAYINGS.values() for text in texts]
    answers = pd.DataFrame({"respondent_id": [str(i) for i in range(len(texts))], "response": texts, "reason": ""})
    return Question("Why?", answers.assign(usable=True, themes=[()] * len(texts)), pd.DataFrame(index=answers.index))


@pytest.fixture(scope="module")
def responses(question: Question) -> list[str]:
    return list(question.answers["response"])


@pytest.fixture(scope="module")
def kept(question: Question, tmp_path_factory: pytest.TempPathFactory) -> tuple[Discovery, np.ndarray]:
    """What the background job finds, read back from the database."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('results') / 'store.sqlite'}")
    store.add_project(Survey("s", (question,), {}), "s", "Ana")
    number = store.projects()[0].questions[0][0]
    assert results.discovery(store, number, question) is None
    job = results.start_discovery(store, number, question)
    assert results.start_discovery(store, number, question) is job  # one at a time
    assert job.ended.wait(120)
    assert job.error == ""
    found = results.discovery(store, number, question)
    assert found is not None
    vectors = results.vectors(store, number, question)
    other = Question("Why not?", question.answers, question.segments)
    assert results.discovery(store, number, other) is None  # of other input, the result is void
    store.engine.dispose()
    return found, vectors


def do(book: Codebook, *operations: Operation) -> Codebook:
    for operation in operations:
        book = fold(book, [(book.version + 1, operation(book))])
    return book


def test_a_kept_discovery_is_the_one_that_was_found(kept: tuple[Discovery, np.ndarray], question: Question) -> None:
    found, vectors = kept
    again = discover(question, vectors)
    read = results.unpack(results.pack(again))
    pd.testing.assert_frame_equal(read.assignments, again.assignments, check_dtype=False)
    assert read.themes == again.themes
    np.testing.assert_array_equal(read.tree, again.tree)
    np.testing.assert_array_equal(read.positions, again.positions)
    assert [theme.label for theme in found.themes] == [theme.label for theme in again.themes]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2)


def test_levels_keep_every_answer_and_their_themes_can_be_taken_over(kept: tuple[Discovery, np.ndarray]) -> None:
    found, _ = kept
    n_rows = found.assignments["row"].nunique()
    assert len(found.themes) >= 2
    for n in range(1, len(found.themes) + 1):
        level = cut(found, n, 48)
        assert len(level.labels) == len(set(level.labels)) <= n
        assert level.shares["count"].is_monotonic_decreasing
        assert level.shares["count"].sum() >= n_rows
        assert all(level.quotes)
        for finer in (False, True):
            book = do(Codebook(), adoption(found, level, finer))
            assert len(book.decisions) == n_rows
            tops = [theme for theme in book.themes.values() if theme.parent is None]
            assert {theme.name for theme in tops} == set(level.labels)
            if not finer:
                assert len(book.themes) == len(level.labels)
    assert len(book.themes) >= len(found.themes)


def test_suggestions_start_from_the_machine_and_follow_persons(
    kept: tuple[Discovery, np.ndarray], responses: list[str]
) -> None:
    found, vectors = kept
    assert suggest_themes(Codebook(), vectors, responses) is None
    book = do(Codebook(), adoption(found, cut(found, len(found.themes), 48), False))
    codes, seeds = known_codes(book, vectors)
    assert set(codes) == set(seeds)
    assert all(0 < sum(theme in themes for themes in codes.values()) <= N_SEEDS for theme in book.themes)
    cold = suggest_themes(book, vectors, responses)
    assert cold is not None
    assert sorted(cold.order) == list(range(48))  # the machine's answers are still to be asked
    price = next(iter(book.themes))
    for row in (0, 1, 2, 3, 12):  # 'price'
        book = do(book, code_answer("Ana", row, [price]))
    for row in (4, 5, 8, 9):
        book = do(book, code_answer("Ana", row, []))
    warm = suggest_themes(book, vectors, responses)
    assert warm is not None
    assert set(warm.order.tolist()) == set(range(48)) - {0, 1, 2, 3, 12, 4, 5, 8, 9}
    column = warm.themes.index(price)
    assert warm.probabilities[13, column] > warm.probabilities[17, column]  # 'too expensive' before 'move'
    assert responses[warm.nearest[13, column]].rstrip("!") in SAYINGS["price"]
    assert book.decisions[0].keys() >= {"Ana"}
    assert {who for by in book.decisions.values() for who in by} == {"Ana", MACHINE}


def test_of_many_decisions_enough_of_every_theme_are_learned_from(
    kept: tuple[Discovery, np.ndarray], responses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, vectors = kept
    learned: dict[int, frozenset[str]] = {}

    def spy(
        vectors: np.ndarray, texts: list[str], codes: dict[int, frozenset[str]], nearby: np.ndarray | None
    ) -> Suggestions:
        learned.update(codes)
        return suggest(vectors, texts, codes, nearby=nearby)

    monkeypatch.setattr(suggestions, "suggest", spy)
    monkeypatch.setattr(suggestions, "N_EXAMPLES", 3)
    book = do(Codebook(), add_theme("price"), add_theme("rare"))
    for row in range(0, 40, 2):
        book = do(book, code_answer("Ana", row, [2] if row == 8 else [1] if row % 12 < 4 else []))
    found = suggest_themes(book, vectors, responses)
    assert found is not None
    assert Counter(learned.values()) == {frozenset({"1"}): 3, frozenset({"2"}): 1, frozenset(): 3}
    assert set(found.order.tolist()) == {*range(1, 40, 2), *range(40, 48)}


def test_nobody_waits_for_what_is_learned_anew() -> None:
    first, second = (
        Suggested((i,), np.zeros((1, 1), np.float32), np.zeros((1, 1), int), np.zeros(1, int)) for i in (1, 2)
    )
    may_learn, learned = threading.Event(), threading.Event()

    def learn_slowly() -> Suggested:
        assert may_learn.wait(60)
        learned.set()
        return second

    learner = Learner()
    assert learner.renew("a", lambda: None) is None
    assert learner.renew("a", lambda: first) is first
    assert learner.renew("a", pytest.fail) is first
    assert learner.renew("b", learn_slowly) is first
    assert learner.renew("c", pytest.fail) is first  # one at a time
    may_learn.set()
    assert learned.wait(60)
    with learner._learning:  # it is released when the new ones are there
        assert learner.suggested is second
    assert learner.renew("b", pytest.fail) is second


def test_alike_answers_and_parts(kept: tuple[Discovery, np.ndarray], responses: list[str]) -> None:
    _, vectors = kept
    near = alike("expensive price", np.array([], dtype=np.int64), vectors)
    assert {responses[i].rstrip("!") for i in np.argsort(-near)[:4]} <= set(SAYINGS["price"])
    near = alike("", np.array([8, 9]), vectors)
    assert {responses[i].rstrip("!") for i in np.argsort(-near)[:4]} <= set(SAYINGS["ads"])
    assert not alike(" ", np.array([], dtype=np.int64), vectors).any()
    rows = np.array([i for i in range(48) if i % 12 < 8])
    divided = parts(rows, responses, vectors, 2)
    assert sorted(np.concatenate([part for _, part in divided])) == rows.tolist()
    assert len({name for name, _ in divided}) == 2
    assert {frozenset((part % 12 < 4).tolist()) for _, part in divided} == {frozenset({True}), frozenset({False})}
    assert len(parts(np.array([0, 12]), [responses[0]] * 48, vectors[[0] * 48], 2)) == 1


def test_a_failed_discovery_says_so(question: Question, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    store.add_project(Survey("s", (question,), {}), "s", "Ana")

    def fail(*_: object, **__: object) -> None:
        raise results.UserError("no encoder here")

    monkeypatch.setattr(results, "embed", fail)
    job = results.start_discovery(store, 1, question)
    assert job.ended.wait(60)
    assert job.error == "no encoder here"
    assert results.job(store, 1) is job
    store.engine.dispose()
