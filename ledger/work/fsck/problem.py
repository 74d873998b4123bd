"""A problem that fsck names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import WitnesstreeError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Problem:
    """Something stored that is not what it should be: where it stands, and what is wrong with it.

    It `is_damage`, unless it only cannot be judged with the trust at hand: a token whose root is
    not trusted here.
    """

    place: str
    fault: str
    is_damage: bool = True


def guarded(place: str, found: Iterator[Problem]) -> Iterator[Problem]:
    """Yield what is found; where a check cannot go on, that is a problem too, and other checks
    can.
    """
    try:
        yield from found
    except WitnesstreeError as error:
        yield Problem(place, str(error))
    except OSError as error:
        yield Problem(place, f"cannot read {error.filename}: {error.strerror}")
