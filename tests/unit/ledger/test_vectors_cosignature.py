"""ledger/log/cosignature.py against tests/vectors/cosignature/."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from vectors.cosignature.make import format_file, make

from witnesstree.ledger.audit.cosigners import judge_cosignatures
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.log.cosignature import (
    check_cosignatures,
    format_cosigner_key,
    parse_cosigner_key,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "cosignature"


def cases(name: str) -> list[Any]:
    content = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["name"]) for case in content["cases"]]


def test_the_vectors_are_what_their_generator_makes() -> None:
    for name, content in make().items():
        assert (VECTORS / name).read_text(encoding="utf-8") == format_file(content)


@pytest.mark.parametrize("case", cases("cosignature.json"))
def test_cosignature_vector(case: dict[str, Any]) -> None:
    keys = [parse_cosigner_key(text) for text in case["witnesses"]]
    if case["expect"] == "invalid":
        with pytest.raises(InvalidInput):
            check_cosignatures(case["note"], keys)
        return

    found = check_cosignatures(case["note"], keys)
    judged = judge_cosignatures(
        case["note"], keys, case["quorum"], datetime.fromtimestamp(case["now"], UTC)
    )

    assert [{"name": each.key.name, "time": each.time} for each in found] == case["cosigned"]
    assert ("met" if judged.outcome is Outcome.PASSED else "unmet") == case["expect"]


@pytest.mark.parametrize("case", cases("key.json"))
def test_key_vector(case: dict[str, Any]) -> None:
    if case["expect"] == "invalid":
        with pytest.raises(InvalidInput):
            parse_cosigner_key(case["text"])
        return
    key = parse_cosigner_key(case["text"])
    assert {
        "name": key.name,
        "key_id": key.key_id.hex(),
        "public_key": case["key"]["public_key"],
    } == case["key"]
    assert key.public_key == b64decode(case["key"]["public_key"])
    assert format_cosigner_key(key) == case["text"]
