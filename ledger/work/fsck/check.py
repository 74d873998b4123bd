"""fsck: derive everything again from the stored bytes, and name what does not agree.

Nothing is trusted because it is stored: roots and index come from the digests, the log from the
statements, and tokens and anchors are judged against the roots. It writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import Damaged, StorageFailure
from witnesstree.ledger.base.message import message
from witnesstree.ledger.store.blinding import Blinding
from witnesstree.ledger.store.newer import find_forks, find_newer
from witnesstree.ledger.tree.tree import NODE
from witnesstree.ledger.work.fsck.files import check_files, check_fillers, check_indexes
from witnesstree.ledger.work.fsck.log import check_cosignatures, check_log, check_statement
from witnesstree.ledger.work.fsck.problem import Problem, at_batch, at_bytes, at_path, guarded
from witnesstree.ledger.work.fsck.renewals import check_renewals
from witnesstree.ledger.work.fsck.witnesses import (
    check_direct_tokens,
    check_jobs,
    check_transactions,
    check_witnesses,
)
from witnesstree.ledger.work.sealing import opening_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from witnesstree.ledger.store.database.values import OpenBatch, SealedBatch
    from witnesstree.ledger.trust import Trust
    from witnesstree.ledger.work.sealing import Ledger


def check_ledger(
    ledger: Ledger, trust: Trust, advance: Callable[[int], None] | None = None
) -> Iterator[Problem]:
    """Yield every problem of a ledger's metadata and batches.

    Its tokens must lead to a root of `trust`; `advance` counts leaves.

    It reads every byte once or twice. It does not ask any chain whether a block is canonical.
    """
    place = ledger.metadata.place
    yield from guarded(at_path(place), _check_database(ledger))
    try:
        with ledger.metadata.read() as transaction:
            sealed = list(transaction.batches())
            unsealed = transaction.open_batches()
            jobs = transaction.jobs()
            witnesses = transaction.witnesses()
            renewed = transaction.renewed_sequences()
    except Damaged as error:
        yield Problem(at_path(place), error.message)
        return
    yield from guarded(at_path(ledger.home.batches), _check_age(ledger, sealed))
    yield from guarded(at_path(place), check_transactions(ledger, place, jobs))
    secret = Blinding(ledger.home)
    blinding = None
    try:
        blinding = secret if secret.is_here() else None
    except (Damaged, StorageFailure) as error:
        yield Problem(at_path(secret.path), error.message)
    for batch in sealed:
        parts = (
            check_files(ledger, batch, blinding),
            check_statement(ledger, batch),
            check_witnesses(ledger, batch, trust),
            check_renewals(ledger, batch, trust),
        )
        for found in parts:
            yield from guarded(at_batch(place, batch.sequence), found)
        if advance:
            advance(batch.count)
    yield from guarded(at_path(ledger.home.batches), check_indexes(ledger))
    yield from guarded(at_path(place), check_direct_tokens(ledger, trust))
    yield from guarded(
        at_path(place), check_jobs(place, {batch.sequence for batch in sealed}, jobs, witnesses)
    )
    for sequence in sorted(renewed - {batch.sequence for batch in sealed}):
        yield Problem(at_batch(place, sequence), message("record-of-unsealed-batch"))
    yield from guarded(at_path(place), check_log(ledger))
    yield from guarded(at_path(place), check_cosignatures(ledger, place))
    for waiting in unsealed:
        yield from guarded(
            at_path(ledger.files.digests_path(waiting.sequence)),
            _check_unsealed(ledger, waiting, blinding),
        )


def check_kept(ledger: Ledger, advance: Callable[[int], None]) -> Iterator[Problem]:
    """Yield every problem of metadata and batches that are kept in a backup.

    It looks for what `check_ledger` looks for, but for what is not there (trees, indexes, secrets)
    and what needs trust (tokens, anchors). `advance` counts entries and opening records, which is
    what a backup tells the number of.
    """
    place = ledger.metadata.place
    yield from guarded(at_path(place), _check_database(ledger))
    try:
        with ledger.metadata.read() as transaction:
            sealed = list(transaction.batches())
            unsealed = transaction.open_batches()
    except Damaged as error:
        yield Problem(at_path(place), error.message)
        return
    yield from guarded(at_path(ledger.home.batches), _check_age(ledger, sealed, is_alone=True))
    for batch in sealed:
        path = ledger.files.digests_path(batch.sequence)
        yield from guarded(at_path(path), _check_root(ledger, batch))
        yield from guarded(at_batch(place, batch.sequence), check_statement(ledger, batch))
        advance(batch.entries + 1)
    yield from guarded(at_path(place), check_log(ledger, has_private_key=False))
    yield from guarded(at_path(place), check_cosignatures(ledger, place))
    for waiting in unsealed:
        yield from guarded(
            at_path(ledger.files.digests_path(waiting.sequence)), _check_unsealed(ledger, waiting)
        )


def _check_root(ledger: Ledger, batch: SealedBatch) -> Iterator[Problem]:
    path = ledger.files.digests_path(batch.sequence)
    if ledger.files.root(batch.sequence, batch.count) != batch.root:
        yield Problem(at_path(path), message("digests-lead-elsewhere", path=path))


def _check_database(ledger: Ledger) -> Iterator[Problem]:
    place = ledger.metadata.place
    yield from (Problem(at_path(place), fault) for fault in ledger.metadata.problems())
    if (origin := ledger.metadata.origin()) != ledger.home.origin:
        yield Problem(
            at_path(place), message("ledger-is-other", found=origin, origin=ledger.home.origin)
        )


def _check_age(
    ledger: Ledger, sealed: list[SealedBatch], *, is_alone: bool = False
) -> Iterator[Problem]:
    """Look whether files show what the database does not know, or state something else; of one that
    `is_alone`, a backup, what was published since says nothing.
    """
    newer = find_newer(ledger.metadata, ledger.home, ledger.files, is_thorough=not is_alone)
    yield from (Problem(at_path(path), fault) for path, fault in newer)
    if any(fault.code != "checkpoint-of-longer-log" for _, fault in newer):
        yield Problem(at_path(ledger.metadata.place), message("database-to-be-recovered"))
    elif newer:
        yield Problem(at_path(ledger.home.folder), message("home-behind-published"))
    if not is_alone:
        with ledger.metadata.read() as transaction:
            forks = list(find_forks(transaction, ledger.home))
        yield from (Problem(at_path(path), fault) for path, fault in forks)
    for batch in sealed:
        path = ledger.files.journals.path(batch.sequence)
        try:
            journal = ledger.files.journals.read(batch.sequence)
        except Damaged:
            yield Problem(at_path(path), message("journal-to-be-mended", batch=batch.sequence))
            continue
        if journal and journal.statement not in {None, batch.statement}:
            yield Problem(at_path(path), message("journal-states-other", batch=batch.sequence))


def _check_unsealed(
    ledger: Ledger, batch: OpenBatch, blinding: Blinding | None = None
) -> Iterator[Problem]:
    if ledger.files.checksum(batch.sequence, batch.count) != batch.crc32:
        path = ledger.files.digests_path(batch.sequence)
        yield Problem(
            at_bytes(path, 0, batch.count * NODE - 1), message("entries-not-acknowledged")
        )
    elif fault := opening_fault(
        batch.opening, batch.header, ledger.files.digest_at(batch.sequence, 0), batch.opened
    ):
        yield Problem(at_batch(ledger.metadata.place, batch.sequence), fault)
    else:
        yield from check_fillers(ledger, batch, blinding)
