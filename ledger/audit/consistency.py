"""Whether a log begins with what was seen of it before, from its tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.ledger.audit.equivocation import Equivocation
from witnesstree.ledger.audit.published import checkpoint_of
from witnesstree.ledger.base.errors import InvalidInput, NotFound
from witnesstree.ledger.base.report import Check, failed, passed, unknown
from witnesstree.ledger.log.log import (
    EMPTY_ROOT,
    Read,
    check_consistency,
    log_root,
    prove_consistency,
)
from witnesstree.ledger.log.tiles import Fetch, tile_reader

if TYPE_CHECKING:
    from witnesstree.ledger.log.note import Checkpoint


def judge_consistency(  # noqa: PLR0911 - a case a line
    first: str, second: str, fetch: Fetch | None
) -> tuple[Check, Equivocation | None]:
    """Judge whether the log of `second` begins with that of `first`, two notes of which the second
    is not smaller; its tiles are behind `fetch`.

    Returns the evidence, too, where they contradict each other.
    """
    old, new = checkpoint_of(first), checkpoint_of(second)
    name = "consistency"
    if old.origin != new.origin:
        return (
            failed(name, "checkpoints-of-two-logs", first=old.origin, second=new.origin),
            None,
        )
    if (old.size, old.root) == (new.size, new.root):
        return passed(name, "checkpoints-equal", size=old.size), None
    if old.size == new.size:
        return failed(name, "log-forks-at-size", size=old.size), Equivocation(first, second)
    if not old.size and old.root == EMPTY_ROOT:
        return passed(name, "log-begins-empty"), None
    if fetch is None:
        return (
            unknown(name, "consistency-needs-tiles", old=old.size, new=new.size),
            None,
        )
    try:
        root, path = root_before(old, new, tile_reader(new.size, fetch))
    except (InvalidInput, NotFound) as error:
        return (
            failed(name, "tiles-do-not-show", size=old.size, error=error),
            None,
        )
    if root == old.root:
        return (
            passed(name, "log-continues", new=new.size, old=old.size),
            None,
        )
    return failed(name, "log-forks", new=new.size, old=old.size), Equivocation(
        first, second, root, path
    )


def root_before(old: Checkpoint, new: Checkpoint, read: Read) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the root that the log of `new` had at the size of `old`, and the proof of it.

    Raises InvalidInput if the tiles prove none.
    """
    path = prove_consistency(old.size, new.size, read)
    root = (
        old.root
        if check_consistency(old.size, new.size, old.root, new.root, path)
        else log_root(old.size, read)
    )
    if not check_consistency(old.size, new.size, root, new.root, path):
        raise InvalidInput("tiles-not-to-root", size=new.size)
    return root, tuple(path)
