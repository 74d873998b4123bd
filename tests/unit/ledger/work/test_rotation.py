"""The log's key changes: whoever seals next signs with the new one, and whoever knows only an older
one is led there."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import START, Clock
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes import FakeWorld, Files, digests

from witnesstree.anchor.publishing import publish
from witnesstree.anchor.trust import home_trust
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.ledger.audit.equivocation import (
    Equivocation,
    check_equivocation,
    format_equivocation,
    judge_equivocation,
    parse_equivocation,
)
from witnesstree.ledger.audit.follow import Followed
from witnesstree.ledger.audit.follow import follow as follow_log
from witnesstree.ledger.audit.published import CHECKPOINT, key_path
from witnesstree.ledger.audit.seen import Seen, format_seen, parse_seen
from witnesstree.ledger.audit.signers import judge_keys
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.log.keys import (
    MAX_CHANGES,
    MAX_KEY_NOTE,
    KeyChange,
    check_key_note,
    sign_key_change,
)
from witnesstree.ledger.log.log import EMPTY_ROOT
from witnesstree.ledger.log.note import (
    VerifierKey,
    check_checkpoint,
    parse_checkpoint,
    parse_note,
    sign_checkpoint,
)
from witnesstree.ledger.proof.proof import format_proof, parse_proof
from witnesstree.ledger.store.home import Home, open_home
from witnesstree.ledger.store.metadata import Metadata
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import Require, verify
from witnesstree.ledger.work import rotation
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.rotation import destroy_old_keys, rotate
from witnesstree.ledger.work.sealing import Ledger


@pytest.fixture
def world(tmp_path: Path) -> FakeWorld:
    return FakeWorld(tmp_path / "home", Clock(START))


@pytest.fixture
def ledger(world: FakeWorld) -> Iterator[Ledger]:
    with world.open() as ledger:
        yield ledger


def seal(ledger: Ledger, *labels: str) -> None:
    for label in labels:
        ledger.submit(digests(label, 1)[0])
        ledger.close()


def signers(ledger: Ledger) -> list[int]:
    """Return the number of the key that signed the checkpoint, of each size."""
    with ledger.metadata.read() as transaction:
        count = len(transaction.key_notes()) + 1
        notes = [transaction.checkpoint(size) for size in range(transaction.batch_count() + 1)]
    return [
        next(
            number
            for number in range(count)
            if check_checkpoint(note, ledger.home.verifier_key(number))
        )
        for note in notes
    ]


def problems(world: FakeWorld, ledger: Ledger) -> list[str]:
    return [
        f"{problem.place}: {problem.fault}"
        for problem in check_ledger(ledger, Trust((world.authority.root,)))
    ]


def test_the_new_key_signs_from_the_next_checkpoint_on(world: FakeWorld, ledger: Ledger) -> None:
    seal(ledger, "a", "b")
    first = rotate(ledger)
    assert (first.number, first.size, first.old) == (1, 2, world.home.verifier_key())
    assert first.new == world.home.verifier_key(1)
    (path,) = (world.home.folder / "keys").glob("ledger-001-*.pem")
    assert path.stat().st_mode & 0o777 == 0o600
    # Twice at one size: key 1 signs nothing; then once more.
    seal(ledger, "c")
    rotate(ledger)
    assert rotate(ledger).number == 3
    seal(ledger, "d")
    assert signers(ledger) == [0, 0, 0, 1, 3]
    assert problems(world, ledger) == []
    with ledger.metadata.read() as transaction:
        assert transaction.key_notes() == list(open_home(world.home.folder).key_notes())


def test_a_process_that_was_open_meanwhile_signs_with_the_new_key(
    world: FakeWorld, ledger: Ledger
) -> None:
    with world.open() as worker:
        seal(worker, "a")
        rotate(ledger)
        seal(worker, "b")
        rotate(worker)
        seal(ledger, "c")
    assert signers(ledger) == [0, 0, 1, 2]


def test_the_old_key_can_be_destroyed(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "ledger.test/destroyed")
    with open_ledger(home.folder) as ledger:
        rotate(ledger, destroys_old=True)
        rotate(ledger)
    assert private_keys(home) == ["ledger-001.pem", "ledger-002.pem"]
    with open_ledger(home.folder) as ledger:
        seal(ledger, "a")
        assert signers(ledger) == [0, 2]
        # All that handed over, not the last one only.
        rotate(ledger)
        rotate(ledger, destroys_old=True)
        assert private_keys(home) == ["ledger-004.pem"]


def private_keys(home: Home) -> list[str]:
    """Return their names without the hashes."""
    paths = sorted((home.folder / "keys").glob("*.pem"))
    return [re.sub("-[0-9a-f]{16}", "", path.name) for path in paths]


def test_old_keys_are_destroyed_without_another_change(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "ledger.test/destroyed")
    with open_ledger(home.folder) as ledger:
        assert destroy_old_keys(ledger) == []
        rotate(ledger)
        rotate(ledger)
        (newest,) = (home.folder / "keys").glob("ledger-002-*.pem")
        kept = newest.read_bytes()
        newest.unlink()
        # Also where this process has the key in force in memory.
        with pytest.raises(Damaged, match="restore it from a backup"):
            destroy_old_keys(ledger)
        assert private_keys(home) == ["ledger-001.pem", "ledger.pem"]
        newest.write_bytes(kept)
        assert destroy_old_keys(ledger) == [0, 1]
        assert destroy_old_keys(ledger) == []
        assert private_keys(home) == ["ledger-002.pem"]
        seal(ledger, "a")
        assert signers(ledger) == [0, 2]


def test_a_crash_right_after_the_change_leaves_a_note_to_be_written(
    world: FakeWorld, ledger: Ledger
) -> None:
    rotate(ledger)
    path = world.home.folder / "keys" / "ledger-001.note"
    before = path.read_bytes()
    path.unlink()
    assert world.home.key_notes() == ()
    assert problems(world, ledger) == []
    with world.open() as again:
        seal(again, "a")
    assert path.read_bytes() == before
    assert signers(ledger) == [0, 1]


def test_a_key_is_never_written_over(world: FakeWorld, ledger: Ledger) -> None:
    """Neither one that a crash left, nor one of a home that an older version made."""
    left = world.home.make_key(1)
    (made,) = (world.home.folder / "keys").glob("ledger-001-*.pem")
    content = made.read_bytes()
    change = rotate(ledger)
    assert change.new.public_key != left.public_key().public_bytes_raw()
    assert made.read_bytes() == content
    assert len(list((world.home.folder / "keys").glob("ledger-001-*.pem"))) == 2


def test_no_key_is_made_before_the_database_is_locked(
    world: FakeWorld, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = Metadata.open(world.database or world.home.database, 0.1)
    with ledger.metadata.write(), monkeypatch.context() as patch:
        patch.setattr(ledger, "metadata", metadata)
        with pytest.raises(Conflict):
            rotate(ledger)
    metadata.close()
    assert private_keys(world.home) == ["ledger.pem"]


def test_keys_that_an_older_version_named_are_read(world: FakeWorld, ledger: Ledger) -> None:
    rotate(ledger)
    for path in (world.home.folder / "keys").glob("ledger-001-*"):
        path.rename(path.with_name(f"ledger-001{path.suffix}"))
    with world.open() as again:
        seal(again, "a")
        assert problems(world, again) == []
        rotate(again, destroys_old=True)
    assert private_keys(world.home) == ["ledger-002.pem"]


def test_it_changes_so_often_and_no_more(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "MAX_CHANGES", 1)
    rotate(ledger)
    with pytest.raises(InvalidInput, match="begin a new ledger"):
        rotate(ledger)


# Damage


def test_a_key_that_is_not_the_one_that_was_handed_over_to_signs_nothing(
    world: FakeWorld, ledger: Ledger, tmp_path: Path
) -> None:
    rotate(ledger)
    other = FakeWorld(tmp_path / "other", world.clock)
    with other.open() as stranger:
        rotate(stranger)
    keys, theirs = world.home.folder / "keys", other.home.folder / "keys"
    (own,), (their,) = keys.glob("ledger-001-*.pem"), theirs.glob("ledger-001-*.pem")
    own.write_bytes(their.read_bytes())
    with world.open(key=world.home.private_key()) as again:
        with pytest.raises(Damaged, match=r"key 1 in .* is not the one"):
            seal(again, "a")
        assert any("is not the private key" in found for found in problems(world, again))
    (keys / "ledger-001.note").write_bytes((theirs / "ledger-001.note").read_bytes())
    with pytest.raises(Damaged, match=r"the notes of the key's changes in .* cannot be read"):
        world.home.key_notes()


def test_a_history_that_contradicts_itself_is_damage(world: FakeWorld, ledger: Ledger) -> None:
    seal(ledger, "a")
    with ledger.metadata.write() as transaction:
        transaction.add_key_note(1, "x")
    with pytest.raises(Damaged, match="the history of the ledger's keys cannot be read"):
        seal(ledger, "b")
    with ledger.metadata.write() as transaction:
        transaction.add_key_note(3, "x")
    with pytest.raises(Damaged, match="has gaps"), ledger.metadata.read() as transaction:
        transaction.key_notes()
    assert any(
        "the history of the ledger's keys has gaps" in found for found in problems(world, ledger)
    )


@pytest.mark.parametrize(("size", "root"), [(1, bytes(32)), (9, EMPTY_ROOT)])
def test_fsck_compares_key_notes_with_the_log(
    world: FakeWorld, ledger: Ledger, size: int, root: bytes
) -> None:
    seal(ledger, "a")
    new = world.home.make_key(1)
    public = VerifierKey(world.home.origin, new.public_key().public_bytes_raw())
    change = KeyChange(1, world.home.verifier_key(), public, size, root)
    with ledger.metadata.write() as transaction:
        transaction.add_key_note(1, sign_key_change(change, world.home.private_key(), new))
    (found,) = problems(world, ledger)
    assert f"key note 1: its root at {size} entr" in found
    assert "does not follow from the statements" in found


def test_fsck_compares_the_files_with_the_history(world: FakeWorld, ledger: Ledger) -> None:
    rotate(ledger)
    rotate(ledger)
    for number in (1, 2):
        (world.home.folder / "keys" / f"ledger-{number:03}.note").unlink()
    (found,) = problems(world, ledger)
    assert "the notes that are kept as files are not those of the history of keys" in found


# Proofs


def judged(
    world: FakeWorld,
    ledger: Ledger,
    label: str,
    expected: tuple[int, ...],
    notes: tuple[str, ...] = (),
    **changed: object,
) -> tuple[Outcome, str]:
    proof = ledger.proof(digests(label, 1)[0])
    assert proof.log
    proof = replace(proof, log=replace(proof.log, **changed))  # type: ignore[arg-type]
    trust = Trust(
        checkpoint_keys=tuple(world.home.verifier_key(number) for number in expected),
        key_notes=notes,
    )
    report = verify(proof.digest, format_proof(proof), trust, world.clock(), Require.BOTH)
    check = next(check for check in report.checks if check.name == "log.checkpoint")
    return check.outcome, check.reason


def test_a_proof_leads_from_any_key_to_the_one_that_signed(
    world: FakeWorld, ledger: Ledger
) -> None:
    seal(ledger, "a")
    rotate(ledger)
    seal(ledger, "b")
    rotate(ledger)
    for label, signer in (("a", 0), ("b", 1)):
        proof = ledger.proof(digests(label, 1)[0])
        assert proof.log
        assert len(proof.log.keys) == 2
        assert parse_proof(format_proof(proof)) == proof
        for key in range(3):
            outcome, reason = judged(world, ledger, label, (key,))
            assert outcome is Outcome.PASSED
            assert ("from the expected key" in reason) == (key != signer)
    # Without the notes, only the key itself.
    assert judged(world, ledger, "b", (0,), keys=())[0] is Outcome.FAILED
    assert judged(world, ledger, "b", (1,), keys=())[0] is Outcome.PASSED
    assert judged(world, ledger, "b", (), keys=())[0] is Outcome.UNKNOWN
    # The verifier's own notes lead as well, and those of other logs don't matter.
    private = [Ed25519PrivateKey.generate() for _ in range(2)]
    old, new = (VerifierKey("elsewhere", key.public_key().public_bytes_raw()) for key in private)
    foreign = sign_key_change(KeyChange(1, old, new, 0, EMPTY_ROOT), *private)
    assert (
        judged(world, ledger, "b", (0,), (foreign, *world.home.key_notes()), keys=())[0]
        is Outcome.PASSED
    )


def test_what_is_wrong_with_the_notes_fails(world: FakeWorld, ledger: Ledger) -> None:
    seal(ledger, "a")
    first = rotate(ledger)
    seal(ledger, "b")
    notes = world.home.key_notes()
    for keys, said in ((("x",), "expected a signed note"), (notes * 2, "does not continue")):
        outcome, reason = judged(world, ledger, "b", (0,), keys=keys)
        assert outcome is Outcome.FAILED
        assert said in reason
    # The old key hands over twice: whoever knows one note finds the other.
    rival = sign_key_change(
        replace(first, new=VerifierKey(first.origin, bytes(32))),
        world.home.private_key(),
        world.home.private_key(1),
    )
    assert check_key_note(rival) is None
    new = world.home.make_key(7)
    public = VerifierKey(first.origin, new.public_key().public_bytes_raw())
    rival = sign_key_change(replace(first, new=public), world.home.private_key(), new)
    outcome, reason = judged(world, ledger, "b", (0,), notes, keys=(rival,))
    assert outcome is Outcome.FAILED
    assert "two different key notes of number 1" in reason
    # A checkpoint that the old key signed after it had handed over.
    with ledger.metadata.read() as transaction:
        true = parse_checkpoint(parse_note(transaction.checkpoint(2)).text)
    outcome, reason = judged(
        world, ledger, "b", (0,), checkpoint=sign_checkpoint(true, world.home.private_key())
    )
    assert outcome is Outcome.FAILED
    assert "which had handed over at 1 entry (key note 1)" in reason


def test_a_proof_holds_so_many_notes_and_no_more(ledger: Ledger) -> None:
    seal(ledger, "a")
    proof = ledger.proof(digests("a", 1)[0])
    assert proof.log
    most = replace(proof, log=replace(proof.log, keys=("x" * 10,) * MAX_CHANGES))
    assert parse_proof(format_proof(most)) == most
    for keys in (("x",) * (MAX_CHANGES + 1), ("x" * (MAX_KEY_NOTE + 1),)):
        with pytest.raises(InvalidInput, match="keys"):
            parse_proof(format_proof(replace(proof, log=replace(proof.log, keys=keys))))


def test_the_home_is_trusted_after_a_change(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "ledger.test/trusted")
    with open_ledger(home.folder) as ledger:
        seal(ledger, "a")
        rotate(ledger)
        seal(ledger, "b")
        assert ledger.outbox.work() == []
        for label in ("a", "b"):
            proof = ledger.proof(digests(label, 1)[0])
            trust = home_trust(home, proof)
            assert trust
            assert len(trust.key_notes) == 1
            # Said twice it is the same: `audit` asks the home for its keys, and then for its
            # blocks.
            for said in (trust, trust | trust):
                report = verify(proof.digest, format_proof(proof), said, ledger.batch(0).closed)
                assert report.is_verified


# The auditor


@pytest.fixture
def published(
    world: FakeWorld, ledger: Ledger, tmp_path: Path
) -> tuple[list[Files], list[VerifierKey]]:
    """A log, as it was published when its key had changed once, and then twice; and its keys."""
    stages = []
    seal(ledger, "a", "b")
    for labels in ("cd", "ef"):
        rotate(ledger)
        seal(ledger, *labels)
        publish(ledger, tmp_path / "published")
        stages.append(Files.of(tmp_path / "published"))
    return stages, [world.home.verifier_key(number) for number in range(3)]


def follow(files: Files, key: VerifierKey | None, seen: Seen | None = None) -> Followed:
    return follow_log(files.fetch, [key] if key else [], seen, START)


def failures(followed: Followed) -> list[str]:
    return [check.name for check in followed.checks if check.outcome is Outcome.FAILED]


def test_an_auditor_follows_from_any_key(published: tuple[list[Files], list[VerifierKey]]) -> None:
    stages, keys = published
    for key in keys:
        followed = follow(stages[1], key)
        assert {check.outcome for check in followed.checks} == {Outcome.PASSED}
        assert "2 key notes lead from the first key to the newest." in [
            check.reason for check in followed.checks
        ]
        assert followed.seen
        assert len(followed.seen.keys) == 2
        assert parse_seen(format_seen(followed.seen)) == followed.seen
    # From the first key, in two steps.
    first = follow(stages[0], keys[0]).seen
    assert first
    second = follow(stages[1], keys[0], first)
    assert second.seen
    assert len(second.seen.keys) == 2
    assert failures(follow(stages[1], VerifierKey(keys[0].name, bytes(32)))) == ["keys"]
    assert [check.outcome for check in follow(stages[1], None).checks][:2] == [
        Outcome.UNKNOWN,
        Outcome.UNKNOWN,
    ]


def test_a_note_that_is_ahead_of_what_is_published_is_judged_later(
    world: FakeWorld, ledger: Ledger, tmp_path: Path
) -> None:
    folder = tmp_path / "published"
    rotate(ledger)
    publish(ledger, folder)
    older = (folder / CHECKPOINT).read_bytes()
    seal(ledger, "a")
    rotate(ledger)
    publish(ledger, folder)
    files = Files.of(folder)
    files[CHECKPOINT] = older
    assert failures(follow(files, world.home.verifier_key())) == []
    assert failures(follow(Files.of(folder), world.home.verifier_key(2))) == []


def resigned(world: FakeWorld, files: Files, number: int, **changed: object) -> Files:
    """Return the files with another note of change `number`, rightly signed."""
    change = check_key_note(files[key_path(number)].decode())
    assert change
    other = sign_key_change(
        replace(change, **changed),
        world.home.private_key(number - 1),
        world.home.private_key(number),
    )  # type: ignore[arg-type]
    return Files({**files, key_path(number): other.encode()})


def test_two_notes_of_one_number_are_an_equivocation(
    world: FakeWorld, published: tuple[list[Files], list[VerifierKey]]
) -> None:
    stages, keys = published
    seen = follow(stages[0], keys[0]).seen
    followed = follow(resigned(world, stages[1], 1, size=1), keys[0], seen)
    assert failures(followed) == ["keys"]
    evidence = followed.equivocation
    assert evidence
    assert parse_equivocation(format_equivocation(evidence)) == evidence
    # The keys that signed both are convicted, no other.
    assert [check_equivocation(evidence, key) for key in keys] == [True, True, False]
    assert not check_equivocation(replace(evidence, second=evidence.first), keys[0])
    assert not check_equivocation(
        Equivocation(evidence.first, stages[1][key_path(2)].decode()), keys[1]
    )


def test_a_note_that_states_another_root_is_an_equivocation(
    world: FakeWorld, published: tuple[list[Files], list[VerifierKey]]
) -> None:
    stages, keys = published
    followed = follow(resigned(world, stages[0], 1, root=bytes(32)), keys[1])
    assert failures(followed) == ["opening"] or failures(followed) == ["batch[1].opening"]
    # Where nobody is expected, nobody compares the note with checkpoints; it is compared with the
    # log.
    followed = follow(resigned(world, stages[0], 1, root=bytes(32)), None)
    assert failures(followed) == ["keys"]
    assert followed.equivocation
    assert parse_equivocation(format_equivocation(followed.equivocation)) == followed.equivocation
    assert check_equivocation(followed.equivocation, keys[1])
    assert not check_equivocation(followed.equivocation, keys[2])


def junk(origin: str, size: int, root: bytes) -> bytes:
    """Return a note by two keys that somebody made up, who has none of the ledger's."""
    made_up = [Ed25519PrivateKey.generate() for _ in range(2)]
    old, new = (VerifierKey(origin, key.public_key().public_bytes_raw()) for key in made_up)
    return sign_key_change(KeyChange(1, old, new, size, root), *made_up).encode()


