"""Projects in the database: what was imported, the log of what was decided, and results of long computations."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd
import sqlalchemy as sa

from challenges.avalanche.codebook import IMPORTED, MACHINE, Changes, Codebook, check, fold, inverse
from challenges.avalanche.database import ANSWER, EVENT, PROJECT, QUESTION, RESULT, connect, new_id, writing
from challenges.avalanche.dataset import Question, Survey
from challenges.avalanche.findings import counted
from challenges.avalanche.operations import Operation, adopt
from common.errors import UserError

MAX_NAME: Final = 80
_ROWS_AT_A_TIME: Final = 5_000


@dataclass(frozen=True)
class Project:
    """A line of the list of projects."""

    id: int
    name: str
    created_at: datetime  # UTC
    questions: tuple[tuple[int, str], ...]  # id and text, in order of appearance
    report: Mapping[str, Any]  # of its import


@dataclass(frozen=True)
class Event:
    """A line of the audit trail."""

    version: int
    at: datetime  # UTC
    who: str
    what: str
    undoes: int | None
    n_changes: int


@dataclass
class Store:
    """One database; threads may share it, and other processes may write to it at the same time."""

    engine: sa.Engine
    _books: dict[int, Codebook] = field(default_factory=dict)  # of each question the last one seen
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def projects(self) -> list[Project]:
        """All projects, the newest first."""
        in_order = sa.select(QUESTION.c.id, QUESTION.c.project_id, QUESTION.c.text).order_by(QUESTION.c.position)
        with self.engine.connect() as connection:
            questions = connection.execute(in_order).all()
            found = connection.execute(sa.select(PROJECT).order_by(PROJECT.c.id.desc())).all()
        return [
            Project(
                row.id,
                row.name,
                _utc(row.created_at),
                tuple((q.id, q.text) for q in questions if q.project_id == row.id),
                row.report,
            )
            for row in found
        ]

    def n_answers(self) -> dict[int, int]:
        """Of each project's id the number of its answers; they are counted, which `projects` does not wait for."""
        counts = sa.select(QUESTION.c.project_id, sa.func.count()).join(ANSWER).group_by(QUESTION.c.project_id)
        with self.engine.connect() as connection:
            return {int(project): int(n) for project, n in connection.execute(counts).all()}

    def add_project(self, survey: Survey, name: str, who: str) -> int:
        """Import a survey whole, or nothing of it; themes that it has are decisions of 'imported'.

        Raises:
            UserError: the name is taken or empty.
        """
        name = " ".join(name.split())
        if not name or len(name) > MAX_NAME:
            raise UserError(f"a project needs a name of 1 to {MAX_NAME} characters: type one")
        try:
            with writing(self.engine) as connection:
                project = new_id(connection, PROJECT)
                values = {"id": project, "name": name, "created_at": datetime.now(UTC), "report": survey.report}
                connection.execute(sa.insert(PROJECT).values(values))
                for position, question in enumerate(survey.questions):
                    self._add_question(connection, project, position, question, survey.name, who)
        except sa.exc.IntegrityError as error:
            raise UserError(f"there is a project {name!r} already: choose another name") from error
        return project

    def _add_question(
        self, connection: sa.Connection, project: int, position: int, question: Question, source: str, who: str
    ) -> None:
        key = new_id(connection, QUESTION)
        values = {"id": key, "project_id": project, "position": position, "text": question.text}
        connection.execute(sa.insert(QUESTION).values(values))
        columns = question.answers[["respondent_id", "response", "reason"]].itertuples(index=False)
        segments = question.segments.to_dict("records") if len(question.segments.columns) else None
        rows = [
            {
                "question_id": key,
                "row": i,
                "respondent_id": respondent,
                "response": response,
                "reason": reason,
                "segments": {str(k): v.replace("\0", "") for k, v in segments[i].items()} if segments else {},
            }
            for i, (respondent, response, reason) in enumerate(columns)
        ]
        for start in range(0, len(rows), _ROWS_AT_A_TIME):
            connection.execute(sa.insert(ANSWER), rows[start : start + _ROWS_AT_A_TIME])
        themes = list(dict.fromkeys(theme for found in question.answers["themes"] for theme in found))
        if themes:
            number = {theme: i for i, theme in enumerate(themes)}
            codes = {i: [number[t] for t in found] for i, found in enumerate(question.answers["themes"]) if found}
            operation = adopt([(theme, "", None) for theme in themes], codes, IMPORTED)
            what = f"imported {counted(len(themes), 'theme')} of {counted(len(codes), 'answer')} from {source}"
            self._append(connection, key, Codebook(), who, what, operation(Codebook()))

    def delete_project(self, project: int) -> None:
        """Delete a project with everything that was decided in it; there is no way back."""
        with writing(self.engine) as connection:
            connection.execute(sa.delete(PROJECT).where(PROJECT.c.id == project))

    def question(self, question: int) -> Question:
        """A question with its answers as they were imported; `themes` stays empty, see `codebook`.

        Raises:
            UserError: there is none, or its project was deleted.
        """
        rows = sa.select(ANSWER.c.respondent_id, ANSWER.c.response, ANSWER.c.reason, ANSWER.c.segments)
        rows = rows.where(ANSWER.c.question_id == question).order_by(ANSWER.c.row)
        with self.engine.connect() as connection:
            text = connection.scalar(sa.select(QUESTION.c.text).where(QUESTION.c.id == question))
            if text is None:
                raise UserError("this project is gone: somebody deleted it; choose another")
            found = connection.execute(rows).all()
        answers = pd.DataFrame(found, columns=["respondent_id", "response", "reason", "segments"])
        segments = pd.DataFrame.from_records(answers.pop("segments").tolist(), index=answers.index)
        answers["usable"] = answers["reason"] == ""
        answers["themes"] = [()] * len(answers)
        return Question(text, answers, segments)

    def codebook(self, question: int) -> Codebook:
        """The present codebook, with what others did a moment ago."""
        with self.engine.connect() as connection:
            return self._codebook(connection, question)

    def apply(self, question: int, who: str, what: str, operation: Operation) -> int:
        """Do something to a codebook and log it.

        The operation sees the codebook as it is at this moment; nobody else writes to it meanwhile.

        Args:
            question: whose codebook.
            who: the person.
            what: for the audit trail.
            operation: from operations.py.

        Returns:
            The event's version; 0 where nothing changes.

        Raises:
            Conflict: somebody changed meanwhile what the operation builds upon.
            UserError: the operation refuses.
        """
        return self._apply(question, who, what, lambda _, book: operation(book), None)

    def undo(self, question: int, who: str, version: int) -> int:
        """Take an event back, by a new event with the inverse changes.

        Raises:
            Conflict: something that it changed was changed again since.
        """

        def operation(connection: sa.Connection, _: Codebook) -> Changes:
            where = (EVENT.c.question_id == question) & (EVENT.c.version == version)
            return inverse(connection.execute(sa.select(EVENT.c.changes).where(where)).scalar_one())

        return self._apply(question, who, f"undid step {version}", operation, version)

    def _apply(
        self,
        question: int,
        who: str,
        what: str,
        operation: Callable[[sa.Connection, Codebook], Changes],
        undoes: int | None,
    ) -> int:
        if not who.strip():
            raise UserError("nobody is named who does this: type your name first")
        with writing(self.engine) as connection:
            _lock(connection, question)
            book = self._codebook(connection, question)
            changes = operation(connection, book)
            check(book, changes)
            changes = {key: (before, after) for key, (before, after) in changes.items() if before != after}
            return self._append(connection, question, book, who, what, changes, undoes) if changes else 0

    @staticmethod
    def _append(
        connection: sa.Connection,
        question: int,
        book: Codebook,
        who: str,
        what: str,
        changes: Changes,
        undoes: int | None = None,
    ) -> int:
        event = {"question_id": question, "version": book.version + 1, "at": datetime.now(UTC), "who": who}
        connection.execute(sa.insert(EVENT).values(event | {"what": what, "undoes": undoes, "changes": changes}))
        return book.version + 1

    def _codebook(self, connection: sa.Connection, question: int) -> Codebook:
        with self._lock:
            known = self._books.get(question, Codebook())
        new = sa.select(EVENT.c.version, EVENT.c.changes).order_by(EVENT.c.version)
        new = new.where((EVENT.c.question_id == question) & (EVENT.c.version > known.version))
        events = connection.execute(new).all()
        if not events:
            return known
        book = fold(known, [(event.version, event.changes) for event in events])
        with self._lock:
            if book.version > self._books.get(question, known).version:
                self._books[question] = book
        return book

    def history(self, question: int, limit: int = 200) -> list[Event]:
        """The last events, the newest first."""
        # Counted by the database: to read the changes of an import takes longer than all else on a page.
        keys = sa.func.json_object_keys if self.engine.dialect.name == "postgresql" else sa.func.json_each
        n_changes = sa.select(sa.func.count()).select_from(keys(EVENT.c.changes).table_valued("key"))
        events = sa.select(
            *(EVENT.c[name] for name in ("version", "at", "who", "what", "undoes")),
            n_changes.scalar_subquery().label("n_changes"),
        )
        events = events.where(EVENT.c.question_id == question).order_by(EVENT.c.version.desc()).limit(limit)
        with self.engine.connect() as connection:
            return [
                Event(e.version, _utc(e.at), e.who, e.what, e.undoes, e.n_changes)
                for e in connection.execute(events).all()
            ]

    def keep_result(self, question: int, kind: str, fingerprint: str, content: bytes) -> None:
        """Keep a result in place of the last one of its kind.

        Raises:
            UserError: the question's project was deleted meanwhile.
        """
        values = {"fingerprint": fingerprint, "computed_at": datetime.now(UTC), "content": content}
        with writing(self.engine) as connection:
            _lock(connection, question)
            where = (RESULT.c.question_id == question) & (RESULT.c.kind == kind)
            connection.execute(sa.delete(RESULT).where(where))
            connection.execute(sa.insert(RESULT).values(values | {"question_id": question, "kind": kind}))

    def result(self, question: int, kind: str, fingerprint: str) -> bytes | None:
        """The result of a kind, if it follows from what has this fingerprint."""
        where = (RESULT.c.question_id == question) & (RESULT.c.kind == kind) & (RESULT.c.fingerprint == fingerprint)
        with self.engine.connect() as connection:
            return connection.scalar(sa.select(RESULT.c.content).where(where))

    def has_result(self, question: int, kind: str, fingerprint: str) -> bool:
        """Whether `result` would find something."""
        where = (RESULT.c.question_id == question) & (RESULT.c.kind == kind) & (RESULT.c.fingerprint == fingerprint)
        with self.engine.connect() as connection:
            return connection.scalar(sa.select(RESULT.c.kind).where(where)) is not None


def _lock(connection: sa.Connection, question: int) -> None:
    """Let nobody else write to a question until the transaction ends; SQLite has one writer at a time anyway.

    Raises:
        UserError: the question is gone.
    """
    if connection.scalar(sa.select(QUESTION.c.id).where(QUESTION.c.id == question).with_for_update()) is None:
        raise UserError("this project is gone: somebody deleted it; choose another")


def open_store(url: str) -> Store:
    """Open the database at `url`, with its schema brought up to date.

    Raises:
        UserError: it cannot be opened.
    """
    return Store(connect(url))


def fingerprint(*parts: str | Sequence[str]) -> str:
    """Sha256 of texts, in hex: same texts in the same order, same fingerprint."""
    digest = hashlib.sha256()
    for part in parts:
        for text in [part] if isinstance(part, str) else part:
            encoded = text.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def is_machine(who: str) -> bool:
    """Whether this is not a person's name."""
    return who.strip().casefold() in (MACHINE, IMPORTED)


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)
