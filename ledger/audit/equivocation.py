"""Evidence that the owner of a log's key signed two histories: anyone can check it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import rfc8785

from witnesstree.ledger.audit.published import read_note
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.report import Check, failed, passed, unknown
from witnesstree.ledger.base.strictjson import Reader, load
from witnesstree.ledger.log.keys import KeyChange, check_key_note
from witnesstree.ledger.log.log import HASH, check_consistency
from witnesstree.ledger.log.note import MAX_NOTE, Checkpoint, VerifierKey, check_checkpoint
from witnesstree.ledger.proof.proof import MAX_PATH, MAX_PROOF

EQUIVOCATION = "witnesstree-equivocation/1"


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two checkpoints of one log that cannot both be true.

    `first` is not the larger one. Either may be a key note, which states a size and root.

    Two different key notes of one number contradict each other, whatever they state.

    Where the second is larger, `root` is what it says the log of the first one's size had, and
    `path` the consistency proof of that. Where no such proof could be made, both are empty, and the
    two checkpoints prove nothing by themselves.
    """

    first: str
    second: str
    root: bytes = b""
    path: tuple[bytes, ...] = ()


def format_equivocation(found: Equivocation) -> bytes:
    """Return the evidence of an equivocation as canonical JSON. Matches `parse_equivocation`."""
    members: dict[str, Any] = {
        "format": EQUIVOCATION,
        "first": found.first,
        "second": found.second,
        "path": [node.hex() for node in found.path],
    }
    if found.root:
        members["root"] = found.root.hex()
    return rfc8785.dumps(members) + b"\n"


def parse_equivocation(content: bytes) -> Equivocation:
    """Return what `format_equivocation` wrote; whether it proves anything is `check_equivocation`'s
    question.

    Raises InvalidInput for anything else.
    """
    if len(content) > MAX_PROOF:
        raise InvalidInput("evidence-too-large", most=MAX_PROOF, found=len(content))
    value = load(message("document-evidence"), content)
    value.demand_format(EQUIVOCATION)
    value.members("format first second path", "root")
    return Equivocation(
        first=_read_evidence(value["first"]),
        second=_read_evidence(value["second"]),
        root=value.optional("root", lambda root: root.hex(HASH)) or b"",
        path=value["path"].list(lambda node: node.hex(HASH), 2 * MAX_PATH),
    )


def check_equivocation(found: Equivocation, key: VerifierKey) -> bool:  # noqa: PLR0911 - a case a line
    """Tell whether `found` proves that the owner of `key` signed two histories.

    Raises InvalidInput if `key` signed what is no checkpoint.
    """
    changes = [key_change_of(note) for note in (found.first, found.second)]
    first, second = (
        stated(change) if change else check_checkpoint(note, key)
        for note, change in zip((found.first, found.second), changes, strict=True)
    )
    if (
        any(change and key not in {change.old, change.new} for change in changes)
        or first is None
        or second is None
    ):
        return False
    if changes[0] and changes[1]:
        return changes[0].number == changes[1].number and changes[0] != changes[1]
    if first.size > second.size:
        return False
    if changes[0] and key == changes[0].old and second.size > first.size:
        # It signed after it had handed over.
        return True
    if first.size == second.size:
        return first.root != second.root
    if not first.size or not found.root or first.root == found.root:
        return False
    return check_consistency(first.size, second.size, found.root, second.root, found.path)


def judge_equivocation(found: Equivocation, keys: Sequence[VerifierKey]) -> Check:
    """Judge whether the evidence proves that the owner of one of `keys` signed two histories."""
    name = "evidence"
    if not keys:
        return unknown(name, "evidence-key-not-given")
    proven = [key for key in keys if check_equivocation(found, key)]
    if not proven:
        return failed(name, "evidence-proves-nothing")
    names = [message("evidence-key", name=key.name, key_id=key.key_id) for key in proven]
    return passed(name, "evidence-proves-fork", keys=names)


def convicting(found: Equivocation, keys: Sequence[VerifierKey]) -> Equivocation | None:
    """Return the evidence if it proves something of one of `keys`, None if it is worth nothing."""
    return found if any(check_equivocation(found, key) for key in keys) else None


def key_change_of(note: str) -> KeyChange | None:
    """Return the change in a key note that both its keys signed, None for anything else."""
    try:
        return check_key_note(note)
    except InvalidInput:
        return None


def stated(change: KeyChange) -> Checkpoint:
    """Return what a key note states of the log, as a checkpoint does."""
    return Checkpoint(change.origin, change.size, change.root)


def _read_evidence(value: Reader) -> str:
    note = value.text(MAX_NOTE)
    return note if key_change_of(note) else read_note(value)
