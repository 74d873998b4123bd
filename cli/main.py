"""The command `witnesstree`.

Each command is a module of its own, imported only when it is asked for.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import click

from witnesstree.cli.options import CORE_ENVVAR, one_line
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


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's own signature
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"witnesstree.cli.{cmd_name}"), f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="witnesstree", message="%(prog)s %(version)s")
def cli() -> None:
    """Seal files so that anyone can check, years later, that they existed and have not changed.

    \b
    Example:
        witnesstree init
        witnesstree seal photo.jpg
        witnesstree verify photo.jpg --home ~/.local/share/witnesstree

    Exit codes: 0 done or verified; 3 failed, 4 undecided (verify, audit, log check); 5 bad input,
    6 not found, 7 in use, 8 unreachable, 9 wrong answer, 10 damaged, 11 disk, 12 an alarm
    (status --check); 130 interrupted; 1 a crash, or nobody read the answer; 2 a misspelt
    command line.
    """


def main() -> None:
    """Run the command line, and exit."""
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
        code: int = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except WitnesstreeError as error:
        click.echo(f"Error: {one_line(error)}", err=True)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    except OSError as error:
        # What is about a ledger or a file was translated where it happened. Left are standard
        # output (click itself exits with 1 where its reader has gone) and places that commands
        # name. Python would complain once more when it flushes at exit, so the rest of the answer
        # goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        place = error.filename or "standard output"
        click.echo(
            f"Error: {one_line(f'{place}: {error.strerror}')}; name another place, or make room,"
            " then run it again",
            err=True,
        )
        return DISK
    return code


def _interrupted() -> int:
    click.echo(
        "Interrupted. Everything acknowledged is kept; run the same command again to finish.",
        err=True,
    )
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
