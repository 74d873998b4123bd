"""`witnesstree proof`: fetch a proof as it stands now."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from witnesstree.cli.options import PATH, answer, home_option, json_option, require_room, say
from witnesstree.cli.sources import readable_name
from witnesstree.ledger.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from witnesstree.ledger.proof import Hints

MAX_BATCH = 2**63 - 1
"""The metadata store counts in 64 bits."""

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")


@click.command("proof", short_help="Fetch the proof of a file or a digest.")
@click.argument("subject", metavar="FILE|DIGEST")
@click.option("--batch", type=click.IntRange(min=0, max=MAX_BATCH), help="The entry in this batch.  [default: the earliest entry]")
@click.option("--all-entries", is_flag=True, help="List every entry of the digest instead.")
@click.option("-o", "--output", type=PATH, metavar="FILE", help="Write the proof here.  [default: standard output]")
@json_option
@home_option
def proof_command(subject: str, batch: int | None, output: Path | None, home: Path, *, all_entries: bool, as_json: bool) -> None:
    """Fetch the proof of FILE, or of a SHA-256 DIGEST in hex, as it stands now.

    What is not there yet (a token, an anchor) is left out; fetch the proof again later.

    \b
    Example:
        witnesstree proof photo.jpg -o photo.jpg.proof.json
    """
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.ledger.proof import format_proof
    from witnesstree.ledger.store.disk import write_file

    if output:
        require_room(output)
    digest, hints = _digest_of(subject)
    with open_ledger(home) as ledger:
        if all_entries:
            entries = list(ledger.entries(digest, batch))
            if not entries:
                where = "this ledger" if batch is None else f"batch {batch}"
                raise NotFound(f"{digest.hex()} is not in {where}: seal the file first, or ask another ledger")
            if as_json:
                answer([{"batch": entry.batch, "position": entry.position, "sealed": entry.is_sealed} for entry in entries])
            else:
                click.echo(
                    "\n".join(f"batch {entry.batch}, position {entry.position}{'' if entry.is_sealed else ', not sealed yet'}" for entry in entries)
                )
            return
        proof = ledger.proof(digest, batch)
        proof = replace(proof, hints=replace(hints, links=proof.hints.links))
    if proof.missing:
        finish = "`witnesstree worker`, or `witnesstree seal` without a path, finishes what waits; then fetch it again."
        say(f"The proof still lacks: {', '.join(proof.missing)}. {finish}")
    if output:
        write_file(output, format_proof(proof))
        say(f"Wrote {output}.")
        if as_json:
            answer({"proof": str(output), "complete": not proof.missing})
    else:
        click.echo(format_proof(proof), nl=False)


def _digest_of(subject: str) -> tuple[bytes, Hints]:
    from witnesstree.ledger.digest import digest_file
    from witnesstree.ledger.proof import Hints

    path = Path(subject)
    if os.path.lexists(path):
        found = digest_file(path)
        return found.digest, Hints(name=readable_name(path), size=found.size)
    if not _DIGEST.fullmatch(subject):
        raise InvalidInput(f"{subject[:200]} is neither a file here nor a SHA-256 digest of 64 hex digits")
    return bytes.fromhex(subject), Hints()
