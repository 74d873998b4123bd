"""Decision records are numbered without gaps, dated, and say context, options, decision and
consequences."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
SECTIONS = ["Context", "Options", "Decision", "Consequences"]


def test_numbers_have_no_gaps() -> None:
    assert [int(record.name[:4]) for record in RECORDS] == list(range(1, len(RECORDS) + 1))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_form(record: Path) -> None:
    text = record.read_text(encoding="utf-8")
    number = int(record.name[:4])
    assert re.match(rf"# {number}\. \S.*\n\nDate: \d{{4}}-\d{{2}}-\d{{2}}\n\n## Context\n", text)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
