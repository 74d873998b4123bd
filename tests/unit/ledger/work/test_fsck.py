"""fsck: whatever is altered in a home is found, and the place that is named holds it."""

import errno
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import Clock
from fakes import FakeFileStore, FakeWorld, digests, strides
from leaves import begin_as_before

from witnesstree.ledger.base.message import message
from witnesstree.ledger.proof.record import EvidenceRecord, parse_record
from witnesstree.ledger.proof.record_make import make_record, renew_timestamp
from witnesstree.ledger.store.database.values import KeptRecord, Renewal
from witnesstree.ledger.tree import levels
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.work.direct import stamp_directly
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.fsck.problem import Problem, at_batch, at_bytes, at_path
from witnesstree.ledger.work.outbox import Witnesses
from witnesstree.ledger.work.sealing import Limits

EIGHT = digests("eight", 8)


def three_batches(folder: Path, clock: Clock) -> FakeWorld:
    """Three sealed batches: of 10 leaves (the opening record, a blinding leaf and EIGHT), 4 and 4
    (with another blinding leaf); then an open one of 6."""
    world = FakeWorld(folder, clock)
    witnesses = Witnesses(
        {world.authority.name: world.authority},
        {world.chain.name: world.chain},
        {"ipfs": FakeFileStore()},
    )
    with world.open(witnesses=witnesses) as ledger:
        for entries in (EIGHT, digests("two", 2), digests("one", 1)):
            ledger.submit(b"".join(entries))
            ledger.close()
            clock.tick(60)
        assert ledger.outbox.work() == []
        ledger.submit(b"".join(digests("open", 3)))
    return world


