"""Durable writes: whole under the final name, or not there."""

import errno
import os
import re
import secrets
from pathlib import Path

import pytest

from witnesstree.ledger.base import system
from witnesstree.ledger.base.errors import InvalidInput, StorageFailure
from witnesstree.ledger.store.disk import (
    locked,
    placing,
    replacing,
    storage_errors,
    sync_folder,
    write_file,
)


def test_a_file_is_written_with_its_mode(tmp_path: Path) -> None:
    write_file(tmp_path / "key", b"secret", mode=0o600)
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_bytes_are_synced_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(descriptor: int) -> None:
        steps.append("folder" if os.fstat(descriptor).st_ino == tmp_path.stat().st_ino else "file")
        fsync(descriptor)

    def noting_replace(source: Path, target: Path) -> None:
        steps.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    write_file(tmp_path / "file", b"content")
    assert steps == ["file", "name", "folder"]


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_disk_that_refuses_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def refuse(*_args: object, **_options: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(
            StorageFailure, match=r"^cannot write .*file: No space left on device; make room"
        ) as caught:
            write_file(path, b"new")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
@pytest.mark.parametrize("call", ["open", "replace"])
def test_what_is_forbidden_needs_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    path = tmp_path / "file"

    def refuse(file: Path, *_args: object, **_options: object) -> int:
        raise OSError(number, os.strerror(number), str(file))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageFailure) as caught:
            write_file(path, b"new")
    # Not the temporary file, which nobody ever named.
    expected = (
        f"cannot write {path}: {os.strerror(number)}; make it writable for this account or name"
        " another place, then run the command again"
    )
    assert str(caught.value) == expected


def test_another_file_that_the_disk_names_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageFailure, match=r"cannot write .*/absent/other: No such file"),
        storage_errors(tmp_path),
    ):
        (tmp_path / "absent" / "other").touch()


@pytest.mark.parametrize("name", [".", "/", ".."])
def test_what_can_only_be_a_folder_is_no_file_to_write(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{re.escape(name)} is a folder: name a file in it$"):
        write_file(Path(name), b"")


def test_an_error_of_the_caller_passes_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_name_that_somebody_took_before_is_neither_followed_nor_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can guess it; and if somebody does, nothing of theirs is touched."""
    monkeypatch.setattr(secrets, "token_hex", lambda size: "0" * 2 * size)
    (tmp_path / "theirs").write_bytes(b"theirs")
    for taken in ("link", "file"):
        temporary = tmp_path / f".file.{'0' * 14}.tmp"
        if taken == "link":
            temporary.symlink_to(tmp_path / "theirs")
        else:
            temporary.write_bytes(b"theirs")
        with pytest.raises(StorageFailure, match="File exists"):
            write_file(tmp_path / "file", b"new")
        assert (tmp_path / "theirs").read_bytes() == b"theirs"
        assert not (tmp_path / "file").exists()
        assert temporary.read_bytes() == b"theirs"
        temporary.unlink()


def test_a_name_of_the_greatest_length_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 235)
    write_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_file_is_made_in_another_folder_and_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with placing(tmp_path / "file", 0o600, scratch, is_durable=False) as file:
        assert [Path(file.name)] == list(scratch.iterdir())
        file.write(b"new")
    assert ((tmp_path / "file").read_bytes(), synced) == (b"new", [])
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert list(scratch.iterdir()) == []


def test_a_missing_folder_is_a_storage_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure, match="No such file or directory"):
        write_file(tmp_path / "absent" / "file", b"")


def test_only_what_the_disk_says_is_translated(tmp_path: Path) -> None:
    with pytest.raises(KeyError), storage_errors(tmp_path):
        raise KeyError


def test_a_system_without_locks_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "find_spec", lambda _name: None)
    with pytest.raises(InvalidInput) as caught, locked(tmp_path / "lock"):
        pass
    assert caught.value.message.code == "system-without-locks"
    assert list(tmp_path.iterdir()) == []


def test_a_system_that_opens_no_folder_syncs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_DIRECTORY")
    monkeypatch.setattr(os, "open", None)
    sync_folder(tmp_path)
