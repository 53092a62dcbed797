"""Which project the command opens: that of the file's answers, whatever the file is called."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from challenges.avalanche.dashboard import prepare
from challenges.avalanche.database import database_url
from challenges.avalanche.operations import add_theme
from challenges.avalanche.store import MAX_NAME, Store, open_store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'store.sqlite'}")
    opened = open_store(database_url())
    yield opened
    opened.engine.dispose()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"id,response,theme\n{text}\n")
    return path


def test_a_file_of_the_same_name_with_other_answers_is_another_project(store: Store, tmp_path: Path) -> None:
    one, other = (write(tmp_path / folder / "a.csv", text) for folder, text in (("x", "1,slow,"), ("y", "1,dear,")))
    assert [prepare(path).name for path in (one, other, one, other)] == ["a", "a (2)", "a", "a (2)"]
    assert [len(store.question(p.questions[0][0]).answers) for p in store.projects()] == [1, 1]
    write(one, "1,slow,\n2,dear,")
    assert prepare(one).name == "a (3)"
    store.delete_project(next(project.id for project in store.projects() if project.name == "a (2)"))
    assert prepare(one).name == "a (3)"
    assert prepare(other).name == "a (2)"


def test_what_analysts_did_makes_no_other_project(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "1,slow,Speed")
    prepare(path)
    store.apply(store.projects()[0].questions[0][0], "Ana", "added", add_theme("Price"))
    assert prepare(path).name == "a"
    assert prepare(write(path, "1,slow,Other")).name == "a"


def test_any_name_of_a_file_is_opened_again(store: Store, tmp_path: Path) -> None:
    for name in ("two  spaces", "x" * 100, "y" * (MAX_NAME - 1) + " z"):
        path = write(tmp_path / f"{name}.csv", "1,slow,")
        first = prepare(path).name
        assert first == " ".join(name.split())[:MAX_NAME].strip()
        assert prepare(path).name == first
        again = prepare(write(path, "1,dear,")).name
        assert again.endswith(" (2)")
        assert len(again) <= MAX_NAME
        assert prepare(path).name == again


def test_columns_are_named_where_they_are_not_found(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who,what\n1,slow\n")
    assert prepare(tmp_path / "a.csv", {"response": "what"}).name == "a"
    (project,) = store.projects()
    assert store.question(project.questions[0][0]).answers["response"].tolist() == ["slow"]


def test_a_refusal_is_seen_wherever_the_page_is_scrolled_to(store: Store) -> None:
    def refuse() -> None:
        from challenges.avalanche.views import context
        from common.errors import UserError

        def do() -> None:
            raise UserError("this was changed meanwhile")

        context.report(do, "saved")
        context.tell()

    page = AppTest.from_function(refuse).run()
    assert [shown[0].value for shown in (page.error, page.toast)] == ["this was changed meanwhile"] * 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "bad.csv: the file is empty"),
        (b"name,age\nx,3\n", "name it, under Columns, in Answer"),  # not with the command's --column
    ],
)
def test_a_file_that_is_refused_is_called_as_its_owner_calls_it(store: Store, content: bytes, said: str) -> None:
    def upload(content: bytes) -> None:
        import streamlit as st

        from challenges.avalanche.views import context, projects

        if "told" not in st.session_state:
            projects._import(context.the_store(), "Ana", "bad.csv", content, "", {})
        context.tell()

    page = AppTest.from_function(upload, kwargs={"content": content}).run()
    told = page.error[0].value.replace("\\", "")
    assert told.startswith("bad.csv: ")
    assert said in told
    assert "--" not in told


@pytest.mark.parametrize(
    ("text", "page", "said"),
    [
        ("1,slow,", "agreement", "Fewer than two persons have coded so far"),  # nobody has
        ("1,slow,Speed", "shares", "shares may add up to more than 100 %"),  # they add up to 100 %
    ],
)
def test_a_page_says_what_holds_of_any_project(store: Store, tmp_path: Path, text: str, page: str, said: str) -> None:
    def show(page: str) -> None:
        from challenges.avalanche.views import agreement, client, context

        store = context.the_store()
        project = store.projects()[0]
        number = project.questions[0][0]
        here = context.Context(store, "Ana", project, number, store.question(number), store.codebook(number))
        {"agreement": agreement.show, "shares": client.show_shares}[page](here)

    prepare(write(tmp_path / "a.csv", text))
    shown = AppTest.from_function(show, kwargs={"page": page}).run()
    assert not shown.exception
    assert said in " ".join(element.value for element in (*shown.info, *shown.caption))
