"""The digest index: every digest is found whatever others were chosen, merged runs follow from the
digests, and a torn run is never believed."""

import errno
import os
from collections import defaultdict
from pathlib import Path
from random import Random

import numpy as np
import pytest
from conftest import Clock
from fakes import FakeWorld, digests

from witnesstree.ledger.base.errors import Conflict, Damaged, StorageFailure
from witnesstree.ledger.store.batches import MERGED, BatchFiles
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.index import check, merge, runs
from witnesstree.ledger.store.index.digests import Digests
from witnesstree.ledger.store.index.merge import Span
from witnesstree.ledger.store.index.run import BLOCK, Run, build_run, write_run
from witnesstree.ledger.store.index.runs import DigestIndex
from witnesstree.ledger.work.fsck.check import check_ledger
from witnesstree.ledger.work.recovery import recover

Batches = list[list[bytes]]


class Ground:
    """Batches with their digests and runs as sealing leaves them, and what is to be found there."""

    def __init__(self, folder: Path, batches: Batches, first: int = 0) -> None:
        self.files = BatchFiles(Folder(folder))
        self.index = DigestIndex(self.files)
        self.sizes: list[tuple[int, int]] = []
        self.batches: dict[int, list[bytes]] = {}
        for sequence, entries in enumerate(batches, first):
            self.add(sequence, entries)

    def add(self, sequence: int, entries: list[bytes]) -> None:
        self.files.append(sequence, 0, b"".join(entries))
        write_run(self.files, sequence, len(entries))
        self.sizes = [*self.sizes, (sequence, len(entries))]
        self.batches[sequence] = entries

    def find(self, digest: bytes, batch: int | None = None) -> list[tuple[int, int]]:
        return list(self.index.view(self.sizes).find(digest, batch))

    def runs(self) -> list[Run]:
        return list(self.index.view(self.sizes).runs)

    def require_all_found(self) -> None:
        expected: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
        for sequence, entries in self.batches.items():
            for position, entry in enumerate(entries):
                expected[entry].append((sequence, position))
        assert {digest: self.find(digest) for digest in expected} == expected
        for digest, places in expected.items():
            for batch in self.batches:
                assert self.find(digest, batch) == [place for place in places if place[0] == batch]

    def require_runs_follow(self) -> None:
        """Each run is what its digests give, byte for byte."""
        numbered = [entry for _, entries in sorted(self.batches.items()) for entry in entries]
        for run in self.runs():
            own = sorted(
                (entry, number)
                for number, entry in enumerate(numbered[run.base : run.base + run.count])
            )
            assert run.path.read_bytes() == b"".join(
                entry[:8] + number.to_bytes(4, "big") for entry, number in own
            )
        assert list(self.index.check(self.sizes)) == []


def hostile(count: int, kinds: int, random: Random) -> list[bytes]:
    """Digests of which many are equal, or begin alike, and some are at the very ends."""
    heads = [bytes(8), b"\x7f" + b"\xff" * 7, b"\x80" + bytes(7), b"\xff" * 8]
    return [
        random.choice(heads) + random.randrange(kinds).to_bytes(24, "big") for _ in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 100, BLOCK, BLOCK + 1, 5 * BLOCK + 7])
def test_every_digest_is_found(tmp_path: Path, count: int) -> None:
    entries = digests("entry", count)
    ground = Ground(tmp_path, [entries])
    assert [ground.find(digest) for digest in entries] == [[(0, i)] for i in range(count)]
    for absent in (
        bytes(32),
        b"\xff" * 32,
        digests("absent", 1)[0],
        entries[0][:8] + bytes(24),
        entries[0][:8] + b"\xff" * 24,
    ):
        assert ground.find(absent) == []


@pytest.mark.parametrize("kinds", [1, 3, 1000])
def test_equal_and_colliding_digests_are_found_in_rising_order(tmp_path: Path, kinds: int) -> None:
    ground = Ground(
        tmp_path, [hostile(60, kinds, Random(kinds)), hostile(30, kinds, Random(kinds + 1))]
    )
    ground.require_all_found()
    ground.require_runs_follow()


