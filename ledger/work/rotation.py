"""Rotation: the log's key hands over to a new one. No other module records a change of the key.

Durable in this order, and a crash between any two steps is repaired by what comes next:

    the new key's files       behind the database's lock, under a name of their own; nobody was told
                              of them, and nothing is ever written over them
    one transaction           the note, signed by both keys: from here on the new key signs, in
                              every process
    the note as a file        for those who verify without the database; written again by the
                              process that signs next
    the old keys are removed  only where that is asked for; `destroy_old_keys` does what a crash
                              left undone
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log.keys import MAX_CHANGES, KeyChange, newest_key, sign_key_change
from witnesstree.ledger.log.log import log_root
from witnesstree.ledger.log.note import VerifierKey

if TYPE_CHECKING:
    from witnesstree.ledger.store.home import Home
    from witnesstree.ledger.work.sealing import Ledger

PATIENCE = 60.0
"""Seconds to wait for another process that changes the same key."""


def rotate(ledger: Ledger, *, destroys_old: bool = False) -> KeyChange:
    """Hand the log over to a new key, and return the change. On return it is durable.

    Checkpoints up to the log's present size stay under the old key. Witnesses, and readers who know
    only the old key, learn of it from the note. With `destroys_old` all older private keys are
    removed; what a disk or a backup keeps of them is not our doing.

    Raises Conflict if another process changes the same key, InvalidInput if it was changed too
    often, Damaged if the key in force is not here, or a longer log or another one was published.
    """
    home = ledger.home
    with home.lock("rotate", PATIENCE):
        with ledger.metadata.write() as transaction:
            ledger.require_unpublished(transaction)
            changes = ledger.key_changes(transaction)
            number = len(changes) + 1
            if number > MAX_CHANGES:
                raise InvalidInput("key-changed-too-often", origin=home.origin, most=MAX_CHANGES)
            old = ledger.signing_key(transaction)
            # Behind the database's lock: nobody else makes this change meanwhile.
            new = home.make_key(number)
            size = transaction.batch_count()
            change = KeyChange(
                number,
                newest_key(home.verifier_key(), changes),
                VerifierKey(home.origin, new.public_key().public_bytes_raw()),
                size,
                log_root(size, transaction.log_node),
            )
            transaction.add_key_note(number, sign_key_change(change, old, new))
        with ledger.metadata.read() as transaction:
            home.keep_key_notes(transaction.key_notes())
        if destroys_old:
            _destroy_below(home, number)
    return change


def destroy_old_keys(ledger: Ledger) -> list[int]:
    """Remove the private keys that have handed over, and return the numbers of those that were
    there. Done again, it goes on where a crash ended it.

    Raises Damaged, and removes nothing, if the key in force is not here.
    """
    home = ledger.home
    with home.lock("rotate", PATIENCE):
        with ledger.metadata.write() as transaction:
            changes = ledger.key_changes(transaction)
            newest = len(changes)
            ledger.signing_key(transaction)
        # What signs may be in memory only.
        home.private_key(newest, newest_key(home.verifier_key(), changes))
        return _destroy_below(home, newest)


def _destroy_below(home: Home, newest: int) -> list[int]:
    return [number for number in range(newest) if home.destroy_key(number)]
