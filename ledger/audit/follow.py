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
    7  cosignatures            enough cosigners signed the checkpoint (cosigners.py)
    8  stamped, anchored       each batch has a token and an anchor that hold, and that are not
                               later than its deadline (witnesses.py)

`follow` takes steps 1 to 6. A check that
passed for all batches is listed once; one that did not is named for its batch:
`batch[7].stamped`. What does not hold is a check, never an exception; `Fetch` alone may raise.
docs/log.md says what is published where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from witnesstree.ledger.audit.consistency import judge_consistency, root_before
from witnesstree.ledger.audit.equivocation import Equivocation, convicting, stated
from witnesstree.ledger.audit.published import (
    FIRST_CHECKPOINT,
    PublishedBatch,
    checkpoint_of,
    fetch_batch,
    leads_to_statement,
    read_checkpoint,
    read_key_notes,
)
from witnesstree.ledger.audit.seen import MAX_LAG, Seen
from witnesstree.ledger.audit.signers import judge_keys, judge_signature
from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.errors import InvalidInput, NotFound
from witnesstree.ledger.base.message import Message, message
from witnesstree.ledger.base.report import Check, Outcome, failed, passed
from witnesstree.ledger.log.keys import KeyChange, judge_signer, keys_of
from witnesstree.ledger.log.log import EMPTY_ROOT, HASH, Read, added_nodes, leaf_hash, log_root
from witnesstree.ledger.log.note import Checkpoint, VerifierKey
from witnesstree.ledger.log.opening import opening_digest, parse_opening
from witnesstree.ledger.log.statement import Statement, parse_statement
from witnesstree.ledger.log.tiles import (
    ENTRIES,
    HEIGHT,
    WIDTH,
    Fetch,
    added_tiles,
    fetch_entries,
    fetch_hashes,
    tile_reader,
)

if TYPE_CHECKING:
    from witnesstree.ledger.base.message import Value


@dataclass(frozen=True, slots=True)
class Followed:
    """What `follow` found.

    `seen` is what to keep; None says that something is wrong, and that what was kept stays as it
    is.
    """

    checks: tuple[Check, ...]
    note: str = ""
    batches: tuple[PublishedBatch, ...] = ()
    seen: Seen | None = None
    equivocation: Equivocation | None = None


class _Broken(Exception):
    """A log breaks a rule, in a whole sentence."""

    def __init__(self, rule: Message) -> None:
        super().__init__(rule)
        self.rule = rule