def test_a_million_chosen_digests_that_begin_alike_cost_no_more_than_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 10**6
    ground = Ground(
        tmp_path,
        [
            [bytes(31) + b"\x01"],
            [b"\x42" * 8 + (i * 7919 % count).to_bytes(24, "big") for i in range(count)],
            digests("x", 9),
        ],
    )
    reads = []
    pread = os.pread
    monkeypatch.setattr(
        os,
        "pread",
        lambda descriptor, size, offset: reads.append(size) or pread(descriptor, size, offset),
    )
    for position in (0, 1, count // 2, count - 1):
        reads.clear()
        assert ground.find(ground.batches[1][position]) == [(1, position)]
        # A binary search over the run, and one over the digests themselves.
        assert len(reads) < 150
    reads.clear()
    assert ground.find(b"\x42" * 8 + b"\xff" * 24) == []
    assert len(reads) < 150


def test_digests_that_are_not_chosen_are_found_in_two_or_three_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = Ground(tmp_path, [[os.urandom(32) for _ in range(200_000)]])
    (run,) = ground.runs()
    reads = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *wanted: reads.append(wanted) or pread(*wanted))
    for entry in ground.batches[0][:200]:
        run.search(int.from_bytes(entry[:8]))
    assert len(reads) / 200 < 3


def test_only_the_first_entries_count(tmp_path: Path) -> None:
    (tmp_path / "digests").write_bytes(b"".join(digests("entry", 5)) + b"torn")
    assert len(build_run(Folder(tmp_path), "digests", 3)) == 3 * 12


@pytest.mark.parametrize("size", [None, 0, 3 * 32 - 1])
def test_missing_digests_are_damage(tmp_path: Path, size: int | None) -> None:
    if size is not None:
        (tmp_path / "digests").write_bytes(bytes(size))
    with pytest.raises(Damaged):
        build_run(Folder(tmp_path), "digests", 3)


@pytest.mark.parametrize("size", [0, 1, 12, 59, 61, 72])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_torn_run_is_damage(tmp_path: Path, size: int, is_open: bool) -> None:
    """A run that lacks whole records, too: a digest that is not found there was perhaps
    acknowledged all the same."""
    ground = Ground(tmp_path, [digests("entry", 5)])
    if is_open:
        ground.require_all_found()
    path = ground.files.index_path(0)
    path.write_bytes((path.read_bytes() + bytes(12))[:size])
    with pytest.raises(Damaged, match="fsck"):
        ground.find(ground.batches[0][0])
    ground.index.rebuild(ground.sizes)
    ground.require_all_found()


def test_a_missing_run_is_told(tmp_path: Path) -> None:
    ground = Ground(tmp_path, [digests("entry", 5)])
    ground.files.index_path(0).unlink()
    with pytest.raises(Conflict, match="fsck"):
        ground.find(bytes(32))
    ground.files.index_path(0).symlink_to(ground.files.index_path(0))
    with pytest.raises(Damaged, match="fsck"):
        ground.find(bytes(32))


@pytest.mark.parametrize("number", [1, 2**32 - 1])
def test_a_record_that_names_another_entry_is_damage(tmp_path: Path, number: int) -> None:
    ground = Ground(tmp_path, [[bytes([i]) * 32 for i in range(4)]])
    path = ground.files.index_path(0)
    path.write_bytes(path.read_bytes()[:8] + number.to_bytes(4, "big") + path.read_bytes()[12:])
    with pytest.raises(Damaged, match="mend-index"):
        ground.find(bytes(32))


@pytest.mark.parametrize("failure", ["error", "short"])
def test_a_disk_that_fails_to_read_a_run_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    ground = Ground(tmp_path, [digests("entry", 5)])

    def fail(*_: object) -> bytes:
        if failure == "error":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return b""

    view = ground.index.view(ground.sizes)
    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(Damaged, match="fsck"):
        list(view.find(bytes(32)))


# Merging


@pytest.mark.parametrize("part", [1, 3, 2**16])
@pytest.mark.parametrize("seed", range(4))
def test_merged_runs_are_those_that_the_digests_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int, seed: int
) -> None:
    monkeypatch.setattr(merge, "PART", part)
    random = Random(seed)
    ground = Ground(tmp_path, [])
    for sequence in range(12):
        ground.add(
            sequence, hostile(random.choice([1, 2, 3, 20]), random.choice([1, 4, 1000]), random)
        )
        ground.index.merge(ground.sizes)
    ground.require_all_found()
    ground.require_runs_follow()


