"""ledger/base/digest.py: files of every kind, and files that change under the reader's eyes."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from witnesstree.ledger.base.digest import (
    CHUNK,
    PART,
    QUEUED,
    FileDigest,
    digest_file,
    digest_files,
    same_file,
)
from witnesstree.ledger.base.errors import InvalidInput

SIZE = 3 * CHUNK + 17


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "recording.wav"
    path.parent.mkdir()
    path.write_bytes(bytes(range(256)) * (SIZE // 256) + bytes(SIZE % 256))
    return path


@pytest.mark.parametrize("size", [0, 1, 63, 64, CHUNK - 1, CHUNK, CHUNK + 1, SIZE])
def test_it_is_the_sha256_of_the_bytes(tmp_path: Path, size: int) -> None:
    path, content = tmp_path / "file", os.urandom(size)
    path.write_bytes(content)
    found = digest_file(path)
    assert (found.path, found.size, found.digest) == (path, size, sha256(content).digest())


def test_an_empty_file_has_a_digest(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert (
        digest_file(path).digest.hex()
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_a_link_stands_for_its_file(tmp_path: Path, file: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    assert digest_file(link).digest == digest_file(file).digest


def test_progress_adds_up_to_the_size(file: Path) -> None:
    steps: list[int] = []
    digest_file(file, steps.append)
    assert sum(steps) == SIZE
    assert max(steps) <= CHUNK


# What is no file


def test_what_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"cannot read .*nothing: No such file or directory"):
        digest_file(tmp_path / "nothing")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a regular file: give a file"):
        digest_file(tmp_path)


def test_a_path_through_a_file_is_refused(file: Path) -> None:
    with pytest.raises(InvalidInput, match=r"cannot read .*: Not a directory"):
        digest_file(file / "inside")


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InvalidInput, match="cannot read"):
        digest_file(tmp_path / "a")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("looks", [1, 2], ids=["before it is opened", "until it is read"])
def test_a_fifo_that_takes_a_files_place_is_refused(
    looks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, fifo = tmp_path / "file", tmp_path / "fifo"
    file.write_bytes(b"1")
    was = file.stat()
    os.mkfifo(fifo)
    # Somebody who may write, and does not.
    writer = os.open(fifo, os.O_RDWR)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", lambda _path: was)
        if looks == 2:
            patch.setattr(os, "fstat", lambda _number: was)
        with pytest.raises(InvalidInput) as refused:
            digest_file(fifo)
    os.close(writer)
    assert refused.value.message.code == "file-not-regular"


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(InvalidInput, match="is not a regular file"):
        digest_file(fifo)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_is_refused(device: str) -> None:
    with pytest.raises(InvalidInput, match="is not a regular file"):
        digest_file(Path(device))


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read"):
        digest_file(tmp_path / ("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_refused(file: Path) -> None:
    file.chmod(0)
    with pytest.raises(InvalidInput, match=r"cannot read .*: Permission denied"):
        digest_file(file)


# What changes meanwhile


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def cut(path: Path) -> None:
    os.truncate(path, SIZE - 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def replaced(path: Path) -> None:
    """The same bytes in another file."""
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    before = path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"x")


def overwritten_and_backdated(path: Path) -> None:
    before = path.stat()
    overwritten(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def removed(path: Path) -> None:
    path.unlink()


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def moved_with_its_folder(path: Path) -> None:
    """Nothing touches the file itself, but another one stands where it stood."""
    folder = path.parent
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()
    path.write_bytes((folder.with_name("elsewhere") / path.name).read_bytes())


CHANGES = [
    moved_with_its_folder,
    grow,
    cut,
    empty,
    replaced,
    overwritten,
    overwritten_and_backdated,
    removed,
    replaced_by_a_folder,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "at_step", [0, 1, 3], ids=["after the first step", "in the middle", "after the last step"]
)
def test_a_file_that_changes_is_refused(
    file: Path, change: Callable[[Path], None], at_step: int
) -> None:
    steps = 0

    def advance(_count: int) -> None:
        nonlocal steps
        if steps == at_step:
            change(file)
        steps += 1

    with pytest.raises(InvalidInput, match=r"changed while it was read|cannot read"):
        digest_file(file, advance)
    assert steps > at_step


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_after_reading_is_seen(file: Path, change: Callable[[Path], None]) -> None:
    found = digest_file(file)
    found.require_unchanged()
    change(file)
    with pytest.raises(
        InvalidInput, match="changed while it was read: close the program that writes to it"
    ):
        found.require_unchanged()


def test_reading_a_file_is_no_change(file: Path) -> None:
    before = file.stat()
    file.read_bytes()
    os.utime(file, ns=(1, before.st_mtime_ns))
    assert not same_file(before, file.stat()), "setting a time changes the inode's own time"
    assert same_file(file.stat(), file.stat())


# Many files


@pytest.fixture
def many(tmp_path: Path) -> list[Path]:
    """Files of very different sizes, so that they are not ready in the order in which they were
    begun."""
    paths = []
    for i in range(60):
        path = tmp_path / f"{i}"
        path.write_bytes(b"%d" % i * (200_000 if i % 7 == 0 else 1))
        paths.append(path)
    return paths


@pytest.mark.parametrize("threads", [None, 1, 2, 8])
def test_many_files_come_in_the_order_given(many: list[Path], threads: int | None) -> None:
    found = list(digest_files(many, threads=threads))
    assert [each.path for each in found] == many
    assert [each.digest for each in found] == [sha256(path.read_bytes()).digest() for path in many]


def test_no_files_give_no_digests() -> None:
    assert list(digest_files([])) == []


def test_a_long_list_is_not_taken_all_at_once(many: list[Path]) -> None:
    taken = 0

    def paths() -> Iterator[Path]:
        nonlocal taken
        for path in many * 20:
            taken += 1
            yield path

    digests = digest_files(paths(), threads=2)
    next(digests)
    assert taken <= 2 * QUEUED * PART + 1 < len(many) * 20
    digests.close()  # type: ignore[attr-defined]


def test_the_first_bad_file_in_order_is_the_one_named(many: list[Path]) -> None:
    missing = many[0].with_name("missing")
    paths = [*many[:10], missing, *many[10:20], many[0].parent]
    found: list[FileDigest] = []
    with pytest.raises(InvalidInput, match="missing"):
        found.extend(digest_files(paths, threads=4))
    assert [each.path for each in found] == many[:10]
    with pytest.raises(InvalidInput, match="missing"):
        list(digest_files(paths, threads=4))


def test_who_stops_asking_stops_the_work(tmp_path: Path) -> None:
    paths = []
    for i in range(8):
        path = tmp_path / f"{i}"
        path.touch()
        os.truncate(path, 2**30 if i else 1)
        paths.append(path)
    read = 0

    def advance(count: int) -> None:
        nonlocal read
        read += count

    digests = digest_files(paths, advance, threads=2)
    next(digests)
    digests.close()  # type: ignore[attr-defined]
    assert read < 2**30
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("digest")]


def test_the_stop_event_ends_the_work(file: Path) -> None:
    stop = threading.Event()
    steps: list[int] = []

    def advance(count: int) -> None:
        steps.append(count)
        stop.set()

    with pytest.raises(InvalidInput, match="was stopped"):
        digest_file(file, advance, stop)
    assert steps == [CHUNK]


# Memory


GIB = 2**30


@pytest.mark.parametrize("size", [GIB // 2, pytest.param(5 * GIB, marks=pytest.mark.rehearsal)])
def test_a_huge_file_takes_constant_memory(tmp_path: Path, size: int) -> None:
    """A sparse file takes no room on the disk, and all the time in the hash."""
    path = tmp_path / "huge"
    path.touch()
    os.truncate(path, size)
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom witnesstree.ledger.base.digest import"
        " digest_file\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nfound ="
        " digest_file(Path(sys.argv[1]))\nprint(found.size, found.digest.hex(),"
        " resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True
    ).stdout.split()
    zeros = sha256()
    for _ in range(size // CHUNK):
        zeros.update(bytes(CHUNK))
    assert printed[:2] == [str(size), zeros.hexdigest()]
    assert int(printed[2]) < 8 * 1024, "KiB more than before"
