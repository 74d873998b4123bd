"""Lets a restored home go on: compares its log with what others have seen of the ledger.

A log that is longer than ours, or a key note that we do not have, shows that the original went on
after the backup: what it signed would be signed a second time, otherwise. Whoever finds such a log
finds a newer backup first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.anchor.cosigners import ask_cosigner
from witnesstree.anchor.http import place
from witnesstree.ledger.audit.published import checkpoint_of, read_checkpoint, read_key_notes
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput
from witnesstree.ledger.log.keys import check_history, judge_signer, newest_key
from witnesstree.ledger.log.log import log_root
from witnesstree.ledger.log.note import parse_note
from witnesstree.ledger.store.restored import go_on, waiting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from witnesstree.anchor.cosigners import Cosigner
    from witnesstree.anchor.http import Http
    from witnesstree.ledger.log.tiles import Fetch
    from witnesstree.ledger.store.restored import Restored
    from witnesstree.ledger.work.sealing import Ledger


@dataclass(frozen=True, slots=True)
class Compared:
    """A log or a cosigner, `subject`, that has seen nothing of the ledger that is not here: it knew
    the log with `size` entries.
    """

    subject: str
    size: int


def require_waiting(ledger: Ledger) -> Restored:
    """Return the restoration that the home waits after, if it has the key that signs.

    Raises InvalidInput if it does not wait, Damaged if the key is missing.
    """
    home = ledger.home
    found = waiting(home)
    if found is None:
        raise InvalidInput("home-waits-for-nothing", folder=home.folder)
    with ledger.metadata.read() as transaction:
        changes = ledger.key_changes(transaction)
    home.private_key(len(changes), newest_key(home.verifier_key(), changes))
    return found


def compare_log(ledger: Ledger, subject: str, fetch: Fetch) -> Compared:
    """Compare the ledger with its log as it is published at `subject`, which `fetch` reads.

    Raises Damaged if that knows more, or something else; InvalidInput if it is no log of this
    ledger; and what `fetch` raises.
    """
    # The checkpoint before the notes: those that it needs are there then.
    note = read_checkpoint(fetch)
    notes = read_key_notes(fetch)
    found = checkpoint_of(note)
    with ledger.metadata.read() as transaction:
        known, size = transaction.key_notes(), transaction.log_size()
        first = ledger.home.verifier_key()
        longer = notes if len(notes) > len(known) else tuple(known)
        try:
            signer = judge_signer(note, [first], check_history(longer, first))
        except InvalidInput as error:
            raise InvalidInput("log-of-another-ledger", subject=subject, reason=error) from error
        if not signer.is_expected:
            raise InvalidInput("log-of-another-ledger", subject=subject, reason=signer.message)
        if longer[: len(known)] != tuple(known) or longer[: len(notes)] != notes:
            raise Damaged("restored-key-forks", subject=subject)
        if found.size > size or len(notes) > len(known):
            raise Damaged(
                "restored-is-older",
                subject=subject,
                published=found.size,
                size=size,
                keys=len(notes) - len(known),
            )
        if found.root != log_root(found.size, transaction.log_node):
            raise Damaged("restored-log-forks", subject=subject, size=found.size)
    return Compared(subject, found.size)


def compare_cosigner(ledger: Ledger, http: Http, cosigner: Cosigner) -> Compared:
    """Compare the ledger with what a cosigner has seen: it is asked to cosign the newest
    checkpoint, which was signed before.

    Raises Damaged if it has seen more, and otherwise what `ask_cosigner` does.
    """
    with ledger.metadata.read() as transaction:
        note = transaction.checkpoint()

    def read(level: int, position: int) -> bytes:
        with ledger.metadata.read() as transaction:
            return transaction.log_node(level, position)

    try:
        ask_cosigner(http, cosigner, note, read)
    except Conflict as error:
        raise Damaged("cosigner-knows-more", error=error) from error
    subject = f"{cosigner.key.name} ({place(cosigner.url)})"
    return Compared(subject, checkpoint_of(note).size)


def cosigners_of(ledger: Ledger) -> list[str]:
    """Return the names of those who have cosigned this log."""
    with ledger.metadata.read() as transaction:
        lines = [
            line for size in transaction.cosigned_sizes() for line in transaction.cosignatures(size)
        ]
    # A restored home was checked: each line can be read.
    return sorted({parse_note(f"-\n\n{line}").signatures[0].name for line in lines})


def continue_home(ledger: Ledger, now: datetime, compared: Sequence[Compared]) -> None:
    """Let the home write again: whoever calls this has declared the original ended. It notes with
    what the log was `compared`. On return that is durable.

    Raises InvalidInput and Damaged as `require_waiting` does, StorageFailure.
    """
    require_waiting(ledger)
    go_on(ledger.home, now, tuple(f"{each.subject}: {each.size}" for each in compared))
