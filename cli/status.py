"""`witnesstree status`: what the ledger holds, and what waits for what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.options import answer, counted, home_option, json_option, say
from witnesstree.ledger.base.clock import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.ledger.work.sealing import Ledger


ALARM = 12
"""The exit code of `status --check` where something needs a person."""


@click.command("status", short_help="Say what the ledger holds, and what waits.")
@click.option(
    "--check",
    is_flag=True,
    help=f"Exit with {ALARM} if there is an alarm, or something past its deadline.",
)
@click.option("--metrics", is_flag=True, help="Print metrics in Prometheus' text format instead.")
@json_option
@home_option
@click.pass_context
def status_command(
    ctx: click.Context, home: Path, *, check: bool, metrics: bool, as_json: bool
) -> None:
    """Say what the ledger holds, which batches are open, which jobs wait and since when, which
    renewals are due, and what needs a person.

    \b
    Example:
        witnesstree status --check
    """
    from witnesstree.anchor.settings import read_settings
    from witnesstree.anchor.wiring import notice, open_ledger

    if metrics and as_json:
        raise click.UsageError("--metrics and --json are two forms of the answer: choose one")
    with open_ledger(home) as ledger:
        said = notice(read_settings(ledger.home.folder))
        status = _members(ledger)
        text = metrics_text(ledger).decode() if metrics else ""
    if said:
        say(said)
    if metrics:
        click.echo(text, nl=False)
    elif as_json:
        answer(status)
    else:
        click.echo("\n".join(_lines(status)))
    if check and (
        status["alarms"]
        or status["renewals"]["late"]
        or any(each["late"] for each in (*status["unsealed"], *status["waiting"]))
    ):
        ctx.exit(ALARM)


def _members(ledger: Ledger) -> dict[str, Any]:
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.log.keys import newest_key
    from witnesstree.ledger.log.note import format_verifier_key
    from witnesstree.ledger.tree import core

    settings, now = read_settings(ledger.home.folder), datetime.now(UTC)
    # Acknowledged entries that nobody seals are as late as roots that nobody witnesses.
    late_batches = ledger.outbox.late_batches(settings.batch_age)
    late = {(job.sequence, job.kind, job.target) for job in ledger.outbox.late()}
    with ledger.metadata.read() as transaction:
        jobs = transaction.unfinished_jobs()
        closed = {job.sequence: transaction.batch(job.sequence) for job in jobs}
        renewals = transaction.renewal_counts(now, now - settings.deadline)
        return {
            "home": str(ledger.home.folder),
            "origin": ledger.home.origin,
            "core": core.name(),
            "checkpoint_key": format_verifier_key(
                newest_key(ledger.home.verifier_key(), ledger.key_changes(transaction))
            ),
            "batches": transaction.batch_count(),
            "entries": transaction.entry_count(),
            "unsealed": [
                {
                    "batch": batch.sequence,
                    "state": batch.state.value,
                    "entries": batch.count - 1,
                    "since": format_time(batch.opened),
                    "late": batch.sequence in late_batches,
                }
                for batch in transaction.open_batches()
            ],
            "waiting": [
                {
                    "batch": job.sequence,
                    "kind": job.kind.value,
                    "target": job.target,
                    "since": format_time(batch.closed) if (batch := closed[job.sequence]) else None,
                    "late": (job.sequence, job.kind, job.target) in late,
                    "transaction": f"0x{job.transaction.hex()}" if job.transaction else None,
                    "attempts": job.attempts,
                    "last_error": str(job.last_error) if job.last_error else None,
                    "retry_at": format_time(job.retry_at) if job.retry_at else None,
                }
                for job in jobs
            ],
            "renewals": {
                "scheduled": renewals.scheduled,
                "due": renewals.due,
                "late": renewals.late,
                "next": format_time(renewals.next) if renewals.next else None,
            },
            "alarms": [
                {
                    "kind": alarm.kind.value,
                    "subject": alarm.subject,
                    "text": str(alarm.text),
                    "since": format_time(alarm.since),
                }
                for alarm in transaction.alarms()
            ],
        }


def _lines(status: dict[str, Any]) -> Iterator[str]:
    yield f"Ledger {status['origin']} in {status['home']}"
    yield f"Checkpoint key {status['checkpoint_key']}"
    yield f"Trees are hashed by the {status['core']} core"
    yield (
        f"{counted(status['batches'], 'sealed batch', 'sealed batches')} with"
        f" {counted(status['entries'], 'entry', 'entries')}"
    )
    for batch in status["unsealed"]:
        late = "LATE: batch" if batch["late"] else "Batch"
        yield (
            f"{late} {batch['batch']} is {batch['state']} with"
            f" {counted(batch['entries'], 'entry', 'entries')}, since {batch['since']}"
        )
    for job in status["waiting"]:
        sent = f"; sent as {job['transaction']}" if job["transaction"] else ""
        again = f"; next try at {job['retry_at']}" if job["last_error"] and job["retry_at"] else ""
        error = (
            f"; {counted(job['attempts'], 'failed attempt')}, the last: {job['last_error']}"
            if job["last_error"]
            else ""
        )
        late = "LATE: batch" if job["late"] else "Batch"
        since = job["since"] or "a time that is lost"
        yield (
            f"{late} {job['batch']} waits for its {job['kind']} by {job['target']} since"
            f" {since}{sent}{again}{error}"
        )
    if (renewals := status["renewals"])["due"]:
        late = f", {renewals['late']} of them LATE" if renewals["late"] else ""
        yield (
            f"{counted(renewals['due'], 'evidence record')} to be renewed now{late}: run"
            " `witnesstree worker`, or `witnesstree renew --due`"
        )
    elif renewals["next"]:
        yield (
            f"Evidence records of {counted(renewals['scheduled'], 'token')} will be renewed from"
            f" {renewals['next']} on"
        )
    for alarm in status["alarms"]:
        yield f"ALARM since {alarm['since']}, {alarm['subject']}: {alarm['text']}"
    if status["unsealed"] or status["waiting"]:
        yield "Run `witnesstree worker`, or `witnesstree seal`, to go on with what waits."
    else:
        yield "Nothing waits."


def metrics_text(ledger: Ledger) -> bytes:
    """Return the ledger's state in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    status, registry = _members(ledger), CollectorRegistry()
    now = datetime.now(UTC)

    def gauge(name: str, help_: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"witnesstree_{name}", help_, labels, registry=registry)

    gauge("batches", "Sealed batches").set(status["batches"])
    gauge("entries", "Entries in sealed batches").set(status["entries"])
    gauge("unsealed_entries", "Acknowledged entries in batches that are not sealed").set(
        sum(batch["entries"] for batch in status["unsealed"])
    )
    gauge("late_batches", "Batches that are not sealed, past their deadline").set(
        sum(batch["late"] for batch in status["unsealed"])
    )
    waiting = gauge(
        "waiting_jobs", "Stamps, anchors and lists that are not there yet", ("kind", "target")
    )
    late = gauge("late_jobs", "Those of batches that are past their deadline", ("kind", "target"))
    oldest = gauge(
        "oldest_waiting_seconds",
        "Age of the longest waiting job, counted from when its batch closed",
        ("kind", "target"),
    )
    for job in reversed(status["waiting"]):
        waiting.labels(job["kind"], job["target"]).inc()
        late.labels(job["kind"], job["target"]).inc(job["late"])
        if job["since"]:
            oldest.labels(job["kind"], job["target"]).set(
                (now - parse_time(job["since"])).total_seconds()
            )
    gauge("due_renewals", "Evidence records that are to be renewed now").set(
        status["renewals"]["due"]
    )
    gauge("late_renewals", "Those of them that are past their deadline").set(
        status["renewals"]["late"]
    )
    if status["renewals"]["next"]:
        gauge("next_renewal_timestamp_seconds", "When the next renewal is due").set(
            parse_time(status["renewals"]["next"]).timestamp()
        )
    alarms = gauge("alarm", "1 for each thing that needs a person", ("kind", "subject"))
    for alarm in status["alarms"]:
        alarms.labels(alarm["kind"], alarm["subject"]).set(1)
    gauge("last_pass_timestamp_seconds", "When this was written").set(now.timestamp())
    return generate_latest(registry)