@pytest.fixture(scope="module", autouse=True)
def _every_level_is_kept() -> Iterator[None]:
    """So that a small batch has several kept levels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "STEP", 1)
        yield


@pytest.fixture(scope="module")
def _made_once(_every_level_is_kept: None, tmp_path_factory: pytest.TempPathFactory) -> FakeWorld:
    return three_batches(tmp_path_factory.mktemp("made") / "home", Clock())


@pytest.fixture
def world(_made_once: FakeWorld, tmp_path: Path, clock: Clock) -> FakeWorld:
    clock.now = _made_once.clock()
    return _made_once.copied(tmp_path / "home", clock)


def problems(world: FakeWorld) -> list[Problem]:
    with world.open() as ledger:
        return list(check_ledger(ledger, Trust((world.authority.root,))))


@pytest.fixture
def folder(world: FakeWorld) -> Path:
    return world.home.batches / "00000"


def test_a_sound_ledger_has_no_problem(world: FakeWorld) -> None:
    assert problems(world) == []


def test_an_empty_ledger_has_no_problem(tmp_path: Path, clock: Clock) -> None:
    assert problems(FakeWorld(tmp_path / "empty", clock)) == []


def test_all_entries_are_counted(world: FakeWorld) -> None:
    counted: list[int] = []
    with world.open() as ledger:
        assert list(check_ledger(ledger, Trust((world.authority.root,)), counted.append)) == []
    assert counted == [10, 4, 4]


def test_nothing_is_written(world: FakeWorld, folder: Path) -> None:
    before = {path: sha256(path.read_bytes()).digest() for path in folder.iterdir()}
    problems(world)
    assert {path: sha256(path.read_bytes()).digest() for path in folder.iterdir()} == before


def named_checks(found: list[Problem]) -> set[object]:
    """Return the checks that did not pass, by name."""
    assert {problem.fault.code for problem in found} <= {"check-not-passed"}
    return {dict(problem.fault.params)["check"] for problem in found}


# Files


def named(problem: Problem, path: Path, size: int) -> range | None:
    """Return the bytes of `path` that `problem` names, if it names any."""
    if found := re.fullmatch(re.escape(str(path)) + r", bytes (\d+) to (\d+)", str(problem.place)):
        return range(int(found[1]), int(found[2]) + 1)
    if found := re.fullmatch(re.escape(str(path)) + r", from byte (\d+)", str(problem.place)):
        return range(int(found[1]), size)
    return None


@pytest.mark.parametrize("ending", ["digests", "nodes", "index"])
@pytest.mark.parametrize("stride", strides(11))
def test_every_flipped_byte_is_named(
    world: FakeWorld, folder: Path, ending: str, stride: int
) -> None:
    path = folder / f"00000000.{ending}"
    whole = path.read_bytes()
    with world.open() as ledger:
        for at in range(0, len(whole), stride):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
            found = [
                problem
                for problem in check_ledger(ledger, Trust((world.authority.root,)))
                if named(problem, path, len(whole))
            ]
            (place,) = [named(problem, path, len(whole)) for problem in found]
            assert place is not None
            assert at in place, at
            if ending == "digests":
                # Nothing tells which of two siblings it was.
                assert place == range(at // 64 * 64, at // 64 * 64 + 64)
            elif ending == "nodes":
                assert place == range(at // 32 * 32, at // 32 * 32 + 32)
            else:
                assert place.start == at // 12 * 12


def test_every_pair_of_altered_nodes_is_found(world: FakeWorld, folder: Path) -> None:
    """Damage in two places does not hide itself."""
    path = folder / "00000000.nodes"
    whole = path.read_bytes()
    nodes = len(whole) // 32
    with world.open() as ledger:
        for first in range(nodes):
            for second in range(first + 1, nodes):
                content = bytearray(whole)
                content[first * 32] ^= 1
                content[second * 32] ^= 1
                path.write_bytes(content)
                assert list(check_ledger(ledger, Trust((world.authority.root,)))), (first, second)


@pytest.mark.parametrize("ending", ["digests", "nodes", "index"])
@pytest.mark.parametrize("harm", ["missing", "short", "torn", "empty", "longer", "folder"])
def test_a_file_of_another_length_is_named(
    world: FakeWorld, folder: Path, ending: str, harm: str
) -> None:
    path = folder / f"00000000.{ending}"
    whole = path.read_bytes()
    path.unlink()
    if harm == "folder":
        path.mkdir()
    elif harm != "missing":
        path.write_bytes(
            {"short": whole[:-32], "torn": whole[:-1], "empty": b"", "longer": whole + bytes(12)}[
                harm
            ]
        )
    found = problems(world)
    assert any(str(problem.place).startswith(str(path)) for problem in found)
    if harm == "short" and ending != "index":
        assert (
            Problem(at_bytes(path, len(whole) - 32, len(whole) - 1), message("bytes-missing"))
            in found
        )
    if harm == "longer" and ending != "index":
        assert found == [
            Problem(at_bytes(path, len(whole), len(whole) + 11), message("bytes-beyond-batch"))
        ]


def test_files_of_another_batch_are_found(world: FakeWorld, folder: Path) -> None:
    """They agree with each other, but not with the root on record."""
    for ending in ("digests", "nodes", "index"):
        (folder / f"00000001.{ending}").write_bytes((folder / f"00000002.{ending}").read_bytes())
    assert problems(world)


def test_a_tree_over_other_digests_is_found(world: FakeWorld, folder: Path) -> None:
    with world.open() as ledger:
        path = ledger.files.digests_path(0)
        content = path.read_bytes()
        path.write_bytes(content[:32] + digests("forged", 1)[0] + content[64:])
        ledger.files.seal(0, 10)
        ledger.mend_indexes()
        (problem,) = check_ledger(ledger, Trust((world.authority.root,)))
    assert str(path) in str(problem.place)
    assert problem.fault.code == "tree-has-other-root"


def test_kept_levels_are_mended_from_the_digests_and_only_from_the_right_ones(
    world: FakeWorld, folder: Path
) -> None:
    nodes, digests_file = folder / "00000000.nodes", folder / "00000001.digests"
    whole, others = nodes.read_bytes(), (folder / "00000001.nodes").read_bytes()
    nodes.unlink()
    digests_file.write_bytes(bytes(32) + digests_file.read_bytes()[32:])
    with world.open() as ledger:
        assert ledger.mend_indexes() == 3
    assert nodes.read_bytes() == whole
    assert (folder / "00000001.nodes").read_bytes() == others
    assert {Path(str(problem.place).partition(",")[0]) for problem in problems(world)} >= {
        digests_file
    }
    assert all("00000000" not in str(problem.place) for problem in problems(world))


@pytest.mark.parametrize("at", [0, 31, 32, 127, 191])
def test_a_flipped_byte_of_an_open_batch_is_named(world: FakeWorld, folder: Path, at: int) -> None:
    path = folder / "00000003.digests"
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    (problem,) = problems(world)
    assert problem == Problem(at_bytes(path, 0, 191), message("entries-not-acknowledged"))


def test_what_an_open_batch_has_beyond_its_entries_is_no_problem(
    world: FakeWorld, folder: Path
) -> None:
    with (folder / "00000003.digests").open("ab") as file:
        file.write(b"left by a write that was cut off")
    assert problems(world) == []


def test_a_missing_open_batch_is_named(world: FakeWorld, folder: Path) -> None:
    path = folder / "00000003.digests"
    path.unlink()
    assert [problem.place for problem in problems(world)] == [at_path(path)]


def test_a_batch_that_is_sealed_meanwhile_is_no_problem(world: FakeWorld) -> None:
    with world.open() as ledger, world.open() as other:

        def seal_another(_count: int) -> None:
            other.close()
            other.outbox.work()

        assert list(check_ledger(ledger, Trust((world.authority.root,)), seal_another)) == []
        assert (other.batch(3).count, other.batch(3).entries) == (6, 3)


@pytest.mark.parametrize("entries", [1, 2, 8])
def test_the_last_leaf_of_an_older_batch_is_named_alone_where_it_has_no_sibling(
    tmp_path: Path, clock: Clock, entries: int
) -> None:
    world = FakeWorld(tmp_path / "older", clock)
    with world.open() as ledger:
        begin_as_before(ledger, digests("older", entries))
        ledger.close()
        assert ledger.outbox.work() == []
        path = ledger.files.digests_path(0)
    assert problems(world) == []
    whole = path.read_bytes()
    for at in range(0, len(whole), 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        (place,) = filter(None, (named(each, path, len(whole)) for each in problems(world)))
        pair = at // 64 * 64
        assert place == range(pair, min(pair + 64, len(whole)))


# Blinding leaves


@pytest.mark.parametrize(
    ("table", "sequence", "right"), [("batches", 0, 1), ("batches", 2, 2), ("open_batches", 3, 2)]
)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_batch_with_another_number_of_blinding_leaves_is_named(
    world: FakeWorld, table: str, sequence: int, right: int, change: int
) -> None:
    alter(world, table, "fillers", right + change, f"sequence = {sequence}")
    assert problems(world) == [
        Problem(
            at_batch(str(world.home.database), sequence),
            message("blinding-leaves-differ", stated=right + change, found=right),
        )
    ]


def test_without_the_secret_nothing_is_said_of_blinding_leaves(world: FakeWorld) -> None:
    alter(world, "batches", "fillers", 3, "sequence = 2")
    assert len(problems(world)) == 1
    (world.home.folder / "keys" / "blinding.key").unlink()
    assert problems(world) == []
    assert not (world.home.folder / "keys" / "blinding.key").exists()


def test_of_batches_that_began_under_another_secret_nothing_is_said(world: FakeWorld) -> None:
    """As in a home that was restored without it, and went on."""
    (world.home.folder / "keys" / "blinding.key").unlink()
    with world.open() as ledger:
        # The open batch goes on, so that it has blinding leaves of both.
        for digest in digests("goes on", 3):
            ledger.submit(digest)
        ledger.close()
        ledger.submit(digests("new", 1)[0])
        assert ledger.outbox.work() == []
    assert problems(world) == []
    # That there are fewer than were found is wrong all the same.
    alter(world, "batches", "fillers", 2, "sequence = 3")
    alter(world, "open_batches", "fillers", 4, "sequence = 4")
    assert {problem.fault for problem in problems(world)} == {
        message("blinding-leaves-differ", stated=2, found=3),
        message("blinding-leaves-differ", stated=4, found=2),
    }


def test_a_secret_that_cannot_be_read_is_one_problem(world: FakeWorld) -> None:
    path = world.home.folder / "keys" / "blinding.key"
    path.write_text("ab" * 31 + "\n")
    assert problems(world) == [
        Problem(at_path(path), message("blinding-key-unreadable", path=path))
    ]


# Records


@contextmanager
def without_triggers(world: FakeWorld, table: str) -> Iterator[sqlite3.Connection]:
    """Change what cannot be changed, and put the triggers back: that they are missing would be
    found by itself."""
    with closing(sqlite3.connect(world.home.database)) as database:
        triggers = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (table,)
        ).fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        yield database
        for _, sql in triggers:
            database.execute(sql)
        database.commit()


def alter(world: FakeWorld, table: str, column: str, value: Any, where: str = "1") -> None:
    with without_triggers(world, table) as database:
        changed = database.execute(
            f'UPDATE {table} SET "{column}" = ? WHERE {where}', (value,)
        ).rowcount
        assert changed == 1


def column_value(world: FakeWorld, table: str, column: str, where: str = "1") -> Any:
    with closing(sqlite3.connect(world.home.database)) as database:
        return database.execute(f'SELECT "{column}" FROM {table} WHERE {where}').fetchone()[0]


def flip(value: Any) -> Any:
    """Return another value of the same kind, changed in its middle."""
    if isinstance(value, int):
        return value + 1
    middle = len(value) // 2
    if isinstance(value, bytes):
        return value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]
    return value[:middle] + ("0" if value[middle] != "0" else "1") + value[middle + 1 :]


RECORDS = [
    *(
        ("batches", column, "sequence = 1")
        for column in ("count", "root", "closed", "opening", "header", "statement", "fillers")
    ),
    ("batches", "sequence", "sequence = 2"),
    ("batches", "log_index", "sequence = 2"),
    ("log_nodes", "hash", "level = 0 AND position = 1"),
    ("log_nodes", "hash", "level = 1 AND position = 0"),
    ("log_nodes", "level", "level = 1 AND position = 0"),
    ("log_nodes", "position", "level = 0 AND position = 2"),
    *(("checkpoints", "note", f"size = {size}") for size in range(4)),
    ("checkpoints", "size", "size = 3"),
    ("tokens", "token", "sequence = 1"),
    ("tokens", "sequence", "sequence = 2"),
    ("tokens", "authority", "sequence = 1"),
    ("anchors", "anchor", "sequence = 1"),
    ("anchors", "sequence", "sequence = 2"),
    ("anchors", "chain", "sequence = 1"),
    ("ledger", "origin", "1"),
    *(
        ("open_batches", column, "1")
        for column in ("sequence", "opened", "opening", "header", "count", "crc32", "fillers")
    ),
    ("jobs", "state", "sequence = 1 AND kind = 'stamp'"),
    ("jobs", "state", "sequence = 1 AND kind = 'anchor'"),
    ("jobs", "target", "sequence = 1 AND kind = 'stamp'"),
    ("jobs", "kind", "sequence = 1 AND kind = 'stamp'"),
    ("jobs", "sequence", "sequence = 2 AND kind = 'stamp'"),
    ("jobs", "transaction", "sequence = 1 AND kind = 'anchor'"),
    ("transactions", "chain", "1"),
    ("transactions", "hash", "1"),
    ("transactions", "raw", "1"),
    ("published", "sequence", "sequence = 2"),
    ("published", "store", "sequence = 0"),
]


@pytest.mark.parametrize(("table", "column", "where"), RECORDS)
def test_every_altered_record_is_found(
    world: FakeWorld, table: str, column: str, where: str
) -> None:
    alter(world, table, column, flip(column_value(world, table, column, where)), where)
    assert problems(world)


@pytest.mark.sampled(7)
@pytest.mark.parametrize(
    ("table", "column", "where"),
    [record for record in RECORDS if record[0] in {"batches", "open_batches", "jobs"}],
)
@pytest.mark.parametrize("value", ["x", b"\xff", -1, 0, 2**40, 2**62])
def test_whatever_stands_in_a_record_is_a_problem_and_no_error(
    world: FakeWorld, table: str, column: str, where: str, value: Any
) -> None:
    try:
        alter(world, table, column, value, where)
    except sqlite3.IntegrityError:
        # SQLite itself does not take this value here.
        return
    assert problems(world)


@pytest.mark.parametrize("value", ["waiting", "signed"])
@pytest.mark.parametrize("kind", ["stamp", "anchor"])
def test_a_job_that_would_be_done_twice_is_found(world: FakeWorld, kind: str, value: str) -> None:
    alter(world, "jobs", "state", value, f"sequence = 1 AND kind = '{kind}'")
    assert problems(world)


@pytest.mark.parametrize(
    "table",
    ["batches", "log_nodes", "checkpoints", "tokens", "anchors", "transactions", "published"],
)
def test_a_record_that_was_removed_is_found(world: FakeWorld, table: str) -> None:
    with without_triggers(world, table) as database:
        database.execute(f"DELETE FROM {table} WHERE rowid = (SELECT max(rowid) FROM {table})")
    assert problems(world)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO checkpoints VALUES (9, 'x')",
        "INSERT INTO log_nodes VALUES (7, 7, x'00')",
        "INSERT INTO tokens VALUES (7, 'x', x'00', NULL)",
        "INSERT INTO tokens VALUES (0, 'x', x'00', NULL)",
        "INSERT INTO published VALUES (0, 'x', 'cid')",
        (
            "INSERT INTO transactions VALUES ('fake-chain', x'00', x'00', 0, x'00',"
            " '2026-11-23T08:00:00Z')"
        ),
        "INSERT INTO anchors VALUES (7, 'x', '')",
        "INSERT INTO records VALUES (0, 0, 'fake-authority', 2, '2026-11-23T08:00:00Z', x'00')",
        "INSERT INTO records VALUES (0, 0, 'fake-authority', 1, '2026-11-23T08:00:00Z', x'00')",
        "INSERT INTO records VALUES (7, 0, 'fake-authority', 1, '2026-11-23T08:00:00Z', x'00')",
        "INSERT INTO renewals VALUES (7, 0, 'fake-authority', '2026-11-23T08:00:00Z')",
        "INSERT INTO renewals VALUES (0, 0, 'x', '2026-11-23T08:00:00Z')",
        "DELETE FROM renewals WHERE sequence = 1",
        "INSERT INTO jobs VALUES (7, 'stamp', 'x', 'waiting', NULL, 0, NULL, NULL)",
    ],
)
def test_a_record_too_many_is_found(world: FakeWorld, statement: str) -> None:
    with closing(sqlite3.connect(world.home.database)) as database:
        database.execute(statement)
        database.commit()
    assert problems(world)


def test_a_token_of_another_batch_is_found(world: FakeWorld) -> None:
    alter(
        world,
        "tokens",
        "token",
        column_value(world, "tokens", "token", "sequence = 0"),
        "sequence = 1",
    )
    (problem,) = problems(world)
    assert str(problem.place) == f"{world.home.database}, batch 1, token by fake-authority"
    assert named_checks([problem]) == {"token.imprint"}


# Direct tokens


def stamp_some(world: FakeWorld) -> tuple[bytes, bytes]:
    """Have an entry of a sealed batch and one of the open batch stamped directly; return the lesser
    digest first."""
    first, second = sorted((EIGHT[3], digests("open", 1)[0]))
    with world.open() as ledger:
        assert stamp_directly(ledger, [first, second]) == []
    return first, second


def test_direct_tokens_are_judged_by_whom_is_trusted(world: FakeWorld) -> None:
    stamp_some(world)
    assert problems(world) == []
    with world.open() as ledger:
        found = list(check_ledger(ledger, Trust()))
    places = [problem for problem in found if "direct token of" in str(problem.place)]
    assert len(places) == 2
    assert named_checks(places) == {"token.chain"}
    assert not any(problem.is_damage for problem in places)


def test_a_direct_token_of_another_entry_is_found(world: FakeWorld) -> None:
    first, second = stamp_some(world)
    other = column_value(world, "direct_tokens", "token", f"digest = x'{first.hex()}'")
    alter(world, "direct_tokens", "token", other, f"digest = x'{second.hex()}'")
    (problem,) = problems(world)
    assert str(problem.place) == (
        f"{world.home.database}, direct token of {second.hex()} by fake-authority"
    )
    assert (named_checks([problem]), problem.is_damage) == ({"token.imprint"}, True)


def test_a_direct_token_of_what_is_no_entry_is_found(world: FakeWorld) -> None:
    (stranger,) = digests("stranger", 1)
    stamp = world.authority.stamp(stranger)
    with world.open() as ledger, ledger.metadata.write() as transaction:
        transaction.keep_direct_token(stranger, "fake-authority", stamp)
    (problem,) = problems(world)
    assert problem.fault == message("direct-token-of-no-entry")


@pytest.mark.parametrize("column", ["digest", "token"])
def test_an_altered_direct_token_is_found(world: FakeWorld, column: str) -> None:
    first, _ = stamp_some(world)
    where = f"digest = x'{first.hex()}'"
    value = flip(column_value(world, "direct_tokens", column, where))
    alter(world, "direct_tokens", column, value, where)
    found = problems(world)
    assert found
    assert all(f"{world.home.database}" in str(problem.place) for problem in found)


def test_an_anchor_of_another_batch_is_found(world: FakeWorld) -> None:
    alter(
        world,
        "anchors",
        "anchor",
        column_value(world, "anchors", "anchor", "sequence = 0"),
        "sequence = 1",
    )
    assert {str(problem.place) for problem in problems(world)} == {
        f"{world.home.database}, batch 1, anchor on fake-chain"
    }


def test_every_altered_member_of_an_anchor_is_found(world: FakeWorld) -> None:
    """All but the chain's number, which neither header nor state commits to."""
    text = column_value(world, "anchors", "anchor", "sequence = 0")
    places = [found.start() for found in re.finditer(r'[0-9a-zA-Z+/](?=[^"]*"[,}\]])', text)]
    for at in places[:: max(1, len(places) // 60)]:
        alter(
            world,
            "anchors",
            "anchor",
            text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1 :],
            "sequence = 0",
        )
        assert problems(world), text[at - 30 : at + 10]


def test_flipped_bytes_of_a_token_are_found(world: FakeWorld) -> None:
    """In what its signature covers, and in the signature: CMS also has a few bytes that nothing
    covers (RFC 5652, 5.4)."""
    token, root = (
        column_value(world, table, column, "sequence = 0")
        for table, column in (("tokens", "token"), ("batches", "root"))
    )
    imprint = token.index(root)
    for at in (*range(imprint - 10, imprint + 50, 4), *range(len(token) - 60, len(token), 4)):
        alter(
            world,
            "tokens",
            "token",
            token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :],
            "sequence = 0",
        )
        assert problems(world), at


