"""`witnesstree verify`: check a file against its proof or its evidence record.

It imports neither web3 nor the metadata store, and opens no connection.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from witnesstree.cli.help import Command, Misused
from witnesstree.cli.judging import (
    WORTH_WATCHING,
    Asked,
    Judge,
    brought,
    file_digests,
    holds_proofs,
    note_strangers,
    opened_proofs,
    read_limited,
    require_regular,
)
from witnesstree.cli.language import phrase
from witnesstree.cli.names import proof_beside
from witnesstree.cli.options import HOME_ENVVAR, PATH, answer, is_folder, json_option, say
from witnesstree.cli.progress import progress
from witnesstree.cli.report import EXIT_CODES, report_members
from witnesstree.cli.verdict import print_report
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.proof.kinds import Kind

if TYPE_CHECKING:
    from witnesstree.ledger.base.report import Report
    from witnesstree.ledger.proof.kinds import Brought
    from witnesstree.ledger.trust import Trust


@click.command("verify", cls=Command)
@click.argument("files", metavar="FILE|FOLDER...", nargs=-1, required=True, type=PATH)
@click.option("--proof", "proof_path", type=PATH)
@click.option("--receipt", type=PATH)
@click.option("--evidence", type=PATH)
@click.option("--trust", "pem", multiple=True, type=PATH)
@click.option("--block-hash", "block_hashes", multiple=True, metavar="[CHAIN_ID:[NUMBER:]]HASH")
@click.option("--rpc", "nodes", multiple=True, metavar="URL|env:NAME|file:PATH")
@click.option("--checkpoint-key", "checkpoint_keys", multiple=True)
@click.option("--home", type=PATH, envvar=HOME_ENVVAR)
@click.option(
    "--require",
    type=click.Choice(["token", "anchor", "both"]),
    default="both",
    show_default=True,
)
@click.option("--group", "is_group", is_flag=True)
@click.option("--brief", "is_brief", is_flag=True)
@json_option
@click.pass_context
def verify_command(
    ctx: click.Context,
    files: tuple[Path, ...],
    proof_path: Path | None,
    *,
    receipt: Path | None,
    evidence: Path | None,
    pem: tuple[Path, ...],
    block_hashes: tuple[str, ...],
    nodes: tuple[str, ...],
    checkpoint_keys: tuple[str, ...],
    home: Path | None,
    require: str,
    is_group: bool,
    is_brief: bool,
    as_json: bool,
) -> None:
    """Check that FILE is what its proof says it is.

    Example:
        witnesstree verify interview.mp4 --trust authority.pem --block-hash 1:21000000:0x9f3c…
        witnesstree verify case-17 --proof batch.proofs
        witnesstree verify contract.pdf annex.pdf --proof contract.ers --group
        witnesstree verify photo.jpg --receipt photo.receipt --checkpoint-key KEY
    """
    is_named = ctx.get_parameter_source("home") is ParameterSource.COMMANDLINE
    named, own = (home, None) if is_named else (None, home)
    asked = Asked(pem, block_hashes, checkpoint_keys, nodes, named, require, datetime.now(UTC), own)
    is_many = len(files) > 1 or is_folder(files[0])
    if receipt or evidence:
        is_one = not (is_many or is_group or is_brief)
        ctx.exit(
            _verify_receipt(
                files[0], receipt, proof_path, evidence, asked, is_one=is_one, as_json=as_json
            )
        )
    if is_brief and (is_many or as_json):
        raise Misused("brief-of-one")
    if len(files) == 2 and proof_path is None:
        _require_no_proof_as_file(*files)
    if is_many or is_group:
        code = _verify_by_record(ctx, files, proof_path, asked, is_group=is_group, as_json=as_json)
        if code is not None:
            ctx.exit(code)
    if is_many:
        from witnesstree.cli.folder import verify_folder

        ctx.exit(EXIT_CODES[verify_folder(files, proof_path, asked, as_json=as_json)])
    file = files[0]
    size = _size(file)
    own = proof_beside(file)
    if proof_path is None and not os.path.lexists(own):
        if holds_proofs(file):
            ctx.exit(_show_batch(file, asked, as_json=as_json, is_brief=is_brief))
        if report := _judge_alone(ctx, file, asked):
            ctx.exit(_answer(report, file, as_json=as_json, is_brief=is_brief))
    report = _judge_by(ctx, file, size, proof_path, asked)
    ctx.exit(_answer(report, file, as_json=as_json, is_brief=is_brief))


def _verify_receipt(
    file: Path,
    receipt: Path | None,
    proof: Path | None,
    evidence: Path | None,
    asked: Asked,
    *,
    is_one: bool,
    as_json: bool,
) -> int:
    from witnesstree.cli.receipts import verify_receipt

    if receipt is None:
        raise Misused("evidence-without-receipt")
    if not is_one:
        raise Misused("receipt-of-one-file")
    return verify_receipt(file, receipt, proof, evidence, asked, as_json=as_json)


def _require_no_proof_as_file(file: Path, second: Path) -> None:
    """Refuse a proof that is given as a second file: people mean it for the first.

    Raises InvalidInput.
    """
    with suppress(OSError):
        if not (file.is_file() and second.is_file() and second.stat().st_size):
            return
        try:
            kind = brought(second).kind
        except InvalidInput:
            return
        # A container and a place in a log stand alone.
        if kind in {Kind.PROOF, Kind.BULK, Kind.RECORD, Kind.TOKEN}:
            raise InvalidInput("proof-given-as-file", file=file, proof=second)


def _judge_by(
    ctx: click.Context, file: Path, size: int, proof_path: Path | None, asked: Asked
) -> Report:
    """Return what a file's proof says of it: the one that was named, or the one beside it."""
    # First, because whoever misspelt an option should be told that.
    judge = Judge(asked)
    path = proof_path or proof_beside(file)
    if proof_path and is_folder(proof_path):
        from witnesstree.cli.folder import proof_below, proof_in
        from witnesstree.ledger.base.digest import digest_file

        digest = digest_file(file).digest
        path = proof_in(proof_path, Path(file.name), digest) or proof_below(
            proof_path, file, digest
        )
    if proof_path is None and not os.path.lexists(path):
        raise InvalidInput("proof-missing", file=file, proof=path.name, other=_other_proof(file))
    if path != proof_path:
        require_regular(path)
    found = brought(path)
    if found.kind in {Kind.CONTAINER, Kind.TLOG_PROOF}:
        raise InvalidInput("proof-stands-alone", path=path)
    if found.kind in {Kind.PROOF, Kind.BULK}:
        return _judge_proof(file, size, found, path, judge)
    _require_token_only(ctx, asked.require)
    judged = _judge_record if found.kind is Kind.RECORD else _judge_token
    return judged(file, found.content, judge.roots())


