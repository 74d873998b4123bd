"""Direct tokens: RFC 3161 timestamps over an entry's own digest, beside its batch's.

A batch's token is over its root, and needs the path to a file; a direct one is over the file
itself, and any RFC 3161 client reads it alone. None waits in the outbox: who wants one asks, and
asks again where none came. One that was asked for and not kept before a crash is forgotten, as in
the outbox, and another is asked for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import BadAnswer, Conflict, InvalidInput, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from witnesstree.ledger.base.errors import WitnesstreeError
    from witnesstree.ledger.work.sealing import Ledger


@dataclass(frozen=True, slots=True)
class Unstamped:
    """A digest that an authority gave no token for, and why."""

    digest: bytes
    authority: str
    error: WitnesstreeError


def stamp_directly(
    ledger: Ledger,
    digests: Iterable[bytes],
    *,
    deadline: float | None = None,
    advance: Callable[[int], None] | None = None,
) -> list[Unstamped]:
    """Have each authority of `ledger` stamp each of `digests` that it has not stamped yet, keep
    each token as it comes, and return what there is none for.

    A digest (32 bytes, SHA-256) MUST be an entry already. Which tokens there are is what
    `Lookup.direct_tokens` then returns. No authority is asked once `deadline` seconds have passed;
    the exchange that is under way by then takes as long as its own timeout allows. Where an
    authority does not answer one request, or its settings are wrong, it is not asked for the
    others. `advance` counts digests, once an authority.

    Raises Conflict if the home was restored and must not go on yet, Damaged if its database is
    older than its files: nobody is asked then.
    """
    ledger.require_newest()
    wanted = list(dict.fromkeys(digests))
    ends = None if deadline is None else time.monotonic() + deadline
    missing = []
    for authority in ledger.outbox.witnesses.authorities:
        failure: WitnesstreeError | None = None
        for digest in wanted:
            if not any(authority == each for each, _ in ledger.direct_tokens(digest)):
                if ends is not None and time.monotonic() >= ends:
                    failure = Unreachable("direct-deadline", authority=authority)
                if not isinstance(failure, Unreachable | InvalidInput):
                    failure = _stamp(ledger, digest, authority)
                if failure:
                    missing.append(Unstamped(digest, authority, failure))
            if advance:
                advance(1)
    return missing


def _stamp(ledger: Ledger, digest: bytes, authority: str) -> WitnesstreeError | None:
    """Ask for one token and keep it; return why there is none."""
    try:
        stamp = ledger.outbox.witnesses.authorities[authority].stamp(digest)
    except (Unreachable, BadAnswer, Conflict, InvalidInput) as error:
        return error
    with ledger.metadata.write() as transaction:
        transaction.keep_direct_token(digest, authority, stamp)
    return None
