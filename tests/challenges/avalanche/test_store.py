"""The store on SQLite and on a real PostgreSQL: imports, the log, many writers at once, migrations."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from challenges.avalanche import database
from challenges.avalanche.codebook import IMPORTED, Codebook, Conflict
from challenges.avalanche.database import METADATA, connect, database_url, migrate
from challenges.avalanche.dataset import Question, Survey
from challenges.avalanche.operations import add_theme, code_answer, code_many, edit_theme, merge_themes
from challenges.avalanche.store import Store, fingerprint, open_store
from common.errors import UserError

ANSWERS = ["too dear", "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "n/a", "ça \U0001f600", "moving"]


def a_survey() -> Survey:
    answers = pd.DataFrame({"respondent_id": [f"r{i}" for i in range(6)], "response": ANSWERS})
    answers["reason"] = ["", "", "", "nothing said", "", ""]
    answers["usable"] = answers["reason"] == ""
    answers["themes"] = [("Price",), (), ("Script", "Price"), (), (), ("Moving",)]
    segments = pd.DataFrame({"plan": list("aabbab"), "region": ["north\0", "", "south", "", "x", "y"]})
    other = Question("And then?", answers.iloc[:2].assign(themes=[(), ()]), pd.DataFrame(index=answers.index[:2]))
    return Survey("survey", (Question("Why?", answers, segments), other), {"rows": 7})


def postgres_programs() -> Path | None:
    """The folder of initdb and pg_ctl, which Debian keeps out of the path."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an own PostgreSQL server, on a socket in a folder of its own."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL on this machine; on Debian: apt install postgresql")
    folder = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    owner = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = "postgres"
        shutil.chown(folder, owner)

    def run(program: str, *arguments: str) -> None:
        with (folder.parent / f"{folder.name}.log").open("ab") as log:
            command = [str(programs / program), "-D", str(folder / "data"), *arguments]
            subprocess.run(command, check=True, user=owner, stdout=log, stderr=log, cwd=folder)

    run("initdb", "--username=tester", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
    run("pg_ctl", "-w", "-o", f"-k {folder} -c listen_addresses='' -c fsync=off", "start")
    try:
        yield f"postgresql://tester@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)
        (folder.parent / f"{folder.name}.log").unlink()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'folder' / 'store.sqlite'}"
        return
    address = request.getfixturevalue("postgres")
    yield address
    engine = sa.create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.engine.dispose()


def another(store: Store) -> Store:
    """What another process sees: the same database, nothing remembered."""
    return Store(store.engine)


def test_a_survey_comes_back_as_it_was(store: Store) -> None:
    survey = a_survey()
    store.add_project(survey, " My  project", "Ana")
    (project,) = store.projects()
    assert (project.name, project.report, store.n_answers()) == ("My project", {"rows": 7}, {project.id: 8})
    assert [text for _, text in project.questions] == ["Why?", "And then?"]
    question = store.question(project.questions[0][0])
    assert question.text == "Why?"
    columns = ["respondent_id", "response", "reason", "usable"]
    pd.testing.assert_frame_equal(question.answers[columns], survey.questions[0].answers[columns], check_dtype=False)
    assert question.segments["plan"].tolist() == list("aabbab")
    assert question.segments["region"].tolist()[0] == "north"
    book = store.codebook(project.questions[0][0])
    assert {t.name for t in book.themes.values()} == {"Price", "Script", "Moving"}
    assert sorted(book.decisions) == [0, 2, 5]
    assert {who for by in book.decisions.values() for who in by} == {IMPORTED}
    assert store.codebook(project.questions[1][0]) == Codebook()
    with pytest.raises(UserError, match="already"):
        store.add_project(survey, "My project", "Ben")
    assert len(store.projects()) == 1


