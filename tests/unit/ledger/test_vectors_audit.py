"""ledger/audit/ against tests/vectors/audit/."""

import json
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from vectors.audit.make import format_file, make

from witnesstree.ledger.audit.equivocation import check_equivocation
from witnesstree.ledger.audit.follow import Followed, follow
from witnesstree.ledger.audit.seen import Seen, parse_seen
from witnesstree.ledger.audit.witnesses import judge_witnesses
from witnesstree.ledger.base.clock import parse_time
from witnesstree.ledger.base.errors import NotFound
from witnesstree.ledger.base.report import Assurance, Check, Outcome, Report, Verdict
from witnesstree.ledger.log.note import parse_verifier_key
from witnesstree.ledger.trust import Trust, TrustedRoot
from witnesstree.ledger.verify.verify import Require

FILE = Path(__file__).parents[2] / "vectors" / "audit" / "audit.json"
VECTOR = json.loads(FILE.read_text(encoding="utf-8"))
VERDICTS = {Verdict.VERIFIED: "sound", Verdict.FAILED: "failed", Verdict.UNDECIDED: "undecided"}


def test_the_vectors_are_what_their_generator_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == format_file(make())


def fetch_of(case: dict[str, Any]) -> Callable[[str, int], bytes]:
    files = {**VECTOR["logs"][case["log"]], **case["changed"]}

    def fetch(path: str, limit: int) -> bytes:
        content = files.get(path)
        if content is None:
            raise NotFound(f"{path} is not there")
        found = b64decode(content)
        assert len(found) <= limit
        return found

    return fetch


def asked(case: dict[str, Any], name: str) -> Any:
    """Return what the case says, and otherwise what is said for all of them."""
    return case.get(name, VECTOR[name])


def audited(case: dict[str, Any]) -> tuple[Followed, list[Check]]:
    now, key = parse_time(asked(case, "now")), asked(case, "key")
    trust = Trust(
        tuple(
            TrustedRoot(b64decode(root), "a vector", Assurance.PRIVATE)
            for root in asked(case, "roots")
        )
    )
    seen: Seen | None = parse_seen(json.dumps(case["seen"]).encode()) if case["seen"] else None
    followed = follow(fetch_of(case), [parse_verifier_key(key)] if key else [], seen, now)
    deadline = timedelta(seconds=asked(case, "deadline"))
    found, _ = judge_witnesses(followed.batches, trust, now, deadline, Require.TOKEN)
    return followed, [*followed.checks, *found]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VECTOR["cases"]])
def test_audit_vector(case: dict[str, Any]) -> None:
    followed, checks = audited(case)
    report = Report(tuple(checks))

    assert VERDICTS[report.verdict] == case["expect"]
    outcome = Outcome.FAILED if case["expect"] == "failed" else Outcome.UNKNOWN
    assert [check.name for check in checks if check.outcome is outcome and check.required] == case[
        "checks"
    ]
    assert (followed.seen is not None) == all(
        check.outcome is Outcome.PASSED for check in followed.checks
    )
    found = followed.equivocation
    assert (
        found is not None and check_equivocation(found, parse_verifier_key(VECTOR["key"]))
    ) is case["equivocation"]
