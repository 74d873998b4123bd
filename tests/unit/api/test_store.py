"""The service's tables: what is in them after a copy, and who wrote them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from commandline import call
from conftest import START
from servers.postgresql import PostgreSQL
from sqlalchemy import inspect, select

from witnesstree.anchor.backup import restore
from witnesstree.anchor.wiring import open_ledger
from witnesstree.api import admin
from witnesstree.api.store.acts import add_act, list_acts
from witnesstree.api.store.keys import (
    DEFAULT,
    Scope,
    add_key,
    end_key,
    key_of,
    list_keys,
    note_use,
    parse_scopes,
)
from witnesstree.api.store.schema import VERSION, metadata, require_tables, service
from witnesstree.api.store.submissions import (
    Answer,
    add_range,
    answer_to,
    forget_answers,
    keep_answer,
    owner,
    usage,
)
from witnesstree.api.store.tenants import MAX_NAME, add_tenant, tenant_named
from witnesstree.ledger.base.errors import Conflict, InvalidInput, NotFound
from witnesstree.ledger.work.sealing import Span


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    assert call("init", "--home", home).code == 0
    return home


@pytest.fixture
def connection(home: Path) -> Any:
    with open_ledger(home) as ledger, ledger.metadata.write() as transaction:
        require_tables(transaction.connection, "2026-12-01T00:00:00Z")
        yield transaction.connection


def rows(home: Path) -> dict[str, list[Any]]:
    with open_ledger(home) as ledger, ledger.metadata.read() as transaction:
        if not inspect(transaction.connection).has_table(service.name):
            return {}
        return {
            table.name: [tuple(row) for row in transaction.connection.execute(select(table))]
            for table in metadata.sorted_tables
        }


def test_a_backup_has_tenants_keys_and_ranges(home: Path, tmp_path: Path) -> None:
    admin.new_tenant(home, "acme", 5, None)
    admin.new_key(home, "acme", ["submit"], None)
    with open_ledger(home) as ledger, ledger.metadata.write() as transaction:
        add_range(
            transaction.connection,
            [Span(0, 2, 3)],
            ledger.now(),
            tenant=1,
            number=1,
            requests=1,
        )
    before = rows(home)
    assert before["tenants"]
    assert before["api_keys"]
    assert before["submissions"]
    assert call("backup", tmp_path / "backup", "--plain-keys", "--home", home).code == 0
    restored = tmp_path / "restored"
    assert call("restore", tmp_path / "backup", "--home", restored).code == 0
    assert rows(restored) == before


def test_a_home_without_a_service_has_no_such_tables_after_a_copy(
    home: Path, tmp_path: Path
) -> None:
    assert call("backup", tmp_path / "backup", "--plain-keys", "--home", home).code == 0
    assert call("restore", tmp_path / "backup", "--home", tmp_path / "restored").code == 0
    assert rows(tmp_path / "restored") == {}


def test_a_backup_may_be_restored_into_postgresql(
    home: Path, tmp_path: Path, postgres: PostgreSQL
) -> None:
    admin.new_tenant(home, "acme", None, 7)
    assert call("backup", tmp_path / "backup", "--plain-keys", "--home", home).code == 0
    restore(
        tmp_path / "backup",
        tmp_path / "restored",
        now=START,
        database=postgres.url(postgres.new_schema()),
    )
    assert rows(tmp_path / "restored")["tenants"] == rows(home)["tenants"]


def test_tables_of_a_newer_version_are_refused(connection: Any) -> None:
    connection.execute(service.update().values(version=VERSION + 1))
    with pytest.raises(InvalidInput, match=str(VERSION + 1)):
        require_tables(connection, "2026-12-01T00:00:00Z")


# Keys


def test_a_key_is_its_secret_and_no_other(connection: Any) -> None:
    key, secret = add_key(connection, 1, DEFAULT, START)
    assert key.fits(secret)
    assert not key.fits(secret[:-1] + ("a" if secret[-1] != "a" else "b"))
    assert key_of(connection, key.id) == key
    assert list_keys(connection) == [key]
    with pytest.raises(NotFound):
        key_of(connection, "nothing")


def test_a_key_ends_once(connection: Any) -> None:
    key, _ = add_key(connection, 1, DEFAULT, START, until=START + timedelta(days=1))
    assert key.is_valid(START)
    assert not key.is_valid(START + timedelta(days=1))
    end_key(connection, key.id, START + timedelta(hours=1))
    ended = key_of(connection, key.id)
    assert ended.is_valid(START)
    assert not ended.is_valid(START + timedelta(hours=1))
    end_key(connection, key.id, START)
    with pytest.raises(Conflict):
        end_key(connection, key.id, START)


def test_when_a_key_was_used_is_kept(connection: Any) -> None:
    key, _ = add_key(connection, 1, DEFAULT, START)
    note_use(connection, {key.id: START})
    assert key_of(connection, key.id).used == START


def test_scopes_are_known_ones() -> None:
    assert parse_scopes([]) == DEFAULT
    assert parse_scopes(["read"]) == frozenset({Scope.READ})
    with pytest.raises(InvalidInput, match="write"):
        parse_scopes(["write"])


# Tenants, ranges, answers, acts


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a" * (MAX_NAME + 1)])
def test_names_that_are_none(connection: Any, name: str) -> None:
    with pytest.raises(InvalidInput):
        add_tenant(connection, name, START, None, None)


def test_a_tenant_is_found_by_its_name(connection: Any) -> None:
    added = add_tenant(connection, "租户", START, None, None)
    assert tenant_named(connection, "租户") == added
    with pytest.raises(NotFound):
        tenant_named(connection, "nobody")


def test_what_is_in_no_range_is_the_operators(connection: Any) -> None:
    add_range(connection, [Span(3, 10, 5)], START, tenant=4, number=1, requests=2)
    found = [owner(connection, 3, position) for position in (9, 10, 14, 15)]
    assert found == [0, 4, 4, 0]
    assert owner(connection, 2, 10) == 0


def test_usage_is_by_day(connection: Any) -> None:
    day = timedelta(days=1)
    for number in range(3):
        add_range(
            connection,
            [Span(0, 10 * number, 5)],
            START + number * day,
            tenant=1,
            number=number + 1,
            requests=1,
        )
    assert usage(connection, 1, START, START + 2 * day) == {"2026-11-23": 5, "2026-11-24": 5}
    assert usage(connection, 2, START, START + 2 * day) == {}


def test_an_answer_is_kept_for_a_day(connection: Any) -> None:
    kept = Answer(b"body", b"answer")
    keep_answer(connection, 1, "k", kept, START)
    assert answer_to(connection, 1, "k", START) == kept
    assert answer_to(connection, 2, "k", START) is None
    later = START + timedelta(hours=24)
    assert answer_to(connection, 1, "k", later) is None
    keep_answer(connection, 1, "k", Answer(b"other", b"answer"), later)
    forget_answers(connection, later)
    assert answer_to(connection, 1, "k", later) == Answer(b"other", b"answer")
    forget_answers(connection, later + timedelta(hours=24))
    assert answer_to(connection, 1, "k", later) is None


def test_acts_are_a_chain(connection: Any) -> None:
    add_act(connection, START, "one", tenant=1)
    add_act(connection, START, "two", name="x")
    assert [(number, is_right) for number, _, _, is_right in list_acts(connection)] == [
        (1, True),
        (2, True),
    ]
    connection.exec_driver_sql("UPDATE acts SET act = '{}' WHERE number = 1")
    assert [is_right for *_, is_right in list_acts(connection)] == [False, True]


# The commands


def test_the_life_of_a_key(home: Path) -> None:
    assert call("tenant", "add", "acme", "--rate", "5", "--home", home).code == 0
    assert call("tenant", "add", "acme", "--home", home).code == 7
    listed = call("tenant", "list", "--home", home, "--json").json
    assert [(each["name"], each["rate"]) for each in listed] == [("operator", None), ("acme", 5)]
    assert "acme" in call("tenant", "list", "--home", home).text
    added = call("key", "add", "acme", "--until", "2099-01-01", "--home", home, "--json").json
    rotated = call("key", "rotate", added["id"], "--overlap", "1", "--home", home)
    assert rotated.text.startswith("wt_")
    keys = {each["id"]: each for each in call("key", "list", "--home", home, "--json").json}
    assert keys[rotated.text[3:11]]["replaces"] == added["id"]
    assert keys[added["id"]]["revoked"]
    assert added["id"] in call("key", "list", "--home", home).text
    assert call("key", "revoke", rotated.text[3:11], "--home", home).code == 0
    assert call("key", "revoke", rotated.text[3:11], "--home", home).code == 7
    assert call("key", "rotate", rotated.text[3:11], "--home", home).code == 7
    assert call("key", "revoke", "nothing", "--home", home).code == 6
    assert [act[3] for act in admin.acts(home)] == [True] * 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nobody",), 6),
        (("acme", "--scope", "write"), 5),
        (("acme", "--scope", "operator"), 5),
        (("acme", "--until", "2001-01-01"), 5),
    ],
)
def test_keys_that_are_not_given(home: Path, arguments: tuple[str, ...], code: int) -> None:
    assert call("tenant", "add", "acme", "--home", home).code == 0
    assert call("key", "add", *arguments, "--home", home).code == code
    assert call("key", "list", "--home", home, "--json").json == []
