"""Signed notes and checkpoints after C2SP signed-note and tlog-checkpoint.

No other module signs text or judges a text's signature.

A note is text, an empty line, and a line for each signature. A checkpoint is a note whose text
states a log's size and root:

    ledger.example/court                             origin: the log's name, and the name of its key
    7                                                size: entries in the log
    +si5XYTiInlRo30mrbNRDDbZvagd3Azz1XT174NVN48=     root: 32 bytes, base64
                                                     (extension lines, if any, then the empty line)
    — ledger.example/court z5TmSU760vVeGB1q48q2…     base64 of the key id (4 bytes) and the
                                                     signature

Only Ed25519 keys (signature type 0x01) are known here. Lines of any other key are carried and
ignored, so that others can cosign. The parsers are total: any text or bytes give a value or
InvalidInput. They take exactly what the writers write, no other spelling of it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log.log import HASH, MAX_SIZE

MAX_NOTE = 128 * 1024
"""Bytes in a note: C2SP asks that 16 signatures of up to 5 kB be taken; that many, in base64 and
with the longest names, just fit."""

MAX_SIGNATURES = 100
"""Signatures in a note: as many as Go's sumdb/note takes, so that both take the same notes.

C2SP asks for at least 16.
"""

MAX_NAME = 255
"""Characters in a name: what a file name or a DNS name may have. C2SP sets no limit."""

ED25519 = b"\x01"
"""The signature type of an Ed25519 signature over a note's text (C2SP signed-note, "Signature
types")."""

_Key = TypeVar("_Key", bound="NoteKey")
_DASH = "\N{EM DASH} "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class NoteKey:
    """The public half of an Ed25519 key that signs notes: a name and 32 bytes (RFC 8032, 5.1.5).

    Its `key_id` tells keys of one name apart; with only four bytes it identifies, and proves
    nothing. Whether 32 bytes are a good point of the curve shows when they are used: a bad one
    verifies nothing.

    Raises InvalidInput if the name is none that a note may hold, or `public_key` has another
    length.
    """

    kind: ClassVar[bytes]
    """The signature type (C2SP signed-note)."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        require_name(self.name)
        if len(self.public_key) != 32:
            raise InvalidInput("public-key-size-wrong", found=len(self.public_key))

    @property
    def key_id(self) -> bytes:
        """The first four bytes of SHA-256(name || newline || type || public key)."""
        return sha256(self.name.encode() + b"\n" + self.kind + self.public_key).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as C2SP writes it: "name+key id in hex+base64(type || public key)"."""
        return f"{self.name}+{self.key_id.hex()}+{format_base64(self.kind + self.public_key)}"


@dataclass(frozen=True, slots=True)
class VerifierKey(NoteKey):
    """The public half of a log's key."""

    kind: ClassVar[bytes] = ED25519


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line, not verified: who is said to have signed, the 4-byte key id, and the
    signature, whose form is the signer's.
    """

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note taken apart, not verified. `text` is hostile until `open_note` returns it."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A statement that the log named `origin` has `size` entries under the 32-byte `root`.

    Not signed by itself.

    Raises InvalidInput for values that no checkpoint can state. Origins are held to the rules for
    names, which C2SP only recommends.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_name(self.origin)
        if not 0 <= self.size <= MAX_SIZE:
            raise InvalidInput("log-size-out-of-range", most=MAX_SIZE, found=self.size)
        if len(self.root) != HASH:
            raise InvalidInput("log-root-size-wrong", expected=HASH, found=len(self.root))
        for line in self.extensions:
            if not line or "\n" in line:
                raise InvalidInput("checkpoint-extension-malformed")
            parse_text(line, MAX_NOTE)


# The text forms that keys, notes, checkpoints and batch statements have in common


def require_name(name: str) -> None:
    """Raise InvalidInput unless `name` can name a key and a log: 1 to 255 characters, no white
    space, no control character, no '+'.

    It promises no more: right-to-left marks and look-alike letters are legal. Compare names, don't
    recognise them.
    """
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidInput("name-length-wrong", most=MAX_NAME, found=len(name))
    if "+" in name or any(character.isspace() for character in name):
        raise InvalidInput("name-malformed")
    parse_text(name, MAX_NOTE)


def parse_text(text: str | bytes, limit: int) -> str:
    """Return `text` if it is UTF-8 of at most `limit` bytes, with no control character below U+0020
    but newline.

    Raises InvalidInput if it is not. Lone surrogates, which a str can hold, are no UTF-8.
    """
    if len(text) > limit:
        raise InvalidInput("text-too-long", most=limit)
    try:
        encoded = text.encode() if isinstance(text, str) else text
        decoded = encoded.decode()
    except UnicodeError:
        raise InvalidInput("text-not-utf-8") from None
    if len(encoded) > limit:
        raise InvalidInput("text-too-long", most=limit)
    if decoded.startswith("\ufeff"):
        raise InvalidInput("text-with-byte-order-mark")
    if _CONTROL.search(decoded):
        raise InvalidInput("text-with-control-characters")
    return decoded


def parse_decimal(text: str) -> int:
    """Return the number from 0 to 2**53 - 1 that `text` is in ASCII decimal.

    Raises InvalidInput for any other text, such as 07 or +7.
    """
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SIZE:
        raise InvalidInput("number-malformed", most=MAX_SIZE, found=repr(text[:40]))
    return int(text)


def parse_base64(text: str) -> bytes:
    """Return the bytes that `text` is the base64 of (RFC 4648, 4): padded, one spelling only.

    Raises InvalidInput for any other text.
    """
    try:
        decoded = base64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidInput("base64-malformed", found=repr(text[:40])) from None
    if format_base64(decoded) != text:
        raise InvalidInput("base64-not-canonical", found=repr(text[:40]))
    return decoded


def format_base64(content: bytes) -> str:
    """Return `content` in base64 (RFC 4648, 4). Matches `parse_base64`."""
    return base64.b64encode(content).decode()


# Keys


def format_verifier_key(key: VerifierKey) -> str:
    """Return `key` as C2SP's vkey. Matches `parse_verifier_key`."""
    return key.vkey


