"""`witnesstree export`: a proof in a form that other software reads."""

from __future__ import annotations

import json
import mimetypes
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.help import Command
from witnesstree.cli.language import phrase
from witnesstree.cli.options import PATH, answer, json_option, require_room, say
from witnesstree.cli.progress import progress
from witnesstree.ledger.base.errors import InvalidInput

if TYPE_CHECKING:
    from witnesstree.ledger.proof.proof import Proof

FORMS = ("ers", "tst", "tsa", "merkletools", "asice", "tlog-proof", "sol")
WITH_TOKEN = ("ers", "tst", "tsa", "asice")
"""Forms that hold one token of the proof."""


@click.command("export", cls=Command)
@click.argument("proof", type=PATH)
@click.option("--format", "form", type=click.Choice(FORMS), required=True)
@click.option("-o", "--output", type=PATH, metavar="OUT")
@click.option("--file", type=PATH)
@click.option("--token", type=click.IntRange(min=0), metavar="N")
@json_option
def export_command(
    proof: Path,
    form: str,
    output: Path | None,
    file: Path | None,
    token: int | None,
    *,
    as_json: bool,
) -> None:
    """Write PROOF, a proof file, in another form: a part of what it holds, for software that
    knows nothing of Witnesstree.

    Example:
        witnesstree export photo.jpg.proof.json --format ers -o photo.jpg.ers
    """
    from witnesstree.cli.judging import read_limited
    from witnesstree.ledger.proof.proof import parse_proof
    from witnesstree.ledger.store.disk import write_file

    _require_fitting(form, output, file, token, as_json=as_json)
    if output:
        require_room(output)
        _require_apart(output, proof, file)
    parsed = parse_proof(read_limited(proof, "proof-file-unreadable-name"))
    if file and output:
        _write_container(output, file, parsed, token or 0)
    else:
        content = _content(form, parsed, token or 0, as_json=as_json)
        if output is None:
            click.echo(content, nl=False)
            return
        write_file(output, content)
    say("written", output=output)
    if as_json:
        answer(_members(form, output, parsed))


def _require_fitting(
    form: str, output: Path | None, file: Path | None, token: int | None, *, as_json: bool
) -> None:
    """Raise InvalidInput if options were given that mean nothing for this form, or one is missing
    that it needs.
    """
    if form == "asice" and (file is None or output is None):
        raise InvalidInput("container-needs-file")
    if form != "asice" and file is not None:
        raise InvalidInput("file-without-asice", form=form)
    if form not in WITH_TOKEN and token is not None:
        raise InvalidInput("token-without-form", forms=WITH_TOKEN, form=form)
    if as_json and output is None and form != "sol":
        raise InvalidInput("json-without-output")


def _require_apart(output: Path, *read: Path | None) -> None:
    for path in read:
        if path and output.exists() and path.exists() and output.samefile(path):
            raise InvalidInput("output-is-input", output=output)


def _content(form: str, proof: Proof, token: int, *, as_json: bool) -> bytes:
    from witnesstree.ledger.proof.forms import (
        contract_arguments,
        format_direct_token,
        format_merkletools,
        format_record,
        format_tlog_proof,
        format_token,
    )

    if form == "sol":
        return (
            (json.dumps(contract_arguments(proof), indent=1) + "\n").encode()
            if as_json
            else _lines(contract_arguments(proof))
        )
    if form == "tsa":
        return format_direct_token(proof, token)
    if form in WITH_TOKEN:
        return format_record(proof, token) if form == "ers" else format_token(proof, token)
    return format_merkletools(proof) if form == "merkletools" else format_tlog_proof(proof)


def _lines(asked: dict[str, Any]) -> bytes:
    """Return what a contract is asked as text to copy from: lists as explorers take them."""
    lines = [
        phrase("sol-contract", address=each["address"], chain=str(each["chain_id"]))
        for each in asked["contracts"]
    ]
    for function in ("anchoredAt", "verify"):
        lines.append(function)
        lines += [
            f"  {name}: {value if isinstance(value, str) else '[' + ','.join(value) + ']'}"
            for name, value in asked[function].items()
        ]
    return "".join(line + "\n" for line in lines).encode()


def _write_container(output: Path, file: Path, proof: Proof, token: int) -> None:
    from witnesstree.ledger.proof.forms import Content, write_container
    from witnesstree.ledger.store.disk import replacing

    # The table that comes with Python: each system has another one, and the container's bytes
    # should not depend on it.
    media_type = mimetypes.MimeTypes().guess_type(file.name)[0] or "application/octet-stream"
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInput("not-a-regular-file", path=file)
        content = Content(file.name, status.st_size, media_type)
        with (
            file.open("rb") as source,
            progress("copying", status.st_size, is_bytes=True) as advance,
            replacing(output) as out,
        ):
            write_container(out, content, source, proof, token, advance=advance)
    except OSError as error:
        raise InvalidInput("named-file-unreadable", path=file, error=error) from error


def _members(form: str, output: Path | None, proof: Proof) -> dict[str, Any]:
    return {
        "output": str(output),
        "format": form,
        "digest": proof.digest.hex(),
        "root": proof.inclusion.root.hex() if proof.inclusion else None,
    }