def _broken(code: str, **params: Value) -> _Broken:
    return _Broken(message(code, **params))


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
    batches: list[PublishedBatch] = field(default_factory=list)

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
        return Followed((failed("checkpoint", "published-checkpoint-unreadable", error=error),))
    new = checkpoint_of(note)
    try:
        notes = read_key_notes(fetch)
    except InvalidInput as error:
        return Followed((failed("keys", "key-notes-unreadable", error=error),), note)
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
    old = checkpoint_of(seen.checkpoint) if seen else Checkpoint(new.origin, 0, EMPTY_ROOT)
    if seen and new.size < old.size and new.origin == old.origin:
        return Followed(
            (*checks, failed("consistency", "log-rewinds", old=old.size, new=new.size)),
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
        contradicted = message("key-notes-not-comparable", error=error), None
    if contradicted:
        said, equivocation = contradicted
        wrong = Check("keys", Outcome.FAILED, said)
        checks = [wrong if check.name == "keys" else check for check in checks]
        return Followed(tuple(checks), note, tuple(walk.batches), equivocation=equivocation)
    is_sound = following is not None and all(check.outcome is Outcome.PASSED for check in checks)
    return Followed(tuple(checks), note, tuple(walk.batches), following if is_sound else None)


def _walk(walk: _Walk, note: str, seen: Seen | None) -> tuple[list[Check], Seen | None]:
    try:
        first = seen or _first_seen(walk)
        walk.batches += [_fetch_again(walk.fetch, statement) for statement in first.waiting]
    except _Broken as broken:
        return [Check("opening", Outcome.FAILED, broken.rule)], None
    except (InvalidInput, NotFound) as error:
        return [failed("opening", "published-before-unreadable", error=error)], None
    # 3. The entries.
    try:
        entries = _derive(walk)
    except (InvalidInput, NotFound) as error:
        return [failed("entries", "entries-not-to-checkpoint", error=error)], None
    checks = [
        passed("entries", "entries-right", count=len(entries), old=walk.old.size, new=walk.new.size)
    ]
    # 4. The tiles.
    checks.append(_judge_tiles(walk))
    # 5. The statements.
    try:
        statements = _read_statements(walk, entries)
    except _Broken as broken:
        return [*checks, Check("statements", Outcome.FAILED, broken.rule)], None
    checks.append(passed("statements", "statements-right", count=len(statements)))
    # 6. The opening records.
    check, following = _judge_openings(walk, note, statements, first)
    return [*checks, check], following


def _judge_openings(
    walk: _Walk, note: str, statements: Sequence[Statement], first: Seen
) -> tuple[Check, Seen | None]:
    named, digests = first.named, list(first.digests)
    for statement in statements:
        place = f"batch[{statement.sequence}].opening"
        try:
            batch = PublishedBatch(statement, fetch_batch(walk.fetch, statement.sequence))
            named = _open(walk, batch, named, digests)
        except _Broken as broken:
            return Check(place, Outcome.FAILED, broken.rule), None
        except (InvalidInput, NotFound) as error:
            wrong = failed(place, "batch-unreadable", sequence=statement.sequence, error=error)
            return wrong, None
        walk.batches.append(batch)
    check = passed("opening", "openings-right", count=len(statements))
    return check, Seen(note, named, tuple(digests), first.waiting, walk.notes)


def _first_seen(walk: _Walk) -> Seen:
    """Return what an auditor has seen who sees the log for the first time: the checkpoint of the
    empty log.
    """
    note = read_checkpoint(walk.fetch, FIRST_CHECKPOINT)
    if walk.keys and not (signer := judge_signer(note, walk.keys, walk.changes)).is_expected:
        raise _Broken(signer.message)
    if checkpoint_of(note) != Checkpoint(walk.new.origin, 0, EMPTY_ROOT):
        raise InvalidInput("first-checkpoint-wrong", path=FIRST_CHECKPOINT, origin=walk.new.origin)
    return Seen(note, 0, (opening_digest(note),))


def _contradiction(walk: _Walk) -> tuple[Message, Equivocation | None] | None:
    """Return what contradicts the log that was derived: a key note with another root at its size,
    with the evidence.
    """
    for change in walk.changes:
        # One of a larger log is ahead of what is published, and is judged once that is there.
        if not 0 < change.size <= walk.new.size:
            continue
        root, path = root_before(stated(change), walk.new, walk.read())
        if root != change.root:
            said = message("key-note-contradicts-log", number=change.number, size=change.size)
            return said, convicting(
                Equivocation(walk.notes[change.number - 1], walk.note, root, path),
                keys_of(walk.changes),
            )
    return None


# 3 and 4. Entries and tiles


def _derive(walk: _Walk) -> list[bytes]:
    """Return the entries since the old checkpoint, whose hashes, with the old log's edge, lead to
    the new root.

    Raises InvalidInput if they do not.
    """
    old, new, read = walk.old.size, walk.new.size, walk.read()
    if log_root(old, read) != walk.old.root:
        raise InvalidInput("tiles-not-to-seen-root", size=old)
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
        raise InvalidInput("entries-to-other-root")
    return entries


def _judge_tiles(walk: _Walk) -> Check:
    count = 0
    for tile in added_tiles(walk.old.size, walk.new.size):
        if tile.level == ENTRIES:
            continue
        # What was in a tile before was compared before.
        start = max(0, (walk.old.size >> HEIGHT * tile.level) - tile.index * WIDTH)
        positions = range(tile.index * WIDTH + start, tile.index * WIDTH + tile.width)
        expected = b"".join(walk.nodes[tile.level * HEIGHT, position] for position in positions)
        try:
            if fetch_hashes(tile, walk.fetch)[start * HASH :] != expected:
                return failed("tiles", "tile-wrong", index=tile.index, level=tile.level)
        except (InvalidInput, NotFound) as error:
            return failed("tiles", "tile-unreadable", error=error)
        count += 1
    return passed("tiles", "tiles-right", count=count)


# 5. Statements


def _read_statements(walk: _Walk, entries: list[bytes]) -> list[Statement]:
    statements = []
    for index, entry in enumerate(entries, walk.old.size):
        try:
            statement = parse_statement(entry)
        except InvalidInput as error:
            raise _broken("entry-not-statement", index=index, error=error) from None
        if statement.origin != walk.new.origin:
            raise _broken(
                "entry-of-other-ledger", index=index, origin=walk.new.origin, found=statement.origin
            )
        if statement.sequence != index:
            raise _broken("entry-out-of-sequence", index=index, found=statement.sequence)
        if statement.closed - walk.now > SKEW:
            raise _broken(
                "batch-closed-in-future", sequence=index, closed=statement.closed, now=walk.now
            )
        statements.append(statement)
    return statements


# 6. Opening records


def _fetch_again(fetch: Fetch, statement: Statement) -> PublishedBatch:
    batch = PublishedBatch(statement, fetch_batch(fetch, statement.sequence))
    if not leads_to_statement(batch):
        raise InvalidInput("published-batch-not-to-root", sequence=statement.sequence)
    return batch


def _open(walk: _Walk, batch: PublishedBatch, named: int, digests: list[bytes]) -> int:
    """Compare a batch's opening record with the signed checkpoints before it, and return the size
    of the one it names.

    `digests` are those from size `named` on; those before the one that is named go, and that of the
    batch's own checkpoint is added. Raises _Broken if a rule is broken, and what reading raises.
    """
    statement, proof, sequence = batch.statement, batch.proof, batch.statement.sequence
    if not leads_to_statement(batch):
        raise _broken("published-batch-wrong", sequence=sequence)
    assert proof.opening
    opening = parse_opening(proof.opening.record)
    if (opening.origin, opening.batch, opening.opened) != (
        statement.origin,
        sequence,
        statement.opened,
    ):
        raise _broken("opening-contradicts-statement", sequence=sequence)
    if opening.checkpoint not in digests:
        raise _broken("opening-names-no-checkpoint", sequence=sequence)
    behind = digests.index(opening.checkpoint)
    note = proof.log.checkpoint if proof.log else ""
    size = sequence + 1
    if checkpoint_of(note) != Checkpoint(statement.origin, size, log_root(size, walk.read())):
        raise _broken("published-checkpoint-differs", sequence=sequence)
    if walk.keys and not (signer := judge_signer(note, walk.keys, walk.changes)).is_expected:
        raise _Broken(signer.message)
    digests.append(opening_digest(note))
    behind = max(behind, len(digests) - MAX_LAG - 1)
    del digests[:behind]
    return named + behind
