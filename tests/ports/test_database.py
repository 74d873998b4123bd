"""What every Database promises, asked of SQLite and of PostgreSQL: it is spoken to as the metadata
does, without any of its questions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers.postgresql import PostgreSQL as Server
from sqlalchemy import Column, Integer, MetaData, Table, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError

from witnesstree.ledger.base.errors import Conflict, Damaged, WitnesstreeError
from witnesstree.ledger.store.database.postgresql import PostgreSQL
from witnesstree.ledger.store.database.sqlite import SQLite
from witnesstree.ledger.store.ports import Database

TABLES = MetaData()
STATED = Table(
    "stated",
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("value", Integer, unique=True),
)


@dataclass
class Subject:
    """A database with one guarded table, and another process's way to it."""

    database: Database
    connect_again: Callable[[], Database]

    def write(self, *statements: str) -> None:
        with (
            self.database.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            for statement in statements:
                connection.execute(text(statement))

    def fault(self, *statements: str) -> WitnesstreeError:
        with pytest.raises(DBAPIError) as caught:
            self.write(*statements)
        return self.database.fault(caught.value)

    def rows(self) -> list[tuple[int, int]]:
        with self.database.engine.connect() as connection, connection.begin():
            return [tuple(row) for row in connection.execute(select(STATED).order_by("number"))]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real("postgres"))])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    made: list[Database] = []

    def connect() -> Database:
        made.append(SQLite(tmp_path / "ledger.db", 0.2) if url is None else PostgreSQL(url, 0.2))
        return made[-1]

    url = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        assert isinstance(server, Server)
        url = server.url(server.new_schema())
    database = connect()
    with (
        database.engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        TABLES.create_all(connection)
        for statement in database.guards([STATED]):
            connection.execute(text(statement))
        connection.execute(insert(STATED), [{"number": 1, "value": 10}])
    yield Subject(database, connect)
    for each in made:
        each.engine.dispose()


def test_one_that_is_there_is_present_and_sound(subject: Subject) -> None:
    subject.database.require_present()
    assert subject.database.place
    with subject.database.engine.connect() as connection:
        assert inspect(connection).has_table("stated")
        assert list(subject.database.problems(connection, [STATED])) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stated SET value = 11",
        "DELETE FROM stated",
        "INSERT INTO stated VALUES (1, 11)",
        "INSERT INTO stated VALUES (2, 10)",
    ],
)
def test_a_guarded_table_is_append_only(subject: Subject, statement: str) -> None:
    fault = subject.fault(statement)
    assert isinstance(fault, Damaged)
    assert fault.message.code == "database-refused-row"
    assert subject.rows() == [(1, 10)]
    subject.write("INSERT INTO stated VALUES (2, 11)")
    assert subject.rows() == [(1, 10), (2, 11)]


def test_a_guard_that_is_gone_is_named(subject: Subject) -> None:
    others = Table("others", MetaData(), Column("number", Integer, primary_key=True))
    with subject.database.engine.connect() as connection:
        found = list(subject.database.problems(connection, [STATED, others]))
    assert found
    assert {(said.code, dict(said.params)["table"]) for said in found} == {
        ("guard-altered", "others")
    }


def test_a_writer_excludes_others_and_they_wait_no_longer_than_was_set(subject: Subject) -> None:
    other = Subject(subject.connect_again(), subject.connect_again)
    with (
        subject.database.engine.connect().execution_options(writes=True) as connection,
        connection.begin(),
    ):
        connection.execute(text("INSERT INTO stated VALUES (2, 20)"))
        fault = other.fault("INSERT INTO stated VALUES (3, 30)")
        assert isinstance(fault, Conflict)
        assert fault.message.code == "database-locked"
        # Who only reads is not kept waiting, and sees nothing that is not committed.
        assert other.rows() == [(1, 10)]
    other.write("INSERT INTO stated VALUES (3, 30)")
    assert subject.rows() == [(1, 10), (2, 20), (3, 30)]


def test_a_transaction_sees_one_state(subject: Subject) -> None:
    other = Subject(subject.connect_again(), subject.connect_again)
    with subject.database.engine.connect() as connection, connection.begin():
        before = connection.execute(select(STATED)).all()
        other.write("INSERT INTO stated VALUES (2, 20)")
        assert connection.execute(select(STATED)).all() == before
    assert len(subject.rows()) == 2


def test_a_transaction_that_fails_leaves_nothing(subject: Subject) -> None:
    subject.fault("INSERT INTO stated VALUES (2, 20)", "DELETE FROM stated")
    assert subject.rows() == [(1, 10)]


def test_a_copy_has_what_is_committed_while_another_writes(subject: Subject) -> None:
    other = subject.connect_again()
    with other.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text("INSERT INTO stated VALUES (2, 20)"))
        copy = subject.database.back_up(7)
    if copy is not None:
        copied = SQLite(copy, 1)
        assert Subject(copied, subject.connect_again).rows() == [(1, 10)]
        copied.engine.dispose()
    assert len(subject.rows()) == 2


def test_what_cannot_be_understood_is_damage(subject: Subject) -> None:
    assert isinstance(subject.fault("SELECT nothing FROM nowhere"), Damaged)