def parse_verifier_key(text: str) -> VerifierKey:
    """Return the key that a vkey holds.

    Raises InvalidInput for any other text: a key of another type, and a key id that is not this
    key's, among them.
    """
    return parse_key(text, VerifierKey, "verifier-key-expected")


def parse_key(text: str, form: type[_Key], expected: str) -> _Key:
    """Return the key of one type that a vkey holds.

    Raises InvalidInput for any other text; for a key of another type with the code `expected`.
    """
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    typed = parse_base64(encoded)
    if not typed.startswith(form.kind):
        raise InvalidInput(expected)
    key = form(name, typed[1:])
    if key_id != key.key_id.hex():
        raise InvalidInput(
            "key-id-wrong",
            name=repr(name),
            found=repr(key_id[:40]),
            expected=repr(key.key_id.hex()),
        )
    return key


# Notes


def sign_note(text: str, name: str, private_key: Ed25519PrivateKey) -> str:
    """Return the note of `text` with one signature, by `private_key` under `name`.

    The same arguments always give the same note.

    Raises InvalidInput if a note cannot hold `text`: it ends with a newline, and has no other
    control character.
    """
    key = VerifierKey(name, private_key.public_key().public_bytes_raw())
    _require_ended(text)
    signature = format_base64(key.key_id + private_key.sign(parse_text(text, MAX_NOTE).encode()))
    return parse_text(f"{text}\n{_DASH}{name} {signature}\n", MAX_NOTE)


def parse_note(note: str | bytes) -> Note:
    """Return the parts of `note`; the last empty line parts text and signatures. Verifies nothing.

    Raises InvalidInput if `note` is of another form or beyond a limit.
    """
    text, blank_line, lines = parse_text(note, MAX_NOTE).rpartition("\n\n")
    if not blank_line:
        raise InvalidInput("signed-note-expected")
    _require_ended(lines)
    signatures = lines[:-1].split("\n")
    if len(signatures) > MAX_SIGNATURES:
        raise InvalidInput("signatures-too-many", most=MAX_SIGNATURES, found=len(signatures))
    return Note(text + "\n", tuple(_parse_signature(line) for line in signatures))


def open_note(note: str | bytes, keys: Sequence[VerifierKey]) -> str | None:
    """Return the text of `note` if one of `keys` signed it, and None if it must not be believed.

    It must not if none of `keys` signed, or if even one signature of one of them does not verify.
    Signatures of other keys are ignored, also where they share a name or a key id, but not both,
    with one of `keys`. Which of several keys signed is not told.

    Raises InvalidInput as `parse_note` does.
    """
    parsed = parse_note(note)
    signed = parsed.text.encode()
    verified = [
        _verifies(key, signature.signature, signed)
        for signature in parsed.signatures
        for key in keys
        if (key.name, key.key_id) == (signature.name, signature.key_id)
    ]
    return parsed.text if verified and all(verified) else None


def format_signature(signature: Signature) -> str:
    """Return a signature as its line in a note, with the newline."""
    return f"{_DASH}{signature.name} {format_base64(signature.key_id + signature.signature)}\n"


def _parse_signature(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise InvalidInput("signature-line-expected")
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    require_name(name)
    signature = parse_base64(encoded)
    if len(signature) < 5:
        raise InvalidInput("signature-line-too-short")
    return Signature(name, signature[:4], signature[4:])


def _verifies(key: VerifierKey, signature: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _require_ended(text: str) -> None:
    if not text.endswith("\n"):
        raise InvalidInput("text-end-wrong")


# Checkpoints


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the note text of `checkpoint`, not signed. Matches `parse_checkpoint`."""
    lines = (
        checkpoint.origin,
        str(checkpoint.size),
        format_base64(checkpoint.root),
        *checkpoint.extensions,
    )
    return "".join(line + "\n" for line in lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint that a note's text states; whether anyone signed it is
    `check_checkpoint`'s question.

    Raises InvalidInput for any text that `format_checkpoint` would not write.
    """
    _require_ended(text)
    lines = parse_text(text, MAX_NOTE)[:-1].split("\n")
    if len(lines) < 3:
        raise InvalidInput("checkpoint-expected")
    origin, size, root, *extensions = lines
    return Checkpoint(origin, parse_decimal(size), parse_base64(root), tuple(extensions))


def sign_checkpoint(checkpoint: Checkpoint, private_key: Ed25519PrivateKey) -> str:
    """Return `checkpoint` as a note signed under the log's own name.

    It does not know what was signed before. The caller MUST NOT sign a checkpoint that is
    inconsistent with one it signed earlier (C2SP tlog-checkpoint, "Signatures"), and MUST have made
    the log's entries and hashes durable.

    Raises InvalidInput if the extensions make it longer than a note may be.
    """
    return sign_note(format_checkpoint(checkpoint), checkpoint.origin, private_key)


def check_checkpoint(note: str | bytes, key: VerifierKey) -> Checkpoint | None:
    """Return the checkpoint in `note` if `key` signed it for the log of its own name, and None if
    it must not be believed.

    It says nothing of how recent the checkpoint is, nor whether others were shown another one.

    Raises InvalidInput if `note` is no signed note, or `key` signed a text that is no checkpoint.
    """
    text = open_note(note, [key])
    if text is None:
        return None
    checkpoint = parse_checkpoint(text)
    return checkpoint if checkpoint.origin == key.name else None
