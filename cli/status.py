"""`witnesstree status`: what the ledger holds, and what waits for what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.options import answer, counted, home_option, json_option, say
from witnesstree.ledger.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.ledger.sealing import Ledger


@click.command("status", short_help="Say what the ledger holds, and what waits.")
@json_option
@home_option
def status_command(home: Path, *, as_json: bool) -> None:
    """Say what the ledger holds, which batches are open, and which jobs wait, and since when.

    \b
    Example:
        witnesstree status --json
    """
    from witnesstree.anchor.wiring import LOCAL_NOTICE, open_ledger

    with open_ledger(home) as ledger:
        status = _members(ledger)
    say(LOCAL_NOTICE)
    if as_json:
        answer(status)
    else:
        click.echo("\n".join(_lines(status)))


def _members(ledger: Ledger) -> dict[str, Any]:
    from witnesstree.ledger.note import format_verifier_key

    with ledger.metadata.read() as transaction:
        jobs = transaction.unfinished_jobs()
        closed = {job.sequence: transaction.batch(job.sequence) for job in jobs}
        return {
            "home": str(ledger.home.folder),
            "origin": ledger.home.origin,
            "checkpoint_key": format_verifier_key(ledger.home.verifier_key()),
            "batches": transaction.batch_count(),
            "entries": transaction.entry_count(),
            "unsealed": [
                {"batch": batch.sequence, "state": batch.state.value, "entries": batch.count - 1, "since": format_time(batch.opened)}
                for batch in transaction.open_batches()
            ],
            "waiting": [
                {
                    "batch": job.sequence,
                    "kind": job.kind.value,
                    "target": job.target,
                    "since": format_time(batch.closed) if (batch := closed[job.sequence]) else None,
                    "attempts": job.attempts,
                    "last_error": job.last_error,
                }
                for job in jobs
            ],
        }


def _lines(status: dict[str, Any]) -> Iterator[str]:
    yield f"Ledger {status['origin']} in {status['home']}"
    yield f"Checkpoint key {status['checkpoint_key']}"
    yield f"{counted(status['batches'], 'sealed batch', 'sealed batches')} with {counted(status['entries'], 'entry', 'entries')}"
    for batch in status["unsealed"]:
        yield f"Batch {batch['batch']} is {batch['state']} with {counted(batch['entries'], 'entry', 'entries')}, since {batch['since']}"
    for job in status["waiting"]:
        error = f"; {counted(job['attempts'], 'attempt')}, the last: {job['last_error']}" if job["last_error"] else ""
        yield f"Batch {job['batch']} waits for its {job['kind']} by {job['target']} since {job['since']}{error}"
    if status["unsealed"] or status["waiting"]:
        yield "Run `witnesstree seal` to finish what waits."
    else:
        yield "Nothing waits."
