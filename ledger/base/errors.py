"""What can go wrong, sorted by what the caller does next.

    WitnesstreeError
    ├── InvalidInput      fix the input: it is not of the form that was asked for
    │   └── OverLimit     nothing is said of it: it is larger than what is read here
    ├── NotFound          ask for something else: it is not here
    ├── Conflict          wait or reload, then try again: someone else holds it, or it has changed
    ├── Unreachable       try again later: nothing answered
    │   └── Unaffordable  wait until it costs less, raise the cap, or fill the account
    ├── BadAnswer         neither retry nor believe: something answered, and the answer is wrong
    ├── Damaged           stop and run `witnesstree fsck`: stored bytes contradict each other
    └── StorageFailure    make room or mend the disk, then run the same command again

"It does not verify" is not among them: that is a report of named checks (verify.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.ledger.base.message import Message, message

if TYPE_CHECKING:
    from witnesstree.ledger.base.message import Value


class WitnesstreeError(Exception):
    """Anything this project raises on purpose: a code of the catalogue and its parameters.

    Its `message` in words is one line that says what to do; `str()` gives it in English. `is_ours`
    where the ledger's own database failed, and nobody who was asked.
    """

    is_ours: bool = False

    def __init__(self, said: str | Message, /, **params: Value) -> None:
        self.message = said if isinstance(said, Message) else message(said, **params)
        super().__init__(self.message)


class InvalidInput(WitnesstreeError):
    """The input is not of the form that was asked for."""


class OverLimit(InvalidInput):
    """The input has more of something than is read here. It may be right all the same: who judges
    it says UNKNOWN, not FAILED.
    """


class NotFound(WitnesstreeError):
    """What was asked for is not here."""


class Conflict(WitnesstreeError):
    """Somebody else holds it, or it changed while we looked."""


class Unreachable(WitnesstreeError):
    """An outside service gave no answer."""


class Unaffordable(Unreachable):
    """A chain asks more than the cap allows, or than the account holds."""


class BadAnswer(WitnesstreeError):
    """An outside service gave an answer that must not be believed."""


class Damaged(WitnesstreeError):
    """Stored bytes contradict each other, or themselves."""


class StorageFailure(WitnesstreeError):
    """The disk refused a write or a read."""