def _other_proof(file: Path) -> Path | None:
    """Return a timestamp or an evidence record that lies beside a file, by its name."""
    from witnesstree.cli.folder import OTHER_PROOFS

    places = [Path(f"{file}{ending}") for ending in OTHER_PROOFS]
    places += [file.with_suffix(ending) for ending in OTHER_PROOFS]
    return next((place for place in places if place != file and place.is_file()), None)


def _answer(report: Report, file: Path, *, as_json: bool, is_brief: bool) -> int:
    if as_json:
        answer(report_members(report))
    else:
        print_report(report, phrase("file-named", name=file.name), is_brief=is_brief)
    return EXIT_CODES[report.verdict]


def _judge_alone(ctx: click.Context, file: Path, asked: Asked) -> Report | None:
    """Return what a file proves that has no proof beside it: a container, a place in a log; None
    for any other file, whose proof is missing.

    Raises InvalidInput for a proof of another file.
    """
    # Reading a pipe waits for whoever writes to it.
    if not file.is_file():
        return None
    try:
        found = brought(file)
    except InvalidInput:
        return None
    judge = Judge(asked)
    if found.kind is Kind.CONTAINER:
        from witnesstree.ledger.proof.asic import ASIC, open_container
        from witnesstree.ledger.verify.container import verify_container

        with file.open("rb") as content:
            try:
                container = open_container(content)
            except InvalidInput as error:
                # Many documents are ZIP files, and miss a proof like any other.
                if ASIC not in found.content[:200]:
                    return None
                raise InvalidInput("not-judged", path=file, error=error) from error
            _require_token_only(ctx, asked.require)
            return verify_container(container, judge.roots(), asked.now)
    if found.kind is Kind.TLOG_PROOF:
        from witnesstree.ledger.proof.forms import parse_tlog_proof
        from witnesstree.ledger.verify.history import judge_log_alone

        return judge_log_alone(parse_tlog_proof(found.content), judge.trust)
    raise InvalidInput("file-is-proof", file=file)


