"""Whether each batch was stamped and anchored in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from witnesstree.ledger.base.report import Check, Outcome, Verdict, failed, passed, unknown
from witnesstree.ledger.proof.proof import Hints, Proof, format_proof
from witnesstree.ledger.verify.verify import Require, verify

if TYPE_CHECKING:
    from witnesstree.ledger.audit.published import PublishedBatch
    from witnesstree.ledger.log.statement import Statement
    from witnesstree.ledger.trust import Trust


def judge_witnesses(
    batches: Sequence[PublishedBatch],
    trust: Trust,
    now: datetime,
    deadline: timedelta,
    require: Require,
) -> tuple[list[Check], tuple[Statement, ...]]:
    """Judge whether each batch was stamped and anchored within `deadline` after it closed.

    The close is the ledger's word; step 5 bounds it.

    Returns the statements, too, of the batches that have to be looked at again.
    """
    checks: list[Check] = []
    waiting: dict[int, Statement] = {}
    kinds: dict[str, tuple[Require, Callable[[Proof], Proof]]] = {
        "stamped": (Require.TOKEN, lambda proof: replace(proof, anchors=(), hints=Hints())),
        "anchored": (Require.ANCHOR, lambda proof: replace(proof, tokens=(), hints=Hints())),
    }
    for name, (kind, reduced) in kinds.items():
        if require not in {kind, Require.BOTH}:
            continue
        found = [
            (
                each,
                _judge_witness(
                    name, kind, each, reduced(each.proof), trust=trust, now=now, deadline=deadline
                ),
            )
            for each in batches
        ]
        others = [(batch, check) for batch, check in found if check.outcome is not Outcome.PASSED]
        waiting |= {batch.statement.sequence: batch.statement for batch, _ in others}
        if good := len(found) - len(others):
            checks.append(
                passed(name, "batches-in-time", kind=name, count=good, hours=_hours(deadline))
            )
        checks += [check for _, check in others]
    return checks, tuple(waiting[sequence] for sequence in sorted(waiting))


def _judge_witness(
    kind: str,
    require: Require,
    batch: PublishedBatch,
    proof: Proof,
    *,
    trust: Trust,
    now: datetime,
    deadline: timedelta,
) -> Check:
    """Judge one kind of witness of one batch; `proof` holds no other kind."""
    statement = batch.statement
    name, due = f"batch[{statement.sequence}].{kind}", _sum(statement.closed, deadline)
    if not (proof.tokens or proof.anchors):
        if now > due:
            return failed(
                name,
                "batch-overdue",
                sequence=statement.sequence,
                kind=kind,
                hours=_hours(deadline),
                closed=statement.closed,
            )
        return unknown(
            name, "batch-waiting", sequence=statement.sequence, kind=kind, due=due, required=False
        )
    # Step 6 has judged who signed, with all published key notes: the proof may be older than some
    # of them.
    report = verify(
        proof.digest,
        format_proof(proof),
        replace(trust, checkpoint_keys=(), key_notes=()),
        now,
        require,
    )
    if report.verdict is Verdict.FAILED:
        reason = next(check.message for check in report.checks if check.outcome is Outcome.FAILED)
        return failed(name, "batch-check", sequence=statement.sequence, reason=reason)
    if report.verdict is Verdict.UNDECIDED:
        reason = next(
            check.message
            for check in report.checks
            if check.outcome is Outcome.UNKNOWN and check.required
        )
        return unknown(name, "batch-check", sequence=statement.sequence, reason=reason)
    assert report.not_after
    if report.not_after > due:
        return failed(
            name,
            "batch-late",
            sequence=statement.sequence,
            kind=kind,
            closed=statement.closed,
            time=report.not_after,
            hours=_hours(deadline),
        )
    return passed(
        name, "batch-in-time", sequence=statement.sequence, kind=kind, time=report.not_after
    )


def _sum(time: datetime, more: timedelta) -> datetime:
    try:
        return time + more
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _hours(time: timedelta) -> str:
    return f"{time / timedelta(hours=1):g}"
