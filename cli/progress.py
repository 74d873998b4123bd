"""Progress on standard error, drawn only where a person watches."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import click

from witnesstree.cli.language import phrase
from witnesstree.cli.options import is_watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


DRAWN = 200
"""How often a bar is drawn, at most."""

_WIPED = "\r\x1b[2K\x1b[?25h"
"""The line is empty, and the cursor shown again, which the bar hides (ECMA-48; DEC's mode 25)."""


@contextmanager
def progress(code: str, total: int, *, is_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """Draw a bar while the block runs, and give it a function that moves it on.

    `code` says in the catalogue what is being done.

    It may be called from several threads.
    """
    if not is_watched() or not total:
        yield lambda _step: None
        return
    # By itself it would stay on the screen, one line for each thing that was done.
    bar = click.progressbar(
        length=total,
        label=phrase(code),
        show_pos=not is_bytes,
        file=sys.stderr,
        update_min_steps=max(1, total // DRAWN),
    )
    lock = Lock()

    def advance(step: int) -> None:
        with lock:
            bar.update(step)

    bar.render_progress()
    try:
        yield advance
    finally:
        click.echo(_WIPED, nl=False, err=True)
