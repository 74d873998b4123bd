"""The ledger's state in Prometheus' text format: for `status --metrics`, for the worker's file, and
for the service.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from witnesstree.ledger.base.catalogue import ENGLISH, worded
from witnesstree.ledger.base.message import message

if TYPE_CHECKING:
    from witnesstree.anchor.settings import Settings
    from witnesstree.ledger.work.sealing import Ledger


def metrics_text(ledger: Ledger, settings: Settings, language: str = ENGLISH) -> bytes:
    """Return the metrics of a ledger as it is now, described in a language of the catalogue."""
    registry, now = CollectorRegistry(), datetime.now(UTC)

    def gauge(name: str, labels: tuple[str, ...] = ()) -> Gauge:
        about = worded(message(f"metric-{name.replace('_', '-')}"), language)
        return Gauge(f"witnesstree_{name}", about, labels, registry=registry)

    late_batches = ledger.outbox.late_batches(settings.batch_age)
    late_jobs = {(job.sequence, job.kind, job.target) for job in ledger.outbox.late()}
    with ledger.metadata.read() as transaction:
        jobs = transaction.unfinished_jobs()
        closed = {
            job.sequence: batch.closed for job in jobs if (batch := transaction.batch(job.sequence))
        }
        unsealed = transaction.open_batches()
        renewals = transaction.renewal_counts(now, now - settings.deadline)
        alarms = transaction.alarms()
        gauge("batches").set(transaction.batch_count())
        gauge("entries").set(transaction.entry_count())
    gauge("unsealed_entries").set(sum(batch.entries for batch in unsealed))
    gauge("late_batches").set(sum(batch.sequence in late_batches for batch in unsealed))
    waiting = gauge("waiting_jobs", ("kind", "target"))
    late = gauge("late_jobs", ("kind", "target"))
    oldest = gauge("oldest_waiting_seconds", ("kind", "target"))
    # The oldest batch's job last, so that its age is the one that stays.
    for job in reversed(jobs):
        named = (job.kind.value, job.target)
        waiting.labels(*named).inc()
        late.labels(*named).inc((job.sequence, job.kind, job.target) in late_jobs)
        if job.sequence in closed:
            oldest.labels(*named).set((now - closed[job.sequence]).total_seconds())
    gauge("due_renewals").set(renewals.due)
    gauge("late_renewals").set(renewals.late)
    if renewals.next:
        gauge("next_renewal_timestamp_seconds").set(renewals.next.timestamp())
    alarm = gauge("alarm", ("kind", "subject"))
    for each in alarms:
        alarm.labels(each.kind.value, each.subject).set(1)
    gauge("last_pass_timestamp_seconds").set(now.timestamp())
    return generate_latest(registry)
