"""The history of a log's keys: signed notes in which one key hands over to the next.

No other module makes, reads or follows such a note.

    witnesstree-key/1
    ledger.example/court                             origin: the log's name
    1                                                number of the change, from 1 on
    ledger.example/court+6d516258+AeSo6C80mSgU…      the key that hands over, as C2SP's vkey
    ledger.example/court+91ab22f0+AXk2Jm0c8dQq…      the key that takes over
    7                                                size of the log's last checkpoint under the old
                                                     key
    +si5XYTiInlRo30mrbNRDDbZvagd3Azz1XT174NVN48=     its root: 32 bytes, base64

with two signatures, by the old key and then by the new one. A checkpoint of up to that size counts
under the old key, any larger one under the new key. The parsers are total: any text gives a value
or InvalidInput. They take exactly what the writers write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.log.log import EMPTY_ROOT, HASH, MAX_SIZE
from witnesstree.ledger.log.note import (
    Checkpoint,
    VerifierKey,
    check_checkpoint,
    format_base64,
    format_verifier_key,
    open_note,
    parse_base64,
    parse_checkpoint,
    parse_decimal,
    parse_note,
    parse_text,
    parse_verifier_key,
    require_name,
    sign_note,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from witnesstree.ledger.base.message import Message

FORMAT = "witnesstree-key/1"

MAX_KEY_NOTE = 8192
"""Characters in a key note: five names of 255 characters, two keys, two signatures; some 600 are
usual."""

MAX_CHANGES = 256
"""Changes of one log's key, so that a proof can carry them all: one a month for 21 years."""

_LINES = 7


@dataclass(frozen=True, slots=True)
class KeyChange:
    """The statement that `old` hands the log over to `new` after a checkpoint of `size` entries and
    this `root`. Not signed by itself.

    Raises InvalidInput for values that no key note can state.
    """

    number: int
    old: VerifierKey
    new: VerifierKey
    size: int
    root: bytes

    def __post_init__(self) -> None:
        require_number(self.number)
        if self.old.name != self.new.name or self.old == self.new:
            raise InvalidInput("key-change-same-key")
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH:
            raise InvalidInput("key-change-out-of-range", most=MAX_SIZE, size=HASH)
        if not self.size and self.root != EMPTY_ROOT:
            raise InvalidInput("key-change-empty-root-wrong")

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.old.name


@dataclass(frozen=True, slots=True)
class Signer:
    """Whether someone who is expected signed a checkpoint, and a sentence about it.

    `broken` is the change that a true signature contradicts, if one does.
    """

    message: Message
    is_expected: bool = False
    broken: KeyChange | None = None

    @property
    def reason(self) -> str:
        """The sentence in English."""
        return str(self.message)


def require_number(number: int) -> None:
    """Raise InvalidInput unless a log's keys can have a change of this number."""
    if not 1 <= number <= MAX_CHANGES:
        raise InvalidInput("key-change-number-wrong", most=MAX_CHANGES, number=number)


# Notes


def format_key_change(change: KeyChange) -> str:
    """Return the text of a key note, not signed. Matches `parse_key_change`."""
    keys = (format_verifier_key(change.old), format_verifier_key(change.new))
    lines = (
        FORMAT,
        change.origin,
        str(change.number),
        *keys,
        str(change.size),
        format_base64(change.root),
    )
    return "".join(line + "\n" for line in lines)


def parse_key_change(text: str) -> KeyChange:
    """Return the change that a key note's text states; whether both keys signed it is
    `check_key_note`'s question.

    Raises InvalidInput for any text that `format_key_change` would not write.
    """
    lines = parse_text(text, 4 * MAX_KEY_NOTE).split("\n")
    if len(lines) != _LINES + 1 or lines[0] != FORMAT or lines[-1]:
        raise InvalidInput("key-note-expected", lines=_LINES, format=FORMAT)
    _, origin, number, old, new, size, root, _ = lines
    require_name(origin)
    change = KeyChange(
        parse_decimal(number),
        parse_verifier_key(old),
        parse_verifier_key(new),
        parse_decimal(size),
        parse_base64(root),
    )
    if change.origin != origin:
        raise InvalidInput("key-note-of-other-keys", origin=origin, found=change.origin)
    return change


def sign_key_change(change: KeyChange, old: Ed25519PrivateKey, new: Ed25519PrivateKey) -> str:
    """Return the key note of `change`, signed by both keys.

    The same arguments always give the same note.

    It does not know what was signed before. The caller MUST NOT sign two changes of one number, nor
    a change whose root is not the log's.
    """
    text = format_key_change(change)
    return sign_note(text, change.origin, old) + sign_note(text, change.origin, new).removeprefix(
        f"{text}\n"
    )


def check_key_note(note: str) -> KeyChange | None:
    """Return the change in `note` if both keys that it names signed it, the old one first and
    no one else; None if it must not be believed.

    It says nothing about whether one of these keys is the log's.

    Raises InvalidInput if `note` is no key note.
    """
    if len(note) > MAX_KEY_NOTE:
        raise InvalidInput("key-note-too-long", most=MAX_KEY_NOTE, found=len(note))
    parsed = parse_note(note)
    change = parse_key_change(parsed.text)
    signers = [(signature.name, signature.key_id) for signature in parsed.signatures]
    if signers != [(key.name, key.key_id) for key in (change.old, change.new)]:
        return None
    return change if all(open_note(note, [key]) for key in (change.old, change.new)) else None


# Histories