def _judge_proof(file: Path, size: int, found: Brought, proof_path: Path, judge: Judge) -> Report:
    from witnesstree.ledger.base.digest import digest_file
    from witnesstree.ledger.proof.proof import parse_proof

    asked, content = judge.asked, found.content
    with ExitStack() as opened:
        bundle = (
            opened.enter_context(opened_proofs(proof_path)) if found.kind is Kind.BULK else None
        )
        if asked.block_hashes:
            with suppress(InvalidInput):
                note_strangers(
                    asked.block_hashes, bundle.shared if bundle else parse_proof(content)
                )
        with progress("hashing", size if size > WORTH_WATCHING else 0, is_bytes=True) as advance:
            digest = digest_file(file, advance).digest
        if bundle:
            return judge.judge_in(bundle, digest, bundle.find([digest]).get(digest))
        return judge.judge(digest, content, judge.read(content, file))


def _show_batch(path: Path, asked: Asked, *, as_json: bool, is_brief: bool) -> int:
    from witnesstree.ledger.proof.bundle import nodes_in

    with opened_proofs(path) as bundle:
        if asked.block_hashes:
            note_strangers(asked.block_hashes, bundle.shared)
        with progress("checking-tree", nodes_in(bundle.size)) as advance:
            report = Judge(asked).judge_batch(bundle, advance)
        if as_json:
            answer({**report_members(report), "digests": bundle.size})
        else:
            named = phrase("file-named", name=path.name)
            print_report(report, named, bundle.size, is_brief=is_brief)
    return EXIT_CODES[report.verdict]


def _require_token_only(ctx: click.Context, require: str) -> None:
    """Refuse a policy that no timestamp alone can meet; where the default is left out of account,
    say so.
    """
    if require != "token":
        if ctx.get_parameter_source("require") is ParameterSource.COMMANDLINE:
            raise InvalidInput("record-without-anchor")
        say("record-timestamps-only")


def _verify_by_record(
    ctx: click.Context,
    paths: tuple[Path, ...],
    proof: Path | None,
    asked: Asked,
    *,
    is_group: bool,
    as_json: bool,
) -> int | None:
    """Verify all that `paths` name or hold by one evidence record and return the exit code; None
    where `proof` is none.

    Raises InvalidInput if it has to be one.
    """
    if proof and not holds_proofs(proof) and not is_folder(proof):
        # First, because whoever misspelt an option should be told that.
        judge, found = Judge(asked), brought(proof)
        if found.kind is Kind.RECORD:
            from witnesstree.cli.group import verify_group

            _require_token_only(ctx, asked.require)
            return verify_group(
                paths,
                proof,
                found.content,
                asked,
                judge.roots(),
                is_group=is_group,
                as_json=as_json,
            )
    if is_group:
        raise InvalidInput("group-without-record")
    return None


def _judge_record(file: Path, content: bytes, trust: Trust) -> Report:
    from witnesstree.ledger.proof.record import parse_record
    from witnesstree.ledger.proof.record_judge import verify_record

    algorithms: tuple[str, ...] = ()
    # One that has more than we judge is told by the report.
    with suppress(InvalidInput):
        algorithms = parse_record(content).algorithms
    return verify_record(content, [file_digests(file, algorithms)], trust, datetime.now(UTC))


def _judge_token(file: Path, content: bytes, trust: Trust) -> Report:
    from witnesstree.ledger.tokens.token import parse_token
    from witnesstree.ledger.verify.bare import verify_token

    token = parse_token(content)
    digests = file_digests(file, [token.imprint_algorithm])
    report = verify_token(token, digests, trust, datetime.now(UTC))
    if any(check.message.code == "imprint-differs" for check in report.checks):
        _note_root(file, token.imprint)
    return report


def _note_root(file: Path, imprint: bytes) -> None:
    """Say so where a timestamp is over the root of the batch that the proof beside a file names."""
    from witnesstree.ledger.proof.proof import parse_proof

    proof = proof_beside(file)
    with suppress(InvalidInput):
        if not proof.is_file():
            return
        found = parse_proof(read_limited(proof))
        if found.inclusion and found.inclusion.root == imprint:
            said = partial(say, "token-of-root", proof=proof)
            click.get_current_context().call_on_close(said)


def _size(file: Path) -> int:
    # Asked first: where the file's own name is misspelt, that its proof is missing would mislead.
    try:
        return file.stat().st_size
    except OSError as error:
        raise InvalidInput("named-file-unreadable", path=file, error=error) from error
