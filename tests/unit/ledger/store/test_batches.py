"""Batches as files: every size, every position, and every way in which the files can be wrong."""

import errno
import os
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import pytest
from fakes import digests

from witnesstree.ledger.base.errors import Damaged, StorageFailure
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.tree import levels
from witnesstree.ledger.tree.levels import PART
from witnesstree.ledger.tree.tree import NODE, prove, root_from_path, root_of


@pytest.fixture
def files(tmp_path: Path) -> BatchFiles:
    return BatchFiles(Folder(tmp_path / "batches"))


def filled(files: BatchFiles, count: int, sequence: int = 0) -> bytes:
    packed = b"".join(digests("entry", count))
    files.append(sequence, 0, packed)
    return packed


@pytest.mark.parametrize(("step", "part"), [(1, 2), (1, 6), (2, 4), (2, 12), (3, 8), (6, 64)])
def test_root_and_paths_of_every_size(
    files: BatchFiles, monkeypatch: pytest.MonkeyPatch, step: int, part: int
) -> None:
    monkeypatch.setattr(levels, "STEP", step)
    monkeypatch.setattr(levels, "PART", part)
    for count in range(1, 41):
        packed = filled(files, count, sequence=count)
        root = files.seal(count, count)
        assert root == root_of(packed)
        assert files.checksum(count, count) == crc32(packed)
        for position in range(count):
            digest = packed[position * NODE : (position + 1) * NODE]
            path = files.path(count, position, count)
            assert list(path) == prove(packed, position)
            assert root_from_path(digest, position, count, path) == root
            assert files.digest_at(count, position) == digest


