"""Anchoring: a chain's jobs are taken a step further, and no root is ever paid for twice.

All transactions for a root have one nonce, of which a chain carries out one at most, and a new
nonce is taken only once a final block shows that another transaction has used the old one. What a
crash means at each step is written in outbox.py.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import (
    Damaged,
    Unaffordable,
)
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.ports import Standing
from witnesstree.ledger.proof.proof import format_anchor
from witnesstree.ledger.store.database.values import AlarmKind
from witnesstree.ledger.work.alarms import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from witnesstree.ledger.base.ports import Chain
    from witnesstree.ledger.store.database.values import Job, SentTransaction
    from witnesstree.ledger.store.metadata import Metadata
    from witnesstree.ledger.work.alarms import Alarms

    _Advance = Callable[[Job, str | None], None]

_log = logging.getLogger(__name__)

MAX_ROOTS = 200
"""Roots in one transaction: some 5 million gas, which every chain's blocks have room for."""


class Anchorer:
    """The jobs of one ledger that ask for anchors."""

    def __init__(
        self,
        metadata: Metadata,
        alarms: Alarms,
        clock: Callable[[], datetime],
        replace_after: timedelta,
    ) -> None:
        self._metadata = metadata
        self._alarms = alarms
        self._clock = clock
        self._replace_after = replace_after

    def tend(self, chain: Chain, jobs: list[Job]) -> None:
        """Take all that one chain owes us one step further.

        Roots that have no transaction yet go together into one, and only once each earlier
        transaction is in a block: so at most one waits for its block at any time, unless a
        reorganisation takes some back.
        """
        waiting = [job for job in jobs if job.transaction is None]
        bundles: dict[bytes, list[Job]] = {}
        for job in jobs:
            if job.transaction is not None:
                bundles.setdefault(job.transaction, []).append(job)
        with self._metadata.read() as transaction:
            sent = {
                each.transaction.hash: each
                for each in transaction.transactions(chain.name, bundles)
            }
        is_held_up = False
        for stored in sorted(
            (_known(sent, hash_) for hash_ in bundles), key=lambda each: each.transaction.nonce
        ):
            newest, carried = stored, bundles[stored.transaction.hash]
            # What one of them says holds for all: a chain carries out a transaction whole, or not
            # at all. Where a stranger has anchored that one, the others wait for the next look.
            standing = self._standing(chain, carried[0], newest)
            if standing is Standing.ABSENT:
                newest = self._push(chain, newest, carried)
                standing = self._standing(chain, carried[0], newest)
            if standing is Standing.FINAL:
                self._collect(chain, carried, newest)
            elif standing is Standing.LOST:
                self._release(chain, carried, newest)
                waiting += carried
            is_held_up = is_held_up or standing is Standing.ABSENT
        if not is_held_up:
            self._start(chain, waiting)

    def _start(self, chain: Chain, waiting: list[Job]) -> None:
        """Sign and send one transaction for roots that have none.

        A root that a stranger has anchored costs nothing, and only has to become final.
        """
        absent: list[Job] = []
        for job in waiting:
            standing = self._standing(chain, job, None)
            if standing is Standing.FINAL:
                self._collect(chain, [job], None)
            elif standing is Standing.ABSENT:
                absent.append(job)
            if len(absent) == MAX_ROOTS:
                break
        sent = self._send(chain, absent, None) if absent else None
        # Some chains are quick.
        if sent and self._standing(chain, absent[0], sent) is Standing.FINAL:
            self._collect(chain, absent, sent)

    def note_troubles(self, chain: Chain) -> None:
        """Raise an alarm for what a chain made up for, or take it back."""
        if troubles := chain.troubles():
            self._alarms.raise_(AlarmKind.ENDPOINT, chain.name, joined(troubles))
        else:
            self._alarms.clear(chain.name, AlarmKind.ENDPOINT)

    def _standing(self, chain: Chain, job: Job, sent: SentTransaction | None) -> Standing:
        return chain.standing(
            root_of_batch(self._metadata, job), sent.transaction if sent else None
        )

    def _release(self, chain: Chain, jobs: list[Job], sent: SentTransaction) -> None:
        """Let jobs have another transaction: a final block shows that theirs can never anchor
        anything.
        """
        lost = message(
            "nonce-anchored-nothing", nonce=sent.transaction.nonce, sender=sent.transaction.sender
        )
        self._alarms.raise_(AlarmKind.LOST, chain.name, lost)
        with self._metadata.write() as transaction:
            for job in jobs:
                transaction.release_transaction(job)

    def _collect(self, chain: Chain, jobs: list[Job], sent: SentTransaction | None) -> None:
        with self._metadata.read() as transaction:
            ours = (
                [each.transaction for each in transaction.alternatives(chain.name, sent)]
                if sent
                else []
            )
        for job in jobs:
            anchor = chain.collect(root_of_batch(self._metadata, job), ours)
            # None where an endpoint that lags behind answers: the next look will find it.
            if anchor is not None:
                with self._metadata.write() as transaction:
                    transaction.finish_anchor(job, format_anchor(anchor))
                _log.info(
                    message(
                        "batch-anchored",
                        batch=job.sequence,
                        chain=chain.name,
                        block=anchor.block_number,
                    )
                )
                if sent:
                    # What was lost is among the roots that were signed for since.
                    self._alarms.clear(chain.name, AlarmKind.LOST, before=sent.signed)

    def _push(self, chain: Chain, sent: SentTransaction, jobs: list[Job]) -> SentTransaction:
        """Send a transaction again that is in no block, or if it has waited for long one that pays
        more; return the newest.
        """
        has_waited, refusal = self._clock() - sent.signed >= self._replace_after, None
        try:
            chain.send(sent.transaction)
        except Unaffordable as error:
            # A pool that has grown dearer takes it no more. That may pass; and what pays more, it
            # may well take.
            refusal = error
        better = self._send(chain, jobs, sent) if has_waited else None
        if has_waited and refusal and better is None:
            raise refusal
        return better or sent

    def _send(
        self, chain: Chain, jobs: list[Job], replaced: SentTransaction | None
    ) -> SentTransaction | None:
        """Sign a transaction for these jobs, store it, then send it.

        None where the replaced one is good enough.
        """
        signed = chain.sign(
            [root_of_batch(self._metadata, job) for job in jobs],
            replaced.transaction if replaced else None,
        )
        if signed is None:
            return None
        # Stored before it is sent: after a crash the same transaction is sent again, so no root is
        # ever paid for twice.
        with self._metadata.write() as transaction:
            sent = transaction.store_transaction(chain.name, signed, self._clock(), jobs)
        _log.info(
            message(
                "transaction-carries-roots",
                hash=signed.hash,
                count=len(jobs),
                chain=chain.name,
                replaces=replaced is not None,
            )
        )
        chain.send(signed)
        return sent


def _known(sent: Mapping[bytes, SentTransaction], hash_: bytes) -> SentTransaction:
    if hash_ not in sent:
        raise Damaged("transaction-vanished", hash=hash_)
    return sent[hash_]


def root_of_batch(metadata: Metadata, job: Job) -> bytes:
    """Return the root that a job is about. Raises Damaged if its batch is gone."""
    with metadata.read() as transaction:
        batch = transaction.batch(job.sequence)
    if batch is None:
        raise Damaged("batch-vanished", batch=job.sequence)
    return batch.root
