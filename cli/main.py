"""The command `witnesstree`.

Each command is a module of its own, imported only when it is asked for.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import click

from witnesstree.cli.help import Group, show_misuse
from witnesstree.cli.language import asked_language, speak
from witnesstree.cli.options import CORE_ENVVAR, say
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    Damaged,
    InvalidInput,
    NotFound,
    StorageFailure,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMANDS = (
    "init",
    "seal",
    "proof",
    "verify",
    "show",
    "status",
    "worker",
    "serve",
    "tenant",
    "key",
    "authority",
    "chain",
    "contract",
    "trust",
    "ipfs",
    "export",
    "renew",
    "log",
    "audit",
    "migrate",
    "fsck",
    "recover",
    "backup",
    "restore",
    "demo",
)
"""In the order in which people meet them; each is cli/<name>.py with a click command named
<name>_command."""

# 1 and 2 are taken: Python and click exit with them when the question was never put. 3 and 4 are
# verdicts (verify.py).
EXIT_CODES: dict[type[WitnesstreeError], int] = {
    InvalidInput: 5,
    NotFound: 6,
    Conflict: 7,
    Unreachable: 8,
    BadAnswer: 9,
    Damaged: 10,
    StorageFailure: 11,
}
DISK = EXIT_CODES[StorageFailure]
INTERRUPTED = 130
"""128 and the number of SIGINT, as shells count."""


class _Commands(Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's own signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"witnesstree.cli.{cmd_name}"), f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command


@click.command(
    "witnesstree", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="witnesstree", message="%(prog)s %(version)s")
def cli() -> None:
    """Seal files so that anyone can check, years later, that they existed and have not changed.

    Example:
        witnesstree init
        witnesstree seal photo.jpg
        witnesstree verify photo.jpg
    """


def main() -> None:
    """Run the command line, and exit."""
    # Hundreds of thousands of objects are made while modules load, and none of them is garbage: nor
    # at the end, when Python looks through all of them once more.
    gc.set_threshold(200_000, 20, 20)
    atexit.register(gc.freeze)
    speak(asked_language(sys.argv[1:]))
    with _noting_interrupts() as is_interrupted:
        try:
            code = _run()
        except (click.Abort, KeyboardInterrupt):
            code = _interrupted()
        except Exception:
            # Python and its extensions sometimes wrap an interrupt into another error, above all
            # while modules are imported.
            if not is_interrupted():
                raise
            code = _interrupted()
    sys.exit(code)


def _run() -> int:
    try:
        if chosen := os.environ.get(CORE_ENVVAR):
            from witnesstree.ledger.tree.core import choose

            choose(chosen)
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        code: int = cli.main(
            prog_name="witnesstree", standalone_mode=False, color=False if plain else None
        )
    except click.UsageError as error:
        show_misuse(error)
        return error.exit_code
    except WitnesstreeError as error:
        say("error", error=error)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except OSError as error:
        # What is about a ledger or a file was translated where it happened. Left are standard
        # output (click itself exits with 1 where its reader has gone) and places that commands
        # name. Python would complain once more when it flushes at exit, so the rest of the answer
        # goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if _is_nowhere():
            say("error", error=message("working-folder-gone"))
        elif error.filename:
            say("error", error=message("place-refused", place=str(error.filename), error=error))
        else:
            say("error", error=message("answer-refused", error=error))
        return DISK
    return code


def _is_nowhere() -> bool:
    """Whether the folder in which this process works was removed."""
    try:
        os.getcwd()  # noqa: PTH109 - the very question
    except FileNotFoundError:
        return True
    return False


def _interrupted() -> int:
    say("interrupted")
    return INTERRUPTED


@contextmanager
def _noting_interrupts() -> Iterator[Callable[[], bool]]:
    """Raise KeyboardInterrupt for SIGINT as Python does, and remember that it came.

    A SIGINT that is ignored stays ignored.
    """
    noted: list[int] = []

    def note(number: int, _frame: object) -> None:
        noted.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(noted)
    finally:
        signal.signal(signal.SIGINT, before)
