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
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from witnesstree.cli.language import phrase
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.way import require_own_way

if TYPE_CHECKING:
    from collections.abc import Callable

    from witnesstree.ledger.base.message import Message, Value

PATH = click.Path(path_type=Path, readable=False)
"""Any path: what is wrong with one, the command itself says in one line."""

F = TypeVar("F", bound="Callable[..., Any]")

HOME_ENVVAR = "WITNESSTREE_HOME"
CORE_ENVVAR = "WITNESSTREE_CORE"

# Control characters, marks that turn the direction of text, and bytes of a file name that are no
# UTF-8 (as os.fsdecode gives them).
_UNPRINTABLE = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\xad\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff\\ud800-\\udfff"
    "\\U000e0000-\\U000e007f]"
)


def is_folder(path: Path | str) -> bool:
    """Whether a path leads to a folder; one that is too long leads nowhere."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for names that are too long


def require_file(output: Path) -> None:
    """Raise InvalidInput unless `output` is a file, or free to become one: what is written takes
    its name, and a device there would be lost.
    """
    if str(output) == "-":
        # Many programs take it for standard output, and a file of that name helps nobody.
        raise InvalidInput("output-is-dash")
    if is_folder(output):
        raise InvalidInput("output-is-folder", output=output)
    if os.path.exists(output) and not os.path.isfile(output):  # noqa: PTH110, PTH113 - the same
        raise InvalidInput("output-is-device", output=output)


def require_room(output: Path) -> None:
    """Raise InvalidInput unless a file can be written at `output`, as far as names tell."""
    require_file(output)
    require_own_way(output)
    if not output.absolute().parent.is_dir():
        raise InvalidInput("output-folder-missing", folder=output.parent)


def default_home() -> Path:
    """Return the home that is used where none is named: in the user's data folder."""
    from platformdirs import user_data_path

    return user_data_path("witnesstree", appauthor=False)


def home_option(command: F) -> F:
    """Add --home, for commands that work in a home."""
    option = click.option("--home", type=PATH, envvar=HOME_ENVVAR, default=default_home)
    return option(command)


def publish_option(command: F) -> F:
    """Add --publish-batches, for commands that seal."""
    return click.option("--publish-batches", "publishes", is_flag=True)(command)


def json_option(command: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True)(command)


def answer(value: object) -> None:
    """Print `value` as JSON.

    Bytes of a file name that are no UTF-8 are written as JSON escapes: os.fsencode gives them back.
    """
    click.echo(json.dumps(value, indent=1, ensure_ascii=False).encode(errors="backslashreplace"))


def say(code: str, /, **params: Value) -> None:
    """Tell the person something that is no answer, on one line; on a terminal it is broken at its
    width.
    """
    click.echo(laid_out(phrase(code, **params), 0, sys.stderr), err=True)


def note(said: Message | str) -> None:
    """Tell the person, on one line, what another part has put into a message."""
    say("note", note=said)


def tell(code: str, /, *, indent: int = 0, **params: Value) -> None:
    """Answer with one line; where a person reads it, it is broken at the terminal's width.

    With an `indent`, it is a detail of the line before: its further lines begin there, its first
    one two columns before.
    """
    click.echo(laid_out(" " * max(0, indent - 2) + phrase(code, **params), indent))


def one_line(text: object) -> str:
    """Return `text` so that it stays on one line of any terminal: a file's name may hold line ends,
    escape sequences, and bytes that are no text.
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def laid_out(text: str, indent: int, stream: TextIO | None = None) -> str:
    """Return one line of an answer, broken at words and indented from its second line on where a
    person reads it; programs get it as one line.
    """
    line = one_line(text)
    stream = stream or sys.stdout
    if not (stream and stream.isatty()):
        return line
    from witnesstree.cli.layout import wrapped

    text = line.lstrip(" ")
    first = line[: len(line) - len(text)]
    return "\n".join(wrapped(text, get_terminal_size().columns, first, " " * indent))


def is_watched() -> bool:
    """Whether a person sees standard error, so that progress is worth drawing."""
    return sys.stderr.isatty()
