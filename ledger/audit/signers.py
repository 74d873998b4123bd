"""Who signed a checkpoint: an expected key, or one that the published key notes lead to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from witnesstree.ledger.audit.equivocation import Equivocation, convicting, key_change_of
from witnesstree.ledger.audit.published import checkpoint_of
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Check, Outcome, failed, passed, unknown
from witnesstree.ledger.log.keys import KeyChange, check_history, judge_signer, keys_of

if TYPE_CHECKING:
    from witnesstree.ledger.log.note import Checkpoint, VerifierKey


def judge_signature(
    name: str,
    note: str,
    keys: Sequence[VerifierKey],
    changes: Sequence[KeyChange] = (),
    *,
    is_alone: bool = False,
) -> Check:
    """Judge whether one of `keys`, or the key that `changes` lead to from there, signed the
    checkpoint in `note`, which parses.

    One that `is_alone`, without the log that it is of, may be later than `changes` tell: then who
    signed it is not known.
    """
    checkpoint = checkpoint_of(note)
    if not keys:
        return unknown(
            name, "checkpoint-key-not-given", size=checkpoint.size, origin=checkpoint.origin
        )
    signer = judge_signer(note, keys, changes)
    if (
        is_alone
        and not signer.is_expected
        and not signer.broken
        and _may_be_later(checkpoint, keys, changes)
    ):
        return unknown(
            name, "checkpoint-may-be-signed-later", size=checkpoint.size, origin=checkpoint.origin
        )
    outcome = Outcome.PASSED if signer.is_expected else Outcome.FAILED
    return Check(name, outcome, signer.message)


def _may_be_later(
    checkpoint: Checkpoint, keys: Sequence[VerifierKey], changes: Sequence[KeyChange]
) -> bool:
    """Whether key notes that are not known may lead from one of `keys` to the signer of this
    checkpoint.
    """
    is_settled = bool(set(keys) & set(keys_of(changes))) and checkpoint.size <= changes[-1].size
    return checkpoint.origin in {key.name for key in keys} and not is_settled


def judge_keys(  # noqa: PLR0911 - a case a line
    notes: Sequence[str], before: Sequence[str], origin: str, keys: Sequence[VerifierKey]
) -> tuple[Check, tuple[KeyChange, ...], Equivocation | None]:
    """Judge whether the key notes that are published lead on, and begin with those that were seen
    `before`, and return the changes.

    They count only if one of `keys` is among theirs: anyone can sign notes with keys of their own.
    Returns the evidence, too, where two of them contradict each other and the owner of such a key
    signed both.
    """
    name = "keys"
    number = next(
        (i for i, pair in enumerate(zip(before, notes, strict=False)) if pair[0] != pair[1]),
        len(notes),
    )
    differing = (before[number], notes[number]) if number < min(len(before), len(notes)) else ()
    if any(key_change_of(note) is None for note in differing):
        return (
            failed(name, "key-note-not-one", number=number + 1),
            (),
            None,
        )
    try:
        changes = check_history(notes[:number])
    except InvalidInput as error:
        return failed(name, "key-notes-broken", error=error), (), None
    if differing:
        found = convicting(
            Equivocation(*differing), (*keys, *led_to(keys, before), *led_to(keys, notes))
        )
        return (
            failed(name, "key-notes-fork", number=number + 1, is_proven=found is not None),
            changes,
            found,
        )
    if len(notes) < len(before):
        return (
            failed(name, "key-note-gone", number=len(notes) + 1),
            changes,
            None,
        )
    if changes and (changes[0].number, changes[0].origin) != (1, origin):
        return failed(name, "key-notes-of-other-log", origin=origin), (), None
    if changes and not keys:
        return (
            unknown(name, "key-notes-of-anyone"),
            changes,
            None,
        )
    if changes and not set(keys) & set(keys_of(changes)):
        return failed(name, "key-notes-of-other-keys"), (), None
    return (
        passed(name, "key-notes-right", count=len(changes)),
        changes,
        None,
    )


def led_to(keys: Sequence[VerifierKey], notes: Sequence[str]) -> tuple[VerifierKey, ...]:
    """Return the keys of a history in which one of `keys` is; where no one is expected, those
    of any history.
    """
    try:
        found = keys_of(check_history(notes))
    except InvalidInput:
        return ()
    return found if not keys or set(keys) & set(found) else ()