def test_a_host_without_the_key_makes_nobody_accuse_the_ledger(
    world: FakeWorld,
    ledger: Ledger,
    published: tuple[list[Files], list[VerifierKey]],
    tmp_path: Path,
) -> None:
    stages, keys = published
    true = follow(stages[0], keys[0]).seen
    assert true
    before = Files(
        {path: content for path, content in stages[0].items() if not path.startswith("keys/")}
    )
    before[CHECKPOINT] = before["checkpoint-0"]
    for size, root in ((1000, bytes(32)), (1, bytes(32))):
        made_up = Files({**before, key_path(1): junk(world.home.origin, size, root)})
        # Where the log has not changed its key, the checkpoint is sound: the note beside it is not.
        followed = follow(made_up, keys[0])
        assert failures(followed) == ["keys"]
        assert "name none of the expected keys" in followed.checks[0].reason
        assert followed.seen is followed.equivocation is None
        # So it never gets into what is kept. One that got there all the same accuses nobody.
        poisoned = Seen(
            true.checkpoint, true.named, true.digests, (), (made_up[key_path(1)].decode(),)
        )
        for notes, seen in (
            (stages[1], poisoned),
            (Files({**stages[1], key_path(1): made_up[key_path(1)]}), true),
        ):
            followed = follow(notes, keys[0], seen)
            assert failures(followed) == ["keys"]
            assert (
                "no expected key, nor one that leads from there, signed both"
                in followed.checks[0].reason
            )
            assert followed.seen is followed.equivocation is None
    # Where nobody is expected, such a note still is no evidence against anybody.
    forged = Files({**stages[1], key_path(1): junk(world.home.origin, 1, bytes(32))})
    del forged[key_path(2)]
    followed = follow(forged, None)
    assert failures(followed) == ["keys"]
    assert followed.equivocation is None


