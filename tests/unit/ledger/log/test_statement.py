import json
from base64 import b64decode
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log.statement import (
    MAX_STATEMENT,
    Statement,
    format_statement,
    parse_statement,
)

VECTOR = json.loads(
    (Path(__file__).parents[3] / "vectors" / "log" / "statement.json").read_text(encoding="utf-8")
)
OPENED = datetime(2026, 11, 23, 3, 48, 55, tzinfo=UTC)


def statement_of(**changed: Any) -> Statement:
    fields = {
        "origin": "ledger.example",
        "sequence": 0,
        "count": 1,
        "root": bytes(32),
        "opened": OPENED,
        "closed": OPENED,
    }
    return Statement(**{**fields, **changed})


def stated(fields: dict[str, Any]) -> Statement:
    times = {name: datetime.fromisoformat(fields[name]) for name in ("opened", "closed")}
    return Statement(**{**fields, "root": b64decode(fields["root"]), **times})


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VECTOR["cases"]])
def test_statement_vector(case: dict[str, Any]) -> None:
    text: str | bytes = case["text"] if "text" in case else b64decode(case["bytes"])
    if case["expect"] == "invalid":
        with pytest.raises(InvalidInput):
            parse_statement(text)
    else:
        assert parse_statement(text) == stated(case["statement"])
        assert format_statement(stated(case["statement"])) == text


def test_a_statement_is_seven_lines() -> None:
    text = format_statement(
        statement_of(sequence=41, count=1003, closed=OPENED + timedelta(minutes=1))
    )

    assert (
        text
        == "witnesstree-batch/1\nledger.example\n41\n1003\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n2026-11-23T03:48:55Z\n2026-11-23T03:49:55Z\n"  # noqa: E501
    )


def test_the_longest_statement_is_within_the_limit() -> None:
    longest = statement_of(origin="\U0001f333" * 255, sequence=2**53 - 1, count=2**53 - 1)

    text = format_statement(longest)

    assert len(text.encode()) < MAX_STATEMENT
    assert parse_statement(text.encode()) == longest


@pytest.mark.parametrize(
    "changed",
    [
        {"origin": ""},
        {"origin": "two words"},
        {"origin": "two\nlines"},
        {"sequence": -1},
        {"sequence": 2**53},
        {"count": 0},
        {"count": 2**53},
        {"root": bytes(31)},
        {"root": bytes(33)},
        {"opened": OPENED.replace(microsecond=1)},
        {"opened": OPENED.replace(tzinfo=None)},
        {"closed": OPENED.astimezone(timezone(timedelta(hours=8)))},
    ],
)
def test_what_no_statement_can_hold(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        statement_of(**changed)
