"""The vectors as a whole: each case that must not pass has a reason, and tests/vectors/REASONS.md
says what each reason means."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[1] / "vectors"
TABLE = (VECTORS / "REASONS.md").read_text(encoding="utf-8")
README = (VECTORS / "README.md").read_text(encoding="utf-8")
GOOD = {"verifies", "accepted", "verified", "met", "sound"}
FOREIGN = {"merkle/consistency.json", "merkle/inclusion.json"}
"""Other people's cases, in their words: `desc` and `wantErr`."""
WITHOUT_CASES = {
    "ipfs/cids.json",
    "log/root.json",
    "merkle/roots.json",
    "tiles/tiles.json",
    "tree/tree.json",
}


def cases_of(file: Path) -> list[dict[str, Any]]:
    content = json.loads(file.read_text(encoding="utf-8"))
    places = ("cases", "records", "refused", "refused_cids")
    return (
        [case for place in places for case in content.get(place, [])]
        if isinstance(content, dict)
        else []
    )


def name_of(file: Path) -> str:
    return str(file.relative_to(VECTORS))


FILES = sorted(
    file for file in VECTORS.glob("*/*.json") if name_of(file) not in FOREIGN | WITHOUT_CASES
)


def is_good(case: dict[str, Any]) -> bool:
    expect = case.get("expect")
    if "authors" in case:
        return bool(case["authors"] == "valid")
    if not isinstance(expect, dict):
        return expect in GOOD
    if "verdict" in expect:
        return expect["verdict"] in GOOD
    # A token: what is not known of its revocation is never required.
    return {outcome for check, outcome in expect.items() if check != "revocation"} == {"passed"}


def documented() -> Iterator[tuple[str, set[str]]]:
    for code, meaning, folders in re.findall(
        r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", TABLE, re.MULTILINE
    ):
        assert meaning.strip()
        yield code, set(folders.split(", "))


@pytest.mark.parametrize("file", [pytest.param(file, id=name_of(file)) for file in FILES])
def test_each_case_says_why(file: Path) -> None:
    cases = cases_of(file)
    assert cases
    for case in cases:
        assert (case["reason"] == "ok") is is_good(case), case.get("name")


def test_each_reason_is_documented_and_each_documented_one_is_used() -> None:
    used = defaultdict(set)
    for file in FILES:
        for case in cases_of(file):
            used[case["reason"]].add(file.parent.name)
    found = list(documented())
    assert dict(found) == dict(used)
    # One line a code, in the order of the alphabet behind `ok`.
    assert [code for code, _ in found] == sorted(used, key=lambda code: (code != "ok", code))


def test_names_of_cases_are_unique_in_their_list() -> None:
    for file in FILES:
        content = json.loads(file.read_text(encoding="utf-8"))
        for place in ("cases", "records", "refused", "refused_cids"):
            names = [case["name"] for case in content.get(place, [])]
            assert len(names) == len(set(names)), name_of(file)


def test_every_file_stands_in_the_readme_under_a_level() -> None:
    files = {f"`{name_of(file)}`" for file in VECTORS.glob("*/*.json")}
    assert set(re.findall(r"`[a-z]+/[a-z]+\.json`", README)) == files
