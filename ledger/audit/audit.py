"""The auditor: follows a published log from outside, over bytes that are fetched for it.

It trusts nothing that it has not derived itself.

    1  checkpoint, keys        parses, and is signed by the expected key, or by the one that the
                               published key notes lead to; these go on as before
    2  consistency             continues the checkpoint that was seen last
    3  entries                 the entries since then lead from that one's root to this one's
    4  tiles                   the tiles of hashes are those of these entries
    5  statements              each is one, of this log, numbered without a gap, and not closed in
                               the future
    6  opening                 each batch's opening record leads to its root, and names a signed
                               checkpoint of the log before it
    7  cosignatures            enough witnesses cosigned the checkpoint
    8  stamped, anchored       each batch has a token and an anchor that hold, and that are not
                               later than its deadline

`follow` takes steps 1 to 6, `judge_cosignatures` step 7, `judge_witnesses` step 8. A check that
passed for all batches stands there once; one that did not is named for its batch:
`batch[7].stamped`. What does not hold is a check, never an exception; `Fetch` alone may raise.
docs/log.md says what is published where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import rfc8785

from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput, NotFound
from witnesstree.ledger.base.report import Check, Outcome, Verdict
from witnesstree.ledger.base.strictjson import Reader, load
from witnesstree.ledger.log.cosignature import WitnessKey, check_cosignatures
from witnesstree.ledger.log.keys import (
    MAX_CHANGES,
    MAX_KEY_NOTE,
    KeyChange,
    check_history,
    check_key_note,
    judge_signer,
    keys_of,
)
from witnesstree.ledger.log.log import (
    EMPTY_ROOT,
    HASH,
    Read,
    added_nodes,
    check_consistency,
    leaf_hash,
    log_root,
    prove_consistency,
)
from witnesstree.ledger.log.note import (
    MAX_NOTE,
    Checkpoint,
    VerifierKey,
    check_checkpoint,
    parse_checkpoint,
    parse_note,
)
from witnesstree.ledger.log.opening import opening_digest, parse_opening
from witnesstree.ledger.log.statement import Statement, format_statement, parse_statement
from witnesstree.ledger.log.tiles import (
    ENTRIES,
    HEIGHT,
    WIDTH,
    Fetch,
    added_tiles,
    fetch_entries,
    fetch_hashes,
    format_number,
    tile_reader,
)
from witnesstree.ledger.proof.proof import (
    MAX_PATH,
    MAX_PROOF,
    MAX_TEXT,
    Hints,
    Proof,
    format_proof,
    parse_proof,
)
from witnesstree.ledger.tree.tree import root_from_path
from witnesstree.ledger.verify.verify import SKEW, Require, verify

if TYPE_CHECKING:
    from witnesstree.ledger.trust import Trust

CHECKPOINT = "checkpoint"
"""Where the newest checkpoint stands in a published log."""
FIRST_CHECKPOINT = "checkpoint-0"
"""Where the checkpoint of the empty log stands: the first batch's opening record names it."""

SEEN = "witnesstree-audit/1"
EQUIVOCATION = "witnesstree-equivocation/1"

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


@dataclass(frozen=True, slots=True)
class Record:
    """A batch that was found in the log, and its published record, which is the proof of its
    opening record.
    """

    statement: Statement
    proof: Proof


@dataclass(frozen=True, slots=True)
class Followed:
    """What `follow` found.

    `seen` is what to keep; None says that something is wrong, and that what was kept stays as it
    is.
    """

    checks: tuple[Check, ...]
    note: str = ""
    records: tuple[Record, ...] = ()
    seen: Seen | None = None
    equivocation: Equivocation | None = None


