"""Renewal: each batch's evidence record gets a new timestamp before the newest one cannot be
verified any more (RFC 4998, 5.2).

The record of a batch is that of its opening record, leaf 0; the records of all its entries are
derived from it (`derive_record`). All records of one authority that are due together are renewed
with one token. What a crash means, step by step:

    scheduled      not stored                worked out again
    stamped        not stored                asked again: a second token, and the first is forgotten
    kept, and scheduled anew                 one transaction: both or neither

A record that cannot be renewed waits, and its authority is the subject of an alarm, until it can.
Nothing here holds up sealing. No other module decides when a record is renewed.
docs/decisions/0019-renewal.md says what was decided.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import BadAnswer, Conflict, Damaged, InvalidInput, Unreachable
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.proof.proof import MAX_KEPT_RECORD, Inclusion, Proof
from witnesstree.ledger.proof.proof import MAX_VOUCHERS as MAX_VOUCHERS_OF_STAMP
from witnesstree.ledger.proof.record import (
    ENDS,
    MAX_TIMESTAMPS,
    MAX_VOUCHERS,
    EvidenceRecord,
    expires,
    make_record,
    parse_record,
    renew_timestamps,
    verify_record,
)
from witnesstree.ledger.store.database.values import (
    UNSCHEDULED,
    Alarm,
    AlarmKind,
    KeptRecord,
    Renewal,
)
from witnesstree.ledger.work.outbox import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from witnesstree.ledger.base.report import Assurance, Check, Report
    from witnesstree.ledger.trust import Trust
    from witnesstree.ledger.work.lookup import Entry
    from witnesstree.ledger.work.sealing import Ledger

    _Key = tuple[int, int, str]

_log = logging.getLogger(__name__)

MAX_DUE = 10_000
"""Renewals that one pass looks at: the others are due a few seconds later."""
MAX_GROUP = 1_000
"""Records that are renewed with one token.

Each is verified before and after, which takes some twenty seconds for so many.
"""
UNKNOWN_END = timedelta(days=365)
"""A token whose signer's certificate is not known is looked at so long after it was made:
authorities' certificates last longer than a year."""
RECHECK = timedelta(days=1)
"""How long a record waits at most that cannot be renewed: what is in the way takes a person."""
SHARE = 4
"""It never waits longer than one of so many parts of the time that is left: what is mended late
must not be seen too late."""

_MEND = "that authority needs a newer certificate, or add another authority"


@runtime_checkable
class Bounded(Protocol):
    """An authority that knows without being asked until when its tokens can be verified at most.

    It may be read at any time, and raises nothing.
    """

    @property
    def holds_until(self) -> datetime:
        """The end of its certificates."""


