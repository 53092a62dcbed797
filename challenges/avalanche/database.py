"""The database: SQLite in a file, or PostgreSQL where `DATABASE_URL` names one; its schema is brought up to date."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from common.errors import UserError, first_line

DEFAULT_FILE: Final = Path(__file__).resolve().parents[2] / "data" / "avalanche" / "dashboard.sqlite"
MIGRATIONS: Final = Path(__file__).with_name("migrations")
_LOCK: Final = 4_211_408  # of PostgreSQL's advisory locks: any number that no other program takes
_WAIT_S: Final = 30

# The tables as the migrations leave them; a test compares the two.
METADATA: Final = sa.MetaData()
PROJECT: Final = sa.Table(
    "project", METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("report", sa.JSON, nullable=False),
)  # fmt: skip
QUESTION: Final = sa.Table(
    "question", METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project_id", sa.ForeignKey("project.id", ondelete="CASCADE"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.UniqueConstraint("project_id", "position"),
)  # fmt: skip
ANSWER: Final = sa.Table(
    "answer", METADATA,
    sa.Column("question_id", sa.ForeignKey("question.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("row", sa.Integer, primary_key=True),  # from 0, in order of appearance
    sa.Column("respondent_id", sa.Text, nullable=False),
    sa.Column("response", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),  # why not usable; empty: it is
    sa.Column("segments", sa.JSON, nullable=False),  # {column: text}
)  # fmt: skip
EVENT: Final = sa.Table(
    "event", METADATA,
    sa.Column("question_id", sa.ForeignKey("question.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),  # 1, 2, ... of each question
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),  # for persons
    sa.Column("undoes", sa.Integer),  # version of the event that this one takes back
    sa.Column("changes", sa.JSON, nullable=False),  # {key: [before, after]}
)  # fmt: skip
RESULT: Final = sa.Table(
    "result", METADATA,
    sa.Column("question_id", sa.ForeignKey("question.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("kind", sa.String(40), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)  # fmt: skip

# SQLite gives the id of what was deleted last to what is inserted next, and caches know things by their id.
LAST_ID: Final = sa.Table(
    "last_id", METADATA,
    sa.Column("of", sa.String(20), primary_key=True),  # a table's name
    sa.Column("id", sa.Integer, nullable=False),  # the last one that was given
)  # fmt: skip


def database_url() -> str:
    """`DATABASE_URL`, else the SQLite file under data/."""
    return os.environ.get("DATABASE_URL") or f"sqlite:///{DEFAULT_FILE}"


def connect(url: str) -> sa.Engine:
    """Open a database and bring its schema up to date.

    Args:
        url: as SQLAlchemy has them: `sqlite:///file`, `postgresql://user:password@host/name`.

    Raises:
        UserError: no such database, or it is of another program or a newer version.
    """
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:
        raise UserError("DATABASE_URL is no address; as in postgresql://user:password@host/name") from error
    shown = parsed.render_as_string(hide_password=True)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    elif parsed.drivername != "sqlite":
        raise UserError(f"DATABASE_URL {shown}: only sqlite and postgresql are spoken; give one of these")
    try:
        engine = _sqlite(parsed) if parsed.drivername == "sqlite" else sa.create_engine(parsed, pool_pre_ping=True)
        migrate(engine)
    except (DBAPIError, OSError) as error:
        why = first_line(getattr(error, "orig", error))
        raise UserError(f"{shown}: the database cannot be opened ({why}); check DATABASE_URL") from error

    @sa.event.listens_for(engine, "handle_error")
    def say(context: sa.engine.ExceptionContext) -> UserError | None:
        if context.is_pre_ping or not isinstance(context.sqlalchemy_exception, OperationalError):
            return None  # of a connection that was closed meanwhile another one is made
        why = first_line(context.original_exception)  # locked for long, its disk full, its server stopped ...
        return UserError(f"the database does not answer ({why}): repeat this later")

    return engine


def migrate(engine: sa.Engine, to: str = "head") -> None:
    """Bring the schema to a version; several processes may do so at once.

    Raises:
        UserError: the database's version is not known here.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, to)
        except CommandError as error:
            why = "it was made by a newer version of this dashboard: install that one"
            raise UserError(f"the database cannot be brought up to date ({error}); {why}") from error


def writing(engine: sa.Engine) -> Any:
    """A transaction that writes: on SQLite it takes the write lock at its start, so that what it reads stays true."""
    return engine.execution_options(avalanche_writes=True).begin()


def new_id(connection: sa.Connection, table: sa.Table) -> int:
    """An id for a row of PROJECT or QUESTION, which no row has had before; within a transaction that writes."""
    given = sa.update(LAST_ID).where(LAST_ID.c.of == table.name).values(id=LAST_ID.c.id + 1).returning(LAST_ID.c.id)
    return int(connection.execute(given).scalar_one())


def _sqlite(url: sa.URL) -> sa.Engine:
    file = Path(url.database or "")
    file.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": _WAIT_S})
    opened: list[int] = []  # the file's inode; open connections would write on to a file that was deleted or replaced

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin below, not where the driver sees fit
        connection.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the one who writes
        connection.execute("PRAGMA foreign_keys=ON")
        if not opened and file.is_file():
            opened.append(file.stat().st_ino)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if opened and not (file.exists() and file.stat().st_ino in opened):
            raise UserError(f"{file} was deleted or replaced: stop the dashboard and start it again")
        writes = connection.get_execution_options().get("avalanche_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