def test_a_checkpoint_of_another_key_is_found(
    world: FakeWorld, tmp_path: Path, clock: Clock
) -> None:
    other = FakeWorld(tmp_path / "other", clock)
    alter(
        world,
        "checkpoints",
        "note",
        column_value(other, "checkpoints", "note", "size = 0"),
        "size = 0",
    )
    (problem,) = problems(world)
    assert str(problem.place) == f"{world.home.database}, checkpoint 0"
    assert problem.fault.code == "stored-checkpoint-not-signed"


def test_a_ledger_that_trusts_no_root_has_tokens_that_lead_nowhere(world: FakeWorld) -> None:
    with world.open() as ledger:
        found = list(check_ledger(ledger, Trust()))
    assert named_checks(found) == {"token.chain"}
    assert not any(problem.is_damage for problem in found)


def test_a_home_with_small_batches_is_sound(tmp_path: Path, clock: Clock) -> None:
    world = FakeWorld(tmp_path / "small", clock, Limits(entries=1, age=timedelta(hours=1)))
    with world.open() as ledger:
        ledger.submit(b"".join(EIGHT))
        ledger.close()
        assert ledger.outbox.work() == []
    assert problems(world) == []


def test_a_checkpoint_that_is_no_note_is_found(world: FakeWorld) -> None:
    alter(world, "checkpoints", "note", "nonsense", "size = 2")
    assert any(
        (found.place.code, dict(found.place.params)["size"], found.fault.code)
        == ("at-checkpoint", 2, "stored-checkpoint-unreadable")
        for found in problems(world)
    )