@dataclass(frozen=True, slots=True)
class RenewalPolicy:
    """A record is renewed `before` it cannot be verified any more, or when two thirds of its newest
    timestamp's life are over, if that is later.

    `ends` says when methods stop being safe (record.ENDS).
    """

    before: timedelta = timedelta(days=90)
    ends: Mapping[str, datetime] = field(default_factory=lambda: ENDS)


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a pass did: so many records were renewed, with so many tokens.

    `problems` says in words what is due and could not be renewed, and why.

    `early` says it of what is not due yet: nothing has to be done about that.
    """

    records: int
    tokens: int
    problems: tuple[str, ...]
    early: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Adopted:
    """Whether a record was kept, and if not why; "" where it is not of this ledger."""

    is_kept: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Due:
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
        return self.record.chains[-1][0].algorithm


class Renewals:
    """The renewals of one ledger.

    `trust` is asked once a pass: whom the ledger's owner trusts by then.
    """

    def __init__(
        self,
        ledger: Ledger,
        trust: Callable[[], Trust],
        *,
        clock: Callable[[], datetime],
        pace: Pace | None = None,
        policy: RenewalPolicy | None = None,
    ) -> None:
        self._ledger = ledger
        self._metadata = ledger.metadata
        self._trust_now = trust
        self._clock = clock
        self._pace = pace or Pace()
        self._policy = policy or RenewalPolicy()
        # Known to this process alone: a new one looks at all that is due.
        self._stuck: dict[_Key, tuple[str, datetime]] = {}
        self._waits: dict[str, tuple[int, datetime, str]] = {}
        # Until when the certificates of an authority hold that has answered in this pass: it is not
        # asked again for what holds as long.
        self._reach: dict[str, datetime] = {}

    def work(
        self,
        within: timedelta = timedelta(0),
        advance: Callable[[int], None] = lambda _count: None,
        *,
        stop: Callable[[], bool] = lambda: False,
    ) -> Renewed:
        """Renew what is due now, or `within` a time, and return what became of it.

        `advance` counts records; `stop` is asked between groups.

        What is not due yet and cannot be renewed is no alarm.

        One process at a time does this: the others wait, then find nothing due. Raises Conflict if
        another one works for longer than the patience that was set.
        """
        with self._ledger.home.lock("renew", self._pace.patience):
            self._reach.clear()
            # What another process has renewed is no problem of this pass.
            self._forget()
            with self._metadata.read() as transaction:
                due = transaction.due_renewals(self._clock() + within, MAX_DUE)
            if not due:
                self._settle_alarms()
                return Renewed(0, 0, ())
            trust = self._trust_now()
            self._schedule(
                [renewal for renewal in due if renewal.due <= UNSCHEDULED][:MAX_GROUP], trust
            )
            with self._metadata.read() as transaction:
                due = [
                    renewal
                    for renewal in transaction.due_renewals(self._clock() + within, MAX_DUE)
                    if renewal.due > UNSCHEDULED
                ]
            records = tokens = 0
            for authority, group in groupby(
                sorted(due, key=lambda renewal: renewal.authority),
                lambda renewal: renewal.authority,
            ):
                ready = [renewal for renewal in group if self._is_ready(renewal)][:MAX_GROUP]
                if stop():
                    break
                for made in self._serve(authority, ready, trust):
                    records, tokens = records + made, tokens + 1
                    advance(made)
            early = self._settle_alarms()
            problems = {text for text, _ in self._stuck.values()} | {
                text for _, _, text in self._waits.values()
            }
            return Renewed(
                records, tokens, tuple(sorted(problems)), tuple(sorted(early - problems))
            )

    def find(self, record: EvidenceRecord) -> tuple[Entry, str] | None:
        """Return the entry that `record` is for, and the authority that gave its first token; None
        if it is not of this ledger.
        """
        first = record.timestamps[0]
        digests = first.lists[0] if first.lists else (first.token.imprint,)
        if len(digests) != 1 or record.is_encrypted:
            return None
        for entry in self._ledger.entries(digests[0]):
            with self._metadata.read() as transaction:
                for authority, stamp in transaction.tokens(entry.batch):
                    if stamp.token == first.token.der:
                        return entry, authority
        return None

    def adopt(self, record: EvidenceRecord) -> Adopted:
        """Keep a record that was renewed by hand if it is of one of the ledger's entries, and say
        whether it was kept.

        It is not if it cannot be verified by whom the ledger's owner trusts, if the ledger has one
        that holds as long, or if proofs have no room for it. From then on it is renewed like all
        others.

        Raises Conflict as `work` does, Damaged.
        """
        with self._ledger.home.lock("renew", self._pace.patience):
            found = self.find(record)
            if found is None:
                return Adopted(is_kept=False)
            entry, authority = found
            trust = self._trust_now()
            with self._metadata.read() as transaction:
                # The batch's own record counts for the entry too, and one of the entry would stand
                # in its place.
                kept = {
                    position: each
                    for position in (0, entry.position)
                    for each in transaction.newest_records(entry.batch, position)
                    if each.authority == authority
                }
            if reason := self._refusal(record, entry, kept.values(), trust):
                return Adopted(is_kept=False, reason=reason)
            number = kept[entry.position].number if entry.position in kept else 0
            renewal = Renewal(self._due_at(record, trust), entry.batch, entry.position, authority)
            self._keep([(_Due(renewal, record, number, b""), record)], trust)
            return Adopted(is_kept=True)

    def _refusal(
        self, record: EvidenceRecord, entry: Entry, kept: Iterable[KeptRecord], trust: Trust
    ) -> str | None:
        """Return why a record of an entry is not kept, beside those that are `kept`; or None."""
        if len(record.der) > MAX_KEPT_RECORD:
            return (
                f"it has {len(record.der)} bytes, more than a proof has room for"
                f" ({MAX_KEPT_RECORD})"
            )
        if entry.position == 0 and len(record.chains) > 1:
            return (
                "the record of a batch keeps its hash tree: from another one, those of its entries"
                " could not be made any more"
            )
        if fault := _fault(
            self._judge(record, self._ledger.files.digest_at(entry.batch, entry.position), trust)
        ):
            return f"judged by whom its owner trusts, {fault}; see `witnesstree trust --help`"
        rank = self._rank(record, trust)
        if any(self._rank(parse_record(each.record), trust) >= rank for each in kept):
            return "it has one that holds as long"
        return None

    def _rank(self, record: EvidenceRecord, trust: Trust) -> tuple[int, datetime]:
        return len(record.chains), expires(
            record, trust, self._policy.ends
        ) or datetime.min.replace(tzinfo=UTC)

    # When

    def _schedule(self, renewals: Sequence[Renewal], trust: Trust) -> None:
        """Work out when renewals are due of which nobody knows it yet."""
        scheduled = []
        for renewal in renewals:
            try:
                due = self._due_at(self._load(renewal).record, trust)
            except (Damaged, InvalidInput):
                # Looked at at once, and then what is wrong is said.
                due = self._clock()
            scheduled.append(replace(renewal, due=due))
        if scheduled:
            with self._metadata.write() as transaction:
                for renewal in scheduled:
                    transaction.schedule(renewal)

    def _due_at(self, record: EvidenceRecord, trust: Trust) -> datetime:
        newest = record.timestamps[-1].token.gen_time
        end = expires(record, trust, self._policy.ends)
        if end is None:
            return newest + min(UNKNOWN_END, datetime.max.replace(tzinfo=UTC) - newest)
        # A third of its life is enough for a short-lived certificate, which else would be due the
        # moment it is there.
        ahead = max(timedelta(0), min(self._policy.before, (end - newest) / 3))
        return max(end - ahead, UNSCHEDULED + timedelta(seconds=1))

    def _is_ready(self, renewal: Renewal) -> bool:
        now = self._clock()
        _, again = self._stuck.get(_key(renewal), ("", now))
        _, retry, _ = self._waits.get(renewal.authority, (0, now, ""))
        return max(again, retry) <= now

    # What

    def _load(self, renewal: Renewal) -> _Due:
        """Return the newest record of an entry under one authority, made from its token where none
        was kept. Raises Damaged, InvalidInput.
        """
        sequence, position, authority = _key(renewal)
        with self._metadata.read() as transaction:
            batch, tokens = transaction.batch(sequence), dict(transaction.tokens(sequence))
            newest = {
                kept.authority: kept for kept in transaction.newest_records(sequence, position)
            }.get(authority)
        if batch is None or authority not in tokens:
            raise Damaged(
                f"batch {sequence} or its token by {authority} has vanished; run `witnesstree fsck`"
            )
        digest = self._ledger.files.digest_at(sequence, position)
        if newest:
            return _Due(renewal, parse_record(newest.record), newest.number, digest)
        path = self._ledger.files.path(sequence, position, batch.count)
        proof = Proof(
            digest, Inclusion(position, batch.count, batch.root, path), tokens=(tokens[authority],)
        )
        return _Due(renewal, parse_record(make_record(proof)), 0, digest)

    # Renewing

    def _serve(self, authority: str, renewals: Sequence[Renewal], trust: Trust) -> Iterable[int]:
        """Renew what can be of one authority's records, and yield for each token how many were
        renewed with it.
        """
        able: list[_Due] = []
        for renewal in renewals:
            try:
                due = self._load(renewal)
            except (Damaged, InvalidInput) as error:
                self._note_stuck(renewal, str(error), None)
                continue
            report = self._judge(due.record, due.digest, trust)
            due = replace(
                due, end=expires(due.record, trust, self._policy.ends), assurance=report.assurance
            )
            if obstacle := self._obstacle(due, report):
                self._note_stuck(renewal, obstacle, due.end)
            else:
                able.append(due)
        for _, group in groupby(
            sorted(able, key=lambda due: due.algorithm), lambda due: due.algorithm
        ):
            yield from self._renew(authority, list(group), trust)

    def _obstacle(self, due: _Due, report: Report) -> str | None:
        """Return why a record cannot be renewed, or None: then an authority may be asked."""
        record, end, ends = due.record, due.end, self._policy.ends
        if end is not None and end <= self._clock():
            return (
                f"it could be verified until {format_time(end)}, and was not renewed in time: no"
                " timestamp mends that"
            )
        if end is not None and ends.get(due.algorithm) == end:
            return (
                f"its hash algorithm {due.algorithm} is safe until {format_time(end)}, and a new"
                " timestamp does not mend that: renew each file's record with `witnesstree renew"
                " FILE.ers --algorithm sha512 --file FILE`"
            )
        most = max(len(record.certificates), len(record.crls), len(record.ocsps))
        if len(record.timestamps) >= MAX_TIMESTAMPS or most + MAX_VOUCHERS_OF_STAMP > MAX_VOUCHERS:
            return "it has no room for another timestamp"
        return _fault(report)

    def _renew(self, authority: str, group: list[_Due], trust: Trust) -> Iterable[int]:
        """Ask one authority after the other for a token on all records of a group, until each is
        renewed; keep those that are.
        """
        for name in self._candidates(authority):
            try:
                asked, left = self._parted(name, group)
                renewed = (
                    renew_timestamps(
                        [due.record for due in asked],
                        self._ledger.outbox.witnesses.authorities[name].stamp,
                    )
                    if asked
                    else []
                )
            except (Unreachable, Conflict) as error:
                self._note_wait(authority, f"{name}: {error}")
                return
            except (BadAnswer, InvalidInput) as error:
                self._note_all(group, f"{name}: {error}")
                continue
            self._note_all(left, f"by {name} it would hold no longer than before: {_MEND}")
            if not asked:
                continue
            self._waits.pop(authority, None)
            defective = self._keep_sound(name, asked, renewed, trust)
            yield len(asked) - len(defective)
            group = left + defective
            if not group:
                return

    def _keep_sound(
        self, name: str, asked: list[_Due], renewed: list[EvidenceRecord], trust: Trust
    ) -> list[_Due]:
        """Keep what one answer has renewed, and return those that it has not."""
        # Of the certificates alone: methods differ from record to record.
        if reach := expires(renewed[0], trust, {}):
            self._reach[name] = reach
        kept: list[tuple[_Due, EvidenceRecord]] = []
        defective: list[_Due] = []
        for due, record in zip(asked, renewed, strict=True):
            if defect := self._defect(due, record, trust):
                defective.append(due)
                self._note_stuck(due.renewal, f"with the answer of {name}, {defect}", due.end)
            else:
                kept.append((due, record))
        self._keep(kept, trust)
        if kept:
            _log.info("%d evidence record(s) renewed with one timestamp by %s", len(kept), name)
        return defective

    def _parted(self, name: str, group: list[_Due]) -> tuple[list[_Due], list[_Due]]:
        """Return those that an authority may carry on, and those of which it is known before that
        it cannot.
        """
        authority = self._ledger.outbox.witnesses.authorities[name]
        reach = self._reach.get(name) or (
            authority.holds_until
            if isinstance(authority, Bounded)
            else datetime.max.replace(tzinfo=UTC)
        )
        able = [due for due in group if due.end is None or due.end < reach]
        return able, [due for due in group if due.end is not None and due.end >= reach]

    def _candidates(self, authority: str) -> list[str]:
        """Return whom to ask: the authority that stamped, if it is configured still, then the
        others.
        """
        names = list(self._ledger.outbox.witnesses.authorities)
        return sorted(names, key=lambda name: (name != authority, names.index(name)))

    def _defect(self, due: _Due, renewed: EvidenceRecord, trust: Trust) -> str | None:
        """Return what is wrong with a renewed record, or None: then it is as good as the older one,
        and holds for longer.
        """
        if len(renewed.der) > MAX_KEPT_RECORD:
            return (
                f"it has {len(renewed.der)} bytes, more than a proof has room for"
                f" ({MAX_KEPT_RECORD})"
            )
        report = self._judge(renewed, due.digest, trust)
        if fault := _fault(report):
            return fault
        newer = expires(renewed, trust, self._policy.ends)
        if due.end is not None and newer is not None and newer <= due.end:
            return f"it holds no longer than before: {_MEND}"
        if due.assurance and report.assurance and report.assurance < due.assurance:
            worth, before = report.assurance.name.lower(), due.assurance.name.lower()
            return (
                f"it is worth less ({worth}) than before ({before}): add an authority like the"
                " first"
            )
        return None

    def _judge(self, record: EvidenceRecord, digest: bytes, trust: Trust) -> Report:
        return verify_record(
            record.der, [{"sha256": digest}], trust, self._clock(), ends=self._policy.ends
        )

    def _keep(self, records: Sequence[tuple[_Due, EvidenceRecord]], trust: Trust) -> None:
        now = self._clock()
        with self._metadata.write() as transaction:
            for due, record in records:
                sequence, position, authority = _key(due.renewal)
                transaction.keep_record(
                    KeptRecord(sequence, position, authority, due.number + 1, now, record.der)
                )
                transaction.schedule(replace(due.renewal, due=self._due_at(record, trust)))
        for due, _ in records:
            self._stuck.pop(_key(due.renewal), None)

    # What is in the way

    def _note_wait(self, authority: str, error: str) -> None:
        attempts = self._waits[authority][0] if authority in self._waits else 0
        wait: timedelta = min(
            self._pace.first_retry * 2 ** min(attempts, 30), self._pace.longest_retry
        )
        self._waits[authority] = (attempts + 1, self._clock() + wait, error)
        _log.warning("renewal of evidence records: %s", error)

    def _note_all(self, dues: Iterable[_Due], text: str) -> None:
        for due in dues:
            self._note_stuck(due.renewal, text, due.end)

    def _note_stuck(self, renewal: Renewal, text: str, end: datetime | None) -> None:
        """Let a record wait that can be verified until `end`.

        Once that is over, nothing is urgent any more.
        """
        now, wait = self._clock(), RECHECK
        if end is not None and end > now:
            wait = min(RECHECK, max(self._pace.first_retry, (end - now) / SHARE))
        self._stuck[_key(renewal)] = (text, now + wait)

    def _forget(self) -> tuple[set[str], set[str]]:
        """Forget what is in the way of that which is not due, or not any more; return what was, in
        words, and the authorities of what is due.
        """
        with self._metadata.read() as transaction:
            due = transaction.due_renewals(self._clock(), MAX_DUE)
        keys, authorities = (
            {_key(renewal) for renewal in due},
            {renewal.authority for renewal in due},
        )
        texts = {self._stuck.pop(key)[0] for key in self._stuck.keys() - keys}
        return (
            texts | {self._waits.pop(name)[2] for name in self._waits.keys() - authorities},
            authorities,
        )

    def _settle_alarms(self) -> set[str]:
        """Raise an alarm for each authority some of whose records cannot be renewed, and take back
        that of one of which nothing is due any more.

        Returns what is in the way of that which is not due yet.
        """
        early, due = self._forget()
        with self._metadata.read() as transaction:
            raised = {
                alarm.subject: alarm
                for alarm in transaction.alarms()
                if alarm.kind is AlarmKind.RENEWAL
            }
        texts = {
            authority: self._text(authority)
            for authority in {authority for _, _, authority in self._stuck}
        }
        over = [
            alarm
            for subject, alarm in raised.items()
            if subject not in texts and subject not in due
        ]
        new = [
            Alarm(AlarmKind.RENEWAL, subject, text, self._clock())
            for subject, text in sorted(texts.items())
        ]
        new = [
            alarm
            for alarm in new
            if alarm.subject not in raised or raised[alarm.subject].text != alarm.text
        ]
        if over or new:
            with self._metadata.write() as transaction:
                for alarm in over:
                    transaction.clear_alarm(alarm)
                for alarm in new:
                    _log.warning("%s: %s", alarm.subject, alarm.text)
                    transaction.raise_alarm(alarm)
        return early

    def _text(self, authority: str) -> str:
        """Say once what is in the way of several."""
        batches: dict[str, list[int]] = {}
        for sequence, _, name in sorted(key for key in self._stuck if key[2] == authority):
            batches.setdefault(self._stuck[sequence, _, name][0], []).append(sequence)
        named = [
            (
                f"batch {min(found)}" + (f" and {len(found) - 1} more" if len(found) > 1 else ""),
                text,
            )
            for text, found in batches.items()
        ]
        return "; ".join(
            f"the evidence record of {which} cannot be renewed: {text}" for which, text in named
        )


def _key(renewal: Renewal) -> _Key:
    return renewal.sequence, renewal.position, renewal.authority


def _fault(report: Report) -> str | None:
    """Return what does not verify, or None.

    That a chain under another hash algorithm is for this file is not seen without the file.
    """
    found = next((check for check in report.checks if not _is_sound(check)), None)
    return (
        f"it cannot be verified: {found.name} {found.outcome.value}: {found.reason}"
        if found
        else None
    )


def _is_sound(check: Check) -> bool:
    if check.outcome is Outcome.UNKNOWN:
        return not check.required or (
            check.name.endswith(".data") and not check.name.startswith("chains[0].")
        )
    return check.outcome is Outcome.PASSED
