"""Pages of help: how they are asked for, that they fit, and where an option belongs."""

import pytest
from commandline import call

from witnesstree.cli.layout import width_of
from witnesstree.cli.main import COMMANDS

NARROW = {"COLUMNS": "80"}


@pytest.mark.parametrize("command", [(), ("seal",), ("trust",), ("trust", "add")], ids=" ".join)
def test_help_is_a_word_too(command: tuple[str, ...]) -> None:
    asked = call("help", *command)
    assert (asked.code, asked.text) == (0, call(*command, "--help").text)
    assert asked.text.startswith(" ".join(["Usage: witnesstree", *command]))


def test_help_for_part_of_a_command() -> None:
    assert call("trust", "help").text == call("trust", "--help").text
    assert call("trust", "help", "add").text == call("trust", "add", "--help").text
    assert call("help", "sael").error() == "Error: there is no command sael: did you mean seal?"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("command", COMMANDS)
def test_pages_fit_a_narrow_terminal(command: str, language: str) -> None:
    page = call("--lang", language, command, "--help", env=NARROW).text
    assert [line for line in page.splitlines() if width_of(line) > 80] == []


def test_a_broken_example_is_one_command_to_a_shell() -> None:
    page = call("verify", "--help", env=NARROW).text
    whole = page.replace(" \\\n         ", "")
    assert (
        "witnesstree verify interview.mp4 --trust authority.pem --block-hash 1:21000000:0x9f3c…\n"
        in whole
    )


def test_an_option_of_a_command_stands_behind_it() -> None:
    ran = call("--home", "x", "seal", "photo.jpg")
    assert ran.code == 2
    assert ran.error() == "Error: --home belongs behind the command: witnesstree COMMAND --home …"
    assert "there is no option --hone" in call("--hone", "x", "seal").error()
