"""docs/architecture.md names files that are there, and every floor of the ledger."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = ("ledger", "anchor", "cli", "api", "contracts", "hardhat-config", "tests")


def test_every_file_and_folder_that_is_named_is_there() -> None:
    named = set(re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w./*-]*)`", TEXT))
    assert len(named) > 40
    assert [path for path in sorted(named) if not list(ROOT.glob(path))] == []


def test_every_floor_is_named_in_its_order() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    [floors] = [each["layers"] for each in contracts if each.get("containers")]
    rows = re.findall(r"^\| `ledger/(\w+)(?:/|\.py)` \|", TEXT, re.MULTILINE)
    assert rows == floors
    folders = {
        path.name.removesuffix(".py")
        for path in (ROOT / "ledger").iterdir()
        if path.name not in {"__init__.py", "__pycache__", "py.typed", "native"}
    }
    assert folders == set(floors)


def test_no_more_than_eight_files_are_flat_in_the_ledger() -> None:
    assert len(list((ROOT / "ledger").glob("*.py"))) <= 8
