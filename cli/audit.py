"""`witnesstree audit`: follows a published log from outside."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.cli.help import Command
from witnesstree.cli.options import HOME_ENVVAR, PATH, json_option, note, require_room, say
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from witnesstree.ledger.audit.published import PublishedBatch
    from witnesstree.ledger.audit.seen import Seen
    from witnesstree.ledger.trust import Trust


@click.command("audit", cls=Command)
@click.argument("subject", metavar="URL|DIR")
@click.option("--state", type=PATH, metavar="FILE")
@click.option("--checkpoint-key", "checkpoint_keys", multiple=True)
@click.option("--witness-key", "witness_keys", multiple=True)
@click.option("--quorum", type=click.IntRange(min=1), metavar="K")
@click.option("--trust", "pem", multiple=True, type=PATH)
@click.option("--block-hash", "block_hashes", multiple=True, metavar="[CHAIN_ID:[NUMBER:]]HASH")
@click.option("--rpc", "nodes", multiple=True, metavar="URL|env:NAME|file:PATH")
@click.option("--home", type=PATH, envvar=HOME_ENVVAR)
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True, max=24 * 366),
    default=24.0,
    show_default=True,
)
@click.option(
    "--require",
    type=click.Choice(["token", "anchor", "both"]),
    default="both",
    show_default=True,
)
@click.option("--evidence", type=PATH, metavar="FILE")
@json_option
@click.pass_context
def audit_command(
    ctx: click.Context,
    subject: str,
    state: Path | None,
    *,
    checkpoint_keys: tuple[str, ...],
    witness_keys: tuple[str, ...],
    quorum: int | None,
    pem: tuple[Path, ...],
    block_hashes: tuple[str, ...],
    nodes: tuple[str, ...],
    home: Path | None,
    deadline: float,
    require: str,
    evidence: Path | None,
    as_json: bool,
) -> None:
    """Follow the log that a ledger publishes at URL or in DIR, and check all that it says.

    Example:
        witnesstree audit https://log.example --state court.json --checkpoint-key ledger.vkey
    """
    from witnesstree.cli.judging import given_trust
    from witnesstree.cli.log import answer_audit, fetching, parse_cosigner_keys, write_evidence
    from witnesstree.ledger.audit.cosigners import judge_cosignatures
    from witnesstree.ledger.audit.follow import follow
    from witnesstree.ledger.audit.seen import MAX_WAITING, format_seen
    from witnesstree.ledger.audit.witnesses import judge_witnesses
    from witnesstree.ledger.store.disk import write_file
    from witnesstree.ledger.verify.verify import Require

    now = datetime.now(UTC)
    trust = given_trust(pem, block_hashes, checkpoint_keys) | _keys_of_home(home)
    witnesses = parse_cosigner_keys(witness_keys)
    needed = len(witnesses) if quorum is None else quorum
    if needed > len(witnesses):
        raise InvalidInput("quorum-of-keys-too-large", quorum=needed, count=len(witnesses))
    with _held(state), fetching(subject) as fetch:
        followed = follow(fetch, trust.checkpoint_keys, _read_state(state), now)
        checks = list(followed.checks)
        if witnesses and followed.note:
            checks.append(judge_cosignatures(followed.note, witnesses, needed, now))
        trust |= _trust_of_blocks(followed.batches, home, nodes)
        found, waiting = judge_witnesses(
            followed.batches, trust, now, timedelta(hours=deadline), Require(require)
        )
        report = Report((*checks, *found))
        seen = (
            replace(followed.seen, waiting=waiting)
            if followed.seen and len(waiting) <= MAX_WAITING
            else None
        )
        kept = write_evidence(followed.equivocation, evidence) if followed.equivocation else None
        if state and seen:
            write_file(state, format_seen(seen))
        elif state:
            say("state-unchanged", path=state)
    ctx.exit(answer_audit(report, kept, as_json=as_json))


@contextmanager
def _held(state: Path | None) -> Iterator[None]:
    """Keep other runs from a state file from the reading on: what one has seen, no other forgets.

    Raises InvalidInput if it cannot be written there.
    """
    from witnesstree.ledger.store.disk import locked

    if state is None:
        yield
        return
    require_room(state)
    with locked(state.with_name(f".{state.name}.lock")):
        yield


def _read_state(path: Path | None) -> Seen | None:
    from witnesstree.ledger.audit.seen import MAX_SEEN, parse_seen

    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return parse_seen(file.read(MAX_SEEN + 1))
    except FileNotFoundError:
        say("state-begins", path=path)
        return None
    except OSError as error:
        raise InvalidInput("file-unreadable", path=path, error=error) from error
    except InvalidInput as error:
        raise InvalidInput("state-unusable", path=path, error=error) from error


def _keys_of_home(home: Path | None) -> Trust:
    from witnesstree.ledger.store.home import open_home
    from witnesstree.ledger.trust import Trust

    return (
        Trust(
            checkpoint_keys=(open_home(home).verifier_key(),), key_notes=open_home(home).key_notes()
        )
        if home
        else Trust()
    )


def _trust_of_blocks(
    records: Sequence[PublishedBatch], home: Path | None, nodes: tuple[str, ...]
) -> Trust:
    """Return what the home and the nodes say of the blocks that all records together name."""
    from witnesstree.anchor.trust import home_trust
    from witnesstree.ledger.proof.proof import Proof
    from witnesstree.ledger.store.home import open_home
    from witnesstree.ledger.trust import Trust

    trust = Trust()
    if not records:
        return trust
    # Anchors without a state proof are of one root each, so nobody can be asked about them
    # together.
    anchors = tuple(anchor for record in records for anchor in record.proof.anchors if anchor.state)
    together = Proof(records[0].proof.digest, opening=records[0].proof.opening, anchors=anchors)
    if home:
        trust |= home_trust(open_home(home), together) or Trust()
    if nodes and anchors:
        from witnesstree.anchor.evm.check import ask_nodes
        from witnesstree.anchor.trust import finality_in

        testimony = ask_nodes(nodes, together, finality_in(home) if home else {})
        for said in testimony.notes:
            note(said)
        trust |= testimony.trust
    return trust
