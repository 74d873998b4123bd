"""Every command, option, exit code and setting is documented, and the documents are what the code
says."""

import runpy
import shlex
from pathlib import Path

import click
import pytest
from commandline import call

from witnesstree.anchor.settings import (
    AuthoritySettings,
    ChainSettings,
    IpfsSettings,
    ServiceSettings,
    Settings,
    setting_message,
)
from witnesstree.cli.layout import width_of
from witnesstree.cli.main import COMMANDS, EXIT_CODES, cli
from witnesstree.cli.status import ALARM
from witnesstree.ledger.base import errors
from witnesstree.ledger.base.catalogue import HELP, LANGUAGES, words_of

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = runpy.run_path(str(DOCS / "reference.py"))
GROUP = click.Context(cli, info_name="witnesstree")


def command(name: str) -> click.Command:
    """Return a command by its whole name, such as `seal` or `chain add`."""
    found: click.Command = cli
    for word in name.split():
        assert isinstance(found, click.Group)
        below = found.get_command(GROUP, word)
        assert below
        found = below
    return found


def whole_names() -> list[str]:
    """Return the names of all commands that do something: those of groups have two words."""
    names = []
    for name in COMMANDS:
        found = command(name)
        names += (
            [f"{name} {below}" for below in found.commands]
            if isinstance(found, click.Group)
            else [name]
        )
    return names


NAMES = whole_names()
ANSWERING = [name for name in NAMES if name != "demo"]


@pytest.mark.parametrize("subject", ["cli", "settings"])
@pytest.mark.parametrize(("ending", "language"), [("md", "en"), ("zh.md", "zh-Hans")])
def test_the_reference_is_what_the_code_says(subject: str, ending: str, language: str) -> None:
    written = (DOCS / f"{subject}.{ending}").read_text()
    assert written == REFERENCE[f"{subject}_reference"](language), "run `make docs`"


def test_the_generator_writes_all_files(tmp_path: Path) -> None:
    copy = tmp_path / "docs" / "reference.py"
    copy.parent.mkdir()
    (tmp_path / "api").mkdir()
    copy.write_text((DOCS / "reference.py").read_text())
    runpy.run_path(str(copy), run_name="__main__")
    assert {path.name: path.read_text() for path in tmp_path.glob("*/*.[mj]*")} == {
        "openapi.json": (DOCS.parent / "api" / "openapi.json").read_text(),
        "cli.md": (DOCS / "cli.md").read_text(),
        "cli.zh.md": (DOCS / "cli.zh.md").read_text(),
        "settings.md": (DOCS / "settings.md").read_text(),
        "settings.zh.md": (DOCS / "settings.zh.md").read_text(),
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_an_example_that_it_understands(name: str) -> None:
    ran = call(*name.split(), "--help")
    assert (ran.code, ran.talk) == (0, "")
    lines = ran.text.replace(" \\\n", "").splitlines()
    start = lines.index("  Example:")
    examples = [line.strip() for line in lines[start + 1 : lines.index("", start)]]
    assert examples
    for example in examples:
        words = shlex.split(example)
        assert words[: 1 + len(name.split())] == ["witnesstree", *name.split()]
        command(name).make_context(name, words[1 + len(name.split()) :])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_does(name: str, language: str) -> None:
    """The catalogue's test sees to it that each language has them; here, that no one lacks."""
    text = call(*name.split(), "--help", "--lang", language).text
    for option in command(name).params:
        assert not isinstance(option, click.Option) or max(option.opts, key=len) in text
    assert max(map(width_of, text.splitlines())) <= 100


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_of_the_help_is_of_no_command(language: str) -> None:
    known = {"witnesstree", *COMMANDS, *NAMES}
    shared, own = set(), set()
    for name in NAMES:
        options = [max(each.opts, key=len) for each in command(name).params]
        shared |= {"--help", "--lang", "--version", *options}
        own |= {f"{name} {option}" for option in options}
    for key in words_of(language, HELP):
        assert (
            key.startswith(("exit.", "page.", "reference."))
            or key.removesuffix(".short") in known
            or key in shared | own
        ), key


def test_the_service_is_described_as_it_is() -> None:
    written = (DOCS.parent / "api" / "openapi.json").read_text(encoding="utf-8")
    assert written == REFERENCE["service_reference"](), "run `make docs`"


@pytest.mark.parametrize("name", ANSWERING)
def test_every_command_with_an_answer_has_json(name: str) -> None:
    assert "--json" in {text for parameter in command(name).params for text in parameter.opts}


def test_the_list_of_commands_is_whole_and_short() -> None:
    rooms = {
        path.stem
        for path in (DOCS.parent / "cli").glob("*.py")
        if f"def {path.stem}_command" in path.read_text()
    }
    assert set(COMMANDS) == rooms
    listed = call("--help").text.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert not any("..." in line for line in listed)


def test_every_error_has_its_exit_code() -> None:
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.WitnesstreeError)
    }
    # An OverLimit is an InvalidInput, Unaffordable an Unreachable, and exits as one.
    special = {errors.WitnesstreeError, errors.OverLimit, errors.Unaffordable}
    assert set(EXIT_CODES) == kinds - special
    assert len(set(EXIT_CODES.values()) | {0, 1, 2, 3, 4, ALARM, 130}) == len(EXIT_CODES) + 7
    overview = " ".join(call("--help").text.split())
    assert all(
        f" {code} " in overview for code in (*EXIT_CODES.values(), 0, 1, 2, 3, 4, ALARM, 130)
    )


def test_every_setting_says_what_it_does() -> None:
    tables = {
        "authorities": AuthoritySettings,
        "chains": ChainSettings,
        "ipfs": IpfsSettings,
        "service": ServiceSettings,
    }
    codes = {
        setting_message(name, table).code
        for table, model in {"": Settings, **tables}.items()
        for name in model.model_fields
    }
    for language in LANGUAGES:
        worded = {code for code in words_of(language, "settings") if code.startswith("setting-")}
        assert worded == codes, language


def test_an_unknown_command_is_refused() -> None:
    assert cli.get_command(GROUP, "bogus") is None
    assert call("bogus").code == 2
