"""The queue as Streamlit runs it: nothing takes the answer on the screen away from its reader."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from challenges.avalanche.codebook import Conflict
from challenges.avalanche.database import database_url
from challenges.avalanche.dataset import Survey
from challenges.avalanche.operations import add_theme, code_answer
from challenges.avalanche.store import Store, open_store
from challenges.avalanche.views import queue


@pytest.fixture
def store(sample: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'store.sqlite'}")
    opened = open_store(database_url())
    question = sample.questions[0]
    few = question.answers.head(60)
    few = few.assign(themes=[found if row < 20 else () for row, found in enumerate(few["themes"])])
    opened.add_project(Survey("s", (type(question)(question.text, few, question.segments.head(60)),), {}), "s", "Ana")
    yield opened
    opened.engine.dispose()


def show_queue() -> None:
    from challenges.avalanche.views import context, queue

    store = context.the_store()
    project = store.projects()[0]
    number = project.questions[0][0]
    queue.show(context.Context(store, "Ana", project, number, store.question(number), store.codebook(number)))


def press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click()
    page.run()


def test_the_answer_on_the_screen_stays_until_its_reader_decides(store: Store) -> None:
    number = store.projects()[0].questions[0][0]
    responses = store.question(number).answers["response"].tolist()
    page = AppTest.from_function(show_queue, default_timeout=120).run()
    learner = queue._learner(database_url(), number)
    first, shown, keys = learner.suggested, page.text[0].value, [button.label for button in page.button]
    assert first is not None
    row = int(first.order[0])
    assert responses[row] == shown
    theme = min(store.codebook(number).themes)
    for other in first.order[:10].tolist():  # so many that the machine learns anew
        store.apply(number, "Ben", "Ben codes", code_answer("Ben", other, [theme]))
    while learner.suggested is first:
        page.run()
        assert page.text[0].value == shown
    assert learner.suggested is not None
    assert row not in learner.suggested.order
    page.run()
    assert page.text[0].value == shown
    assert [button.label for button in page.button] == keys
    press(page, "No theme fits")
    assert set(store.codebook(number).decisions[row]) == {"Ana", "Ben"}
    assert page.text[0].value != shown
    shown = page.text[0].value
    press(page, "Skip")
    assert page.text[0].value != shown


def test_a_button_that_is_pressed_twice_decides_one_answer(store: Store) -> None:
    number = store.projects()[0].questions[0][0]
    page = AppTest.from_function(show_queue, default_timeout=120).run()
    before = {button.key for button in page.button}
    press(page, "No theme fits")
    assert before.isdisjoint(button.key for button in page.button if button.label != "Add and choose")
    (row,) = [row for row, by in store.codebook(number).decisions.items() if "Ana" in by]
    assert store.apply(number, "Ana", "pressed again", code_answer("Ana", row, [])) == 0
    with pytest.raises(Conflict):
        store.apply(number, "Ana", "in another window", code_answer("Ana", row, [1]))


def test_a_theme_added_for_an_answer_is_chosen_whatever_others_there_are(store: Store) -> None:
    number = store.projects()[0].questions[0][0]
    before = [f"Theme {i}" for i in range(queue.N_KEYS + 2)]
    for name in before:
        store.apply(number, "Ana", "added", add_theme(name))
    page = AppTest.from_function(show_queue, default_timeout=120).run()
    by_name = {theme.name: i for i, theme in store.codebook(number).themes.items()}
    page.multiselect[0].select(by_name["Theme 10"]).run()
    for name in ("Zebra", "Theme 9"):  # a new one, and one of that name that there was
        page.text_input[0].set_value(name)
        press(page, "Add and choose")
    press(page, "Save and next")
    themes = store.codebook(number).themes
    (own,) = [by["Ana"] for by in store.codebook(number).decisions.values() if "Ana" in by]
    assert {themes[theme].name for theme in own.themes} == {"Theme 10", "Zebra", "Theme 9"}
    page.multiselect[0].select(by_name["Theme 10"]).run()
    page.multiselect[0].unselect(by_name["Theme 10"]).run()
    assert page.multiselect[0].value == []


def test_an_answer_whose_decision_is_undone_waits_again(store: Store) -> None:
    number = store.projects()[0].questions[0][0]
    usable = store.question(number).answers["usable"].to_numpy()
    theme = min(store.codebook(number).themes)

    def waiting(page: AppTest) -> str:
        n_waiting = usable.sum() - sum(usable[row] for row in store.codebook(number).decisions)
        assert page.caption[0].value.startswith(f"{n_waiting} answers to decide")
        return page.caption[0].value

    free = [row for row in np.flatnonzero(usable).tolist() if row not in store.codebook(number).decisions]
    taken = len(store.codebook(number).decisions)
    steps = [store.apply(number, "Ana", "coded", code_answer("Ana", row, [theme])) for row in free[: 12 - taken % 10]]
    page = AppTest.from_function(show_queue, default_timeout=120).run()
    before = waiting(page)
    store.undo(number, "Ana", steps[-1])  # one fewer: too few for the machine to learn anew
    assert waiting(page.run()) != before