def check_history(notes: Sequence[str], first: VerifierKey | None = None) -> tuple[KeyChange, ...]:
    """Return the changes in `notes`, each of which leads on from the one before; the first is by
    `first`, where that is given, and has number 1.

    Raises InvalidInput if a note is none, is not signed by both keys, or does not lead on; if a key
    comes back; or if there are too many.
    """
    if len(notes) > MAX_CHANGES:
        raise InvalidInput("key-changes-too-many", most=MAX_CHANGES, found=len(notes))
    changes = [_checked(note) for note in notes]
    if first and changes and (changes[0].number, changes[0].old) != (1, first):
        raise InvalidInput("key-history-start-wrong", name=first.name)
    _require_chain(changes)
    return tuple(changes)


def _checked(note: str) -> KeyChange:
    change = check_key_note(note)
    if change is None:
        raise InvalidInput("key-note-not-signed")
    return change


def _require_chain(changes: Sequence[KeyChange]) -> None:
    for before, after in pairwise(changes):
        _require_leads_on(before, after)
    # A key that handed over signs nothing above that size: one that came back would be convicted
    # by its own note.
    if changes and len(set(keys_of(changes))) <= len(changes):
        raise InvalidInput("key-comes-back", origin=changes[0].origin)


def _require_leads_on(before: KeyChange, after: KeyChange) -> None:
    if (after.number, after.old) != (before.number + 1, before.new):
        raise InvalidInput(
            "key-note-gap",
            number=after.number,
            origin=after.origin,
            before=before.number,
            before_origin=before.origin,
        )
    if after.size < before.size or (after.size == before.size and after.root != before.root):
        raise InvalidInput(
            "key-note-of-smaller-log",
            number=after.number,
            origin=after.origin,
            before=before.number,
        )


def join_histories(one: Sequence[KeyChange], other: Sequence[KeyChange]) -> tuple[KeyChange, ...]:
    """Return the changes of both histories of one log.

    Raises InvalidInput if they contradict each other, if there is a gap between them, or a key
    comes back.
    """
    changes = {change.number: change for change in one}
    for change in other:
        if changes.setdefault(change.number, change) != change:
            raise InvalidInput("key-notes-differ", number=change.number, origin=change.origin)
    joined = tuple(changes[number] for number in sorted(changes))
    _require_chain(joined)
    return joined


def keys_of(changes: Sequence[KeyChange]) -> tuple[VerifierKey, ...]:
    """Return all keys that `changes` name, the oldest first. `changes` lead on from each other."""
    return (*(change.old for change in changes), *(change.new for change in changes[-1:]))


def key_in_force(first: VerifierKey, changes: Sequence[KeyChange], size: int) -> VerifierKey:
    """Return the key under which a checkpoint of `size` entries counts; `first` where nothing
    changed. `changes` come from `check_history`.
    """
    for change in changes:
        if size <= change.size:
            return change.old
    return changes[-1].new if changes else first


def newest_key(first: VerifierKey, changes: Sequence[KeyChange]) -> VerifierKey:
    """Return the key that signs the next checkpoint."""
    return changes[-1].new if changes else first


# Checkpoints


def judge_signer(
    note: str, expected: Sequence[VerifierKey], changes: Sequence[KeyChange]
) -> Signer:
    """Judge whether the checkpoint in `note` is signed by a key of `expected`, or by the one that
    `changes` lead to from there, in force at its size.

    `changes` come from `check_history`. They count only if one of `expected` is among their keys,
    be it the oldest or the newest: each note is signed by both its keys. Then an expected key that
    had handed over before, or had not taken over yet, is none.

    Raises InvalidInput if `note` is no checkpoint.
    """
    checkpoint = parse_checkpoint(parse_note(note).text)
    known = keys_of(changes)
    known = (
        known
        if changes
        and changes[0].origin == checkpoint.origin
        and any(key in known for key in expected)
        else ()
    )
    for key in expected:
        if key not in known and check_checkpoint(note, key):
            return _signed(checkpoint, key)
    names = list(dict.fromkeys(key.name for key in expected))
    if not known:
        return Signer(message("checkpoint-not-signed", **_named(checkpoint), names=names))
    key = key_in_force(known[0], changes, checkpoint.size)
    if check_checkpoint(note, key) is None:
        return _not_in_force(note, checkpoint, names, changes)
    if broken := next(
        (
            change
            for change in changes
            if change.size == checkpoint.size and change.root != checkpoint.root
        ),
        None,
    ):
        said = message(
            "checkpoint-contradicts-key-note", **_named(checkpoint), number=broken.number
        )
        return Signer(said, broken=broken)
    if key in expected:
        return _signed(checkpoint, key)
    start = next(each for each in known if each in expected)
    said = message(
        "checkpoint-signed-by-successor",
        **_named(checkpoint),
        key_id=key.key_id,
        name=key.name,
        notes=abs(known.index(key) - known.index(start)),
        start=start.key_id,
    )
    return Signer(said, is_expected=True)


def _signed(checkpoint: Checkpoint, key: VerifierKey) -> Signer:
    said = message("checkpoint-signed", **_named(checkpoint), name=key.name)
    return Signer(said, is_expected=True)


def _named(checkpoint: Checkpoint) -> dict[str, str | int]:
    """Return the parameters that all sentences about a checkpoint have."""
    return {"origin": checkpoint.origin, "size": checkpoint.size}


def _not_in_force(
    note: str, checkpoint: Checkpoint, names: Sequence[str], changes: Sequence[KeyChange]
) -> Signer:
    for change in changes:
        if checkpoint.size > change.size and check_checkpoint(note, change.old):
            said = message(
                "checkpoint-signed-after-handover",
                **_named(checkpoint),
                key_id=change.old.key_id,
                name=change.origin,
                handed_over=change.size,
                number=change.number,
            )
            return Signer(said, broken=change)
    return Signer(message("checkpoint-not-signed-in-force", **_named(checkpoint), names=names))
