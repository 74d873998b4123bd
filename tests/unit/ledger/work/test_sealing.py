"""Sealing on a real store, with a fake authority and a fake chain: receipts, closing, witnesses,
and proofs at every stage."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import Clock
from fakes import CHAIN_ID, ORIGIN, FakeAuthority, FakeChain, FakeWorld, When, digests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leaves import begin_as_before, entries, leaves

from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Damaged,
    InvalidInput,
    NotFound,
    StorageFailure,
    Unreachable,
)
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import parse_header
from witnesstree.ledger.log.note import check_checkpoint
from witnesstree.ledger.log.opening import opening_digest, parse_opening
from witnesstree.ledger.log.statement import parse_statement
from witnesstree.ledger.proof.proof import Proof, format_proof
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.blinding import Blinding
from witnesstree.ledger.store.database.values import BatchState, JobKind
from witnesstree.ledger.store.home import Home
from witnesstree.ledger.store.metadata import Transaction
from witnesstree.ledger.tree import levels
from witnesstree.ledger.tree.tree import root_from_path
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import verify
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.lookup import Entry
from witnesstree.ledger.work.outbox import Witnesses
from witnesstree.ledger.work.sealing import Ledger, Limits, Span

SMALL = Limits(entries=3, age=timedelta(minutes=10), patience=5)
A, B, C, D, E, F, G = digests("entry", 7)


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> FakeWorld:
    return FakeWorld(tmp_path / "home", clock)


@pytest.fixture
def ledger(world: FakeWorld) -> Iterator[Ledger]:
    with world.open() as ledger:
        yield ledger


def seal(ledger: Ledger, *submitted: bytes) -> None:
    ledger.submit(b"".join(submitted))
    ledger.close()
    assert ledger.outbox.work() == []


def verdict(world: FakeWorld, digest: bytes, proof: Proof) -> Verdict:
    return verify(digest, format_proof(proof), world.trust, world.clock()).verdict


def require_sound(world: FakeWorld, ledger: Ledger) -> None:
    assert list(check_ledger(ledger, Trust((world.authority.root,)))) == []


# From a digest to its proof


def test_the_way_of_a_digest(world: FakeWorld, ledger: Ledger, clock: Clock) -> None:
    receipt = ledger.submit(A + B)
    assert (receipt.origin, receipt.received, receipt.spans) == (ORIGIN, clock(), (Span(0, 2, 2),))
    assert ledger.proof(A) == Proof(A)
    assert ledger.proof(A).missing == ("inclusion", "token", "anchor")
    assert verdict(world, A, ledger.proof(A)) is Verdict.UNDECIDED

    assert ledger.close() == [0]
    sealed = ledger.proof(B)
    assert sealed.missing == ("token", "anchor")
    assert verdict(world, B, sealed) is Verdict.UNDECIDED

    assert ledger.outbox.work() == []
    proof = ledger.proof(B)
    assert proof.missing == ()
    assert verdict(world, B, proof) is Verdict.VERIFIED
    assert verdict(world, A, ledger.proof(A)) is Verdict.VERIFIED
    assert verdict(world, C, ledger.proof(A)) is Verdict.FAILED
    require_sound(world, ledger)


def test_a_proof_holds_what_the_ledger_states(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    block = world.chain.recent_block()
    ledger.submit(A)
    clock.tick(5)
    ledger.close()
    assert ledger.outbox.work() == []
    proof = ledger.proof(A)
    assert proof.inclusion
    assert proof.opening
    assert proof.log
    assert (proof.inclusion.position, proof.inclusion.size) == (2, 4)
    opening = parse_opening(proof.opening.record)
    assert (opening.origin, opening.batch) == (ORIGIN, 0)
    assert opening.block
    assert (opening.block.chain_id, opening.block.number, opening.block.hash) == (
        CHAIN_ID,
        block.number,
        block.hash,
    )
    assert proof.opening.header == block.header
    assert (
        root_from_path(opening_digest(proof.opening.record), 0, 4, proof.opening.path)
        == proof.inclusion.root
    )
    statement = parse_statement(proof.log.statement)
    assert (statement.sequence, statement.count, statement.root) == (0, 4, proof.inclusion.root)
    assert (statement.closed - statement.opened) == timedelta(seconds=5)
    checkpoint = check_checkpoint(proof.log.checkpoint, world.home.verifier_key())
    assert checkpoint
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, 1)
    assert world.authority.stamped == [proof.inclusion.root]
    assert world.chain.anchored == {proof.inclusion.root: 1}


def test_every_opening_names_the_newest_checkpoint(ledger: Ledger) -> None:
    checkpoints = []
    for digest in (A, B, C):
        with ledger.metadata.read() as transaction:
            checkpoints.append(transaction.checkpoint())
        seal(ledger, digest)
    for digest, checkpoint in zip((A, B, C), checkpoints, strict=True):
        proof = ledger.proof(digest)
        assert proof.opening
        assert parse_opening(proof.opening.record).checkpoint == opening_digest(checkpoint)


@pytest.mark.parametrize("packed", [b"", bytes(31), bytes(33), bytes(63)])
def test_what_is_no_whole_digest_is_refused(ledger: Ledger, packed: bytes) -> None:
    with pytest.raises(InvalidInput):
        ledger.submit(packed)
    assert ledger.close() == []


def test_the_opening_record_is_an_entry_too(world: FakeWorld, ledger: Ledger) -> None:
    seal(ledger, A)
    opening = ledger.proof(A).opening
    assert opening
    digest = opening_digest(opening.record)
    assert list(ledger.entries(digest)) == [Entry(0, 0, is_sealed=True)]
    assert verdict(world, digest, ledger.proof(digest)) is Verdict.VERIFIED


# Batches


def test_a_submission_goes_on_in_the_next_batches(world: FakeWorld) -> None:
    with world.open(SMALL) as ledger:
        receipt = ledger.submit(A + B + C + D + E + F + G)
        assert receipt.spans == (Span(0, 2, 3), Span(1, 2, 3), Span(2, 2, 1))
        # The next one goes behind it, and behind the blinding leaf that fills its pair.
        assert ledger.submit(A + B + C).spans == (Span(2, 4, 1), Span(3, 2, 2))
        assert ledger.close() == [0, 1, 2, 3]
        assert ledger.outbox.work() == []
        for i, digest in enumerate((A, B, C, D, E, F, G)):
            assert next(ledger.entries(digest)) == Entry(i // 3, 2 + i % 3, is_sealed=True)
            assert verdict(world, digest, ledger.proof(digest)) is Verdict.VERIFIED
        require_sound(world, ledger)


@pytest.mark.parametrize("begun", [0, 1])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize(
    "step", [(BatchFiles, "append"), (Transaction, "set_count"), (Transaction, "open_batch")]
)
def test_a_submission_over_several_batches_counts_whole_or_not_at_all(
    world: FakeWorld, step: tuple[type, str], when: When, at: int, begun: int
) -> None:
    """Whichever batch it is that cannot be written to, and whether that took hold or not."""
    many, first = digests("many", 8), digests("first", begun)
    whole, calls = getattr(*step), 0

    def refusing(*args: object) -> None:
        nonlocal calls
        calls += 1
        if calls == at + 1 and when is When.BEFORE:
            raise StorageFailure("write-failed", path="batches", error="no room")
        whole(*args)
        if calls == at + 1:
            raise StorageFailure("write-failed", path="batches", error="no room")

    with world.open(SMALL) as ledger:
        if first:
            ledger.submit(b"".join(first))
        with ledger.metadata.read() as transaction:
            before = transaction.open_batches()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*step, refusing)
            with pytest.raises(StorageFailure) as error:
                ledger.submit(b"".join(many))
        assert error.value.message.code == "write-failed"
        with ledger.metadata.read() as transaction:
            assert transaction.open_batches() == before
        assert set(ledger.find(first + many)) == set(first)
        require_sound(world, ledger)
        # The next one takes the places that nothing took.
        spans = ledger.submit(b"".join(many)).spans
        assert spans[0] == (Span(0, 4, 1) if first else Span(0, 2, 3))
        assert sum(span.count for span in spans) == 8
        stored = [
            ledger.files.digest_at(span.batch, span.first + number)
            for span in spans
            for number in range(span.count)
        ]
        assert stored == many
        ledger.close()
        assert [
            leaf for batch in range(spans[-1].batch + 1) for leaf in entries(ledger, batch)
        ] == (first + many)
        assert ledger.outbox.work() == []
        require_sound(world, ledger)
        assert verdict(world, many[-1], ledger.proof(many[-1])) is Verdict.VERIFIED


def test_a_full_batch_closes_when_the_next_entry_comes(world: FakeWorld) -> None:
    with world.open(SMALL) as ledger:
        ledger.submit(A + B + C)
        with ledger.metadata.read() as transaction:
            (full,) = transaction.open_batches()
        assert (full.count, full.entries, full.state) == (6, 3, BatchState.OPEN)
        assert ledger.submit(D).spans == (Span(1, 2, 1),)
        with ledger.metadata.read() as transaction:
            assert [batch.state for batch in transaction.open_batches()] == [
                BatchState.FROZEN,
                BatchState.OPEN,
            ]


def test_a_batch_that_is_due_closes_when_the_next_entry_comes(
    world: FakeWorld, clock: Clock
) -> None:
    with world.open(SMALL) as ledger:
        ledger.submit(A)
        clock.tick(SMALL.age.total_seconds() - 1)
        assert ledger.submit(B).spans == (Span(0, 4, 1),)
        clock.tick(1)
        assert ledger.submit(C).spans == (Span(1, 2, 1),)
        assert ledger.close() == [0, 1]


def test_a_clock_that_was_set_back_stops_nothing(
    world: FakeWorld, ledger: Ledger, clock: Clock
) -> None:
    ledger.submit(A)
    clock.tick(-300)
    assert ledger.submit(B).spans == (Span(0, 4, 1),)
    ledger.close()
    assert ledger.outbox.work() == []
    require_sound(world, ledger)


def test_closing_nothing_does_nothing(ledger: Ledger) -> None:
    assert ledger.close() == []
    seal(ledger, A)
    assert ledger.close() == []
    assert ledger.outbox.work() == []


def test_fractions_of_a_second_are_cut_off(ledger: Ledger, clock: Clock) -> None:
    clock.tick(0.75)
    receipt = ledger.submit(A)
    assert receipt.received.microsecond == 0
    ledger.close()
    assert ledger.batch(0).closed == receipt.received


def test_a_batch_that_is_not_sealed_is_not_found(ledger: Ledger) -> None:
    ledger.submit(A)
    with pytest.raises(NotFound, match="batch 0 is not sealed"):
        ledger.batch(0)


# Pairs of leaves


@st.composite
def _groups(draw: st.DrawFn) -> list[list[int]]:
    """Lengths of the runs that are submitted together, several times."""
    return draw(
        st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=4)
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=_groups(), limit=st.integers(1, 9))
def test_no_two_runs_share_a_pair(clock: Clock, groups: list[list[int]], limit: int) -> None:
    """Whatever their lengths, however many there are at once, and whatever a batch holds."""
    limits = Limits(entries=limit, age=timedelta(hours=1), patience=5)
    taken: dict[tuple[int, int], int] = {}
    stored: dict[tuple[int, int], bytes] = {}
    with TemporaryDirectory() as folder:
        world = FakeWorld(Path(folder) / "home", clock, limits)
        with world.open() as ledger:
            number = 0
            for lengths in groups:
                runs = []
                for length in lengths:
                    runs.append(digests(f"run {number + len(runs)}", length))
                _, places = ledger.submit_runs([b"".join(run) for run in runs])
                for run, spans in zip(runs, places, strict=True):
                    found = [
                        (span.batch, span.first + at) for span in spans for at in range(span.count)
                    ]
                    stored |= dict(zip(found, run, strict=True))
                    for batch, position in found:
                        assert taken.setdefault((batch, position // 2), number) == number
                    number += 1
            with ledger.metadata.read() as transaction:
                unsealed = transaction.open_batches()
            blinding = Blinding(world.home)
            for batch in unsealed:
                here = leaves(ledger, batch.sequence)
                assert len(here) % 2 == 0
                assert batch.entries <= limit
                assert batch.entries + batch.fillers + 1 == batch.count
                # Beside the opening record, and wherever no entry is, stands a blinding leaf.
                assert here[0] == opening_digest(batch.opening)
                for position, leaf in enumerate(here[1:], 1):
                    place = batch.sequence, position
                    assert leaf == stored.pop(place, blinding.leaf(*place))
            assert stored == {}
            assert sum(batch.entries for batch in unsealed) == sum(map(sum, groups))
            assert list(check_ledger(ledger, Trust(()))) == []


def test_a_run_that_goes_over_several_batches_has_its_pairs_to_itself(world: FakeWorld) -> None:
    with world.open(SMALL) as ledger:
        _, (one, many, last) = ledger.submit_runs([A, B + C + D + E + F, G])
        assert one == (Span(0, 2, 1),)
        assert many == (Span(0, 4, 1), Span(1, 2, 3), Span(2, 2, 1))
        assert last == (Span(2, 4, 1),)
        assert ledger.close() == [0, 1, 2]
        blinding = Blinding(world.home)
        assert [leaves(ledger, batch)[1:] for batch in range(3)] == [
            [blinding.leaf(0, 1), A, blinding.leaf(0, 3), B, blinding.leaf(0, 5)],
            [blinding.leaf(1, 1), C, D, E, blinding.leaf(1, 5)],
            [blinding.leaf(2, 1), F, blinding.leaf(2, 3), G, blinding.leaf(2, 5)],
        ]
        assert [ledger.batch(batch).entries for batch in range(3)] == [2, 3, 2]
        require_sound(world, ledger)


def test_no_path_shows_another_run(world: FakeWorld, ledger: Ledger) -> None:
    _, places = ledger.submit_runs([A, B + C, D, E + F + G])
    ledger.close()
    runs = ([A], [B, C], [D], [E, F, G])
    assert len(places) == len(runs)
    for run in runs:
        for digest in run:
            proof = ledger.proof(digest)
            assert proof.inclusion
            assert proof.opening
            others = {A, B, C, D, E, F, G} - set(run)
            assert others.isdisjoint((*proof.inclusion.path, *proof.opening.path))


@pytest.mark.parametrize("entries_before", [1, 2, 3])
def test_a_batch_that_an_older_version_began_goes_on_even(
    world: FakeWorld, ledger: Ledger, entries_before: int
) -> None:
    """It has no blinding leaf beside its opening record, and perhaps an odd number of leaves."""
    before = digests("before", entries_before)
    begin_as_before(ledger, before)
    odd = (1 + entries_before) % 2
    _, places = ledger.submit_runs([B, C + D])
    first = 1 + entries_before + odd
    assert places == [(Span(0, first, 1),), (Span(0, first + 2, 2),)]
    with ledger.metadata.read() as transaction:
        (batch,) = transaction.open_batches()
    assert (batch.count, batch.entries, batch.fillers) == (
        first + 4,
        entries_before + 3,
        1 + odd,
    )
    assert entries(ledger, 0) == [*before, B, C, D]
    ledger.close()
    assert ledger.outbox.work() == []
    require_sound(world, ledger)
    for digest in (*before, B, C, D):
        assert verdict(world, digest, ledger.proof(digest)) is Verdict.VERIFIED


def test_blinding_leaves_that_cannot_be_told_stop_nothing_but_new_entries(
    world: FakeWorld, ledger: Ledger
) -> None:
    seal(ledger, A)
    path = world.home.folder / "keys" / "blinding.key"
    path.write_text("nonsense\n")
    with world.open() as other:
        with pytest.raises(Damaged, match="it must hold 64 hexadecimal digits"):
            other.submit(B)
        assert other.find([B]) == {}
        assert verdict(world, A, other.proof(A)) is Verdict.VERIFIED
        path.unlink()
        other.submit(B)
        assert other.close() == [1]
        assert other.outbox.work() == []
        require_sound(world, other)


# The same digest, again and again


def test_each_submission_has_its_own_receipt(world: FakeWorld, ledger: Ledger) -> None:
    assert ledger.submit(A).spans == (Span(0, 2, 1),)
    assert ledger.submit(A + A).spans == (Span(0, 4, 2),)
    ledger.close()
    seal(ledger, B, A)
    assert ledger.submit(A).spans == (Span(2, 2, 1),)
    found = [(entry.batch, entry.position, entry.is_sealed) for entry in ledger.entries(A)]
    assert found == [(0, 2, True), (0, 4, True), (0, 5, True), (1, 3, True), (2, 2, False)]
    assert list(ledger.entries(A, 1)) == [Entry(1, 3, is_sealed=True)]
    assert list(ledger.entries(A, 7)) == []
    assert ledger.outbox.work() == []

    earliest, later = ledger.proof(A), ledger.proof(A, 1)
    assert earliest.inclusion
    assert later.inclusion
    assert (earliest.inclusion.position, later.inclusion.position) == (2, 3)
    assert ledger.proof(A, 2) == Proof(A)
    assert verdict(world, A, later) is Verdict.VERIFIED
    for entry in list(ledger.entries(A))[:4]:
        assert verdict(world, A, ledger.proof_of(A, entry)) is Verdict.VERIFIED


def test_digests_that_begin_alike_are_told_apart(ledger: Ledger) -> None:
    alike = [A[:8] + bytes([i]) * 24 for i in range(5)]
    seal(ledger, *alike)
    assert [list(ledger.entries(digest)) for digest in alike] == [
        [Entry(0, 2 + i, is_sealed=True)] for i in range(5)
    ]
    assert list(ledger.entries(A)) == []


def test_what_was_never_submitted_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="is not in this ledger: seal the file first"):
        ledger.proof(A)
    seal(ledger, A)
    ledger.submit(B)
    with pytest.raises(NotFound):
        ledger.proof(C)
    with pytest.raises(NotFound, match="is not in batch 1"):
        ledger.proof(A, 1)


def test_many_digests_are_found_at_once(ledger: Ledger) -> None:
    seal(ledger, A, B)
    seal(ledger, B, C)
    ledger.submit(D + A)
    found = ledger.find([A, B, C, D, E])
    assert {
        digest: (entry.batch, entry.position, entry.is_sealed) for digest, entry in found.items()
    } == {
        A: (0, 2, True),
        B: (0, 3, True),
        C: (1, 3, True),
        D: (2, 2, False),
    }


# Chains and authorities that are down


@pytest.mark.parametrize("error", [Unreachable("down"), BadAnswer("nonsense")])
def test_a_chain_that_is_down_does_not_stop_a_submission(
    world: FakeWorld, ledger: Ledger, error: Exception
) -> None:
    world.chain.switches.fail("recent_block", error=error)
    seal(ledger, A)
    proof = ledger.proof(A)
    assert proof.opening
    assert parse_opening(proof.opening.record).block is None
    assert proof.opening.header is None
    assert verdict(world, A, proof) is Verdict.VERIFIED
    require_sound(world, ledger)


def test_the_next_chain_is_asked_for_a_block(world: FakeWorld, clock: Clock) -> None:
    other = FakeChain("other", clock)
    world.chain.switches.fail("recent_block")
    with world.open(
        witnesses=Witnesses({}, {"fake-chain": world.chain, "other": other}, {})
    ) as ledger:
        ledger.submit(A)
        with ledger.metadata.read() as transaction:
            (batch,) = transaction.open_batches()
    assert batch.header is not None
    assert keccak256(batch.header) == other.recent_block().hash


def test_the_block_is_asked_for_once_a_batch(world: FakeWorld, ledger: Ledger) -> None:
    world.chain.switches.fail(
        "recent_block", error=AssertionError("asked again"), when=When.BEFORE, times=0
    )
    ledger.submit(A)
    world.chain.switches.fail("recent_block", error=AssertionError("asked again"))
    ledger.submit(B)
    ledger.close()


def test_several_authorities_and_chains_each_get_their_job(world: FakeWorld, clock: Clock) -> None:
    other_authority, other_chain = (
        FakeAuthority("other-authority", clock),
        FakeChain("other-chain", clock),
    )
    authorities = {"fake-authority": world.authority, "other-authority": other_authority}
    chains = {"fake-chain": world.chain, "other-chain": other_chain}
    with world.open(witnesses=Witnesses(authorities, chains, {})) as ledger:
        ledger.submit(A)
        ledger.close()
        order: list[tuple[JobKind, str]] = []
        assert ledger.outbox.work(lambda job, _error: order.append((job.kind, job.target))) == []
        assert order == [
            (JobKind.STAMP, "fake-authority"),
            (JobKind.STAMP, "other-authority"),
            (JobKind.ANCHOR, "fake-chain"),
            (JobKind.ANCHOR, "other-chain"),
        ]
        proof = ledger.proof(A)
        assert (len(proof.tokens), len(proof.anchors)) == (2, 2)


# Files that are not what they were


def test_a_tree_that_was_altered_gives_no_proof(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(levels, "STEP", 1)
    seal(ledger, A, B, C)
    path = ledger.files.nodes_path(0)
    path.write_bytes(bytes(32) + path.read_bytes()[32:])
    with pytest.raises(Damaged, match="fsck"):
        ledger.proof(A)


def test_a_digest_that_was_altered_gives_no_proof_to_its_neighbour(ledger: Ledger) -> None:
    seal(ledger, A, B, C)
    path = ledger.files.digests_path(0)
    content = path.read_bytes()
    path.write_bytes(content[:96] + bytes(32) + content[128:])
    with pytest.raises(Damaged):
        ledger.proof(A)
    # The index says that the digest itself was here, and the entry at its position is another.
    with pytest.raises(Damaged, match="fsck"):
        ledger.proof(B)


@pytest.mark.parametrize(
    "harm", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-12])]
)
def test_an_index_that_lacks_something_says_so(
    ledger: Ledger, harm: Callable[[Path], object]
) -> None:
    seal(ledger, A, B)
    harm(ledger.files.index_path(0))
    for digest in (A, B):
        with pytest.raises(Damaged):
            ledger.proof(digest)
    assert ledger.mend_indexes() == 1
    assert ledger.proof(A).missing == ()


def test_an_open_batch_that_was_altered_is_not_sealed(world: FakeWorld, ledger: Ledger) -> None:
    ledger.submit(A + B)
    path = ledger.files.digests_path(0)
    whole = path.read_bytes()
    for at in (0, 40, 95, 127):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(Damaged, match="does not hold the entries that were acknowledged"):
            ledger.close()
    for content in (whole[:-1], b""):
        path.write_bytes(content)
        with pytest.raises(Damaged):
            ledger.close()
    path.unlink()
    with pytest.raises(Damaged):
        ledger.close()
    assert ledger.outbox.unfinished() == []
    # What comes in meanwhile is safe in the next batch, and mending the file mends the ledger.
    assert ledger.submit(C).spans == (Span(1, 2, 1),)
    path.write_bytes(whole)
    assert ledger.close() == [0, 1]
    assert ledger.outbox.work() == []
    require_sound(world, ledger)


@pytest.mark.parametrize("column", ["opening", "header", "opened"])
def test_an_open_batch_whose_record_was_altered_is_not_sealed(
    world: FakeWorld, ledger: Ledger, clock: Clock, column: str
) -> None:
    from sqlalchemy import text

    ledger.submit(A)
    clock.tick(60)
    with ledger.metadata.write() as transaction:
        (batch,) = transaction.open_batches()
        other = {
            "opening": batch.opening.replace(ORIGIN, "ledger.test/other"),
            "header": b"\xc0",
            "opened": format_time(clock()),
        }[column]
        transaction._connection.execute(
            text(f"UPDATE open_batches SET {column} = :value"), {"value": other}
        )
    with pytest.raises(Damaged):
        ledger.close()
    assert len(list(check_ledger(ledger, Trust((world.authority.root,))))) == 1
    with ledger.metadata.read() as transaction:
        assert transaction.batch_count() == 0


def test_the_block_of_an_opening_is_a_block(ledger: Ledger) -> None:
    ledger.submit(A)
    with ledger.metadata.read() as transaction:
        (batch,) = transaction.open_batches()
    assert batch.header is not None
    block = parse_opening(batch.opening).block
    assert block
    assert parse_header(batch.header).hash == block.hash


def test_a_batch_that_another_process_seals_first_is_sealed_once(
    world: FakeWorld, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    (a,) = digests("first", 1)
    ledger.submit(a)
    lock = Home.lock

    @contextmanager
    def late(home: Home, name: str, patience: float) -> Iterator[None]:
        monkeypatch.undo()
        with world.open() as other:
            assert other.close() == [0]
        with lock(home, name, patience):
            yield

    monkeypatch.setattr(Home, "lock", late)
    assert ledger.close() == [0]
    with ledger.metadata.read() as transaction:
        assert transaction.batch_count() == 1
    assert ledger.proof(a).inclusion is not None


def test_an_entry_of_a_batch_that_vanished_is_damage(ledger: Ledger) -> None:
    with pytest.raises(Damaged, match="batch 7 has vanished"):
        ledger.proof_of(bytes(32), Entry(7, 1, is_sealed=True))


def test_a_lost_index_hides_its_own_entries_alone(ledger: Ledger) -> None:
    for entry in (A, B, C):
        seal(ledger, entry)
    ledger.files.index_path(1).unlink()
    assert ledger.proof(A).missing == ()
    for digest in (B, C):
        with pytest.raises(
            Damaged, match=r"00000001.index is missing. `witnesstree fsck --mend-index`"
        ):
            ledger.proof(digest)
    assert ledger.proof(C, batch=2).missing == ()
    # What is left of a batch that lost its digests does not keep others from being mended.
    ledger.files.digests_path(1).unlink()
    ledger.files.index_path(0).unlink()
    with pytest.raises(Damaged, match=r"00000001.digests"):
        ledger.mend_indexes()
    assert ledger.proof(A).missing == ()
