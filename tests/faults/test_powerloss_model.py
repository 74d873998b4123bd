"""What the rehearsals of a power loss take a disk to hold (powerloss.py), on programs whose faults
are known."""

import sys
from pathlib import Path
from random import Random

import pytest
from powerloss import Disk, record, states

pytestmark = pytest.mark.real("strace")

SYNCED = """
import os
with open("f.tmp", "wb") as file:
    file.write(b"new" * 3000)
    file.flush()
    os.fsync(file.fileno())
os.rename("f.tmp", "f")
folder = os.open(".", os.O_RDONLY)
os.fsync(folder)
print("done", flush=True)
"""
FAULTY = {
    "bytes": SYNCED.replace("os.fsync(file.fileno())", "pass"),
    "name": SYNCED.replace("os.fsync(folder)", "pass"),
    "early": f'print("done", flush=True){SYNCED}'.removesuffix('print("done", flush=True)\n'),
}


def left(tmp_path: Path, program: str) -> set[bytes]:
    """Return what the file may hold after the program told that it is done."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "f").write_bytes(b"old")
    disk, found = Disk(root), set()
    for call in record(root, sys.executable, "-c", program):
        disk.do(call)
        if disk.printed:
            found.update(state["f"] for _, state in states(disk, Random(1), 20))
    assert disk.printed == b"done\n"
    assert {bytes(disk.root.seen["f"].seen)} == {(root / "f").read_bytes()}
    return found


def test_what_was_synced_is_there_whatever_happens(tmp_path: Path) -> None:
    assert left(tmp_path, SYNCED) == {b"new" * 3000}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_program_that_syncs_too_little_or_too_late_is_found(tmp_path: Path, fault: str) -> None:
    found = left(tmp_path, FAULTY[fault])
    assert found > {b"new" * 3000}
    if fault == "bytes":
        # Not even the older one is left: the name went ahead of the bytes; and any part may be.
        assert b"" in found
        assert len(found) > 3
    else:
        assert b"old" in found
