"""Power is lost at any moment of a ledger's life: real commands are recorded call by call, and the
ledger is opened on what the disk may hold then (powerloss.py). Killed processes are among it: of
what they wrote, everything is kept.

Every entry whose receipt was printed is there, nothing is damaged and nothing refuses; the next run
finishes; and no size of the log has two checkpoints among all that anybody can have seen.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import pytest
from chainworld import in_child
from commandline import PROGRAM, call
from powerloss import Disk, File, Folder, State, fingerprint, lay_out, record, states
from survival import HOME, INIT, Promised, problems

pytestmark = [pytest.mark.rehearsal, pytest.mark.real("strace"), pytest.mark.timeout(1200)]

SEED = 20261130
PARTS = 2
"""States of which a random part was kept, at each call."""
LOOKED_AT = 120
"""States of each life that the ledger is opened on: a random choice."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `acknowledges` has the digests whose receipt it prints, `writes` the proofs that
    it tells of: each begins with the name of its file. Where it prints nothing, its end tells."""

    arguments: tuple[str, ...]
    acknowledges: tuple[bytes, ...] = ()
    writes: tuple[str, ...] = ()


def digest(name: str) -> bytes:
    return sha256(name.encode()).digest()


BULK = tuple(sha256(b"bulk %d" % number).digest() for number in range(3000))
FIRST = (
    Command(INIT),
    Command(("seal", "--no-wait", "a", "b", *HOME), (digest("a"), digest("b"))),
    Command(("seal", "--no-wait", "c", *HOME), (digest("c"),)),
    Command(("seal", *HOME)),
    Command(("proof", "a", "-o", "a.proof.json", *HOME), writes=("a.proof.json",)),
    Command(("log", "publish", "public", *HOME)),
    Command(("seal", "d", *HOME), (digest("d"),), ("d.proof.json",)),
)
LATER = (
    Command(("log", "rotate", *HOME)),
    Command(("seal", "e", *HOME), (digest("e"),), ("e.proof.json",)),
    Command(("log", "publish", "public", *HOME)),
    Command(("seal", "--digests", "bulk", *HOME), BULK),
    Command(("proof", "--all", "--batch", "3", "-o", "bulk.proofs", *HOME)),
    Command(("seal", "--no-wait", "f", *HOME), (digest("f"),)),
)
LATEST = (
    Command(("log", "rotate", "--destroy-old", *HOME)),
    Command(("seal", "--ipfs", "g", *HOME), (digest("g"),), ("g.proof.json",)),
    Command(("authority", "add", "court", "http://127.0.0.1:9/", *HOME)),
    Command(("authority", "remove", "court", *HOME)),
    Command(("fsck", "--mend-index", *HOME)),
    Command(("worker", "--until-done", *HOME)),
    Command(("log", "publish", "public", *HOME)),
)
MENDED = (
    Command(("recover", *HOME)),
    Command(("seal", "h", *HOME), (digest("h"),), ("h.proof.json",)),
)


@dataclass(frozen=True, slots=True)
class Life:
    """What a ledger did `before`, and what it does while the power may fail; `age` is how many
    commands its database had seen when it was put back, None where it was not."""

    before: tuple[Command, ...]
    commands: tuple[Command, ...]
    age: int | None = None


LIVES = {
    "first": Life((), FIRST),
    "later": Life(FIRST, LATER),
    "latest": Life(FIRST + LATER, LATEST),
    "mended": Life(FIRST + LATER, MENDED, age=3),
}


def begin(life: Life, root: Path) -> None:
    """Do what a ledger did before, in a new folder with something to seal."""
    root.mkdir()
    for name in "abcdefgh":
        (root / name).write_text(name)
    (root / "bulk").write_bytes(b"".join(BULK))
    os.chdir(root)
    database, kept = Path("home/ledger.db"), b""
    for number, command in enumerate(life.before):
        if number == life.age:
            kept = database.read_bytes()
        done = call(*command.arguments)
        assert done.code == 0, done.talk
    if kept:
        database.write_bytes(kept)


# Every moment


def moments(life: Life, root: Path) -> Iterator[tuple[str, Promised, State]]:
    """Do what a ledger does, and yield what the disk may hold at any moment of it; no state twice,
    unless more is promised."""
    disk, random = Disk(root), Random(SEED)
    is_made = bool(life.before)
    entries = {each for command in life.before for each in command.acknowledges}
    proofs = {name for command in life.before for name in command.writes}
    checkpoints: set[str] = set()
    met: set[tuple[bytes, int]] = set()
    for command in life.commands:
        recorded = record(root, PROGRAM, *command.arguments)
        disk.begin()
        for number, each in enumerate(recorded, 1):
            is_over = number == len(recorded)
            if not disk.do(each) and not is_over:
                continue
            if disk.printed.strip() or is_over:
                is_made = True
                entries.update(command.acknowledges)
                proofs.update(command.writes)
            checkpoints.update(seen_outside(disk))
            promised = Promised(
                is_made, frozenset(entries), frozenset(proofs), frozenset(checkpoints)
            )
            for kept, state in states(disk, random, PARTS):
                mark = fingerprint(state), hash(promised)
                if mark not in met:
                    met.add(mark)
                    told = f"{' '.join(command.arguments[:2])}, {each.name} {number}: {kept} kept"
                    yield told, promised, state
    require_same(disk, root)


def seen_outside(disk: Disk) -> Iterator[str]:
    """Yield the checkpoints that are published, synced or not: somebody may have fetched them."""
    public = disk.root.seen.get("public")
    for name in ("checkpoint", "checkpoint-0"):
        if isinstance(public, Folder) and isinstance(file := public.seen.get(name), File):
            yield file.seen.decode()


def require_same(disk: Disk, root: Path) -> None:
    """Raise AssertionError unless what was recorded leads to what is there."""
    _, (_, seen), *_ = states(disk, Random(SEED), 0)
    there = {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }
    assert seen.keys() == there.keys()
    assert [name for name in seen if seen[name] != there[name]] == []


@pytest.mark.parametrize("name", LIVES)
def test_power_is_lost_at_any_moment(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    life, root = LIVES[name], tmp_path / "root"
    begin(life, root)
    import_module("witnesstree.anchor.evm.local")  # the chain's machine, before the forks
    found = [*moments(life, root)]
    # A home knows where it published its log: what is left of it is laid out in the same place.
    os.chdir(tmp_path)
    shutil.rmtree(root)
    wrong = []
    for told, promised, state in Random(SEED).sample(found, min(LOOKED_AT, len(found))):
        lay_out(state, root)
        said, status = in_child(partial(look, root, promised, is_older=life.age is not None))()
        if (said, status) != ([[]], 0):
            wrong.append(f"{told}: {said or status}")
        shutil.rmtree(root)
    assert not wrong, f"{len(wrong)} of {len(found)} states: " + "\n".join(wrong)


def look(root: Path, promised: Promised, tell: Callable[[Any], object], *, is_older: bool) -> None:
    tell([*problems(root, promised, is_older=is_older)])
