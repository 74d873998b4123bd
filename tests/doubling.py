"""Work for cli/parallel.py that other processes can import."""

import os
from collections.abc import Callable

from witnesstree.ledger.errors import InvalidInput


def work(_stop: object, more: int) -> Callable[[int], int]:
    """Return what doubles a number and adds `more`; it refuses 99, and is ended from outside at 77."""

    def double(number: int) -> int:
        if number == 99:
            raise InvalidInput("99 is no number")
        if number == 77:
            os._exit(3)
        return 2 * number + more

    return double
