"""Judging evidence records: when one has to be renewed, whether it can be, and whether what came of
it is as good as before. Nothing here asks anyone, or keeps anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.proof.proof import MAX_KEPT_RECORD
from witnesstree.ledger.proof.proof import MAX_VOUCHERS as MAX_VOUCHERS_OF_STAMP
from witnesstree.ledger.proof.record import (
    MAX_TIMESTAMPS,
    MAX_VOUCHERS,
    EvidenceRecord,
    parse_record,
)
from witnesstree.ledger.proof.record_judge import expires, verify_record
from witnesstree.ledger.store.database.values import UNSCHEDULED
from witnesstree.ledger.tokens.soundness import ENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.report import Assurance, Check, Report
    from witnesstree.ledger.store.database.values import KeptRecord, Renewal
    from witnesstree.ledger.trust import Trust

UNKNOWN_END = timedelta(days=365)
"""A token whose signer's certificate is not known is looked at so long after it was made:
authorities' certificates last longer than a year."""


@dataclass(frozen=True, slots=True)
class RenewalPolicy:
    """A record is renewed `before` it cannot be verified any more, or when two thirds of its newest
    timestamp's life are over, if that is later.

    `ends` says when methods stop being safe (soundness.py).
    """

    before: timedelta = timedelta(days=90)
    ends: Mapping[str, datetime] = field(default_factory=lambda: ENDS)


@dataclass(frozen=True, slots=True)
class Due:
    """A record that is due: the newest of its entry and authority, its number (0 if none was kept
    yet), and the digest that it is for.

    `end` is when it cannot be verified any more, None if that is not known; `assurance` is what it
    is worth, where that could be told without the file.
    """

    renewal: Renewal
    record: EvidenceRecord
    number: int
    digest: bytes
    end: datetime | None = None
    assurance: Assurance | None = None

    @property
    def algorithm(self) -> str:
        """The hash algorithm of its newest chain."""
        return self.record.chains[-1][0].algorithm


class Judge:
    """Judges records by a policy, by what the ledger's owner trusts, and by the time."""

    def __init__(self, policy: RenewalPolicy, trust: Trust, clock: Callable[[], datetime]) -> None:
        self.trust = trust
        self._policy = policy
        self._clock = clock

    def judge(self, record: EvidenceRecord, digest: bytes) -> Report:
        """Return what a verifier says of a record now."""
        return verify_record(
            record.der, [{"sha256": digest}], self.trust, self._clock(), ends=self._policy.ends
        )

    def end(self, record: EvidenceRecord) -> datetime | None:
        """Return when a record cannot be verified any more, None if that is not known."""
        return expires(record, self.trust, self._policy.ends)

    def due_at(self, record: EvidenceRecord) -> datetime:
        """Return when a record has to be renewed."""
        newest = record.timestamps[-1].token.gen_time
        end = self.end(record)
        if end is None:
            return newest + min(UNKNOWN_END, datetime.max.replace(tzinfo=UTC) - newest)
        # A third of its life is enough for a short-lived certificate, which else would be due the
        # moment it is there.
        ahead = max(timedelta(0), min(self._policy.before, (end - newest) / 3))
        return max(end - ahead, UNSCHEDULED + timedelta(seconds=1))

    def refusal(
        self, record: EvidenceRecord, position: int, digest: bytes, kept: Iterable[KeptRecord]
    ) -> Message | None:
        """Return why a record of the entry at `position` is not kept beside those that are `kept`;
        or None.
        """
        if len(record.der) > MAX_KEPT_RECORD:
            return _too_large(record)
        if position == 0 and len(record.chains) > 1:
            return message("record-keeps-hash-tree")
        if fault := fault_of(self.judge(record, digest)):
            return message("record-not-trusted", fault=fault)
        rank = self._rank(record)
        if any(self._rank(parse_record(each.record)) >= rank for each in kept):
            return message("record-holds-no-longer-than-kept")
        return None

    def _rank(self, record: EvidenceRecord) -> tuple[int, datetime]:
        return len(record.chains), self.end(record) or datetime.min.replace(tzinfo=UTC)

    def obstacle(self, due: Due, report: Report) -> Message | None:
        """Return why a record cannot be renewed, or None: then an authority may be asked."""
        record, end = due.record, due.end
        if end is not None and end <= self._clock():
            return message("renewal-too-late", end=end)
        if end is not None and self._policy.ends.get(due.algorithm) == end:
            return message("renewal-needs-files", algorithm=due.algorithm, end=end)
        most = max(len(record.certificates), len(record.crls), len(record.ocsps))
        if len(record.timestamps) >= MAX_TIMESTAMPS or most + MAX_VOUCHERS_OF_STAMP > MAX_VOUCHERS:
            return message("record-full")
        return fault_of(report)

    def defect(self, due: Due, renewed: EvidenceRecord) -> Message | None:
        """Return what is wrong with a renewed record, or None: then it is as good as the older one,
        and holds for longer.
        """
        if len(renewed.der) > MAX_KEPT_RECORD:
            return _too_large(renewed)
        report = self.judge(renewed, due.digest)
        if fault := fault_of(report):
            return fault
        newer = self.end(renewed)
        if due.end is not None and newer is not None and newer <= due.end:
            return message("renewed-record-holds-no-longer")
        if due.assurance and report.assurance and report.assurance < due.assurance:
            return message(
                "renewed-record-worth-less",
                worth=report.assurance.name.lower(),
                before=due.assurance.name.lower(),
            )
        return None


def _too_large(record: EvidenceRecord) -> Message:
    return message("kept-record-too-large", size=len(record.der), most=MAX_KEPT_RECORD)


def fault_of(report: Report) -> Message | None:
    """Return what does not verify, or None.

    That a chain under another hash algorithm is for this file is not seen without the file.
    """
    found = next((check for check in report.checks if not _is_sound(check)), None)
    if found is None:
        return None
    return message(
        "record-not-verified", check=found.name, outcome=found.outcome, reason=found.message
    )


def _is_sound(check: Check) -> bool:
    if check.outcome is Outcome.UNKNOWN:
        return not check.required or (
            check.name.endswith(".data") and not check.name.startswith("chains[0].")
        )
    return check.outcome is Outcome.PASSED
