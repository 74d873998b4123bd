"""Measures what could hold the digest index: SQLite, RocksDB, LMDB, and sorted runs with merges
(ledger/store/index/).

    python benchmarks/index.py [--sizes 1000000 10000000] [--stores sqlite rocksdb lmdb runs]
                               [--batch 1048576] [--minutes 6] [--folder DIR]

Each store takes the same random digests in the same batches, durable after each, and answers the
same questions. The databases map the first 8 bytes of a digest, with batch and position behind them
so that no two keys are alike, to nothing; the runs hold the same. Cold is a look-up right after the
store was opened anew and all of its files were dropped from the page cache; the disk below may
cache what it likes. Each store runs in a process of its own, which is killed when its minutes are
over; that is printed, too. It prints a table; decision 22 quotes one.

It needs lmdb and rocksdict (benchmarks/requirements.txt).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Protocol

import numpy as np
from typing_extensions import override

from witnesstree.ledger.base.errors import Conflict
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.store.folder import Folder
from witnesstree.ledger.store.index.run import write_run
from witnesstree.ledger.store.index.runs import DigestIndex
from witnesstree.ledger.tree.bulk import sort_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NODE = 32
COLD, WARM = 100, 2_000
KILL_AFTER = 3
"""Batches that are taken before a build is killed, in the middle of the next one."""


def batch_of(number: int, count: int) -> bytes:
    """Return the packed digests of a batch: always the same ones."""
    return np.random.default_rng(number).bytes(count * NODE)


def keys_of(number: int, packed: bytes) -> Iterator[bytes]:
    """Yield the keys of a batch in order: 8 bytes of digest, 4 of batch, 4 of position.

    Sorted, because every store likes that best.
    """
    run = np.frombuffer(sort_run(packed), dtype=[("key", ">u8"), ("position", ">u4")])
    keys = np.empty(len(run), dtype=[("key", ">u8"), ("batch", ">u4"), ("position", ">u4")])
    keys["key"], keys["batch"], keys["position"] = run["key"], number, run["position"]
    whole = keys.tobytes()
    return (whole[at : at + 16] for at in range(0, len(whole), 16))


class Store(Protocol):
    """One candidate, open.

    `add` is durable when it returns; `find` gives (batch, position) of the first key that begins as
    the digest does.
    """

    def add(self, number: int, packed: bytes) -> None: ...
    def find(self, digest: bytes) -> tuple[int, int] | None: ...
    def close(self) -> None: ...


def _place(key: bytes) -> tuple[int, int]:
    return int.from_bytes(key[8:12]), int.from_bytes(key[12:16])


class SQLiteStore(Store):
    """A table without row ids: one B-tree with nothing but keys.

    Durable as the ledger's own database is.
    """

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "index.db", isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-262144"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY) WITHOUT ROWID"
        )

    @override
    def add(self, number: int, packed: bytes) -> None:
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT INTO entries VALUES (?)", ((key,) for key in keys_of(number, packed))
        )
        self._connection.execute("COMMIT")

    @override
    def find(self, digest: bytes) -> tuple[int, int] | None:
        row = self._connection.execute(
            "SELECT key FROM entries WHERE key >= ? LIMIT 1", (digest[:8],)
        ).fetchone()
        return _place(row[0]) if row and row[0][:8] == digest[:8] else None

    @override
    def close(self) -> None:
        self._connection.close()


class RocksDBStore(Store):
    """Write batches of 2**16 keys into the log and the memtables, synced once a batch; bloom
    filters would not help: keys are found, not missed."""

    def __init__(self, folder: Path) -> None:
        from rocksdict import Options, Rdict

        options = Options(raw_mode=True)
        options.create_if_missing(True)  # noqa: FBT003 - rocksdict's own signature
        options.increase_parallelism(os.cpu_count() or 1)
        options.set_write_buffer_size(2**27)
        self._database = Rdict(str(folder / "rocks"), options)

    @override
    def add(self, number: int, packed: bytes) -> None:
        from rocksdict import WriteBatch, WriteOptions

        options = WriteOptions()
        pending, count = WriteBatch(raw_mode=True), 0
        for key in keys_of(number, packed):
            pending.put(key, b"")
            count += 1
            if count == 2**16:
                self._database.write(pending, options)
                pending, count = WriteBatch(raw_mode=True), 0
        options.sync = True
        pending.put(b"\xff" * 16 + number.to_bytes(4), b"")
        self._database.write(pending, options)

    @override
    def find(self, digest: bytes) -> tuple[int, int] | None:
        key = next(self._database.keys(from_key=digest[:8]), None)
        return _place(key) if key and key[:8] == digest[:8] else None

    @override
    def close(self) -> None:
        self._database.close()


class LMDBStore(Store):
    """One B+tree in a mapped file, one transaction a batch, synced."""

    def __init__(self, folder: Path) -> None:
        import lmdb

        self._environment = lmdb.open(str(folder / "lmdb"), map_size=2**35, readahead=False)

    @override
    def add(self, number: int, packed: bytes) -> None:
        with self._environment.begin(write=True) as transaction:
            transaction.cursor().putmulti((key, b"") for key in keys_of(number, packed))

    @override
    def find(self, digest: bytes) -> tuple[int, int] | None:
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            return (
                _place(cursor.key())
                if cursor.set_range(digest[:8]) and cursor.key()[:8] == digest[:8]
                else None
            )

    @override
    def close(self) -> None:
        self._environment.close()


class RunsStore(Store):
    """What the ledger has. Its look-up compares whole digests, which none of the others do."""

    def __init__(self, folder: Path) -> None:
        self._files = BatchFiles(Folder(folder / "batches"))
        self._index = DigestIndex(self._files)
        self._sizes = [
            (number, path.stat().st_size // NODE)
            for number, path in enumerate(sorted((folder / "batches").glob("*/*.digests")))
        ]
        while True:
            # The ledger's metadata would say how many batches are sealed: those with an index.
            try:
                self._index.view(self._sizes)
            except Conflict:
                self._sizes.pop()
            else:
                break

    @override
    def add(self, number: int, packed: bytes) -> None:
        if not self._files.digests_path(number).exists():
            self._files.append(number, 0, packed)
        count = len(packed) // NODE
        write_run(self._files, number, count)
        self._sizes = [*self._sizes, (number, count)]
        self._index.merge(self._sizes)

    @override
    def find(self, digest: bytes) -> tuple[int, int] | None:
        return next(self._index.view(self._sizes).find(digest), None)

    @override
    def close(self) -> None:
        pass


STORES: dict[str, Callable[[Path], Store]] = {
    "sqlite": SQLiteStore,
    "rocksdb": RocksDBStore,
    "lmdb": LMDBStore,
    "runs": RunsStore,
}


# In the child process


def build(name: str, folder: Path, size: int, batch: int) -> dict[str, float]:
    """Fill a store, and return the entries a second it took and its bytes an entry.

    Making the digests is not counted.
    """
    store, seconds = STORES[name](folder), 0.0
    for number, first in enumerate(range(0, size, batch)):
        packed = batch_of(number, min(batch, size - first))
        if name == "runs":
            # The ledger has the digests as files in any case.
            BatchFiles(Folder(folder / "batches")).append(number, 0, packed)
        begun = time.perf_counter()
        store.add(number, packed)
        seconds += time.perf_counter() - begun
        print(
            json.dumps(
                {"done": number, "entries": first + len(packed) // NODE, "seconds": seconds}
            ),
            flush=True,
        )
    begun = time.perf_counter()
    store.close()
    seconds += time.perf_counter() - begun
    return {
        "rate": size / seconds,
        "bytes": sum(file.stat().st_size for file in _files(folder)) / size,
    }


def ask(name: str, folder: Path, size: int, batch: int) -> dict[str, float]:
    """Return the median and the 99th percentile of look-ups in seconds, cold and warm.

    Each answer is compared.
    """
    random = np.random.default_rng(99)
    numbers = range((size + batch - 1) // batch)
    chosen = [
        (number, batch_of(number, min(batch, size - number * batch)))
        for number in random.choice(numbers, min(8, len(numbers)), replace=False)
    ]
    asked = []
    for _ in range(COLD + WARM):
        number, packed = chosen[random.integers(len(chosen))]
        at = int(random.integers(len(packed) // NODE))
        asked.append((packed[at * NODE : (at + 1) * NODE], (int(number), at)))
    cold = []
    for digest, expected in asked[:COLD]:
        store = STORES[name](folder)
        _drop(folder)
        cold.append(_timed(store, digest, expected))
        store.close()
    store = STORES[name](folder)
    for digest, expected in asked[COLD:]:
        _timed(store, digest, expected)
    warm = [_timed(store, digest, expected) for digest, expected in asked[COLD:]]
    store.close()
    return {
        f"{state} {part}": at
        for state, times in (("cold", cold), ("warm", warm))
        for part, at in _percentiles(times).items()
    }


def _timed(store: Store, digest: bytes, expected: tuple[int, int]) -> float:
    begun = time.perf_counter()
    found = store.find(digest)
    seconds = time.perf_counter() - begun
    if found != expected:
        sys.exit(f"{digest.hex()} was put at {expected} and is found at {found}")
    return seconds


def _percentiles(times: list[float]) -> dict[str, float]:
    return {"p50": statistics.median(times), "p99": statistics.quantiles(times, n=100)[98]}


def _drop(folder: Path) -> None:
    """Drop a store's files from the page cache."""
    for file in _files(folder):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _files(folder: Path) -> list[Path]:
    """Return the files of a store; the digests count only where they are dropped, and the ledger
    has them anyway."""
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".digests"]


