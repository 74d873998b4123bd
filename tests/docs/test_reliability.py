"""Every test that docs/reliability.md names exists, and every alarm there is is explained there."""

import ast
import re
from pathlib import Path

from witnesstree.ledger.store.database.values import AlarmKind

TESTS = Path(__file__).parents[1]
DOCUMENT = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(test_\w+\.py)::(\w+)`", DOCUMENT)


def functions(name: str) -> set[str]:
    """Return the tests in the files of this name."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in TESTS.rglob(name)]
    return {
        node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    }


def test_the_tests_that_it_names_exist() -> None:
    assert len(NAMED) > 30
    assert [f"{file}::{test}" for file, test in NAMED if test not in functions(file)] == []
    # Nothing that looks like the name of a test goes unchecked.
    assert set(re.findall(r"`(test_[^`]*)`", DOCUMENT)) == {
        f"{file}::{test}" for file, test in NAMED
    }


def test_each_fault_but_those_that_nothing_can_be_done_about_names_a_test() -> None:
    rows = [
        line
        for line in DOCUMENT[
            DOCUMENT.index("## Faults") : DOCUMENT.index("## Rehearsals")
        ].splitlines()
        if line.startswith("| ") and not line.startswith("| fault")
    ]
    [row] = [row for row in rows if "test_" not in row]
    assert row.startswith("| reorganised deeper than final |")


def test_it_explains_every_alarm() -> None:
    alarms = ["bad-answer", "settings", "endpoint", "unaffordable", "clock", "lost", "renewal"]
    assert re.findall(r"^\| `([a-z-]+)` \|", DOCUMENT, re.MULTILINE) == alarms
    assert {kind.value for kind in AlarmKind} == set(alarms)
