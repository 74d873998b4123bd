"""ledger/base/system.py, also where the system has fewer calls: names are taken from `os`, as they
are missing on Windows."""

import errno
import os
from pathlib import Path

import pytest

from witnesstree.ledger.base.system import open_regular, own_user, read_at, sync_all


@pytest.mark.parametrize("lacks", [(), ("pread",)], ids=["pread", "no pread"])
def test_bytes_are_read_from_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: tuple[str, ...]
) -> None:
    for name in lacks:
        monkeypatch.delattr(os, name)
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    with path.open("rb", buffering=0) as file:
        assert read_at(file, 3, 97) == b"abc"
        assert read_at(file, 5, 98) == b"bc"
        assert read_at(file, 2, 0) == b"\0\1"
        assert read_at(file, 2, 200) == b""


def test_files_name_the_user_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tmp_path.stat().st_uid == own_user()
    monkeypatch.delattr(os, "geteuid")
    assert own_user() == 0


def test_all_is_synced_where_that_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(os, "sync", lambda: asked.append("sync"))
    sync_all()
    monkeypatch.delattr(os, "sync")
    sync_all()
    assert asked == ["sync"]


@pytest.mark.timeout(10)
def test_nothing_is_waited_for_where_a_file_belongs(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"content"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(OSError, match=str(path)) as refused:
            open_regular(path)
        assert refused.value.errno == errno.ESPIPE
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "nothing")
