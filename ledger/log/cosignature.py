"""C2SP tlog-cosignature, Ed25519 (`cosignature/v1`): what cosigners sign under a checkpoint.

Pure; anchor/cosigners.py asks them.

A cosigner signs, with the time, that it has seen the log grow to this checkpoint and never saw
another history. The line is one of a signed note:

    — <name> base64(key id || time, 8 bytes || signature, 64 bytes)

    key id = SHA-256(name || newline || 0x04 || public key)[:4]

and the signature is over "cosignature/v1", a line "time <seconds>", and the note's text. Lines of
other keys and types are ignored. The parsers are total: any text gives a value or InvalidInput.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log.note import (
    MAX_NOTE,
    NoteKey,
    Signature,
    format_signature,
    parse_key,
    parse_note,
    parse_text,
)

COSIGNATURE = b"\x04"
"""The signature type of a timestamped Ed25519 cosignature (C2SP tlog-cosignature, "Format")."""

MAX_TIME = 2**63 - 1
"""Seconds since 1970, at most (C2SP tlog-cosignature, "Format")."""

_SIZE = 8 + 64


@dataclass(frozen=True, slots=True)
class CosignerKey(NoteKey):
    """The public half of a cosigner's key."""

    kind: ClassVar[bytes] = COSIGNATURE


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A cosignature that verified: whose, and when it was made by that cosigner's clock, in seconds
    since 1970.
    """

    key: CosignerKey
    time: int


def format_cosigner_key(key: CosignerKey) -> str:
    """Return `key` as C2SP's vkey. Matches `parse_cosigner_key`."""
    return key.vkey


def parse_cosigner_key(text: str) -> CosignerKey:
    """Return the key that a cosigner's vkey holds.

    Raises InvalidInput for any other text: a log's key, and a key id that is not this key's, among
    them.
    """
    return parse_key(text, CosignerKey, "cosigner-key-expected")


def cosigned_message(text: str, time: int) -> bytes:
    """Return the bytes that a cosigner signs for a note's `text` (C2SP tlog-cosignature, "Ed25519
    signed message").
    """
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def check_cosignatures(
    note: str | bytes, keys: Sequence[CosignerKey], latest: float | None = None
) -> list[Cosignature]:
    """Return the cosignatures under `note` that are by `keys`, at most one a key, the newest: in
    the order of `keys`. With `latest`, in seconds since 1970, one whose time `is_timely` goes
    before a newer one.

    A line of one of the keys that does not verify counts for nothing, and spoils no other. It says
    nothing about the log's own signature, and a time is the cosigner's word: compare it with a
    clock.

    Raises InvalidInput if `note` is no signed note.
    """
    parsed = parse_note(note)
    found = []
    for key in dict.fromkeys(keys):
        times = [
            time
            for signature in parsed.signatures
            if (time := _time(signature, parsed.text, key)) is not None
        ]
        timely = [time for time in times if latest is not None and is_timely(time, latest)]
        if times:
            found.append(Cosignature(key, max(timely or times)))
    return found


def is_timely(time: int, latest: float) -> bool:
    """Whether a cosigner tells a time, and none after `latest`. A witness must not leave its time
    out, which is 0 (C2SP tlog-witness, add-checkpoint).
    """
    return 0 < time <= latest


def time_of(line: str) -> int:
    """Return the time in a line of a cosignature; it verifies nothing.

    Raises InvalidInput if it has not the form of one.
    """
    signatures = parse_note(f"-\n\n{line}").signatures
    if len(signatures) != 1 or not is_cosignature(signatures[0]):
        raise InvalidInput("signature-lines-expected")
    return int.from_bytes(signatures[0].signature[:8], "big")


def add_cosignatures(note: str, lines: str | bytes, keys: Sequence[CosignerKey]) -> str:
    """Return `note` with those of `lines` that are cosignatures by `keys`: signature lines, such as
    a cosigner answers with. None is in it twice.

    Raises InvalidInput if `lines` are none, or the note would be beyond a limit.
    """
    added = parse_text(lines, MAX_NOTE)
    own, both = parse_note(note), parse_note(note + added)
    if both.text != own.text:
        raise InvalidInput("signature-lines-expected")
    for signature in dict.fromkeys(both.signatures[len(own.signatures) :]):
        is_wanted = any(_time(signature, own.text, key) is not None for key in keys)
        if is_wanted and signature not in own.signatures:
            note += format_signature(signature)
    parse_note(note)
    return note


def append_cosignatures(note: str, lines: Iterable[str]) -> str:
    """Return `note` with those of `lines` that have the form of a cosignature, as many as a note
    has room for (note.py). It verifies none of them.

    Raises InvalidInput if `note` is no signed note.
    """
    text = parse_note(note).text
    for line in lines:
        try:
            both = parse_note(note + line)
        except InvalidInput:
            # Damaged, or one too many: the note must stay one.
            continue
        if both.text == text and is_cosignature(both.signatures[-1]):
            note += line
    return note


def is_cosignature(signature: Signature) -> bool:
    """Whether a signature has the form of a cosignature: its time and its length.

    It verifies nothing.
    """
    return (
        len(signature.signature) == _SIZE
        and int.from_bytes(signature.signature[:8], "big") <= MAX_TIME
    )


def _time(signature: Signature, text: str, key: CosignerKey) -> int | None:
    """Return the time of a cosignature by `key`, None for anything else."""
    if (signature.name, signature.key_id) != (key.name, key.key_id) or not is_cosignature(
        signature
    ):
        return None
    time = int.from_bytes(signature.signature[:8], "big")
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(
            signature.signature[8:], cosigned_message(text, time)
        )
    except InvalidSignature:
        return None
    return time
