"""What a wheel holds: every package that there is, and the files that are read at run time."""

import tomllib
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("anchor", "api", "cli", "examples", "ledger")


def test_every_package_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "setuptools"
    ]["packages"]
    found = {
        ".".join(("witnesstree", *path.parent.relative_to(ROOT).parts))
        for room in ROOMS
        for path in (ROOT / room).rglob("__init__.py")
    }
    assert set(listed) == found


def test_every_init_is_one_line_of_docstring() -> None:
    for room in ROOMS:
        for init in (ROOT / room).rglob("__init__.py"):
            lines = init.read_text(encoding="utf-8").splitlines()
            assert len(lines) == 1, init
            assert lines[0].startswith('"""'), init
            assert lines[0].endswith('"""'), init


def test_files_that_are_read_at_run_time_are_package_data() -> None:
    assert (files("witnesstree.anchor.evm") / "EvidenceAnchor.json").is_file()
    for name in ("photo.jpg", "contract.pdf", "chat.json", "page.html"):
        assert (files("witnesstree.examples") / name).is_file()
