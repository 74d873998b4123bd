"""Progress on standard error, drawn only where a person watches."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from witnesstree.cli.language import phrase
from witnesstree.cli.options import is_watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def progress(code: str, total: int, *, is_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """Draw a bar while the block runs, and give it a function that moves it on.

    `code` says in the catalogue what is being done.

    It may be called from several threads.
    """
    if not is_watched() or not total:
        yield lambda _step: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = [DownloadColumn(), TransferSpeedColumn()] if is_bytes else [MofNCompleteColumn()]
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(phrase(code), total=total)
        yield lambda step: bar.advance(task, step)
