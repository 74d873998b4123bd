"""What a published log holds where: its checkpoint, its key notes, and its batches.

docs/log.md specifies it. Nothing that is read here is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput, NotFound
from witnesstree.ledger.log.keys import MAX_CHANGES, MAX_KEY_NOTE
from witnesstree.ledger.log.note import MAX_NOTE, Checkpoint, parse_checkpoint, parse_note
from witnesstree.ledger.log.tiles import Fetch, format_number
from witnesstree.ledger.proof.proof import MAX_PROOF, Proof, parse_proof
from witnesstree.ledger.tree.tree import root_from_path

if TYPE_CHECKING:
    from witnesstree.ledger.base.strictjson import Reader
    from witnesstree.ledger.log.statement import Statement

CHECKPOINT = "checkpoint"
"""Where the newest checkpoint is in a published log."""
FIRST_CHECKPOINT = "checkpoint-0"
"""Where the checkpoint of the empty log is: the first batch's opening record names it."""


KEYS = "keys/"
"""Where the notes of changes of the log's key are."""


@dataclass(frozen=True, slots=True)
class PublishedBatch:
    """A batch that was found in the log, and what is published of it: the proof of its opening
    record.
    """

    statement: Statement
    proof: Proof


def read_checkpoint(fetch: Fetch, path: str = CHECKPOINT) -> str:
    """Return the signed note that is published there.

    Raises InvalidInput if it is none of a checkpoint, and what `fetch` raises.
    """
    content = fetch(path, MAX_NOTE)
    checkpoint_of(content)
    return content.decode()


def checkpoint_of(note: str | bytes) -> Checkpoint:
    """Return the checkpoint in a note, whoever signed it. Raises InvalidInput if there is none."""
    return parse_checkpoint(parse_note(note).text)


def read_note(value: Reader) -> str:
    """Read a note of a checkpoint in JSON. Raises InvalidInput for anything else."""
    note = value.text(MAX_NOTE)
    checkpoint_of(note)
    return note


def key_path(number: int) -> str:
    """Return where the note of a change of the log's key is published."""
    return f"{KEYS}{format_number(number)}"


def read_key_notes(fetch: Fetch) -> tuple[str, ...]:
    """Return the notes of all changes of the key that are published.

    Read the checkpoint before them: those that it needs are there then.

    Raises InvalidInput if one is no text, or there are too many, and what `fetch` raises.
    """
    notes: list[str] = []
    for number in range(1, MAX_CHANGES + 2):
        try:
            notes.append(fetch(key_path(number), 4 * MAX_KEY_NOTE).decode())
        except NotFound:
            return tuple(notes)
        except UnicodeDecodeError:
            raise InvalidInput("key-note-not-text", path=key_path(number)) from None
    raise InvalidInput("key-notes-too-many", most=MAX_CHANGES)


def batch_path(sequence: int) -> str:
    """Return where a batch is published."""
    return f"batch/{format_number(sequence)}.json"


def fetch_batch(fetch: Fetch, sequence: int) -> Proof:
    """Return the proof that is published of a batch.

    Raises InvalidInput if it is no proof, and what `fetch` raises.
    """
    return parse_proof(fetch(batch_path(sequence), MAX_PROOF))


def leads_to_statement(batch: PublishedBatch) -> bool:
    """Whether what is published is of the batch that the statement is about: its opening record
    leads to that root.
    """
    statement, proof = batch.statement, batch.proof
    if (
        proof.opening is None
        or proof.digest != sha256(proof.opening.record.encode(errors="surrogatepass")).digest()
    ):
        return False
    try:
        implied = root_from_path(proof.digest, 0, statement.count, proof.opening.path)
    except InvalidInput:
        return False
    at = proof.inclusion
    return (
        implied == statement.root
        and at is not None
        and (at.position, at.size, at.root) == (0, statement.count, statement.root)
    )
