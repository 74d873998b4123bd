"""Work for cli/parallel.py that other processes can import."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from witnesstree.ledger.base.errors import InvalidInput


def work(_stop: object, more: int) -> Callable[[int], int]:
    """Return what doubles a number and adds `more`; it refuses 99, and is ended from outside at
    77."""

    def double(number: int) -> int:
        if number == 99:
            raise InvalidInput("99 is no number")
        if number == 77:
            os._exit(3)
        return 2 * number + more

    return double


def refuse(_stop: object) -> Callable[[int], int]:
    """Refuse to begin at all."""
    raise InvalidInput("nothing can be doubled here")


def stall(_stop: object, folder: Path) -> Callable[[int], int]:
    """Return what says in `folder` that it began, and then heeds nothing for a minute."""

    def begin(number: int) -> int:
        (folder / f"{number}").touch()
        time.sleep(60)
        return number

    return begin