def survey(name: str, folder: Path, batch: int) -> dict[str, list[float]]:
    """Return how much of each batch a killed build has left, as parts of a thousand entries that
    were looked for."""
    store = STORES[name](folder)
    found = []
    for number in range(KILL_AFTER + 1):
        packed = batch_of(number, batch)
        asked = range(0, batch, batch // 1000)
        found.append(
            sum(store.find(packed[at * NODE : (at + 1) * NODE]) == (number, at) for at in asked)
            / len(asked)
        )
    store.close()
    return {"found": found}


# In the parent


def child(
    *arguments: object, minutes: float, stop_after: int | None = None
) -> tuple[dict[str, float], str | None]:
    """Run one step in a process of its own; return what it said last, and why it was ended, if it
    was."""
    command = [sys.executable, __file__, "--step", *map(str, arguments)]
    said: dict[str, float] = {}
    deadline = time.monotonic() + minutes * 60
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        output = running.stdout
        if output is None:
            raise AssertionError
        os.set_blocking(output.fileno(), False)
        while True:
            lines = output.readlines()
            said = json.loads(lines[-1]) if lines else said
            if running.poll() is not None and not lines:
                return said, None if running.returncode == 0 else f"ended with {running.returncode}"
            if time.monotonic() > deadline:
                running.kill()
                return said, f"stopped after {minutes:g} minutes"
            if stop_after is not None and said.get("done") == stop_after:
                # In the middle of the next batch: it takes as long as this one did.
                time.sleep(said["seconds"] / (stop_after + 1) / 2)
                running.send_signal(signal.SIGKILL)
                running.wait()
                return said, "killed"
            time.sleep(0.01)


def measure(name: str, size: int, batch: int, minutes: float, parent: Path) -> None:
    """Print one line of the table."""
    folder = Path(mkdtemp(dir=parent, prefix=f"{name}-{size}-"))
    try:
        built, why = child("build", name, folder, size, batch, minutes=minutes)
        if why:
            entries, seconds = built.get("entries", 0), built.get("seconds", 0) or 1
            print(
                f"| {size:.0e} | {name} | {why}, {entries:,} entries durable,"
                f" {entries / seconds / 1e6:.2f} M/s | | | | | |",
                flush=True,
            )
            return
        asked, why = child("ask", name, folder, size, batch, minutes=minutes)
        times = [
            f"{asked[part] * 1e6:,.0f}" if part in asked else why or "?"
            for part in ("cold p50", "cold p99", "warm p50", "warm p99")
        ]
        print(
            f"| {size:.0e} | {name} | {built['rate'] / 1e6:.2f} | {built['bytes']:.1f} |"
            f" {' | '.join(times)} |",
            flush=True,
        )
    finally:
        shutil.rmtree(folder)


def measure_crash(name: str, batch: int, minutes: float, parent: Path) -> None:
    """Print what is left of a build that was killed in the middle of a batch."""
    folder = Path(mkdtemp(dir=parent, prefix=f"{name}-killed-"))
    try:
        _, why = child(
            "build",
            name,
            folder,
            (KILL_AFTER + 20) * batch,
            batch,
            minutes=minutes,
            stop_after=KILL_AFTER - 1,
        )
        found, fault = child("survey", name, folder, batch, minutes=minutes)
        parts = ", ".join(f"{part:.1%}" for part in found.get("found", []))  # type: ignore[attr-defined]
        print(
            f"{name}: {why} in batch {KILL_AFTER + 1}; found of each batch afterwards:"
            f" {fault or parts}",
            flush=True,
        )
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Measure, or be the child that does one step."""
    if sys.argv[1:2] == ["--step"]:
        step, name, folder, *numbers = sys.argv[2:]
        work: Callable[..., object] = {"build": build, "ask": ask, "survey": survey}[step]
        print(json.dumps(work(name, Path(folder), *map(int, numbers))), flush=True)
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**6, 10**7])
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    parser.add_argument("--batch", type=int, default=2**20)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument(
        "--folder", type=Path, help="Where the stores are put.  [default: a temporary folder]"
    )
    parser.add_argument("--no-crash", action="store_true")
    chosen = parser.parse_args()
    parent = Path(mkdtemp(dir=chosen.folder))
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,"
        f" {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    )
    print(f"python {' '.join(chain(['benchmarks/index.py'], sys.argv[1:]))}\n")
    print(
        "| entries | store | build, M entries/s | bytes an entry | cold p50, µs | cold p99 | warm"
        " p50 | warm p99 |\n|---|---|---|---|---|---|---|---|"
    )
    try:
        for size in chosen.sizes:
            for name in chosen.stores:
                measure(name, size, chosen.batch, chosen.minutes, parent)
        if not chosen.no_crash:
            print("\nA build killed with SIGKILL in the middle of a batch:")
            for name in chosen.stores:
                measure_crash(name, chosen.batch, chosen.minutes, parent)
    finally:
        shutil.rmtree(parent)


if __name__ == "__main__":
    main()