# What is kept


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
        raise InvalidInput(
            f"what an audit keeps has at most {MAX_SEEN} bytes, this has {len(content)}"
        )
    value = load("what the last audit kept", content)
    if value.member("format") != SEEN:
        value["format"].wrong(f"{SEEN!r} (a newer witnesstree may read it)")
    value.members("format checkpoint named digests waiting", "keys")
    seen = Seen(
        checkpoint=_read_note(value["checkpoint"]),
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
    size = _checkpoint_of(seen.checkpoint).size
    if seen.named + len(seen.digests) != size + 1 or not seen.digests:
        raise InvalidInput(
            f"what the last audit kept contradicts itself: digests of checkpoints {seen.named} to"
            f" {size} were expected"
        )
    return seen


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
        raise InvalidInput(
            f"evidence of an equivocation has at most {MAX_PROOF} bytes, this has {len(content)}"
        )
    value = load("the evidence", content)
    if value.member("format") != EQUIVOCATION:
        value["format"].wrong(repr(EQUIVOCATION))
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
    changes = [_key_change_of(note) for note in (found.first, found.second)]
    first, second = (
        _stated(change) if change else check_checkpoint(note, key)
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


def _key_change_of(note: str) -> KeyChange | None:
    """Return the change in a key note that both its keys signed, None for anything else."""
    try:
        return check_key_note(note)
    except InvalidInput:
        return None


def _stated(change: KeyChange) -> Checkpoint:
    """Return what a key note states of the log, as a checkpoint does."""
    return Checkpoint(change.origin, change.size, change.root)


def _read_evidence(value: Reader) -> str:
    note = value.text(MAX_NOTE)
    return note if _key_change_of(note) else _read_note(value)


def _read_note(value: Reader) -> str:
    note = value.text(MAX_NOTE)
    _checkpoint_of(note)
    return note


def _checkpoint_of(note: str | bytes) -> Checkpoint:
    """Return the checkpoint in a note, whoever signed it. Raises InvalidInput if there is none."""
    return parse_checkpoint(parse_note(note).text)


# 1. The checkpoint


def read_checkpoint(fetch: Fetch, path: str = CHECKPOINT) -> str:
    """Return the signed note that is published there.

    Raises InvalidInput if it is none of a checkpoint, and what `fetch` raises.
    """
    content = fetch(path, MAX_NOTE)
    _checkpoint_of(content)
    return content.decode()


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
    checkpoint = _checkpoint_of(note)
    shown = f"The checkpoint of {checkpoint.size} entries of {checkpoint.origin}"
    if not keys:
        return _unknown(
            name,
            f"{shown} is signed by nobody who is expected: give the log's key with"
            " --checkpoint-key.",
        )
    signer = judge_signer(note, keys, changes)
    if signer.is_expected and not changes:
        return _passed(name, f"{shown} is signed by the expected key.")
    if (
        is_alone
        and not signer.is_expected
        and not signer.broken
        and _may_be_later(checkpoint, keys, changes)
    ):
        return _unknown(
            name,
            f"{shown} {signer.reason}, but may be signed by a later one: name the folder or"
            " address, for its key notes.",
        )
    return (_passed if signer.is_expected else _failed)(name, f"{shown} {signer.reason}.")


def _may_be_later(
    checkpoint: Checkpoint, keys: Sequence[VerifierKey], changes: Sequence[KeyChange]
) -> bool:
    """Whether key notes that are not known may lead from one of `keys` to whoever signed this
    checkpoint.
    """
    is_settled = bool(set(keys) & set(keys_of(changes))) and checkpoint.size <= changes[-1].size
    return checkpoint.origin in {key.name for key in keys} and not is_settled


# 1. The history of keys


def key_path(number: int) -> str:
    """Return where the note of a change of the log's key is published."""
    return f"keys/{format_number(number)}"


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
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{key_path(number)} is no text: {error}") from None
    raise InvalidInput(f"there are more than {MAX_CHANGES} key notes")


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
    if any(_key_change_of(note) is None for note in differing):
        return (
            _failed(
                name,
                f"What stands there as key note {number + 1} is no key note that both its keys"
                " signed.",
            ),
            (),
            None,
        )
    try:
        changes = check_history(notes[:number])
    except InvalidInput as error:
        return _failed(name, f"The key notes do not lead on: {error}."), (), None
    if differing:
        found = _convicting(
            Equivocation(*differing), (*keys, *_led_to(keys, before), *_led_to(keys, notes))
        )
        said = (
            "an owner of its key signed both"
            if found
            else "no expected key, nor one that leads from there, signed both"
        )
        return (
            _failed(name, f"There are two different key notes of number {number + 1}, and {said}."),
            changes,
            found,
        )
    if len(notes) < len(before):
        return (
            _failed(
                name, f"Key note {len(notes) + 1}, which was seen before, is not there any more."
            ),
            changes,
            None,
        )
    if changes and (changes[0].number, changes[0].origin) != (1, origin):
        return _failed(name, f"The key notes are not those of {origin} from number 1 on."), (), None
    if changes and not keys:
        return (
            _unknown(
                name, "The key notes may be anybody's: give the log's key with --checkpoint-key."
            ),
            changes,
            None,
        )
    if changes and not set(keys) & set(keys_of(changes)):
        reason = (
            "The key notes name none of the expected keys: whoever serves this log put them there,"
            " or another key is the log's."
        )
        return _failed(name, reason), (), None
    return (
        _passed(name, f"{len(changes)} key notes lead from the first key to the newest."),
        changes,
        None,
    )


def _led_to(keys: Sequence[VerifierKey], notes: Sequence[str]) -> tuple[VerifierKey, ...]:
    """Return the keys of a history in which one of `keys` stands; where nobody is expected, those
    of any history.
    """
    try:
        found = keys_of(check_history(notes))
    except InvalidInput:
        return ()
    return found if not keys or set(keys) & set(found) else ()


def _convicting(found: Equivocation, keys: Sequence[VerifierKey]) -> Equivocation | None:
    """Return the evidence if it proves something of one of `keys`, None if it is worth nothing."""
    return found if any(check_equivocation(found, key) for key in keys) else None


def judge_equivocation(found: Equivocation, keys: Sequence[VerifierKey]) -> Check:
    """Judge whether the evidence proves that the owner of one of `keys` signed two histories."""
    name = "evidence"
    if not keys:
        return _unknown(
            name,
            "The evidence is of nobody who is expected: give the key that it is about with"
            " --checkpoint-key.",
        )
    proven = [key for key in keys if check_equivocation(found, key)]
    if not proven:
        return _failed(
            name,
            "The two statements do not prove that an owner of a given key signed two histories.",
        )
    names = ", ".join(f"{key.name} (key {key.key_id.hex()})" for key in proven)
    return _passed(
        name, f"The two statements prove that the owner of the key of {names} signed two histories."
    )


def _contradiction(walk: _Walk) -> tuple[str, Equivocation | None] | None:
    """Return what contradicts the log that was derived: a key note with another root at its size,
    in words, with the evidence.
    """
    for change in walk.changes:
        # One of a larger log is ahead of what is published, and is judged once that is there.
        if not 0 < change.size <= walk.new.size:
            continue
        root, path = _root_before(_stated(change), walk.new, walk.read())
        if root != change.root:
            reason = (
                f"Key note {change.number} states another root at {change.size} entries than the"
                " log has."
            )
            return reason, _convicting(
                Equivocation(walk.notes[change.number - 1], walk.note, root, path),
                keys_of(walk.changes),
            )
    return None


# 2. Consistency


def judge_consistency(  # noqa: PLR0911 - a case a line
    first: str, second: str, fetch: Fetch | None
) -> tuple[Check, Equivocation | None]:
    """Judge whether the log of `second` begins with that of `first`, two notes of which the second
    is not smaller; its tiles are behind `fetch`.

    Returns the evidence, too, where they contradict each other.
    """
    old, new = _checkpoint_of(first), _checkpoint_of(second)
    name = "consistency"
    if old.origin != new.origin:
        return (
            _failed(name, f"The checkpoints are of two logs, {old.origin} and {new.origin}."),
            None,
        )
    if (old.size, old.root) == (new.size, new.root):
        return _passed(name, f"Both checkpoints are of the same log of {old.size} entries."), None
    if old.size == new.size:
        return _failed(
            name, f"The log forks: two checkpoints of {old.size} entries have different roots."
        ), Equivocation(first, second)
    if not old.size and old.root == EMPTY_ROOT:
        return _passed(name, "Every log begins with the empty one."), None
    if fetch is None:
        return (
            _unknown(
                name,
                f"Between {old.size} and {new.size} entries, consistency is seen in the log's"
                " tiles: name its folder or address.",
            ),
            None,
        )
    try:
        root, path = _root_before(old, new, tile_reader(new.size, fetch))
    except (InvalidInput, NotFound) as error:
        return (
            _failed(
                name,
                f"The tiles do not show that the log continues the one of {old.size} entries:"
                f" {error}.",
            ),
            None,
        )
    if root == old.root:
        return (
            _passed(name, f"The log of {new.size} entries begins with the one of {old.size}."),
            None,
        )
    reason = (
        f"The log forks: the one of {new.size} entries does not begin with the one of {old.size}"
        " that was signed before."
    )
    return _failed(name, reason), Equivocation(first, second, root, path)


def _root_before(old: Checkpoint, new: Checkpoint, read: Read) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the root that the log of `new` had at the size of `old`, and the proof of it.

    Raises InvalidInput if the tiles prove none.
    """
    path = prove_consistency(old.size, new.size, read)
    root = (
        old.root
        if check_consistency(old.size, new.size, old.root, new.root, path)
        else log_root(old.size, read)
    )
    if not check_consistency(old.size, new.size, root, new.root, path):
        raise InvalidInput(f"they do not lead to the root of the log of {new.size} entries")
    return root, tuple(path)


# Following


@dataclass(slots=True)
class _Walk:
    """One audit on its way: what it derived so far.

    `nodes` are the log's hashes from `old` entries on.
    """

    fetch: Fetch
    keys: Sequence[VerifierKey]
    now: datetime
    old: Checkpoint
    new: Checkpoint
    note: str
    notes: tuple[str, ...]
    changes: tuple[KeyChange, ...]
    nodes: dict[tuple[int, int], bytes] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)

    def read(self) -> Read:
        """Return what reads derived hashes, and those of the log that was seen before from
        tiles.
        """
        before = tile_reader(self.new.size, self.fetch)

        def read(level: int, index: int) -> bytes:
            return self.nodes.get((level, index)) or before(level, index)

        return read


def follow(fetch: Fetch, keys: Sequence[VerifierKey], seen: Seen | None, now: datetime) -> Followed:  # noqa: PLR0911 - a case a line
    """Follow a published log from what was `seen` of it to its newest checkpoint: steps 1 to 6.

    Raises NotFound if no log is there, and whatever else `fetch` raises.
    """
    # 1. The checkpoint.
    try:
        note = read_checkpoint(fetch)
    except InvalidInput as error:
        return Followed(
            (
                _failed(
                    "checkpoint", f"What is published as the checkpoint cannot be read: {error}."
                ),
            )
        )
    new = _checkpoint_of(note)
    try:
        notes = read_key_notes(fetch)
    except InvalidInput as error:
        return Followed((_failed("keys", f"The key notes cannot be read: {error}."),), note)
    check, changes, equivocation = judge_keys(notes, seen.keys if seen else (), new.origin, keys)
    if check.outcome is Outcome.FAILED:
        return Followed((check,), note, equivocation=equivocation)
    checks = [judge_signature("checkpoint", note, keys, changes)] + ([check] if notes else [])
    if checks[0].outcome is Outcome.FAILED:
        broken = judge_signer(note, keys, changes).broken
        return Followed(
            tuple(checks),
            note,
            equivocation=Equivocation(notes[broken.number - 1], note) if broken else None,
        )
    # 2. Consistency with what was seen.
    old = _checkpoint_of(seen.checkpoint) if seen else Checkpoint(new.origin, 0, EMPTY_ROOT)
    if seen and new.size < old.size and new.origin == old.origin:
        reason = (
            f"The log rewinds: it had {old.size} entries when it was seen last, and has {new.size}"
            " now."
        )
        return Followed(
            (*checks, _failed("consistency", reason)),
            note,
            equivocation=Equivocation(note, seen.checkpoint),
        )
    if seen:
        check, equivocation = judge_consistency(seen.checkpoint, note, fetch)
        checks.append(check)
        if check.outcome is not Outcome.PASSED:
            return Followed(tuple(checks), note, equivocation=equivocation)
    # 3 to 6.
    walk = _Walk(fetch, keys, now, old, new, note, notes, changes)
    found, following = _walk(walk, note, seen)
    checks += found
    try:
        contradicted = _contradiction(walk) if following else None
    except (InvalidInput, NotFound) as error:
        contradicted = f"What the key notes state cannot be compared with the log: {error}.", None
    if contradicted:
        reason, equivocation = contradicted
        checks = [_failed("keys", reason) if check.name == "keys" else check for check in checks]
        return Followed(tuple(checks), note, tuple(walk.records), equivocation=equivocation)
    is_sound = following is not None and all(check.outcome is Outcome.PASSED for check in checks)
    return Followed(tuple(checks), note, tuple(walk.records), following if is_sound else None)


def _walk(walk: _Walk, note: str, seen: Seen | None) -> tuple[list[Check], Seen | None]:
    try:
        first = seen or _first_seen(walk)
        walk.records += [_fetch_again(walk.fetch, statement) for statement in first.waiting]
    except (InvalidInput, NotFound) as error:
        return [_failed("opening", f"What was published before cannot be read: {error}.")], None
    # 3. The entries.
    try:
        entries = _derive(walk)
    except (InvalidInput, NotFound) as error:
        return [_failed("entries", f"The entries do not lead to the checkpoint: {error}.")], None
    checks = [
        _passed(
            "entries",
            f"{len(entries)} entries lead from {walk.old.size} to {walk.new.size}, to the"
            " checkpoint's root.",
        )
    ]
    # 4. The tiles.
    checks.append(_judge_tiles(walk))
    # 5. The statements.
    try:
        statements = _read_statements(walk, entries)
    except InvalidInput as error:
        return [*checks, _failed("statements", str(error))], None
    checks.append(
        _passed("statements", f"{len(statements)} batches are stated, numbered without a gap.")
    )
    # 6. The opening records.
    named, digests = first.named, list(first.digests)
    for statement in statements:
        try:
            record = Record(statement, _fetch_record(walk.fetch, statement.sequence))
            named = _open(walk, record, named, digests)
        except (InvalidInput, NotFound) as error:
            return [*checks, _failed(f"batch[{statement.sequence}].opening", f"{error}.")], None
        walk.records.append(record)
    checks.append(
        _passed("opening", f"{len(statements)} batches name the signed checkpoint before them.")
    )
    return checks, Seen(note, named, tuple(digests), first.waiting, walk.notes)


def _first_seen(walk: _Walk) -> Seen:
    """Return what an auditor has seen who sees the log for the first time: the checkpoint of the
    empty log.
    """
    note = read_checkpoint(walk.fetch, FIRST_CHECKPOINT)
    if walk.keys and not (signer := judge_signer(note, walk.keys, walk.changes)).is_expected:
        raise InvalidInput(f"{FIRST_CHECKPOINT} {signer.reason}")
    if _checkpoint_of(note) != Checkpoint(walk.new.origin, 0, EMPTY_ROOT):
        raise InvalidInput(
            f"{FIRST_CHECKPOINT} is not the checkpoint of the empty log of {walk.new.origin}"
        )
    return Seen(note, 0, (opening_digest(note),))


# 3 and 4. Entries and tiles


def _derive(walk: _Walk) -> list[bytes]:
    """Return the entries since the old checkpoint, whose hashes, with the old log's edge, lead to
    the new root.

    Raises InvalidInput if they do not.
    """
    old, new, read = walk.old.size, walk.new.size, walk.read()
    if log_root(old, read) != walk.old.root:
        raise InvalidInput(
            f"the tiles do not lead to the root of the log of {old} entries that was seen before"
        )
    entries: list[bytes] = []
    for tile in (tile for tile in added_tiles(old, new) if tile.level == ENTRIES):
        entries += fetch_entries(tile, walk.fetch)[max(0, old - tile.index * WIDTH) :]
    for index, entry in enumerate(entries, old):
        walk.nodes.update(
            {
                (level, position): node
                for level, position, node in added_nodes(index, leaf_hash(entry), read)
            }
        )
    if log_root(new, read) != walk.new.root:
        raise InvalidInput(
            "the root that comes from the published entries is not the one in the checkpoint"
        )
    return entries


def _judge_tiles(walk: _Walk) -> Check:
    count = 0
    for tile in added_tiles(walk.old.size, walk.new.size):
        if tile.level == ENTRIES:
            continue
        # What stood in a tile before was compared before.
        start = max(0, (walk.old.size >> HEIGHT * tile.level) - tile.index * WIDTH)
        positions = range(tile.index * WIDTH + start, tile.index * WIDTH + tile.width)
        expected = b"".join(walk.nodes[tile.level * HEIGHT, position] for position in positions)
        try:
            if fetch_hashes(tile, walk.fetch)[start * HASH :] != expected:
                return _failed(
                    "tiles",
                    f"Tile {tile.index} of level {tile.level} does not hold the hashes of the"
                    " entries.",
                )
        except (InvalidInput, NotFound) as error:
            return _failed("tiles", f"A tile cannot be read: {error}.")
        count += 1
    return _passed("tiles", f"{count} tiles hold the hashes of these entries.")


# 5. Statements


def _read_statements(walk: _Walk, entries: list[bytes]) -> list[Statement]:
    statements = []
    for index, entry in enumerate(entries, walk.old.size):
        try:
            statement = parse_statement(entry)
        except InvalidInput as error:
            raise InvalidInput(
                f"Entry {index} of the log is no batch statement: {error}."
            ) from None
        if statement.origin != walk.new.origin:
            raise InvalidInput(
                f"Entry {index} of the log of {walk.new.origin} states a batch of"
                f" {statement.origin}."
            )
        if statement.sequence != index:
            raise InvalidInput(
                f"A batch was dropped or doubled: entry {index} of the log states batch"
                f" {statement.sequence}, not batch {index}."
            )
        if statement.closed - walk.now > SKEW:
            raise InvalidInput(
                f"Batch {index} says that it closed at {format_time(statement.closed)}, but it is"
                f" {format_time(walk.now)} here."
            )
        statements.append(statement)
    return statements


# 6. Opening records


def record_path(sequence: int) -> str:
    """Return where the record of a batch is published."""
    return f"batch/{format_number(sequence)}.json"


def _fetch_record(fetch: Fetch, sequence: int) -> Proof:
    """Return the published record of a batch.

    Raises InvalidInput if it is no proof, and what `fetch` raises.
    """
    return parse_proof(fetch(record_path(sequence), MAX_PROOF))


def _fetch_again(fetch: Fetch, statement: Statement) -> Record:
    record = Record(statement, _fetch_record(fetch, statement.sequence))
    if not _leads_to_statement(record):
        raise InvalidInput(
            f"the record of batch {statement.sequence} does not lead to the root that was stated"
        )
    return record


def _leads_to_statement(record: Record) -> bool:
    """Whether the record is about the batch that the statement is about: its opening record leads
    to that root.
    """
    statement, proof = record.statement, record.proof
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


def _open(walk: _Walk, record: Record, named: int, digests: list[bytes]) -> int:
    """Compare a batch's opening record with the signed checkpoints before it, and return the size
    of the one it names.

    `digests` are those from size `named` on; those before the one that is named go, and that of the
    batch's own checkpoint is added. Raises InvalidInput if something is wrong.
    """
    statement, proof, sequence = record.statement, record.proof, record.statement.sequence
    if not _leads_to_statement(record):
        raise InvalidInput(
            f"What is published of batch {sequence} is not its opening record: it does not lead to"
            " the root that was stated"
        )
    assert proof.opening
    opening = parse_opening(proof.opening.record)
    if (opening.origin, opening.batch, opening.opened) != (
        statement.origin,
        sequence,
        statement.opened,
    ):
        raise InvalidInput(
            f"The opening record and the statement of batch {sequence} name different ledgers,"
            " batches or opening times"
        )
    if opening.checkpoint not in digests:
        raise InvalidInput(
            f"The opening record of batch {sequence} names none of the checkpoints that were signed"
            " before it"
        )
    behind = digests.index(opening.checkpoint)
    note = proof.log.checkpoint if proof.log else ""
    size = sequence + 1
    if _checkpoint_of(note) != Checkpoint(statement.origin, size, log_root(size, walk.read())):
        raise InvalidInput(
            f"The checkpoint in the record of batch {sequence} is not that of the log up to this"
            " batch"
        )
    if walk.keys and not (signer := judge_signer(note, walk.keys, walk.changes)).is_expected:
        raise InvalidInput(f"The checkpoint in the record of batch {sequence} {signer.reason}")
    digests.append(opening_digest(note))
    behind = max(behind, len(digests) - MAX_LAG - 1)
    del digests[:behind]
    return named + behind


# 7. Cosignatures


def judge_cosignatures(note: str, keys: Sequence[WitnessKey], needed: int, now: datetime) -> Check:
    """Judge whether at least `needed` of the witnesses cosigned the checkpoint in `note`; their
    clocks may be ahead of `now` by SKEW.
    """
    found = check_cosignatures(note, keys)
    good = [each for each in found if each.time <= (now + SKEW).timestamp()]
    names = ", ".join(each.key.name for each in good) or "none"
    reason = (
        f"{len(good)} of {len(keys)} witnesses cosigned the checkpoint ({names}); {needed} are"
        " needed"
    )
    if early := [each.key.name for each in found if each not in good]:
        reason += f"; the clocks of {', '.join(early)} are ahead of the one here"
    return (
        _passed("cosignatures", f"{reason}.")
        if len(good) >= needed
        else _unknown("cosignatures", f"{reason}.")
    )


# 8. Tokens and anchors


def judge_witnesses(
    records: Sequence[Record], trust: Trust, now: datetime, deadline: timedelta, require: Require
) -> tuple[list[Check], tuple[Statement, ...]]:
    """Judge whether each batch was stamped and anchored within `deadline` after it closed.

    The close is the ledger's word; step 5 bounds it.

    Returns the statements, too, of the batches that have to be looked at again.
    """
    checks: list[Check] = []
    waiting: dict[int, Statement] = {}
    kinds: dict[str, tuple[Require, Callable[[Proof], Proof]]] = {
        "stamped": (Require.TOKEN, lambda proof: replace(proof, anchors=(), hints=Hints())),
        "anchored": (Require.ANCHOR, lambda proof: replace(proof, tokens=(), hints=Hints())),
    }
    for name, (kind, reduced) in kinds.items():
        if require not in {kind, Require.BOTH}:
            continue
        found = [
            (
                each,
                _judge_witness(
                    name, kind, each, reduced(each.proof), trust=trust, now=now, deadline=deadline
                ),
            )
            for each in records
        ]
        others = [(record, check) for record, check in found if check.outcome is not Outcome.PASSED]
        waiting |= {record.statement.sequence: record.statement for record, _ in others}
        if passed := len(found) - len(others):
            checks.append(
                _passed(
                    name,
                    f"{passed} batches were {name} within {_shown(deadline)} after they closed.",
                )
            )
        checks += [check for _, check in others]
    return checks, tuple(waiting[sequence] for sequence in sorted(waiting))


def _judge_witness(
    kind: str,
    require: Require,
    record: Record,
    proof: Proof,
    *,
    trust: Trust,
    now: datetime,
    deadline: timedelta,
) -> Check:
    """Judge one kind of witness of one batch; `proof` holds no other kind."""
    statement = record.statement
    name, due = f"batch[{statement.sequence}].{kind}", _sum(statement.closed, deadline)
    if not (proof.tokens or proof.anchors):
        if now > due:
            return _failed(
                name,
                f"Batch {statement.sequence} is not {kind}, {_shown(deadline)} after it closed at"
                f" {format_time(statement.closed)}.",
            )
        return _unknown(
            name,
            f"Batch {statement.sequence} is not {kind} yet; it is due at {format_time(due)}.",
            required=False,
        )
    # Step 6 has judged who signed, with all published key notes: the record may be older than some
    # of them.
    report = verify(
        proof.digest,
        format_proof(proof),
        replace(trust, checkpoint_keys=(), key_notes=()),
        now,
        require,
    )
    if report.verdict is Verdict.FAILED:
        reason = next(check.reason for check in report.checks if check.outcome is Outcome.FAILED)
        return _failed(name, f"Batch {statement.sequence}: {reason}")
    if report.verdict is Verdict.UNDECIDED:
        reason = next(
            check.reason
            for check in report.checks
            if check.outcome is Outcome.UNKNOWN and check.required
        )
        return _unknown(name, f"Batch {statement.sequence}: {reason}")
    assert report.not_after
    if report.not_after > due:
        late = (
            f"closed at {format_time(statement.closed)} and was {kind} at"
            f" {format_time(report.not_after)}"
        )
        return _failed(
            name,
            f"Batch {statement.sequence} is late: it {late}, more than {_shown(deadline)} after.",
        )
    return _passed(
        name, f"Batch {statement.sequence} was {kind} at {format_time(report.not_after)}."
    )


def _sum(time: datetime, more: timedelta) -> datetime:
    try:
        return time + more
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _shown(time: timedelta) -> str:
    hours = time / timedelta(hours=1)
    return f"{hours:g} hours"


def _passed(name: str, reason: str) -> Check:
    return Check(name, Outcome.PASSED, reason)


def _failed(name: str, reason: str) -> Check:
    return Check(name, Outcome.FAILED, reason)


def _unknown(name: str, reason: str, *, required: bool = True) -> Check:
    return Check(name, Outcome.UNKNOWN, reason, required)