@pytest.mark.parametrize("count", [63, 64, 65, 4095, 4096, 4097, 5000])
def test_paths_over_several_kept_levels(files: BatchFiles, count: int) -> None:
    packed = filled(files, count)
    root = files.seal(0, count)
    assert root == root_of(packed)
    for position in {0, 1, 62, count // 2, 4095 % count, count - 2, count - 1}:
        assert list(files.path(0, position, count)) == prove(packed, position)
    # Half a byte an entry.
    assert (
        files.nodes_path(0).stat().st_size
        == sum(size for size in (-(-count // 64), -(-count // 4096)) if size > 1) * NODE
    )


def test_the_usual_part_is_one_of_whole_blocks() -> None:
    # A level that is cut elsewhere would be paired differently.
    assert PART % 2**levels.STEP == 0


def test_sealing_again_gives_the_same_bytes(files: BatchFiles) -> None:
    filled(files, 9)
    first = files.seal(0, 9), files.nodes_path(0).read_bytes()
    assert (files.seal(0, 9), files.nodes_path(0).read_bytes()) == first


def test_an_append_overwrites_what_was_never_acknowledged(files: BatchFiles) -> None:
    kept, lost, new = digests("kept", 2), digests("lost", 5), digests("new", 1)
    files.append(0, 0, b"".join(kept))
    files.append(0, 2, b"".join(lost))
    files.append(0, 2, b"".join(new))
    assert b"".join(files.parts(0, 3)) == b"".join(kept + new)
    assert files.seal(0, 3) == root_of(b"".join(kept + new))
    assert files.digests_path(0).stat().st_size == 3 * NODE


def test_a_short_write_is_gone_on_with(files: BatchFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(
        os,
        "pwrite",
        lambda descriptor, content, offset: pwrite(descriptor, bytes(content[:7]), offset),
    )
    packed = filled(files, 3)
    assert files.digests_path(0).read_bytes() == packed


def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the inode of everything that is synced."""
    found: list[int] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        found.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    return found


def test_the_first_entries_sync_the_file_and_its_folders(
    files: BatchFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = synced(monkeypatch)
    filled(files, 1)
    path = files.digests_path(0)
    assert {path.stat().st_ino, path.parent.stat().st_ino, path.parent.parent.stat().st_ino} <= set(
        found
    )


def test_folders_are_synced_though_an_append_before_was_cut_off(
    files: BatchFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there, but its name may not be on disk: whoever made it failed before it got to
    that."""

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageFailure):
            filled(files, 1)
    found = synced(monkeypatch)
    filled(files, 1)
    path = files.digests_path(0)
    assert {path.stat().st_ino, path.parent.stat().st_ino, path.parent.parent.stat().st_ino} <= set(
        found
    )


def test_later_entries_sync_the_file_alone(
    files: BatchFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(files, 1)
    found = synced(monkeypatch)
    files.append(0, 1, digests("more", 1)[0])
    assert found == [files.digests_path(0).stat().st_ino]


def test_the_cut_is_synced(files: BatchFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(files, 5)
    found = synced(monkeypatch)
    files.seal(0, 3)
    assert files.digests_path(0).stat().st_ino in found
    assert files.digests_path(0).stat().st_size == 3 * NODE


@pytest.mark.parametrize("name", ["fsync", "pwrite"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_refuses_is_a_storage_failure(
    files: BatchFiles, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, refuse)
        with pytest.raises(StorageFailure, match=os.strerror(code)):
            filled(files, 2)
    packed = filled(files, 2)
    assert files.seal(0, 2) == root_of(packed)


def test_a_tree_that_cannot_be_written_leaves_none(
    files: BatchFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(files, 3)

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageFailure):
        files.seal(0, 3)
    assert sorted(path.name for path in files.digests_path(0).parent.iterdir()) == [
        "00000000.digests"
    ]


@pytest.mark.parametrize("harm", ["missing", "short", "torn", "empty", "folder"])
def test_missing_digests_are_damage(files: BatchFiles, harm: str) -> None:
    filled(files, 5)
    path = files.digests_path(0)
    path.unlink()
    if harm == "folder":
        path.mkdir()
    elif harm != "missing":
        path.write_bytes(bytes({"short": 4 * NODE, "torn": 5 * NODE - 1, "empty": 0}[harm]))
    with pytest.raises(Damaged):
        files.checksum(0, 5)
    with pytest.raises(Damaged):
        files.seal(0, 5)
    with pytest.raises(Damaged):
        files.digest_at(0, 4)
    with pytest.raises(Damaged):
        list(files.scan(0, 5, bytes(NODE)))
    assert not files.nodes_path(0).exists()


@pytest.mark.parametrize("harm", ["missing", "short", "torn", "empty", "folder"])
def test_a_missing_tree_is_damage(
    files: BatchFiles, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    monkeypatch.setattr(levels, "STEP", 1)
    filled(files, 5)
    files.seal(0, 5)
    path = files.nodes_path(0)
    content = path.read_bytes()
    path.unlink()
    if harm == "folder":
        path.mkdir()
    elif harm != "missing":
        path.write_bytes(content[: {"short": NODE, "torn": 2 * NODE + 5, "empty": 0}[harm]])
    with pytest.raises(Damaged):
        files.path(0, 0, 5)


def test_scan_finds_whole_digests_only(files: BatchFiles) -> None:
    first, second = sha256(b"1").digest(), sha256(b"2").digest()
    across = first[16:] + second[:16]
    files.append(0, 0, first + second + first + across)
    assert list(files.scan(0, 4, first)) == [0, 2]
    assert list(files.scan(0, 4, across)) == [3]
    assert list(files.scan(0, 3, across)) == []


def test_scan_looks_at_acknowledged_entries_only(files: BatchFiles) -> None:
    packed = filled(files, 3)
    assert list(files.scan(0, 2, packed[2 * NODE :])) == []


def test_no_folder_grows_without_bound(files: BatchFiles) -> None:
    assert files.digests_path(999).parent != files.digests_path(1000).parent
    assert (
        files.digests_path(1000).relative_to(files.digests_path(1000).parents[1]).as_posix()
        == "00001/00001000.digests"
    )


def test_nothing_is_appended_behind_entries_that_are_gone(files: BatchFiles) -> None:
    """The batch could never be sealed, and what it took would wait with it."""
    packed = filled(files, 5)
    path = files.digests_path(0)
    path.write_bytes(packed[: 3 * NODE + 1])
    with pytest.raises(Damaged, match="3 of the 5 leaves that were acknowledged"):
        files.append(0, 5, *digests("more", 1))
    assert path.read_bytes() == packed[: 3 * NODE + 1]
    path.unlink()
    with pytest.raises(Damaged, match="0 of the 5 leaves"):
        files.append(0, 5, *digests("more", 1))
    path.mkdir()
    with pytest.raises(Damaged, match="Is a directory"):
        files.append(0, 5, *digests("more", 1))
