"""What fsck looks for in what the ledger states: opening records, statements, the log, its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput, WitnesstreeError
from witnesstree.ledger.base.message import message
from witnesstree.ledger.log.cosignature import is_cosignature
from witnesstree.ledger.log.keys import key_in_force, newest_key
from witnesstree.ledger.log.log import EMPTY_ROOT, added_nodes, leaf_hash, log_root
from witnesstree.ledger.log.note import Checkpoint, check_checkpoint, parse_note
from witnesstree.ledger.log.opening import parse_opening
from witnesstree.ledger.log.statement import Statement, format_statement
from witnesstree.ledger.work.fsck.problem import Problem, at_batch, at_path
from witnesstree.ledger.work.sealing import opening_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.log.keys import KeyChange
    from witnesstree.ledger.log.note import VerifierKey
    from witnesstree.ledger.store.database.values import SealedBatch
    from witnesstree.ledger.work.sealing import Ledger


def check_statement(ledger: Ledger, batch: SealedBatch) -> Iterator[Problem]:
    """Compare opening record and statement of a batch with the batch."""
    place = at_batch(ledger.metadata.place, batch.sequence)
    opening = parse_opening(batch.opening)
    if fault := opening_fault(
        batch.opening, batch.header, ledger.files.digest_at(batch.sequence, 0), opening.opened
    ):
        yield Problem(place, fault)
    if (opening.origin, opening.batch) != (ledger.home.origin, batch.sequence):
        yield Problem(
            place,
            message("opening-of-other-batch", batch=opening.batch, origin=opening.origin),
        )
    statement = Statement(
        ledger.home.origin, batch.sequence, batch.count, batch.root, opening.opened, batch.closed
    )
    if format_statement(statement) != batch.statement:
        yield Problem(place, message("statement-contradicts-batch"))


def check_log(ledger: Ledger, *, has_private_key: bool = True) -> Iterator[Problem]:
    """Build the log again from the statements alone, and compare every stored hash, checkpoint and
    key note with it. The private key that signs from now on is looked for, if it is to be there.
    """
    nodes: dict[tuple[int, int], bytes] = {}
    place = ledger.metadata.place
    # The batches are read again: others may have been sealed meanwhile, and log and batches have to
    # be of one moment.
    with ledger.metadata.read() as transaction:
        sealed = sorted(transaction.batches(), key=lambda batch: batch.log_index)
        first, changes = ledger.home.verifier_key(), ledger.key_changes(transaction)
        yield from _check_keys(
            ledger, transaction.key_notes(), changes, has_private_key=has_private_key
        )
        yield from _check_checkpoint(
            place,
            transaction.checkpoint(0),
            Checkpoint(ledger.home.origin, 0, EMPTY_ROOT),
            key_in_force(first, changes, 0),
        )
        for index, batch in enumerate(sealed):
            if batch.log_index != index:
                yield Problem(
                    at_path(place),
                    message(
                        "log-entry-misplaced",
                        batch=batch.sequence,
                        found=batch.log_index,
                        expected=index,
                    ),
                )
                return
            for level, position, node in added_nodes(
                index,
                leaf_hash(batch.statement.encode()),
                lambda level, position: nodes[level, position],
            ):
                nodes[level, position] = node
                try:
                    stored = transaction.log_node(level, position)
                except WitnesstreeError as error:
                    yield Problem(at_path(place), error.message)
                    continue
                if stored != node:
                    yield Problem(
                        message("at-log-hash", place=place, level=level, position=position),
                        message("not-from-statements"),
                    )
            expected = Checkpoint(
                ledger.home.origin,
                index + 1,
                log_root(index + 1, lambda level, position: nodes[level, position]),
            )
            yield from _check_checkpoint(
                place,
                transaction.checkpoint(index + 1),
                expected,
                key_in_force(first, changes, index + 1),
            )
        for change in changes:
            if change.size > len(sealed) or change.root != log_root(
                change.size, lambda level, position: nodes[level, position]
            ):
                yield Problem(
                    message("at-key-note", place=place, number=change.number),
                    message("key-note-contradicts-statements", size=change.size),
                )
        if transaction.log_node_count() != len(nodes):
            yield Problem(
                at_path(place),
                message(
                    "log-hash-count-wrong",
                    found=transaction.log_node_count(),
                    expected=len(nodes),
                ),
            )
        if transaction.checkpoint_count() != len(sealed) + 1:
            yield Problem(
                at_path(place),
                message(
                    "checkpoint-count-wrong",
                    found=transaction.checkpoint_count(),
                    expected=len(sealed) + 1,
                ),
            )


def _check_keys(
    ledger: Ledger, notes: list[str], changes: tuple[KeyChange, ...], *, has_private_key: bool
) -> Iterator[Problem]:
    """Compare the keys' files with the history of keys, and look for the one that signs from now
    on, if it is to be there.

    Raises Damaged if that one is not here.
    """
    kept = ledger.home.key_notes()
    if list(kept) not in (notes, notes[:-1]):
        yield Problem(at_path(ledger.home.folder / "keys"), message("key-note-files-differ"))
    if has_private_key:
        newest = newest_key(ledger.home.verifier_key(), changes)
        ledger.home.private_key(len(notes), newest)


def check_cosignatures(ledger: Ledger, place: str) -> Iterator[Problem]:
    """Look whether the cosignatures can be read; whose they are is judged by those who know the
    cosigners' keys.
    """
    with ledger.metadata.read() as transaction:
        for size in transaction.cosigned_sizes():
            own = parse_note(transaction.checkpoint(size))
            for line in transaction.cosignatures(size):
                try:
                    (signature,) = parse_note(f"{own.text}\n{line}").signatures
                except (InvalidInput, ValueError):
                    yield Problem(at_checkpoint(place, size), message("cosignature-unreadable"))
                    continue
                if not is_cosignature(signature):
                    yield Problem(at_checkpoint(place, size), message("cosignature-unreadable"))


def _check_checkpoint(
    place: str, note: str, expected: Checkpoint, key: VerifierKey
) -> Iterator[Problem]:
    where = at_checkpoint(place, expected.size)
    try:
        checkpoint = check_checkpoint(note, key)
    except InvalidInput as error:
        yield Problem(where, message("stored-checkpoint-unreadable", error=error))
        return
    if checkpoint is None:
        yield Problem(where, message("stored-checkpoint-not-signed", name=key.name))
    elif checkpoint != expected:
        yield Problem(where, message("not-from-statements"))


def at_checkpoint(place: str, size: int) -> Message:
    """Return the place of a checkpoint."""
    return message("at-checkpoint", place=place, size=size)
