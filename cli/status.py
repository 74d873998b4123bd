"""`witnesstree status`: what the ledger holds, and what waits for what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.help import Command, Misused
from witnesstree.cli.language import language, words
from witnesstree.cli.options import answer, home_option, json_option, note, tell
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.message import message, to_json

if TYPE_CHECKING:
    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.work.sealing import Ledger


ALARM = 12
"""The exit code of `status --check` where something needs a person."""


@click.command("status", cls=Command)
@click.option("--check", is_flag=True)
@click.option("--metrics", is_flag=True)
@json_option
@home_option
@click.pass_context
def status_command(
    ctx: click.Context, home: Path, *, check: bool, metrics: bool, as_json: bool
) -> None:
    """Say what the ledger holds, what waits, and what needs a person.

    Example:
        witnesstree status --check
    """
    from witnesstree.anchor.metrics import metrics_text
    from witnesstree.anchor.settings import read_settings
    from witnesstree.anchor.wiring import notice, open_ledger

    if metrics and as_json:
        raise Misused("two-forms")
    with open_ledger(home) as ledger:
        settings = read_settings(ledger.home.folder)
        said = notice(settings)
        status = _members(ledger)
        text = metrics_text(ledger, settings, language()).decode() if metrics else ""
    if said:
        note(said)
    if metrics:
        click.echo(text, nl=False)
    elif as_json:
        answer(status)
    else:
        _print(status)
    if check and (
        status["alarms"]
        or status["problems"]
        or status["renewals"]["late"]
        or any(each["late"] for each in (*status["unsealed"], *status["waiting"]))
    ):
        ctx.exit(ALARM)


def _members(ledger: Ledger) -> dict[str, Any]:
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.log.keys import newest_key
    from witnesstree.ledger.log.note import format_verifier_key
    from witnesstree.ledger.tree import core

    problems = _problems(ledger)
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
                    "entries": batch.entries,
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
                    "last_error": words(job.last_error) if job.last_error else None,
                    "error": to_json(job.last_error) if job.last_error else None,
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
            "problems": [
                {"place": str(place), "text": words(said), **to_json(said)}
                for place, said in problems
            ],
            "alarms": [
                {
                    "kind": alarm.kind.value,
                    "subject": alarm.subject,
                    "text": words(alarm.text),
                    **to_json(alarm.text),
                    "since": format_time(alarm.since),
                }
                for alarm in transaction.alarms()
            ],
        }


def _problems(ledger: Ledger) -> list[tuple[Path, Message]]:
    """Return what stops every writer, as far as that shows without reading batches: a home that was
    restored and not let go on, a database that is older than the files, or files, or the embedded
    chain, that are older than it, and a published log that is another history.
    """
    from witnesstree.anchor.fsck import older_chain
    from witnesstree.anchor.settings import read_settings
    from witnesstree.ledger.base.errors import Damaged
    from witnesstree.ledger.log.keys import newest_key
    from witnesstree.ledger.store.newer import find_forks, find_missing, find_newer
    from witnesstree.ledger.store.restored import waiting

    home, metadata, files = ledger.home, ledger.metadata, ledger.files
    settings = read_settings(home.folder)
    found: list[tuple[Path, Message]] = []
    try:
        if waits := waiting(home):
            said = message("home-waits-after-restore", folder=home.folder, made=waits.made)
            found.append((home.folder, said))
        with metadata.read() as transaction:
            changes = ledger.key_changes(transaction)
            found += find_forks(transaction, home)
        found += find_newer(metadata, home, files, is_thorough=True)
        found += find_missing(metadata, files)
        if not settings.chains and (fault := older_chain(home.chain, metadata)):
            found.append((home.chain, fault))
        home.private_key(len(changes), newest_key(home.verifier_key(), changes))
    except Damaged as error:
        return [*found, (home.folder, error.message)]
    return found


def _print(status: dict[str, Any]) -> None:
    tell("status-ledger", origin=status["origin"], home=status["home"])
    tell("status-key", key=status["checkpoint_key"])
    tell("status-core", core=status["core"])
    tell("status-counts", batches=status["batches"], entries=status["entries"])
    for batch in status["unsealed"]:
        tell("status-unsealed", **batch)
    for job in status["waiting"]:
        _print_job(job)
    if (renewals := status["renewals"])["due"]:
        tell("status-renewals-due", due=renewals["due"], late=renewals["late"])
    elif renewals["next"]:
        tell("status-renewals-next", scheduled=renewals["scheduled"], next=renewals["next"])
    for problem in status["problems"]:
        tell("status-problem", text=problem["text"])
    for alarm in status["alarms"]:
        tell("status-alarm", since=alarm["since"], subject=alarm["subject"], text=alarm["text"])
    if status["problems"]:
        tell(_advice({problem["code"] for problem in status["problems"]}))
    elif status["unsealed"] or status["waiting"]:
        tell("status-waiting")
    elif not renewals["due"]:
        tell("status-idle")


def _advice(problems: set[str]) -> str:
    """Return the code of what is to be done about these problems, named by their codes."""
    if "home-waits-after-restore" in problems:
        return "status-waits"
    return "status-forks" if "checkpoint-of-other-history" in problems else "status-stopped"


def _print_job(job: dict[str, Any]) -> None:
    tell(
        "status-job",
        late=job["late"],
        batch=job["batch"],
        kind=job["kind"],
        target=job["target"],
        since=job["since"] or message("status-job-since-lost"),
        transaction=job["transaction"],
        retry=job["retry_at"] if job["last_error"] else None,
        attempts=job["attempts"],
        error=job["last_error"],
    )
