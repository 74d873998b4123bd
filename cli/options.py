"""What several commands have in common: options, and how answers and talk are printed.

Answers go to standard output, talk to standard error.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TypeVar

import click

from witnesstree.ledger.base.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = click.Path(path_type=Path, readable=False)
"""Any path: what is wrong with one, the command itself says in one line."""

F = TypeVar("F", bound="Callable[..., Any]")

HOME_ENVVAR = "WITNESSTREE_HOME"
CORE_ENVVAR = "WITNESSTREE_CORE"

# Control characters, marks that turn the direction of text, and bytes of a file name that are no
# UTF-8 (as os.fsdecode gives them).
_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")


def require_file(output: Path) -> None:
    """Raise InvalidInput unless `output` is a file, or free to become one: what is written takes
    its name, and a device there would be lost.
    """
    if os.path.isdir(output):  # noqa: PTH112 - Path.is_dir raises for names that are too long
        raise InvalidInput(f"{output} is a folder: name a file in it")
    if os.path.exists(output) and not os.path.isfile(output):  # noqa: PTH110, PTH113 - the same
        raise InvalidInput(
            f"{output} is a device or a pipe, which a file would replace: name a file"
        )


def require_room(output: Path) -> None:
    """Raise InvalidInput unless a file can be written at `output`, as far as names tell."""
    require_file(output)
    if not output.absolute().parent.is_dir():
        raise InvalidInput(f"{output.parent} is no folder: make it first, or name a file elsewhere")


def default_home() -> Path:
    """Return the home that is used where none is named: in the user's data folder."""
    from platformdirs import user_data_path

    return user_data_path("witnesstree", appauthor=False)


def home_option(command: F) -> F:
    """Add --home, for commands that work in a home."""
    option = click.option(
        "--home",
        type=PATH,
        envvar=HOME_ENVVAR,
        default=default_home,
        show_default="WITNESSTREE_HOME, or witnesstree in your data folder",
        help="The ledger's folder.",
    )
    return option(command)


def publish_option(command: F) -> F:
    """Add --publish-batches, for commands that seal."""
    text = (
        "Put the list of digests of each batch that is sealed into IPFS, so that anyone can rebuild"
        " its tree."
    )
    return click.option("--publish-batches", "publishes", is_flag=True, help=text)(command)


def json_option(command: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")(
        command
    )


def answer(value: object) -> None:
    """Print `value` as JSON.

    Bytes of a file name that are no UTF-8 are written as JSON escapes: os.fsencode gives them back.
    """
    click.echo(json.dumps(value, indent=1, ensure_ascii=False).encode(errors="backslashreplace"))


def say(text: object) -> None:
    """Tell the person, on one line, something that is no answer."""
    click.echo(one_line(text), err=True)


def one_line(text: object) -> str:
    """Return `text` so that it stays on one line of any terminal: a file's name may hold line ends,
    escape sequences, and bytes that are no text.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def laid_out(text: str, indent: int) -> str:
    """Return one line of an answer, broken at words and indented from its second line on where a
    person reads it; programs get it as one line.
    """
    line = one_line(text)
    if not (sys.stdout and sys.stdout.isatty()):
        return line
    width = get_terminal_size().columns
    return "\n".join(
        wrap(
            line,
            width,
            subsequent_indent=" " * indent,
            drop_whitespace=True,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def counted(number: int, thing: str, plural: str = "") -> str:
    """Return how many of a thing there are, in words: 1 batch, 2 batches."""
    return f"{number:,} {thing if number == 1 else plural or thing + 's'}"


def is_watched() -> bool:
    """Whether a person sees standard error, so that progress is worth drawing."""
    return sys.stderr.isatty()