def test_an_anchor_without_a_state_proof_is_no_problem(world: FakeWorld) -> None:
    members = json.loads(column_value(world, "anchors", "anchor", "sequence = 1"))
    del members["state"]
    alter(world, "anchors", "anchor", json.dumps(members), "sequence = 1")
    assert problems(world) == []


def test_a_disk_that_does_not_read_is_a_problem(
    world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    found = problems(world)
    assert all("Input/output error" in str(each.fault) for each in found)
    for sequence in range(4):
        name = world.home.batches / f"00000/{sequence:08}.digests"
        assert any(f"cannot read {name}: " in str(each.fault) for each in found)


# Renewed evidence records


def kept(world: FakeWorld, *records: KeptRecord) -> list[Problem]:
    """The problems of the ledger once it keeps these."""
    with world.open() as ledger:
        with ledger.metadata.write() as transaction:
            for each in records:
                transaction.keep_record(each)
                transaction.schedule(
                    Renewal(each.renewed, each.sequence, each.position, each.authority)
                )
        return list(check_ledger(ledger, Trust((world.authority.root,))))


def record_of(world: FakeWorld, digest: bytes) -> EvidenceRecord:
    with world.open() as ledger:
        return renew_timestamp(
            parse_record(make_record(ledger.proof(digest))), world.authority.stamp
        )


def test_kept_records_that_are_sound_are_no_problem(world: FakeWorld, clock: Clock) -> None:
    record = record_of(world, EIGHT[2])
    first = KeptRecord(0, 4, "fake-authority", 1, clock(), record.der)
    second = KeptRecord(
        0, 4, "fake-authority", 2, clock(), renew_timestamp(record, world.authority.stamp).der
    )
    assert kept(world, first, second) == []


def test_a_kept_record_of_another_entry_or_token_is_found(world: FakeWorld, clock: Clock) -> None:
    record = record_of(world, EIGHT[2]).der
    (elsewhere,) = kept(world, KeptRecord(0, 5, "fake-authority", 1, clock(), record))
    assert (
        str(elsewhere.place)
        == f"{world.home.database}, batch 0, entry 5, evidence record 1 by fake-authority"
    )
    said = "chains[0].timestamps[0].data: This timestamp is not for the file"
    assert said in str(elsewhere.fault)
    found = kept(world, KeptRecord(1, 2, "fake-authority", 1, clock(), record))
    assert message("record-of-other-token") in {problem.fault for problem in found}


def test_flipped_bytes_of_a_kept_record_are_found(world: FakeWorld, clock: Clock) -> None:
    record = record_of(world, EIGHT[2])
    token = record.timestamps[1].token
    at = record.der.index(token.imprint)
    found = kept(
        world,
        KeptRecord(
            0,
            4,
            "fake-authority",
            1,
            clock(),
            record.der[:at] + bytes([record.der[at] ^ 1]) + record.der[at + 1 :],
        ),
    )
    assert named_checks(found) == {
        f"chains[0].timestamps[1].{name}" for name in ("previous", "signature")
    }
    assert all(problem.is_damage for problem in found)


def test_a_kept_record_whose_authority_nobody_trusts_is_no_damage(
    world: FakeWorld, clock: Clock
) -> None:
    assert (
        kept(world, KeptRecord(0, 4, "fake-authority", 1, clock(), record_of(world, EIGHT[2]).der))
        == []
    )
    with world.open() as ledger:
        found = [
            problem
            for problem in check_ledger(ledger, Trust())
            if problem.place.code == "at-record"
        ]
    assert [dict(problem.fault.params)["check"] for problem in found] == [
        "chains[0].timestamps[0].chain",
        "chains[0].timestamps[1].chain",
    ]
    assert not any(problem.is_damage for problem in found)
