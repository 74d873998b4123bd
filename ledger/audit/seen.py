"""What an audit keeps for the next one: how far it came, and what is still open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rfc8785

from witnesstree.ledger.audit.published import checkpoint_of, read_note
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.log.keys import MAX_CHANGES, MAX_KEY_NOTE, check_history
from witnesstree.ledger.log.statement import Statement, format_statement, parse_statement
from witnesstree.ledger.proof.proof import MAX_TEXT

SEEN = "witnesstree-audit/1"
MAX_LAG = 256
"""Checkpoints by which an opening record may be behind: batches that wait to be sealed while the
next ones are opened. One or two are usual."""
MAX_WAITING = 10_000
"""Batches that an audit keeps in mind because their witnesses are not there yet, or not known to be
good."""
MAX_SEEN = 32 * 2**20
"""Bytes in what an audit keeps: MAX_WAITING statements of the largest size, with room for JSON's
escapes."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an audit keeps for the next one: the checkpoint (a signed note) that all was derived
    for, and what is still open.

    `digests` are the SHA-256 of the signed checkpoints that the next opening record may name, those
    of sizes `named` and above, in order; `waiting` are the statements of batches whose witnesses
    are looked at again; `keys` are the notes of the key's changes.
    """

    checkpoint: str
    named: int
    digests: tuple[bytes, ...]
    waiting: tuple[Statement, ...] = ()
    keys: tuple[str, ...] = ()


def format_seen(seen: Seen) -> bytes:
    """Return what an audit keeps as canonical JSON. Matches `parse_seen`."""
    members: dict[str, Any] = {
        "format": SEEN,
        "checkpoint": seen.checkpoint,
        "named": seen.named,
        "digests": [digest.hex() for digest in seen.digests],
        "waiting": [format_statement(statement) for statement in seen.waiting],
    }
    if seen.keys:
        members["keys"] = list(seen.keys)
    return rfc8785.dumps(members) + b"\n"


def parse_seen(content: bytes) -> Seen:
    """Return what `format_seen` wrote. Raises InvalidInput for anything else."""
    if len(content) > MAX_SEEN:
        raise InvalidInput("seen-too-large", most=MAX_SEEN, found=len(content))
    value = load(message("document-seen"), content)
    value.demand_format(SEEN)
    value.members("format checkpoint named digests waiting", "keys")
    seen = Seen(
        checkpoint=read_note(value["checkpoint"]),
        named=value["named"].integer(),
        digests=value["digests"].list(lambda digest: digest.hex(32), MAX_LAG + 1),
        waiting=value["waiting"].list(
            lambda text: parse_statement(text.text(MAX_TEXT)), MAX_WAITING
        ),
        keys=value.optional(
            "keys", lambda keys: keys.list(lambda note: note.text(MAX_KEY_NOTE), MAX_CHANGES)
        )
        or (),
    )
    check_history(seen.keys)
    size = checkpoint_of(seen.checkpoint).size
    if seen.named + len(seen.digests) != size + 1 or not seen.digests:
        raise InvalidInput("seen-contradicts-itself", first=seen.named, last=size)
    return seen
