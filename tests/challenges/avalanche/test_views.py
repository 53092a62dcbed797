"""The pages as Streamlit runs them while others code: what is sent is what was shown, and what was chosen stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from challenges.avalanche.database import database_url
from challenges.avalanche.dataset import Question, Survey
from challenges.avalanche.operations import add_theme, code_answer, edit_theme, merge_themes
from challenges.avalanche.store import Store, open_store


@pytest.fixture
def store(sample: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'store.sqlite'}")
    opened = open_store(database_url())
    question = sample.questions[0]
    opened.add_project(Survey("s", (Question(question.text, question.answers, question.segments),), {}), "s", "Ben")
    yield opened
    opened.engine.dispose()


def show_page(page: str) -> None:
    from challenges.avalanche.views import answers, context, language, themes

    store = context.the_store()
    project = store.projects()[0]
    number = project.questions[0][0]
    here = context.Context(store, "Ana", project, number, store.question(number), store.codebook(number))
    context.tell()
    if page == "form":
        answers._bulk(here, [0, 1], "table")  # of a table, no row can be ticked without a browser
    else:
        {"themes": themes.show, "answers": answers.show_table, "language": language.show}[page](here)


def number_of(store: Store) -> int:
    return store.projects()[0].questions[0][0]


def open_page(page: str) -> AppTest:
    shown = AppTest.from_function(show_page, kwargs={"page": page}, default_timeout=120).run()
    assert not shown.exception
    return shown


def press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click()
    page.run()
    assert not page.exception


def test_a_theme_is_split_as_was_shown_whatever_others_code_meanwhile(store: Store) -> None:
    number = number_of(store)
    book = store.codebook(number)
    sizes = {t: sum(t in d["imported"].themes for d in book.decisions.values()) for t in book.themes}
    theme = max(sizes, key=lambda t: sizes[t])
    page = open_page("themes")
    page.selectbox(key=next(box.key for box in page.selectbox if box.label == "Theme to split")).select(theme).run()
    page.segmented_control[0].set_value("likeness").run()
    before = {row for row, by in book.decisions.items() if theme in by["imported"].themes}
    others = [row for row in book.decisions if row not in before][:40]
    for row in others:
        store.apply(number, "Ben", "Ben codes", code_answer("Ben", row, [theme]))
    press(page, "Split")
    after = store.codebook(number)
    assert theme not in after.themes or all(theme in after.decisions[row]["Ben"].themes for row in others)
    assert [by["Ben"].themes for row, by in after.decisions.items() if row in others] == [{theme}] * 40
    assert not any(theme in after.decisions[row]["imported"].themes for row in before)
    assert len(after.themes) == len(book.themes) + 2


def test_a_theme_is_added_where_its_form_said_whatever_others_add_meanwhile(store: Store) -> None:
    number = number_of(store)
    page = open_page("themes")
    above = store.codebook(number).ordered()[1]
    page.text_input(key=f"add-phrase-{number}").set_value("the maps do not load").run()
    page.text_input(key=f"add-description-{number}").set_value("What maps do")
    [box for box in page.selectbox if box.label == "Below"][-1].select(above)
    store.apply(number, "Ben", "added", add_theme("Another theme"))
    press(page, "Add the theme")
    book = store.codebook(number)
    made = book.themes[book.find("the maps do not load")]  # type: ignore[index]
    assert (made.parent, made.description) == (above, "What maps do")
    assert any("Ana" in by for by in book.decisions.values())  # of the answers that are alike
    assert [page.text_input(key=f"add-{field}-{number}").value for field in ("phrase", "description")] == ["", ""]


def test_what_is_chosen_stays_when_themes_change(store: Store) -> None:
    number = number_of(store)
    one, gone = store.codebook(number).ordered()[:2]
    answers, language = open_page("answers"), open_page("language")
    answers.multiselect[0].set_value(["(no decision)", one, gone]).run()
    language.selectbox[0].select(one).run()
    language.selectbox[1].select(gone).run()
    told = answers.caption[0].value
    seen = store.codebook(number).themes
    store.apply(number, "Ben", "renamed", edit_theme(one, seen[one], "Renamed", "", None))
    assert answers.run().multiselect[0].value == ["(no decision)", one, gone]
    assert answers.caption[0].value == told
    assert [box.value for box in language.run().selectbox] == [one, gone]
    store.apply(number, "Ben", "merged", merge_themes([gone], one))
    assert answers.run().multiselect[0].value == ["(no decision)", one]
    assert [box.value for box in language.run().selectbox] == [one, None]
    assert not answers.exception
    assert not language.exception


def test_a_new_themes_name_goes_once_it_is_there(store: Store) -> None:
    page = open_page("form")
    page.text_input[0].set_value("Brand new")
    press(page, "Code them")
    assert store.codebook(number_of(store)).find("Brand new") is not None
    assert page.text_input[0].value == ""
    page.text_input[0].set_value(" ")
    press(page, "Code them")
    assert page.error[0].value == "choose a theme to add or to take away"


def test_only_what_has_themes_is_confirmed(store: Store) -> None:
    number = number_of(store)
    decided = store.codebook(number).decisions
    assert [row in decided for row in (0, 1)] == [False, True]
    press(open_page("form"), "Confirm their themes")
    assert store.history(number)[0].what == "confirmed 1 answer"