def test_evidence_is_judged_for_the_keys_that_are_given(
    world: FakeWorld, published: tuple[list[Files], list[VerifierKey]]
) -> None:
    stages, keys = published
    found = Equivocation(
        stages[0][key_path(1)].decode(), resigned(world, stages[0], 1, size=1)[key_path(1)].decode()
    )
    assert judge_equivocation(found, keys).outcome is Outcome.PASSED
    assert keys[1].key_id.hex() in judge_equivocation(found, keys[1:]).reason
    assert judge_equivocation(found, keys[2:]).outcome is Outcome.FAILED
    assert judge_equivocation(found, []).outcome is Outcome.UNKNOWN


def test_two_histories_of_which_one_does_not_lead_on(
    world: FakeWorld, published: tuple[list[Files], list[VerifierKey]]
) -> None:
    stages, keys = published
    notes = [stages[1][key_path(number)].decode() for number in (1, 2)]
    other = resigned(world, stages[1], 1, size=1)[key_path(1)].decode()
    # What comes after the difference convicts or saves nobody.
    check, changes, found = judge_keys([other, other], notes, world.home.origin, [keys[2]])
    assert (check.outcome, changes) == (Outcome.FAILED, ())
    assert found
    assert check_equivocation(found, keys[0])
    assert judge_keys([other, other], [notes[0], "x"], world.home.origin, [keys[2]])[2] is None


