"""What fsck finds in records, with the metadata in PostgreSQL.

Of the batches' files nothing is different there.
"""

from pathlib import Path
from typing import Any

import pytest
from conftest import Clock
from fakes import FakeWorld
from servers.postgresql import PostgreSQL
from unit.ledger.work import test_fsck
from unit.ledger.work.test_fsck import (  # noqa: F401 - tests, and what makes their world
    test_a_job_that_would_be_done_twice_is_found,
    test_a_sound_ledger_has_no_problem,
    test_an_empty_ledger_has_no_problem,
    test_every_altered_record_is_found,
    three_batches,
)

pytestmark = pytest.mark.sampled(4)


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> FakeWorld:
    return three_batches(tmp_path / "home", clock)


@pytest.fixture(autouse=True)
def _altering(postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the suite alter records in PostgreSQL, where it does so in SQLite."""

    def connect(altered: FakeWorld) -> Any:
        assert altered.database
        return postgres.connect(altered.database.rpartition("%3D")[2])

    def alter(altered: FakeWorld, table: str, column: str, value: Any, where: str = "true") -> None:
        with connect(altered) as database:
            database.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
            condition = "true" if where == "1" else where
            assert (
                database.execute(
                    f'UPDATE {table} SET "{column}" = %s WHERE {condition}'.encode(), (value,)
                ).rowcount
                == 1
            )
            if table not in {"jobs", "open_batches"}:
                database.execute(
                    f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only".encode()
                )

    def column_value(altered: FakeWorld, table: str, column: str, where: str = "1") -> Any:
        with connect(altered) as database:
            row = database.execute(
                f'SELECT "{column}" FROM {table} WHERE {"true" if where == "1" else where}'.encode()
            ).fetchone()
        assert row
        return row[0]

    monkeypatch.setattr(test_fsck, "alter", alter)
    monkeypatch.setattr(test_fsck, "column_value", column_value)
