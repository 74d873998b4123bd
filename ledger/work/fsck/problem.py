"""A problem that fsck names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import WitnesstreeError
from witnesstree.ledger.base.message import AS_TEXT, Message, message

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Problem:
    """Something stored that is not what it should be: where it is, and what is wrong with it.

    It `is_damage`, unless it only cannot be judged with the trust at hand: a token whose root is
    not trusted here.
    """

    place: Message
    fault: Message
    is_damage: bool = True


def at_path(place: object) -> Message:
    """Return the place that a path, or a database, is."""
    return message(AS_TEXT, text=str(place))


def at_batch(place: str, batch: int) -> Message:
    """Return the place of what a database has of a batch."""
    return message("at-batch", place=place, batch=batch)


def at_bytes(path: object, first: int, last: int) -> Message:
    """Return the place of some bytes of a file, the first and the last one included."""
    return message("at-bytes", path=str(path), first=first, last=last)


def guarded(place: Message, found: Iterator[Problem]) -> Iterator[Problem]:
    """Yield what is found; where a check cannot go on, that is a problem too, and other checks
    can.
    """
    try:
        yield from found
    except WitnesstreeError as error:
        yield Problem(place, error.message)
    except OSError as error:
        yield Problem(place, message("read-failed", path=str(error.filename), error=error))