def test_many_batches_are_few_runs_and_each_row_is_written_again_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0
    merge_parts = DigestIndex._merge

    def counted(self: DigestIndex, parts: list[Span], sizes: list[tuple[int, int]]) -> None:
        nonlocal written
        written += sum(part.count for part in parts)
        merge_parts(self, parts, sizes)

    monkeypatch.setattr(DigestIndex, "_merge", counted)
    ground = Ground(tmp_path, [])
    for sequence in range(150):
        ground.add(sequence, digests(f"{sequence}", 2))
        ground.index.merge(ground.sizes)
        assert len(ground.index._spans(ground.sizes)) <= 12
    ground.require_all_found()
    assert written <= 150 * 2 * 4
    assert len(list(tmp_path.rglob("*.index"))) == len(ground.runs())


def test_runs_that_were_never_merged_are_merged_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "FAN_IN", 4)
    ground = Ground(tmp_path, [digests(f"{i}", 2) for i in range(21)], first=999)
    ground.require_all_found()
    ground.index.merge(ground.sizes)
    assert [run.path.name for run in ground.runs()] == [
        "00000999-00001014.index",
        "00001015-00001019.index",
    ]
    ground.require_all_found()
    ground.require_runs_follow()


def test_runs_are_not_merged_over_a_number_that_is_not_sealed(tmp_path: Path) -> None:
    ground = Ground(tmp_path, [digests(f"{i}", 2) for i in range(5)])
    for sequence in range(6, 10):
        ground.add(sequence, digests(f"{sequence}", 2))
    ground.index.merge(ground.sizes)
    assert [run.path.name for run in ground.runs()] == [
        *(f"{i:08}.index" for i in range(5)),
        "00000006-00000009.index",
    ]
    ground.require_all_found()


def test_a_run_never_has_more_entries_than_can_be_numbered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "MAX_RUN", 9)
    ground = Ground(tmp_path, [digests(f"{i}", 2) for i in range(5)])
    ground.index.merge(ground.sizes)
    assert [run.count for run in ground.runs()] == [2, 8]
    ground.require_runs_follow()


def test_a_view_reads_on_when_its_runs_are_merged(tmp_path: Path) -> None:
    ground = Ground(tmp_path, [digests(f"{i}", 3) for i in range(4)])
    view = ground.index.view(ground.sizes)
    DigestIndex(ground.files).merge(ground.sizes)
    assert list(view.find(ground.batches[2][1])) == [(2, 1)]
    assert len(view.runs) == 4
    # Asked again, it has the merged one.
    assert len(ground.index.view(ground.sizes).runs) == 1
    ground.require_all_found()


def test_a_run_that_reaches_beyond_what_is_known_is_no_damage(tmp_path: Path) -> None:
    ground = Ground(tmp_path, [digests(f"{i}", 3) for i in range(4)])
    ground.index.merge(ground.sizes)
    with pytest.raises(Conflict, match="beyond"):
        ground.index.view(ground.sizes[:3])
    assert ground.index.view(ground.sizes[:0]).runs == ()


def test_a_run_that_another_process_mends_is_opened_anew(tmp_path: Path) -> None:
    ground = Ground(tmp_path, [[bytes([i]) * 32 for i in range(4)]])
    path = ground.files.index_path(0)
    path.write_bytes(path.read_bytes()[:36] + path.read_bytes()[24:36])
    assert ground.find(b"\x03" * 32) == []
    DigestIndex(ground.files).rebuild(ground.sizes)
    assert ground.find(b"\x03" * 32) == [(0, 3)]


@pytest.mark.parametrize("name", ["fsync", "replace", "unlink", "write"])
def test_a_disk_that_refuses_a_merge_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ground = Ground(tmp_path, [digests(f"{i}", 3) for i in range(4)])

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if name == "write":
            patch.setattr(runs, "merged_rows", refuse)
        else:
            patch.setattr(*((os, "fsync", refuse) if name == "fsync" else (Path, name, refuse)))
        with pytest.raises(StorageFailure):
            ground.index.merge(ground.sizes)
    ground.require_all_found()
    ground.index.merge(ground.sizes)
    ground.require_all_found()
    ground.index.rebuild(ground.sizes)
    assert sorted(path.name for path in tmp_path.rglob("*.index")) == ["00000000-00000003.index"]


@pytest.mark.parametrize("kept", [None, 0, 32])
def test_digests_that_are_missing_in_a_merge_are_damage(tmp_path: Path, kept: int | None) -> None:
    """Where keys are alike, whole digests decide: of the third batch all but the last are read for
    that alone."""
    same = [bytes(32)] * 3
    ground = Ground(tmp_path, [same, same, same, same])
    path = ground.files.digests_path(2)
    content = path.read_bytes()
    path.unlink()
    if kept is not None:
        path.write_bytes(content[:kept])
    with pytest.raises(Damaged, match=r"fsck|is missing"):
        ground.index.merge(ground.sizes)
    with pytest.raises(Damaged, match=r"fsck|is missing"):
        Digests(ground.files, ground.sizes, [0, 3, 6, 9, 12], 0).words(np.array([7]))


