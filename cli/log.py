"""`witnesstree log`: publishes the ledger log, compares checkpoints, has them cosigned by
witnesses, and changes the key that signs them.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.cli.help import Group
from witnesstree.cli.language import words
from witnesstree.cli.options import (
    PATH,
    answer,
    home_option,
    is_folder,
    json_option,
    note,
    say,
    tell,
)
from witnesstree.cli.report import verdict_styled, verdict_word
from witnesstree.cli.verdict import print_checks
from witnesstree.ledger.base.errors import InvalidInput, WitnesstreeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.anchor.cosigners import Cosigner
    from witnesstree.ledger.audit.equivocation import Equivocation
    from witnesstree.ledger.base.message import Message
    from witnesstree.ledger.base.report import Check, Report
    from witnesstree.ledger.log.cosignature import CosignerKey
    from witnesstree.ledger.log.keys import KeyChange
    from witnesstree.ledger.log.note import VerifierKey
    from witnesstree.ledger.log.tiles import Fetch

UNDECIDED = 4
"""Exit code where too few witnesses cosigned, as for a verdict (verify.py)."""


@click.group("log", cls=Group)
def log_command() -> None:
    """Publish the ledger log, compare its checkpoints, have them cosigned by witnesses, and
    change the key that signs them.

    Example:
        witnesstree log publish /var/www/ledger
    """


@log_command.command("publish")
@click.argument("folder", metavar="DIR", type=PATH)
@json_option
@home_option
def publish_command(folder: Path, home: Path, *, as_json: bool) -> None:
    """Bring the folder DIR up to the newest checkpoint, for any static file server.

    Example:
        witnesstree log publish /var/www/ledger
    """
    from witnesstree.anchor.publishing import publish
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.cli.progress import progress

    with open_ledger(home) as ledger:
        with ledger.metadata.read() as transaction:
            total = transaction.batch_count()
        with progress("publishing", total) as advance:
            done = publish(ledger, folder, advance)
    if as_json:
        answer(
            {
                "folder": str(folder),
                "old_size": done.old,
                "size": done.new,
                "tiles": done.tiles,
                "records": done.records,
            }
        )
    else:
        tell(
            "log-published",
            folder=folder,
            size=done.new,
            new=done.new - done.old,
            tiles=done.tiles,
            proofs=done.records,
        )


@log_command.command("check")
@click.argument("old")
@click.argument("new", required=False)
@click.option("--checkpoint-key", "checkpoint_keys", multiple=True)
@click.option("--evidence", type=PATH, metavar="FILE")
@json_option
@click.pass_context
def check_command(
    ctx: click.Context,
    old: str,
    new: str | None,
    checkpoint_keys: tuple[str, ...],
    evidence: Path | None,
    *,
    as_json: bool,
) -> None:
    """Check that the log NEW begins with the log OLD, or, without NEW, what evidence proves.

    Example:
        witnesstree log check old.checkpoint https://ledger.example/court --checkpoint-key l.vkey
    """
    from witnesstree.cli.judging import parse_key
    from witnesstree.ledger.audit.consistency import judge_consistency
    from witnesstree.ledger.audit.signers import judge_signature
    from witnesstree.ledger.base.report import Report
    from witnesstree.ledger.log.note import parse_checkpoint, parse_note

    keys = [parse_key(text) for text in checkpoint_keys]
    if new is None:
        ctx.exit(_check_evidence(Path(old), keys, as_json=as_json))
    with (
        opened(old) as (first, first_fetch, first_notes),
        opened(new) as (second, second_fetch, second_notes),
    ):
        found, changes, contradiction = _judge_histories(
            (first_notes, second_notes), parse_checkpoint(parse_note(second).text).origin, keys
        )
        checks = [
            judge_signature("old", first, keys, changes, is_alone=first_notes is None),
            judge_signature("new", second, keys, changes, is_alone=second_notes is None),
            *found,
        ]
        sizes = [parse_checkpoint(parse_note(note).text).size for note in (first, second)]
        if sizes[0] <= sizes[1]:
            consistency, equivocation = judge_consistency(first, second, second_fetch)
        else:
            say("old-is-larger")
            consistency, equivocation = judge_consistency(second, first, first_fetch)
    equivocation = equivocation or contradiction
    report = Report((*checks, consistency))
    kept = write_evidence(equivocation, evidence) if equivocation else None
    ctx.exit(answer_audit(report, kept, as_json=as_json))


def _check_evidence(path: Path, keys: list[VerifierKey], *, as_json: bool) -> int:
    """Print what the evidence in a file proves, and return the exit code."""
    from witnesstree.ledger.audit.equivocation import judge_equivocation, parse_equivocation
    from witnesstree.ledger.base.report import Report
    from witnesstree.ledger.proof.proof import MAX_PROOF

    try:
        with path.open("rb") as file:
            found = parse_equivocation(file.read(MAX_PROOF + 1))
    except OSError as error:
        raise InvalidInput("evidence-unreadable", path=str(path)[:200], error=error) from error
    except InvalidInput as error:
        raise InvalidInput("no-evidence", path=path, error=error) from error
    return answer_audit(Report((judge_equivocation(found, keys),)), None, as_json=as_json)


def _judge_histories(
    fetches: tuple[Fetch | None, ...], origin: str, keys: list[VerifierKey]
) -> tuple[list[Check], tuple[KeyChange, ...], Equivocation | None]:
    """Judge the key notes that are published with either log, if there are any: the longer history
    has to begin with the shorter one.
    """
    from witnesstree.ledger.audit.published import read_key_notes
    from witnesstree.ledger.audit.signers import judge_keys

    shorter, longer = sorted((read_key_notes(fetch) if fetch else () for fetch in fetches), key=len)
    if not longer:
        return [], (), None
    check, changes, equivocation = judge_keys(longer, shorter, origin, keys)
    return [check], changes, equivocation


@log_command.command("rotate")
@click.option("--destroy-old", is_flag=True)
@json_option
@home_option
def rotate_command(home: Path, *, destroy_old: bool, as_json: bool) -> None:
    """Change the key that signs checkpoints.

    Example:
        witnesstree log rotate
    """
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.ledger.work.rotation import rotate

    with open_ledger(home) as ledger:
        change = rotate(ledger, destroys_old=destroy_old)
    if as_json:
        answer(_change_members(change))
    else:
        _tell_change(change)
    say("publish-after-rotation")


@log_command.command("keys")
@click.option("--destroy-old", is_flag=True)
@json_option
@home_option
def keys_command(home: Path, *, destroy_old: bool, as_json: bool) -> None:
    """List the keys that have signed this log's checkpoints, the first one first.

    Example:
        witnesstree log keys --json
    """
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.ledger.log.note import format_verifier_key
    from witnesstree.ledger.work.rotation import destroy_old_keys

    with open_ledger(home) as ledger:
        if destroy_old:
            say("keys-destroyed", count=len(destroy_old_keys(ledger)))
        with ledger.metadata.read() as transaction:
            notes, changes = transaction.key_notes(), ledger.key_changes(transaction)
        first = ledger.home.verifier_key()
    if as_json:
        rows = [
            {**_change_members(change), "note": note}
            for change, note in zip(changes, notes, strict=True)
        ]
        answer({"first": format_verifier_key(first), "changes": rows})
        return
    tell("first-key", key=format_verifier_key(first))
    for change in changes:
        _tell_change(change)


def _change_members(change: KeyChange) -> dict[str, object]:
    from witnesstree.ledger.log.note import format_verifier_key

    keys = {"old": format_verifier_key(change.old), "new": format_verifier_key(change.new)}
    return {"number": change.number, **keys, "size": change.size, "root": change.root.hex()}


def _tell_change(change: KeyChange) -> None:
    from witnesstree.ledger.log.note import format_verifier_key

    key = format_verifier_key(change.new)
    tell("later-key", number=change.number, size=change.size, key=key)


@log_command.command("cosign")
@click.option("--witness", "urls", multiple=True, required=True, metavar="URL")
@click.option("--witness-key", "keys", multiple=True, required=True)
@click.option("--quorum", type=click.IntRange(min=1), metavar="K")
@click.option("--into", type=PATH, metavar="DIR")
@json_option
@home_option
@click.pass_context
def cosign_command(
    ctx: click.Context,
    urls: tuple[str, ...],
    keys: tuple[str, ...],
    *,
    quorum: int | None,
    into: Path | None,
    home: Path,
    as_json: bool,
) -> None:
    """Have the newest checkpoint cosigned by witnesses (C2SP tlog-witness).

    Example:
        witnesstree log cosign --witness https://w.example --witness-key w.vkey --into public
    """
    from witnesstree.anchor.cosigners import TIMEOUT, ask_cosigner
    from witnesstree.anchor.http import Http
    from witnesstree.anchor.publishing import keep_cosignatures, take_over_cosignatures
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.ledger.base.clock import SKEW
    from witnesstree.ledger.log.cosignature import (
        add_cosignatures,
        check_cosignatures,
        is_timely,
    )

    witnesses = cosigners_at(urls, keys)
    all_keys = [witness.key for witness in witnesses]
    needed = len(witnesses) if quorum is None else quorum
    if needed > len(witnesses):
        raise InvalidInput("quorum-too-large", quorum=needed, count=len(witnesses))
    errors: dict[str, Message] = {}
    with open_ledger(home) as ledger, Http(timeout=TIMEOUT) as http:
        # Before anybody is asked for what could not be kept.
        ledger.require_newest()
        with ledger.metadata.read() as transaction:
            newest = transaction.checkpoint()
        take_over_cosignatures(ledger)

        # Each hash is read on its own, so that no transaction is open while a cosigner thinks.
        def read(level: int, position: int) -> bytes:
            with ledger.metadata.read() as transaction:
                return transaction.log_node(level, position)

        lines = ""
        for witness in witnesses:
            try:
                lines += ask_cosigner(http, witness, newest, read)
            except WitnesstreeError as error:
                errors[witness.key.name] = error.message
        kept = keep_cosignatures(ledger, add_cosignatures(newest, lines, all_keys), into, all_keys)
    latest = (datetime.now(UTC) + SKEW).timestamp()
    found = [
        each for each in check_cosignatures(kept, all_keys, latest) if is_timely(each.time, latest)
    ]
    if as_json:
        told = {name: words(error) for name, error in errors.items()}
        times = {each.key.name: each.time for each in found}
        answer({"checkpoint": kept, "cosignatures": times, "errors": told, "quorum": needed})
    else:
        click.echo(kept, nl=False)
    for said in errors.values():
        note(said)
    say("cosigned", count=len(found), asked=len(witnesses), quorum=needed)
    ctx.exit(0 if len(found) >= needed else UNDECIDED)


def cosigners_at(urls: tuple[str, ...], keys: tuple[str, ...]) -> list[Cosigner]:
    """Return the cosigners that --witness and --witness-key name, in pairs.

    Raises InvalidInput if there are more of one than of the other, or a key is none.
    """
    from witnesstree.anchor.cosigners import Cosigner

    if len(urls) != len(keys):
        raise InvalidInput("cosigner-without-key", addresses=len(urls), keys=len(keys))
    return [Cosigner(url, key) for url, key in zip(urls, parse_cosigner_keys(keys), strict=True)]


def parse_cosigner_keys(texts: tuple[str, ...]) -> list[CosignerKey]:
    """Return the keys that --witness-key names, as texts or files.

    Raises InvalidInput if one is none, or stands there twice.
    """
    from witnesstree.cli.judging import text_or_file
    from witnesstree.ledger.log.cosignature import parse_cosigner_key

    try:
        keys = [parse_cosigner_key(text_or_file(text)) for text in texts]
    except InvalidInput as error:
        raise InvalidInput("bad-cosigner-key", error=error) from error
    # One witness must not count for two.
    if len({key.public_key for key in keys}) < len(keys):
        raise InvalidInput("cosigner-key-twice")
    return keys


# Logs that somebody published


@contextmanager
def fetching(subject: str) -> Iterator[Fetch]:
    """Give what reads the published log in a folder or at an address.

    Raises InvalidInput if `subject` is neither.
    """
    from witnesstree.anchor.publishing import TIMEOUT, fetching_from_address, fetching_from_folder

    if subject.startswith(("http://", "https://")):
        from witnesstree.anchor.http import Http

        with Http(timeout=TIMEOUT) as http:
            yield fetching_from_address(http, subject)
    elif is_folder(subject):
        yield fetching_from_folder(Path(subject))
    else:
        raise InvalidInput("no-published-log", subject=subject[:200])


@contextmanager
def opened(subject: str) -> Iterator[tuple[str, Fetch | None, Fetch | None]]:
    """Give the signed checkpoint in a file, or of the log in a folder or at an address; what reads
    that log; and what reads its key notes.

    A file alone has neither. One that lies in a published log has its key notes, and if it is that
    log's checkpoint it stands for the log.
    """
    from witnesstree.anchor.publishing import fetching_from_folder
    from witnesstree.ledger.audit.published import CHECKPOINT, FIRST_CHECKPOINT, read_checkpoint

    def read(fetch: Fetch, *name: str) -> str:
        try:
            return read_checkpoint(fetch, *name)
        except InvalidInput as error:
            raise InvalidInput("no-checkpoint", subject=subject[:200], error=error) from error

    path = Path(subject)
    if os.path.isfile(path):  # noqa: PTH113 - likewise
        fetch = fetching_from_folder(path.parent)
        notes = fetch if (path.parent / FIRST_CHECKPOINT).is_file() else None
        yield read(fetch, path.name), notes if path.name == CHECKPOINT else None, notes
    else:
        with fetching(subject) as fetch:
            yield read(fetch), fetch, fetch


def answer_audit(report: Report, evidence: Path | None, *, as_json: bool) -> int:
    """Print what checks come to together, which is about a log and says nothing of any file, then
    the checks; or the same as JSON, with where evidence was written. Return the exit code.
    """
    from witnesstree.cli.report import EXIT_CODES, report_members

    if as_json:
        members = report_members(report)
        members = {name: members[name] for name in ("verdict", "checks")}
        answer(members | ({"evidence": str(evidence)} if evidence else {}))
    else:
        click.echo(verdict_styled(report.verdict, verdict_word(report.verdict)))
        click.echo()
        print_checks(report.checks)
    return EXIT_CODES[report.verdict]


def write_evidence(found: Equivocation, path: Path | None) -> Path:
    """Write two checkpoints that contradict each other to `path`, or under a name of their own
    here, and return where.
    """
    from witnesstree.ledger.audit.equivocation import format_equivocation
    from witnesstree.ledger.store.disk import write_file

    content = format_equivocation(found)
    path = path or Path(f"equivocation-{sha256(content).hexdigest()[:16]}.json")
    write_file(path, content)
    say("evidence-kept", path=path)
    return path
