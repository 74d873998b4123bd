"""The auditor: an honest log passes, and one that forks, rewinds, drops a batch, stamps late or
says anything else that is untrue is caught.

Whoever lies here holds the log's key: every false checkpoint is rightly signed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from conftest import START, Clock
from fakes import ORIGIN, FakeWorld, Files, digests
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.anchor.publishing import STATE, publish
from witnesstree.ledger.audit import follow as follow_module
from witnesstree.ledger.audit import seen as seen_module
from witnesstree.ledger.audit.consistency import judge_consistency
from witnesstree.ledger.audit.cosigners import judge_cosignatures
from witnesstree.ledger.audit.equivocation import (
    Equivocation,
    check_equivocation,
    format_equivocation,
    parse_equivocation,
)
from witnesstree.ledger.audit.follow import Followed, follow
from witnesstree.ledger.audit.published import (
    CHECKPOINT,
    FIRST_CHECKPOINT,
    PublishedBatch,
    batch_path,
)
from witnesstree.ledger.audit.seen import Seen, format_seen, parse_seen
from witnesstree.ledger.audit.witnesses import judge_witnesses
from witnesstree.ledger.base.errors import InvalidInput, NotFound
from witnesstree.ledger.base.report import Check, Outcome
from witnesstree.ledger.log import log
from witnesstree.ledger.log.cosignature import CosignerKey, cosigned_message
from witnesstree.ledger.log.note import (
    Checkpoint,
    VerifierKey,
    format_base64,
    parse_checkpoint,
    parse_note,
    sign_checkpoint,
)
from witnesstree.ledger.log.opening import format_opening, opening_digest, parse_opening
from witnesstree.ledger.log.statement import Statement, format_statement, parse_statement
from witnesstree.ledger.log.tiles import (
    ENTRIES,
    WIDTH,
    added_tiles,
    format_bundle,
    format_tile_path,
    parse_bundle,
    tile_hashes,
    tile_reader,
)
from witnesstree.ledger.proof.proof import MAX_PROOF, Proof, format_proof, parse_proof
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import Require

DAY = timedelta(days=1)
SIZE = 5


def entries_in(files: Files) -> list[bytes]:
    size = parse_checkpoint(parse_note(files[CHECKPOINT]).text).size
    return parse_bundle(files[f"tile/entries/000.p/{size}"])


@dataclass(frozen=True)
class Published:
    """An honest log of SIZE batches, whole (`files`) and at each size before, with its key and what
    its auditor trusts."""

    world: FakeWorld
    stages: list[Files]
    trust: Trust
    now: datetime

    @property
    def files(self) -> Files:
        return Files(self.stages[-1])

    @property
    def key(self) -> VerifierKey:
        return self.world.home.verifier_key()

    def signed(self, size: int, root: bytes, origin: str = ORIGIN) -> bytes:
        return sign_checkpoint(
            Checkpoint(origin, size, root), self.world.home.private_key()
        ).encode()

    def forged(self, entries: list[bytes], files: Files | None = None) -> Files:
        """Return the log of these entries, rightly hashed and signed, with the other files of
        `files`."""
        nodes: dict[tuple[int, int], bytes] = {}
        for index, entry in enumerate(entries):
            added = log.added_nodes(
                index, log.leaf_hash(entry), lambda level, position: nodes[level, position]
            )
            nodes.update({(level, position): node for level, position, node in added})
        forged = Files(
            {
                path: content
                for path, content in (files or self.files).items()
                if not path.startswith("tile/")
            }
        )
        for tile in added_tiles(0, len(entries)):
            first = tile.index * WIDTH
            is_bundle = tile.level == ENTRIES
            content = (
                format_bundle(entries[first : first + tile.width])
                if is_bundle
                else tile_hashes(tile, lambda *at: nodes[at])
            )
            forged[format_tile_path(tile)] = content
        forged[CHECKPOINT] = self.signed(
            len(entries), log.log_root(len(entries), lambda *at: nodes[at])
        )
        return forged

    def follow(self, files: Files, seen: Seen | None = None) -> Followed:
        return follow(files.fetch, [self.key], seen, self.now)


@contextmanager
def publishing(tmp: Path, clock: Clock) -> Iterator[tuple[FakeWorld, Callable[..., Files]]]:
    """Give a ledger, and what seals and publishes one more batch of it: `late` is how long it waits
    for its witnesses."""
    world = FakeWorld(tmp / "home", clock)
    with world.open() as ledger:

        def seal(late: timedelta = timedelta(0)) -> Files:
            clock.tick(60)
            ledger.submit(b"".join(digests(f"at {clock()}", 3)))
            clock.tick(60)
            ledger.close()
            clock.tick(late.total_seconds())
            assert ledger.outbox.work() == []
            publish(ledger, tmp / "published")
            return Files.of(tmp / "published")

        yield world, seal


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    tmp, clock = tmp_path_factory.mktemp("audit"), Clock(START)
    with publishing(tmp, clock) as (world, seal):
        stages = [seal() for _ in range(SIZE)]
        yield Published(world, stages, world.trust, clock())


def failed(checks: tuple[Check, ...] | list[Check]) -> list[str]:
    return [check.name for check in checks if check.outcome is Outcome.FAILED]


def reason(checks: tuple[Check, ...] | list[Check]) -> str:
    return next(check.reason for check in checks if check.outcome is not Outcome.PASSED)


# What is honest


def test_an_honest_log_passes_at_once_and_in_steps(honest: Published) -> None:
    whole = honest.follow(honest.files)
    assert [(check.name, check.outcome) for check in whole.checks] == [
        (name, Outcome.PASSED)
        for name in ("checkpoint", "entries", "tiles", "statements", "opening")
    ]
    assert [record.statement.sequence for record in whole.batches] == list(range(SIZE))
    seen = None
    for size, files in enumerate(honest.stages, 1):
        followed = honest.follow(files, seen)
        assert failed(followed.checks) == []
        assert [record.statement.sequence for record in followed.batches] == [size - 1]
        assert followed.seen
        seen = parse_seen(format_seen(followed.seen))
    assert seen == whole.seen
    assert seen
    # Nothing new: nothing is left to read.
    again = honest.follow(honest.files, seen)
    assert (again.seen, again.batches, failed(again.checks)) == (seen, (), [])


def test_its_witnesses_were_there_in_time(honest: Published) -> None:
    records = honest.follow(honest.files).batches
    checks, waiting = judge_witnesses(records, honest.trust, honest.now, DAY, Require.BOTH)
    assert [(check.name, check.outcome) for check in checks] == [
        ("stamped", Outcome.PASSED),
        ("anchored", Outcome.PASSED),
    ]
    assert waiting == ()
    only, _ = judge_witnesses(records, honest.trust, honest.now, DAY, Require.TOKEN)
    assert [check.name for check in only] == ["stamped"]


def test_a_published_record_is_a_proof_that_anyone_can_verify(honest: Published) -> None:
    proof = parse_proof(honest.files[batch_path(2)])
    assert proof.missing == ()
    assert proof.inclusion
    assert (proof.inclusion.position, proof.inclusion.size) == (0, 6)


def test_without_a_key_nothing_is_decided(honest: Published) -> None:
    followed = follow(honest.files.fetch, [], None, honest.now)
    assert followed.checks[0].outcome is Outcome.UNKNOWN
    assert failed(followed.checks) == []
    assert followed.seen is None


# What is caught: the four that matter most


@pytest.mark.parametrize("size", [3, SIZE], ids=["as long", "longer"])
def test_a_fork_is_caught_and_both_checkpoints_prove_it(honest: Published, size: int) -> None:
    seen = honest.follow(honest.stages[2]).seen
    assert seen
    entries = entries_in(honest.files)[:size]
    statement = parse_statement(entries[1])
    entries[1] = format_statement(replace(statement, root=bytes(32))).encode()

    followed = honest.follow(honest.forged(entries), seen)

    assert failed(followed.checks) == ["consistency"]
    assert "The log forks" in reason(followed.checks)
    assert followed.seen is None
    found = followed.equivocation
    assert found
    assert (found.first, found.second) == (seen.checkpoint, followed.note)
    kept = parse_equivocation(format_equivocation(found))
    assert kept == found
    assert check_equivocation(kept, honest.key)


def test_a_rewound_log_is_caught(honest: Published) -> None:
    seen = honest.follow(honest.files).seen
    followed = honest.follow(honest.stages[2], seen)
    assert failed(followed.checks) == ["consistency"]
    assert f"The log rewinds: it had {SIZE} entries when it was seen last, and has 3 now" in reason(
        followed.checks
    )
    assert followed.seen is None
    # It may be an old copy that somebody serves: both checkpoints are kept, and prove no fork.
    assert followed.equivocation
    assert not check_equivocation(followed.equivocation, honest.key)


@pytest.mark.parametrize("dropped", range(SIZE - 1))
def test_a_dropped_batch_is_caught(honest: Published, dropped: int) -> None:
    entries = entries_in(honest.files)
    del entries[dropped]
    followed = honest.follow(honest.forged(entries))
    assert failed(followed.checks) == ["statements"]
    assert f"entry {dropped} of the log states batch {dropped + 1}" in reason(followed.checks)
    assert followed.seen is None


def test_a_batch_that_is_stamped_and_anchored_late_is_caught(tmp_path: Path) -> None:
    clock = Clock(START)
    with publishing(tmp_path, clock) as (world, seal):
        seal()
        files = seal(late=timedelta(hours=30))
        records = follow(files.fetch, [world.home.verifier_key()], None, clock()).batches
        checks, waiting = judge_witnesses(records, world.trust, clock(), DAY, Require.BOTH)
    assert [(check.name, check.outcome) for check in checks] == [
        ("stamped", Outcome.PASSED),
        ("batch[1].stamped", Outcome.FAILED),
        ("anchored", Outcome.PASSED),
        ("batch[1].anchored", Outcome.FAILED),
    ]
    assert (
        "Batch 1 is late: it closed at 2026-11-23T08:04:00Z and was stamped at"
        " 2026-11-24T14:04:01Z, more than 24 hours later." in checks[1].reason
    )
    assert [statement.sequence for statement in waiting] == [1]
    punctual, _ = judge_witnesses(records, world.trust, clock(), timedelta(hours=31), Require.BOTH)
    assert failed(punctual) == []


# Witnesses that are missing, unknown or false


def without_witnesses(record: PublishedBatch) -> PublishedBatch:
    return PublishedBatch(record.statement, replace(record.proof, tokens=(), anchors=()))


def test_what_is_not_due_is_waited_for_and_what_is_due_is_missed(honest: Published) -> None:
    record = without_witnesses(honest.follow(honest.files).batches[0])
    before, waiting = judge_witnesses(
        [record], honest.trust, record.statement.closed + DAY, DAY, Require.BOTH
    )
    assert [(check.name, check.outcome, check.required) for check in before] == [
        ("batch[0].stamped", Outcome.UNKNOWN, False),
        ("batch[0].anchored", Outcome.UNKNOWN, False),
    ]
    assert waiting == (record.statement,)
    after, _ = judge_witnesses(
        [record],
        honest.trust,
        record.statement.closed + DAY + timedelta(seconds=1),
        DAY,
        Require.BOTH,
    )
    assert failed(after) == ["batch[0].stamped", "batch[0].anchored"]


def test_an_auditor_who_trusts_nobody_decides_nothing(honest: Published) -> None:
    checks, waiting = judge_witnesses(
        honest.follow(honest.files).batches, Trust(), honest.now, DAY, Require.BOTH
    )
    assert {check.outcome for check in checks} == {Outcome.UNKNOWN}
    assert all(check.required for check in checks)
    assert len(waiting) == SIZE


def test_witnesses_of_another_batch_are_caught(honest: Published) -> None:
    first, second = honest.follow(honest.files).batches[:2]
    swapped = PublishedBatch(
        first.statement,
        replace(first.proof, tokens=second.proof.tokens, anchors=second.proof.anchors),
    )
    checks, _ = judge_witnesses([swapped], honest.trust, honest.now, DAY, Require.BOTH)
    assert failed(checks) == ["batch[0].stamped", "batch[0].anchored"]


def test_a_deadline_beyond_the_calendar_is_never_missed(honest: Published) -> None:
    record = without_witnesses(honest.follow(honest.files).batches[0])
    checks, _ = judge_witnesses(
        [record], honest.trust, honest.now, timedelta(days=365 * 9000), Require.BOTH
    )
    assert failed(checks) == []


def test_batches_that_wait_are_looked_at_again(honest: Published) -> None:
    followed = honest.follow(honest.stages[2])
    assert followed.seen
    seen = parse_seen(format_seen(replace(followed.seen, waiting=(followed.batches[1].statement,))))
    again = honest.follow(honest.files, seen)
    assert [record.statement.sequence for record in again.batches] == [1, 3, 4]
    for change in ({batch_path(1): honest.files[batch_path(2)]}, {batch_path(1): b"{}"}):
        changed = honest.follow(Files(honest.files | change), seen)
        assert failed(changed.checks) == ["opening"]
        assert changed.seen is None


# Everything else that may be wrong with what is published


def changed_proof(files: Files, change: Callable[[Proof], Proof], sequence: int = 2) -> Files:
    path = batch_path(sequence)
    return Files(files | {path: format_proof(change(parse_proof(files[path])))})


def other_opening(honest: Published, **members: object) -> Files:
    """Return the log in which batch 2 holds nothing but another opening record: its root,
    statement, tiles and signatures are made to fit."""
    proof = parse_proof(honest.files[batch_path(2)])
    assert proof.opening
    record = format_opening(replace(parse_opening(proof.opening.record), **members))  # type: ignore[arg-type]
    digest = opening_digest(record)
    entries = entries_in(honest.files)[:3]
    entries[2] = format_statement(
        replace(parse_statement(entries[2]), count=1, root=digest)
    ).encode()
    files = honest.forged(entries)

    def change(proof: Proof) -> Proof:
        assert proof.inclusion
        assert proof.opening
        assert proof.log
        return replace(
            proof,
            digest=digest,
            inclusion=replace(proof.inclusion, size=1, root=digest, path=()),
            opening=replace(proof.opening, record=record, path=()),
            log=replace(
                proof.log, checkpoint=files[CHECKPOINT].decode(), statement=entries[2].decode()
            ),
        )

    return changed_proof(files, change)


def test_the_forger_of_these_tests_can_forge(honest: Published) -> None:
    assert failed(honest.follow(other_opening(honest)).checks) == []
    forged = honest.forged(entries_in(honest.files))
    assert forged.items() <= honest.files.items()
    assert forged[CHECKPOINT] == honest.files[CHECKPOINT]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"checkpoint": bytes(32)}, "names none of the checkpoints that were signed before it"),
        ({"batch": 1}, "name different ledgers, batches or opening times"),
        ({"origin": "ledger.test/other"}, "name different ledgers, batches or opening times"),
        ({"opened": START}, "name different ledgers, batches or opening times"),
    ],
    ids=["an unknown checkpoint", "another number", "another ledger", "another time"],
)
def test_an_opening_record_that_does_not_fit_is_caught(
    honest: Published, members: dict[str, object], said: str
) -> None:
    followed = honest.follow(other_opening(honest, **members))
    assert failed(followed.checks) == ["batch[2].opening"]
    assert said in reason(followed.checks)
    assert followed.seen is None


def test_an_opening_record_that_names_an_earlier_checkpoint_than_the_batch_before_is_caught(
    honest: Published,
) -> None:
    first = opening_digest(honest.files[FIRST_CHECKPOINT].decode())
    followed = honest.follow(other_opening(honest, checkpoint=first))
    assert failed(followed.checks) == ["batch[2].opening"]


RECORDS: dict[str, tuple[Callable[[Published], Files], str]] = {
    "no record": (
        lambda honest: Files(
            {path: content for path, content in honest.files.items() if path != batch_path(2)}
        ),
        "is not there",
    ),
    "no proof": (
        lambda honest: Files(honest.files | {batch_path(2): b"[]"}),
        "expected a JSON object",
    ),
    "another batch's": (
        lambda honest: Files(honest.files | {batch_path(2): honest.files[batch_path(1)]}),
        "does not lead to the root",
    ),
    "no opening record": (
        lambda honest: changed_proof(honest.files, lambda proof: replace(proof, opening=None)),
        "is not its opening record",
    ),
    "no log": (
        lambda honest: changed_proof(honest.files, lambda proof: replace(proof, log=None)),
        "expected a signed note",
    ),
    "another digest": (
        lambda honest: changed_proof(honest.files, lambda proof: replace(proof, digest=bytes(32))),
        "is not its opening record",
    ),
    "a path too long": (
        lambda honest: changed_proof(
            honest.files,
            lambda proof: (
                replace(proof, opening=replace(proof.opening, path=(bytes(32),) * 9))
                if proof.opening
                else proof
            ),
        ),
        "is not its opening record",
    ),
    "an inclusion elsewhere": (
        lambda honest: changed_proof(
            honest.files,
            lambda proof: (
                replace(proof, inclusion=replace(proof.inclusion, position=1))
                if proof.inclusion
                else proof
            ),
        ),
        "is not its opening record",
    ),
    "an older checkpoint": (
        lambda honest: changed_proof(
            honest.files,
            lambda proof: (
                replace(
                    proof,
                    log=replace(proof.log, checkpoint=honest.files[FIRST_CHECKPOINT].decode()),
                )
                if proof.log
                else proof
            ),
        ),
        "is not that of the log up to this batch",
    ),
    "an unsigned checkpoint": (
        lambda honest: changed_proof(
            honest.files,
            lambda proof: (
                replace(
                    proof,
                    log=replace(
                        proof.log,
                        checkpoint=proof.log.checkpoint.replace("— ledger.test/fake", "— x"),
                    ),
                )
                if proof.log
                else proof
            ),
        ),
        "is not signed by the expected key",
    ),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_does_not_fit_is_caught(honest: Published, name: str) -> None:
    change, said = RECORDS[name]
    followed = honest.follow(change(honest))
    assert failed(followed.checks) == ["batch[2].opening"]
    assert said in reason(followed.checks)
    assert followed.seen is None


PUBLISHED: dict[str, tuple[Callable[[Published], dict[str, bytes]], str, str]] = {
    "the checkpoint is none": (
        lambda honest: {CHECKPOINT: b"\xff"},
        "checkpoint",
        "cannot be read",
    ),
    "another key signed": (
        lambda honest: {
            CHECKPOINT: honest.files[CHECKPOINT].replace(b"\xe2\x80\x94 ledger", b"\xe2\x80\x94 x")
        },
        "checkpoint",
        "not signed",
    ),
    "the signature is wrong": (
        lambda honest: {CHECKPOINT: honest.files[CHECKPOINT].replace(b"\n5\n", b"\n6\n")},
        "checkpoint",
        "not signed",
    ),
    "the first checkpoint is another": (
        lambda honest: {FIRST_CHECKPOINT: honest.files[CHECKPOINT]},
        "opening",
        "not the checkpoint of the empty log",
    ),
    "the first checkpoint is unsigned": (
        lambda honest: {
            FIRST_CHECKPOINT: honest.files[FIRST_CHECKPOINT].replace(b"\n0\n", b"\n1\n")
        },
        "opening",
        "not signed by the expected key",
    ),
    "the entries are others": (
        lambda honest: {"tile/entries/000.p/5": format_bundle(entries_in(honest.files)[::-1])},
        "entries",
        "is not the one in the checkpoint",
    ),
    "the entries are cut": (
        lambda honest: {"tile/entries/000.p/5": format_bundle(entries_in(honest.files)[:4])},
        "entries",
        "expected 5 entries, not 4",
    ),
    "a tile is another": (
        lambda honest: {"tile/0/000.p/5": bytes(5 * 32)},
        "tiles",
        "does not hold the hashes",
    ),
    "a tile is cut": (
        lambda honest: {"tile/0/000.p/5": bytes(4 * 32)},
        "tiles",
        "expected 5 hashes",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_file_that_is_wrong_is_caught(honest: Published, name: str) -> None:
    change, check, said = PUBLISHED[name]
    followed = honest.follow(Files(honest.files | change(honest)))
    assert failed(followed.checks) == [check]
    assert said in reason(followed.checks)
    assert followed.seen is None


@pytest.mark.parametrize(
    ("missing", "check"),
    [
        (FIRST_CHECKPOINT, "opening"),
        ("tile/entries/000.p/5", "entries"),
        ("tile/0/000.p/5", "tiles"),
    ],
)
def test_a_published_file_that_is_missing_is_caught(
    honest: Published, missing: str, check: str
) -> None:
    files = honest.files
    del files[missing]
    assert failed(honest.follow(files).checks) == [check]


def test_where_no_log_is_nothing_is_said(honest: Published) -> None:
    with pytest.raises(NotFound):
        honest.follow(Files())


@given(data=st.data())
def test_a_flipped_bit_in_any_file_that_counts_is_found(
    honest: Published, data: st.DataObject
) -> None:
    files = honest.files
    # What the publisher tells itself counts for nobody else.
    counting = [
        path
        for path in sorted(files)
        if path != STATE and (".p/" not in path or path.endswith(f".p/{SIZE}"))
    ]
    path = data.draw(st.sampled_from(counting))
    content = bytearray(files[path])
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    files[path] = bytes(content)
    followed = honest.follow(files)
    assert len(failed(followed.checks)) == 1
    assert followed.seen is None


STATEMENTS: dict[str, tuple[Callable[[Statement], bytes], str]] = {
    "no statement": (lambda statement: b"what", "entry 2 of the log is not a batch statement"),
    "another ledger's": (
        lambda statement: format_statement(replace(statement, origin="x")).encode(),
        "states a batch of x",
    ),
    "doubled": (
        lambda statement: format_statement(replace(statement, sequence=1)).encode(),
        "states batch 1, not batch 2",
    ),
    "closed in the future": (
        lambda statement: format_statement(
            replace(statement, closed=statement.closed + timedelta(days=3))
        ).encode(),
        "but it is 2026",
    ),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_an_entry_that_is_wrong_is_caught(honest: Published, name: str) -> None:
    change, said = STATEMENTS[name]
    entries = entries_in(honest.files)
    entries[2] = change(parse_statement(entries[2]))
    followed = honest.follow(honest.forged(entries))
    assert failed(followed.checks) == ["statements"]
    assert said.lower() in reason(followed.checks).lower()


def test_a_continuation_whose_tiles_are_wrong_is_caught(honest: Published) -> None:
    seen = honest.follow(honest.stages[2]).seen
    for tile, said in (
        (bytes(5 * 32), "do not lead to the root of the log of 5 entries"),
        (b"", "expected 5 hashes"),
    ):
        followed = honest.follow(Files(honest.files | {"tile/0/000.p/5": tile}), seen)
        assert failed(followed.checks) == ["consistency"]
        assert said in reason(followed.checks)
        # Broken tiles prove nothing against whoever signed.
        assert followed.equivocation is None


def test_the_edge_of_the_old_log_is_derived_too(honest: Published) -> None:
    # The proof of consistency reads hashes 2 and 3 of four; the edge of the old log is hash 2, and
    # (1, 0), which comes from hashes 0 and 1.
    seen = honest.follow(honest.stages[0]).seen
    assert seen
    files = honest.files
    tile = bytearray(files["tile/0/000.p/5"])
    tile[0] ^= 1
    files["tile/0/000.p/5"] = bytes(tile)
    followed = honest.follow(files, seen)
    assert failed(followed.checks) == ["entries"]
    assert "root of the log of 1 entry that was seen before" in reason(followed.checks)


def test_another_log_at_the_same_place_is_caught(honest: Published) -> None:
    seen = honest.follow(honest.files).seen
    assert seen
    other = sign_checkpoint(Checkpoint("x", 1, bytes(32)), honest.world.home.private_key())
    key = VerifierKey("x", honest.key.public_key)
    followed = follow(Files({CHECKPOINT: other.encode()}).fetch, [key], seen, honest.now)
    assert failed(followed.checks) == ["consistency"]
    assert "The checkpoints are of two logs" in reason(followed.checks)


def test_more_checkpoints_than_may_be_behind_are_forgotten(
    honest: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_module, "MAX_LAG", 1)
    seen = honest.follow(honest.files).seen
    assert seen
    assert (seen.named, len(seen.digests)) == (SIZE - 1, 2)


# Two checkpoints


def test_two_checkpoints_are_compared(honest: Published) -> None:
    notes = [files[CHECKPOINT].decode() for files in honest.stages]
    empty = honest.files[FIRST_CHECKPOINT].decode()
    assert judge_consistency(notes[1], notes[4], honest.files.fetch)[0].outcome is Outcome.PASSED
    assert judge_consistency(notes[1], notes[1], None)[0].outcome is Outcome.PASSED
    assert judge_consistency(empty, notes[1], None)[0].outcome is Outcome.PASSED
    assert judge_consistency(notes[1], notes[4], None)[0].outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("first", [0, 2])
def test_what_does_not_prove_an_equivocation(honest: Published, first: int) -> None:
    notes = [
        honest.files[FIRST_CHECKPOINT].decode(),
        *(files[CHECKPOINT].decode() for files in honest.stages),
    ]
    other = honest.signed(2, bytes(32)).decode()
    path = tuple(log.prove_consistency(2, SIZE, tile_reader(SIZE, honest.files.fetch)))
    root = parse_checkpoint(parse_note(notes[2]).text).root
    assert check_equivocation(Equivocation(other, notes[SIZE], root, path), honest.key)
    stranger = VerifierKey(ORIGIN, bytes(32))
    for found, key in [
        (Equivocation(other, notes[SIZE], root, path), stranger),
        (Equivocation(other, notes[SIZE]), honest.key),
        (Equivocation(other, notes[SIZE], bytes(31) + b"\1", path), honest.key),
        (Equivocation(notes[2], notes[SIZE], root, path), honest.key),
        (Equivocation(notes[SIZE], other, root, path), honest.key),
        (Equivocation(notes[first], notes[first]), honest.key),
        (Equivocation(notes[0], notes[SIZE], bytes(32), path), honest.key),
    ]:
        assert not check_equivocation(found, key)


# Witnesses of the checkpoint


def cosigned(honest: Published, name: str, time: datetime) -> tuple[str, CosignerKey]:
    private_key = honest.world.home.private_key()
    key = CosignerKey(name, private_key.public_key().public_bytes_raw())
    note, seconds = honest.files[CHECKPOINT].decode(), int(time.timestamp())
    signature = private_key.sign(cosigned_message(parse_note(note).text, seconds))
    return (
        f"{note}— {name} {format_base64(key.key_id + seconds.to_bytes(8, 'big') + signature)}\n",
        key,
    )


def test_cosignatures_are_counted(honest: Published) -> None:
    note, key = cosigned(honest, "witness.example/w1", honest.now)
    absent = CosignerKey("witness.example/w2", bytes(32))
    one = judge_cosignatures(note, [key, absent], 1, honest.now)
    assert (one.outcome, one.reason) == (
        Outcome.PASSED,
        "1 of 2 cosigners signed the checkpoint (witness.example/w1); 1 is needed.",
    )
    assert judge_cosignatures(note, [key, absent], 2, honest.now).outcome is Outcome.UNKNOWN
    early = judge_cosignatures(note, [key], 1, honest.now - timedelta(hours=1))
    assert early.outcome is Outcome.UNKNOWN
    assert "are ahead of the one here: witness.example/w1." in early.reason


# What is kept


def test_what_is_kept_comes_back(honest: Published) -> None:
    seen = honest.follow(honest.files).seen
    assert seen
    assert parse_seen(format_seen(seen)) == seen


@pytest.mark.parametrize("read", [parse_seen, parse_equivocation])
@given(
    content=st.binary(max_size=200)
    | st.text(max_size=200).map(str.encode)
    | st.sampled_from([b'{"format":"witnesstree-audit/1"}', b"{}"])
)
def test_any_bytes_are_refused_alike(read: Callable[[bytes], object], content: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(content)


def test_what_is_kept_has_limits_and_one_meaning(
    honest: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = honest.follow(honest.files).seen
    assert seen
    for wrong in (replace(seen, digests=()), replace(seen, named=0), replace(seen, checkpoint="x")):
        with pytest.raises(InvalidInput):
            parse_seen(format_seen(wrong))
    with pytest.raises(InvalidInput, match="a newer witnesstree may read it"):
        parse_seen(format_seen(seen).replace(b"audit/1", b"audit/2"))
    with pytest.raises(InvalidInput, match="at most"):
        parse_equivocation(bytes(MAX_PROOF + 1))
    monkeypatch.setattr(seen_module, "MAX_SEEN", 100)
    with pytest.raises(InvalidInput, match="at most 100 bytes"):
        parse_seen(format_seen(seen))