def test_the_old_key_signs_after_it_handed_over(
    world: FakeWorld, published: tuple[list[Files], list[VerifierKey]]
) -> None:
    stages, keys = published
    late = sign_checkpoint(
        parse_checkpoint(parse_note(stages[0][CHECKPOINT]).text), world.home.private_key()
    )
    followed = follow(Files({**stages[0], CHECKPOINT: late.encode()}), keys[0])
    assert failures(followed) == ["checkpoint"]
    assert followed.equivocation
    assert [check_equivocation(followed.equivocation, key) for key in keys] == [True, False, False]
    assert parse_equivocation(format_equivocation(followed.equivocation)) == followed.equivocation


WRONG_NOTES: dict[str, tuple[dict[str, bytes | None], str]] = {
    "gone": (
        {key_path(1): None, key_path(2): None},
        "Key note 1, which was seen before, is not there any more.",
    ),
    "no text": ({key_path(1): b"\xff"}, "is not text"),
    "another text": ({key_path(1): b"x"}, "What is published as key note 1 is not a key note"),
    "one that does not lead on": ({key_path(2): b"x"}, "do not continue each other"),
}


@pytest.mark.parametrize("name", WRONG_NOTES)
def test_notes_that_are_wrong_are_caught(
    published: tuple[list[Files], list[VerifierKey]], name: str
) -> None:
    changed, said = WRONG_NOTES[name]
    stages, keys = published
    seen = follow(stages[0], keys[0]).seen
    files = Files(
        {path: content for path, content in {**stages[1], **changed}.items() if content is not None}
    )
    followed = follow(files, keys[0], seen)
    assert failures(followed) == ["keys"]
    assert followed.seen is followed.equivocation is None
    assert any(said in check.reason for check in followed.checks)


def test_notes_of_another_log_and_too_many_are_caught(
    world: FakeWorld,
    published: tuple[list[Files], list[VerifierKey]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stages, keys = published
    moved = Files(
        {path: content for path, content in stages[1].items() if not path.startswith("keys/")}
    )
    moved[key_path(1)] = stages[1][key_path(2)]
    followed = follow(moved, keys[1])
    assert [check.reason for check in followed.checks] == [
        f"The key notes are not those of {world.home.origin} from number 1 on."
    ]
    monkeypatch.setattr("witnesstree.ledger.audit.published.MAX_CHANGES", 1)
    assert "there are more than 1 key notes" in follow(stages[1], keys[0]).checks[0].reason


def test_a_tile_that_is_missing_for_a_note_is_said(
    world: FakeWorld,
    published: tuple[list[Files], list[VerifierKey]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stages, keys = published

    def refuse(*_: object) -> None:
        raise InvalidInput("a tile is missing")

    monkeypatch.setattr("witnesstree.ledger.audit.follow.root_before", refuse)
    followed = follow(stages[0], keys[0])
    assert failures(followed) == ["keys"]
    assert "What the key notes state cannot be compared with the log: a tile is missing." in [
        check.reason for check in followed.checks
    ]