def test_what_else_stands_among_merged_runs_is_left_out(tmp_path: Path) -> None:
    ground = Ground(tmp_path, [digests(f"{i}", 3) for i in range(4)])
    ground.index.merge(ground.sizes)
    (tmp_path / MERGED / ".00000000-00000009.index.7.tmp").write_bytes(b"torn")
    # Parts that a crash left behind: the longer one counts.
    run = build_run(ground.files.place, ground.files.digests_name(3), 1)
    ground.files.merged_path(0, 1).write_bytes(run)
    ground.require_all_found()
    assert [run.path.name for run in ground.runs()] == ["00000000-00000003.index"]


# Checking


def test_every_flipped_byte_of_a_merged_run_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "PART", 5)
    ground = Ground(tmp_path, [hostile(3, 2, Random(i)) for i in range(4)])
    ground.index.merge(ground.sizes)
    path = ground.files.merged_path(0, 3)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert len(list(ground.index.check(ground.sizes))) == 1, at
    for first in range(11):
        content = bytearray(whole)
        content[first * 12 : first * 12 + 12], content[first * 12 + 12 : first * 12 + 24] = (
            whole[first * 12 + 12 :][:12],
            whole[first * 12 :][:12],
        )
        path.write_bytes(content)
        assert len(list(ground.index.check(ground.sizes))) == 1, first
    for content in (whole[:-12], whole[:-1], whole + bytes(12), b""):
        path.write_bytes(content)
        ((place, fault),) = ground.index.check(ground.sizes)
        assert dict(place.params)["path"] == str(path)
        assert fault.code == "index-length-wrong"


def test_a_run_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    ground = Ground(tmp_path, [digests(f"{i}", 3) for i in range(3)])
    ground.files.index_path(0).unlink()
    ground.files.index_path(1).unlink()
    ground.files.index_path(1).mkdir()
    # That digests are missing is said elsewhere.
    ground.files.digests_path(2).unlink()
    assert [str(place) for place, _ in ground.index.check(ground.sizes)] == [
        str(ground.files.index_path(i)) for i in (0, 1)
    ]


@pytest.mark.parametrize(
    "count", [1, 4], ids=["in one run with lost ones", "beside runs of lost ones"]
)
def test_a_database_older_than_merged_runs_gets_all_back(
    count: int, tmp_path: Path, clock: Clock
) -> None:
    """The metadata alone was put back from a backup: no number is given twice, no index is written
    again, until what is missing is added from the files."""
    world = FakeWorld(tmp_path / "home", clock)
    database = world.home.database

    def seal(name: str, batches: int) -> list[bytes]:
        sealed = digests(name, 3 * batches)
        with world.open() as ledger:
            for at in range(0, len(sealed), 3):
                ledger.submit(b"".join(sealed[at : at + 3]))
                ledger.close()
        return sealed

    before = seal("before", count)
    kept = database.read_bytes()
    later = seal("later", 4)
    assert any(
        int(path.stem.partition("-")[2]) >= count
        for path in (world.home.batches / MERGED).iterdir()
    )
    for path in database.parent.glob("ledger.db*"):
        path.unlink()
    database.write_bytes(kept)
    files = {path: path.read_bytes() for path in world.home.batches.rglob("*.digests")}
    with world.open() as ledger:
        if count == 1:
            with pytest.raises(Damaged, match="reaches beyond what is sealed"):
                ledger.proof(before[0])
        with pytest.raises(Damaged, match="is older than the ledger's files"):
            ledger.mend_indexes()
        with pytest.raises(Damaged, match="is older than the ledger's files"):
            ledger.submit(b"".join(digests("new", 1)))
        done = recover(ledger)
        assert (done.before, done.after) == (3 * count, 3 * (count + 4))
        assert (done.sealed, done.refused) == (list(range(count, count + 4)), [])
        ledger.outbox.work()
        assert list(check_ledger(ledger, world.trust)) == []
        assert all(ledger.proof(digest).digest == digest for digest in before + later)
    seal("new", 4)
    assert {path: path.read_bytes() for path in files} == files
