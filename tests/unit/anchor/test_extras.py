"""The extras: what is looked for, what pyproject.toml asks for, and what the code imports agree."""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from commandline import call
from packaging.requirements import Requirement

from witnesstree.anchor import extras
from witnesstree.anchor.extras import CHAINS, LEDGER, PACKAGES, require_extra
from witnesstree.ledger.base.errors import InvalidInput

ROOT = Path(__file__).parents[3]
ROOMS = ("ledger", "anchor", "api", "cli")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = PROJECT["optional-dependencies"]
OWN = "witnesstree"


def names(requirements: list[str]) -> set[str]:
    return {canonical(Requirement(each).name) for each in requirements} - {OWN}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def installed() -> Mapping[str, list[str]]:
    return packages_distributions()


def distributions(package: str) -> set[str]:
    return {canonical(name) for name in installed().get(package, [])}


PLAIN = names(PROJECT["dependencies"])
EXTRAS = {name: names(required) for name, required in OPTIONAL.items()}
EXTRAS[LEDGER] |= EXTRAS[CHAINS]


def imports() -> Iterator[tuple[Path, str]]:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module:
                    yield path, node.module.partition(".")[0]
                elif isinstance(node, ast.Import):
                    yield from ((path, alias.name.partition(".")[0]) for alias in node.names)


def test_all_that_is_imported_is_asked_for() -> None:
    asked = PLAIN.union(*EXTRAS.values())
    found = {
        (path.relative_to(ROOT), name)
        for path, name in imports()
        if name not in sys.stdlib_module_names and name not in {OWN, "__future__"}
    }
    assert found
    # They are the other halves of pydantic and of FastAPI, which choose their versions.
    assert {
        (path, name)
        for path, name in found
        if name not in {"pydantic_core", "starlette"} and not distributions(name) & asked
    } == set()


def test_a_plain_install_asks_for_little() -> None:
    assert len(PLAIN) <= 8
    assert PLAIN.isdisjoint(EXTRAS[LEDGER])


@pytest.mark.parametrize("extra", sorted(PACKAGES))
def test_what_is_looked_for_is_the_extras_own(extra: str) -> None:
    for package in PACKAGES[extra]:
        assert distributions(package) & EXTRAS[extra], package
    # A ledger with embedded parts runs without web3 and eth-account; eth-typing has types alone,
    # and pycryptodome is looked for by eth-hash.
    left_out = {"eth-typing", "pycryptodome"} if extra in {CHAINS, LEDGER} else set()
    left_out |= {"eth-account", "web3"} if extra == LEDGER else set()
    looked_for = set().union(*(distributions(package) for package in PACKAGES[extra]))
    assert EXTRAS[extra] - looked_for == left_out


@pytest.mark.parametrize(
    ("extra", "package"), [(extra, each) for extra in PACKAGES for each in PACKAGES[extra]]
)
def test_each_package_is_missed_by_name(
    extra: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_extra(extra)
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == package else name)
    with pytest.raises(InvalidInput) as caught:
        require_extra(extra)
    assert caught.value.message.code == "extra-missing"
    assert caught.value.message.members == {"extra": extra, "package": package}


def test_a_package_that_cannot_be_looked_for_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(extras, "find_spec", fail)
    with pytest.raises(InvalidInput):
        require_extra(LEDGER)


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("init", LEDGER),
        ("seal {file}", LEDGER),
        ("proof {file}", LEDGER),
        ("status", LEDGER),
        ("chain list", LEDGER),
        ("log keys", LEDGER),
        ("verify {file} --rpc http://127.0.0.1:1", CHAINS),
    ],
)
def test_a_command_says_the_line_to_type(
    command: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"")
    make_proof(file)
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    home = () if extra == CHAINS else ("--home", tmp_path / "home")
    ran = call(*command.format(file=file).split(), *home)
    assert ran.code == 5
    assert ran.error().endswith(f'run `pip install "witnesstree[{extra}]"`')
    assert not (tmp_path / "home").exists()
    chinese = call("--lang", "zh", *command.format(file=file).split(), *home)
    assert f'请运行 `pip install "witnesstree[{extra}]"`' in chinese.talk
    assert call(*command.format(file=file).split()[:1], "--help").code == 0


def make_proof(file: Path) -> None:
    vectors = json.loads((ROOT / "tests/vectors/proof/proof.json").read_bytes())
    file.with_name(f"{file.name}.proof.json").write_text(vectors["cases"][0]["proof"])


def test_this_installation_is_the_one_that_is_described() -> None:
    asked = {Requirement(each).name for each in distribution(OWN).requires or []}
    assert {canonical(name) for name in asked} - {OWN} == PLAIN.union(*EXTRAS.values())
