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
            raise InvalidInput("a key hands over to another key of the same name")
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH:
            raise InvalidInput(
                f"a key hands over at a size from 0 to {MAX_SIZE} with a root of {HASH} bytes"
            )
        if not self.size and self.root != EMPTY_ROOT:
            raise InvalidInput(
                "a key hands over at size 0 with the root of the empty log: found another one"
            )

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.old.name


@dataclass(frozen=True, slots=True)
class Signer:
    """Whether somebody who is expected signed a checkpoint, in words, too.

    `broken` is the change that a true signature contradicts, if one does.
    """

    reason: str
    is_expected: bool = False
    broken: KeyChange | None = None


def require_number(number: int) -> None:
    """Raise InvalidInput unless a log's keys can have a change of this number."""
    if not 1 <= number <= MAX_CHANGES:
        raise InvalidInput(
            f"a log's key changes at most {MAX_CHANGES} times: found number {number}"
        )


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
        raise InvalidInput(f"expected a key note: {_LINES} lines, the first one {FORMAT}")
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
        raise InvalidInput(f"the key note of {origin} names keys of {change.origin}")
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
    nobody else; None if it must not be believed.

    It says nothing about whether one of these keys is the log's.

    Raises InvalidInput if `note` is no key note.
    """
    if len(note) > MAX_KEY_NOTE:
        raise InvalidInput(
            f"a key note has at most {MAX_KEY_NOTE} characters, this has {len(note)}"
        )
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
        raise InvalidInput(f"a log's key changes at most {MAX_CHANGES} times, not {len(notes)}")
    changes = [_checked(note) for note in notes]
    if first and changes and (changes[0].number, changes[0].old) != (1, first):
        raise InvalidInput(f"the first key note is not change 1 by the first key of {first.name}")
    _require_chain(changes)
    return tuple(changes)


def _checked(note: str) -> KeyChange:
    change = check_key_note(note)
    if change is None:
        raise InvalidInput("a key note is not signed by both keys that it names, and by them alone")
    return change


def _require_chain(changes: Sequence[KeyChange]) -> None:
    for before, after in pairwise(changes):
        _require_leads_on(before, after)
    # A key that handed over signs nothing above that size: one that came back would stand convicted
    # by its own note.
    if changes and len(set(keys_of(changes))) <= len(changes):
        raise InvalidInput(
            f"the key notes of {changes[0].origin} hand over to a key that had handed over before"
        )


def _require_leads_on(before: KeyChange, after: KeyChange) -> None:
    if (after.number, after.old) != (before.number + 1, before.new):
        raise InvalidInput(
            f"key note {after.number} of {after.origin} does not lead on from key note"
            f" {before.number} of {before.origin}"
        )
    if after.size < before.size or (after.size == before.size and after.root != before.root):
        raise InvalidInput(
            f"key note {after.number} of {after.origin} is of a smaller log than note"
            f" {before.number}, or of another root there"
        )


def join_histories(one: Sequence[KeyChange], other: Sequence[KeyChange]) -> tuple[KeyChange, ...]:
    """Return the changes of both histories of one log.

    Raises InvalidInput if they contradict each other, if there is a gap between them, or a key
    comes back.
    """
    changes = {change.number: change for change in one}
    for change in other:
        if changes.setdefault(change.number, change) != change:
            raise InvalidInput(
                f"there are two different key notes of number {change.number} of {change.origin}:"
                " an owner of its key signed both"
            )
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
            return Signer(f"is signed by the key of {key.name}", is_expected=True)
    names = ", ".join(dict.fromkeys(key.name for key in expected))
    if not known:
        return Signer(f"is not signed by the expected key of {names}")
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
        return Signer(
            f"has another root than key note {broken.number} states at {broken.size} entries: its"
            " owner signed both",
            broken=broken,
        )
    if key in expected:
        return Signer(f"is signed by the key of {key.name}", is_expected=True)
    start = next(each for each in known if each in expected)
    count = abs(known.index(key) - known.index(start))
    followed = (
        f"{count} key note{'s lead' if count > 1 else ' leads'} from the expected key"
        f" {start.key_id.hex()}"
    )
    return Signer(
        f"is signed by key {key.key_id.hex()} of {key.name}, to which {followed}", is_expected=True
    )


def _not_in_force(
    note: str, checkpoint: Checkpoint, names: str, changes: Sequence[KeyChange]
) -> Signer:
    for change in changes:
        if checkpoint.size > change.size and check_checkpoint(note, change.old):
            key_id = change.old.key_id.hex()
            reason = (
                f"is signed by key {key_id} of {change.origin}, which handed over at {change.size}"
                f" entries (key note {change.number})"
            )
            return Signer(reason, broken=change)
    return Signer(
        f"is not signed by the key of {names} that was in force at {checkpoint.size} entries"
    )