def test_what_is_done_is_logged_undone_and_seen_by_others(store: Store) -> None:
    store.add_project(a_survey(), "p", "Ana")
    question = store.projects()[0].questions[0][0]
    other = another(store)
    imported = other.codebook(question)
    step = store.apply(question, "Ana", "added", add_theme("Weather"))
    weather = store.codebook(question).find("Weather")
    assert weather is not None
    coded = store.apply(question, "Ana", "coded", code_answer("Ana", 1, [weather]))
    assert other.codebook(question).decisions[1]["Ana"].themes == {weather}
    with pytest.raises(Conflict, match="in use"):
        other.undo(question, "Ben", step)
    undone = other.undo(question, "Ben", coded)
    assert 1 not in store.codebook(question).decisions
    with pytest.raises(Conflict, match="changed meanwhile"):
        store.undo(question, "Ben", coded)
    store.undo(question, "Ana", undone)  # which is to do it again
    assert store.codebook(question).decisions[1]["Ana"].themes == {weather}
    assert another(store).codebook(question) == store.codebook(question)
    history = store.history(question)
    assert [(e.who, e.undoes) for e in history] == [
        ("Ana", undone), ("Ben", coded), ("Ana", None), ("Ana", None), ("Ana", None),
    ]  # fmt: skip
    assert [event.n_changes for event in history] == [1, 1, 1, 1, len(imported.themes) + len(imported.decisions)]
    assert history[0].at.utcoffset() is not None
    with pytest.raises(UserError, match="your name"):
        store.apply(question, " ", "coded", code_answer("", 1, []))
    n = len(history)
    assert store.apply(question, "Ana", "nothing", code_many("Ana", [1], add=[weather])) == 0
    assert len(store.history(question)) == n


def test_many_writers_at_once_lose_nothing(store: Store, url: str) -> None:
    store.add_project(a_survey(), "p", "Ana")
    question = store.projects()[0].questions[0][0]
    theme = store.codebook(question).find("Price")
    assert theme is not None
    at_once = threading.Barrier(4)
    conflicts: list[str] = []

    def work(who: str) -> None:
        mine = open_store(url)  # as another process would
        at_once.wait()
        for row in range(6):
            mine.apply(question, who, "coded", code_answer(who, row, [theme]))
        try:
            mine.apply(question, who, "renamed", edit_theme(theme, seen, f"Price by {who}", "", None))
        except Conflict as conflict:
            conflicts.append(str(conflict))
        mine.engine.dispose()

    seen = store.codebook(question).themes[theme]
    threads = [threading.Thread(target=work, args=(f"analyst {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book = store.codebook(question)
    assert len(conflicts) == 3  # one of four renames held, the others were told
    assert book.themes[theme].name.startswith("Price by analyst")
    assert all(sum(who.startswith("analyst") for who in book.decisions[row]) == 4 for row in range(6))
    assert [e.version for e in store.history(question)] == list(range(book.version, 0, -1))
    assert book.version == 1 + 4 * 6 + 1


def test_results_are_kept_under_what_they_follow_from(store: Store) -> None:
    project = store.add_project(a_survey(), "p", "Ana")
    question = store.projects()[0].questions[0][0]
    store.keep_result(question, "vectors", "a", b"\0one")
    store.keep_result(question, "vectors", "b", b"\0two")
    assert store.result(question, "vectors", "a") is None
    assert store.result(question, "vectors", "b") == b"\0two"
    store.delete_project(project)
    assert store.projects() == []
    assert store.result(question, "vectors", "b") is None
    with pytest.raises(UserError, match="gone"):
        store.question(question)
    with pytest.raises(UserError, match="gone"):
        store.apply(question, "Ana", "merged", merge_themes([1], 2))
    with pytest.raises(UserError, match="gone"):
        store.keep_result(question, "vectors", "c", b"late")


def test_results_that_many_keep_at_once_take_turns(store: Store) -> None:
    store.add_project(a_survey(), "p", "Ana")
    question = store.projects()[0].questions[0][0]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: store.keep_result(question, "vectors", "a", bytes([i])), range(80)))
    assert store.result(question, "vectors", "a") is not None


def test_a_theme_that_cannot_be_imported_is_named(store: Store) -> None:
    survey = a_survey()
    survey.questions[0].answers["themes"] = [("x" * 201,), (), (), (), (), ()]
    with pytest.raises(UserError, match=r"theme 'x{60}'\.\.\. has 201 characters, more than 200"):
        store.add_project(survey, "p", "Ana")
    assert store.projects() == []


def test_a_new_project_is_not_taken_for_a_deleted_one(store: Store) -> None:
    """What is remembered of a question is remembered under its id, in this process and in others."""
    old = store.add_project(a_survey(), "old", "Ana")
    questions = [number for number, _ in store.projects()[0].questions]
    store.apply(questions[0], "Ana", "added", add_theme("Weather"))
    store.delete_project(old)
    new = store.add_project(a_survey(), "new", "Ana")
    assert new != old
    again = [number for number, _ in store.projects()[0].questions]
    assert not {*again} & {*questions}
    assert store.codebook(again[0]).find("Weather") is None


def test_an_old_database_is_brought_up_to_date_and_the_tables_are_those_the_code_knows(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = connect(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE result")
        connection.exec_driver_sql("DROP TABLE last_id")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
        connection.exec_driver_sql(
            "INSERT INTO project (id, name, created_at, report) VALUES (1, 'old', '2026-01-01 00:00:00', '{}')"
        )
    engine.dispose()
    engine = connect(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    store = Store(engine)
    store.add_project(a_survey(), "new", "Ana")
    assert [project.name for project in store.projects()] == ["new", "old"]
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UserError, match="newer version"):
        migrate(engine)
    engine.dispose()


def test_addresses_that_lead_nowhere_are_told_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="only sqlite and postgresql"):
        connect("mysql://me:secret@host/x")
    with pytest.raises(UserError, match="no address"):
        connect("where my data is")
    with pytest.raises(UserError, match="cannot be opened") as caught:
        connect(f"postgresql://me:secret@/x?host={tmp_path}")
    assert "secret" not in str(caught.value)
    (tmp_path / "text.sqlite").write_text("no database " * 100)
    with pytest.raises(UserError, match="cannot be opened"):
        connect(f"sqlite:///{tmp_path / 'text.sqlite'}")
    monkeypatch.setenv("DATABASE_URL", "postgresql://x")
    assert database_url() == "postgresql://x"
    monkeypatch.delenv("DATABASE_URL")
    assert database_url().startswith("sqlite:///")


def test_a_database_that_cannot_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_WAIT_S", 0.1)
    file = tmp_path / "store.sqlite"
    store = open_store(f"sqlite:///{file}")
    store.add_project(a_survey(), "a", "Ana")
    with database.writing(store.engine), pytest.raises(UserError, match=r"database is locked\): repeat this later"):
        store.apply(1, "Ana", "added", add_theme("Locked out"))
    assert store.apply(1, "Ana", "added", add_theme("Kept")) > 0
    file.rename(tmp_path / "away.sqlite")
    for _ in ("gone", "another one in its place"):
        with pytest.raises(UserError, match="was deleted or replaced"):
            store.apply(1, "Ana", "added", add_theme("Lost"))
        with pytest.raises(UserError, match="was deleted or replaced"):
            store.projects()
        open_store(f"sqlite:///{file}").engine.dispose()
    store.engine.dispose()


def test_a_connection_that_the_server_closed_is_made_again(store: Store) -> None:
    if store.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no server")
    store.projects()
    other = sa.create_engine(store.engine.url)
    with other.connect() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        )
    other.dispose()
    assert store.projects() == []


def test_a_fingerprint_keeps_texts_apart() -> None:
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("a", ["b", "\udc00"]) == fingerprint(["a", "b", "\udc00"])
