"""What is measured inside a process: `python -m benchmarks.timed [--cores N] NAME ARGUMENT…`
prepares, does it once, and prints one JSON object.

Each function here is one measurement. It is handed words of the command line and returns seconds
and whatever else it counted; only what stands between the two looks at the clock counts.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import subprocess
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from witnesstree.ledger.work.sealing import Ledger

NODE = 32
PART = 2**20
"""Digests handed to the ledger at a time."""
SPEED_SECONDS = 2
"""For which `openssl speed` runs."""
NODE_BYTES = 128
"""That SHA-256 takes in for a node: 64 of its children, and padding up to two blocks."""
SEED = 7
"""Of the choice of what is looked up: every round asks for the same."""


def hashlib_loop(count: str) -> dict[str, float]:
    """Hash a tree as a few lines of Python do it."""
    leaves = os.urandom(int(count) * NODE)
    start = perf_counter()
    level = [leaves[i : i + NODE] for i in range(0, len(leaves), NODE)]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [sha256(a + b if a < b else b + a).digest() for a, b in pairs] + level[
            len(level) & ~1 :
        ]
    return {"seconds": perf_counter() - start}


def tree(which: str, count: str) -> dict[str, float]:
    """Hash every level of a tree with one of the ledger's own cores."""
    from witnesstree.ledger.tree import core
    from witnesstree.ledger.tree.tree import levels_above

    core.choose("native" if which == "native" else "python")
    leaves = os.urandom(int(count) * NODE)
    start = perf_counter()
    levels_above(leaves)
    return {"seconds": perf_counter() - start}


def openssl_speed(processes: str) -> dict[str, float]:
    """Say how many nodes as many processes of openssl could hash in a second, if hashing were all
    there is to a tree."""
    argv = [
        "openssl",
        "speed",
        "-seconds",
        str(SPEED_SECONDS),
        "-evp",
        "sha256",
        "-bytes",
        "16384",
        "-multi",
        processes,
    ]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^sha256\s+([0-9.]+)k\s*$", said, re.MULTILINE | re.IGNORECASE)
    if not found:
        raise SystemExit(f"openssl speed said nothing of sha256: {said[-200:]!r}")
    return {"seconds": SPEED_SECONDS, "count": float(found[1]) * 1000 / NODE_BYTES * SPEED_SECONDS}


def pymerkle_tree(count: str) -> dict[str, float]:
    """Append entries to pymerkle's tree in memory, up to its root."""
    from pymerkle import InmemoryTree

    entries = [os.urandom(NODE) for _ in range(int(count))]
    start = perf_counter()
    built = InmemoryTree()
    built.append_entries(entries)
    built.get_root()
    return {"seconds": perf_counter() - start}


def opentimestamps_tree(count: str) -> dict[str, float]:
    """Hash a tree as an OpenTimestamps calendar does."""
    from opentimestamps.core.timestamp import Timestamp, make_merkle_tree

    stamps = [Timestamp(os.urandom(NODE)) for _ in range(int(count))]
    start = perf_counter()
    make_merkle_tree(stamps)
    return {"seconds": perf_counter() - start}


def pymerkle_proofs(count: str, asked: str, state: str, file: str) -> dict[str, float]:
    """Fetch inclusion proofs from pymerkle's tree in a SQLite file, which is made where it is
    missing."""
    from pymerkle import SqliteTree

    with SqliteTree(file) as built:
        if built.get_size() == 0:
            built.append_entries(os.urandom(NODE) for _ in range(int(count)))
    positions = random.Random(SEED).choices(range(1, int(count) + 1), k=int(asked))
    if state == "cold":
        return _latencies([_cold_pymerkle(file, position) for position in positions])
    with SqliteTree(file) as built:
        return _each(built.prove_inclusion, positions)


def _cold_pymerkle(file: str, position: int) -> float:
    from pymerkle import SqliteTree

    with SqliteTree(file) as built:
        forget(Path(file).parent)
        start = perf_counter()
        built.prove_inclusion(position)
        return perf_counter() - start


def submit(home: str, digests: str) -> dict[str, float]:
    """Submit the digests in a file and close the batch: entries, tree, index and signed checkpoint
    on disk, no token and no anchor."""
    from witnesstree.anchor.wiring import open_ledger

    with open_ledger(Path(home)) as ledger, Path(digests).open("rb") as file:
        start = perf_counter()
        while part := file.read(PART * NODE):
            ledger.submit(part)
        ledger.close()
        return {"seconds": perf_counter() - start}


def fill(home: str, count: str, sample: str, kept: str) -> dict[str, float]:
    """Seal so many random digests in a new ledger, and keep some of them, taken evenly, in the file
    `sample`."""
    from witnesstree.anchor.wiring import make_home, new_origin, open_ledger

    make_home(Path(home), new_origin())
    total, step = int(count), max(1, int(count) // int(kept))
    start = perf_counter()
    with open_ledger(Path(home)) as ledger, Path(sample).open("wb") as out:
        for first in range(0, total, PART):
            part = os.urandom(min(PART, total - first) * NODE)
            ledger.submit(part)
            out.writelines(
                part[(i - first) * NODE : (i - first + 1) * NODE]
                for i in range(-first % step + first, first + len(part) // NODE, step)
            )
        ledger.close()
        ledger.outbox.work()
    return {"seconds": perf_counter() - start}


def look_up(home: str, sample: str, asked: str, state: str) -> dict[str, float]:
    """Fetch proofs by digest: warm, with all files in the page cache; cold, with none; first, from
    a ledger that was opened for it, and cold."""
    from witnesstree.anchor.wiring import open_ledger

    content = Path(sample).read_bytes()
    digests = random.Random(SEED).choices(
        [content[i : i + NODE] for i in range(0, len(content), NODE)], k=int(asked)
    )
    if state == "first":
        # The very first one pays for Python's own modules: it is thrown away.
        found = []
        for digest in (digests[0], *digests):
            with open_ledger(Path(home)) as ledger:
                found.append(_cold_proof(ledger, Path(home), digest))
        return _cold_latencies(found[1:])
    with open_ledger(Path(home)) as ledger:
        for digest in digests:
            ledger.proof(digest)
        if state == "cold":
            return _cold_latencies([_cold_proof(ledger, Path(home), digest) for digest in digests])
        return _each(ledger.proof, digests)


def _cold_proof(ledger: Ledger, home: Path, digest: bytes) -> tuple[float, int]:
    forget(home)
    blocks = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
    start = perf_counter()
    ledger.proof(digest)
    return perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_inblock - blocks


def _cold_latencies(found: list[tuple[float, int]]) -> dict[str, float]:
    return {
        **_latencies([seconds for seconds, _ in found]),
        "read_kib": sum(read for _, read in found) / len(found) / 2,
    }


def forget(folder: Path) -> None:
    """Have the kernel drop what it holds of the files below `folder`: of those that are not mapped
    and not waiting to be written."""
    for path in folder.rglob("*"):
        # A file may come and go while we look.
        with suppress(FileNotFoundError):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)


def verify(home: str, digest_file: str, proof_file: str, count: str) -> dict[str, float]:
    """Judge one proof again and again, from its bytes to the report, as a server does that knows
    whom it trusts."""
    from witnesstree.anchor.trust import home_trust
    from witnesstree.anchor.wiring import clock
    from witnesstree.ledger.base.report import Verdict
    from witnesstree.ledger.proof.proof import parse_proof
    from witnesstree.ledger.store.home import open_home
    from witnesstree.ledger.verify.verify import verify as judge

    content, digest = Path(proof_file).read_bytes(), sha256(Path(digest_file).read_bytes()).digest()
    trust, now = home_trust(open_home(Path(home)), parse_proof(content)), clock()
    if trust is None or judge(digest, content, trust, now).verdict is not Verdict.VERIFIED:
        raise SystemExit("the proof does not verify")
    return _each(lambda _: judge(digest, content, trust, now), range(int(count)))


def digest_one(file: str) -> dict[str, float]:
    """Hash one file."""
    from witnesstree.ledger.base.digest import digest_file

    start = perf_counter()
    digest_file(Path(file))
    return {"seconds": perf_counter() - start}


def digest_many(folder: str) -> dict[str, float]:
    """Hash every file of a folder."""
    from witnesstree.ledger.base.digest import digest_files

    files = sorted(Path(folder).iterdir())
    start = perf_counter()
    for _ in digest_files(files):
        pass
    return {"seconds": perf_counter() - start}


def hash_memory(count: str, size: str) -> dict[str, float]:
    """Hash the same random bytes so many times, on a thread for each processor: no file is opened,
    read, or looked at."""
    from concurrent.futures import ThreadPoolExecutor
    from hashlib import sha256

    content, threads = os.urandom(int(size)), len(os.sched_getaffinity(0))

    def hash_share(share: range) -> None:
        for _ in share:
            sha256(content)

    with ThreadPoolExecutor(threads) as pool:
        start = perf_counter()
        list(pool.map(hash_share, [range(first, int(count), threads) for first in range(threads)]))
        return {"seconds": perf_counter() - start}


def immudb(
    program: str, folder: str, transactions: str, committers: str, *flags: str
) -> dict[str, float]:
    """Run the stress tool of immudb's embedded store, and read from its talk how long the commits
    took."""
    entries = 1000
    argv = [
        program,
        "-mode=auto",
        f"-dataDir={folder}/store",
        f"-committers={committers}",
        f"-txCount={transactions}",
        f"-kvCount={entries}",
    ]
    argv += ["-txDelay=0", "-printAfter=0", "-txLinking=false", "-waitForIndexing=0", *flags]
    ended = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    found = re.search(
        r"completed their work within ((?:\d+h)?(?:\d+m)?[\d.]+(?:ms|s))!", ended.stdout
    )
    if ended.returncode or not found:
        raise SystemExit(
            f"it ended with {ended.returncode}: {(ended.stdout + ended.stderr)[-200:]!r}"
        )
    return {"seconds": go_seconds(found[1]), "count": int(transactions) * int(committers) * entries}


def go_seconds(text: str) -> float:
    """Return a time as Go writes it, in seconds: 1m2.5s, 310.2ms."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(
        float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", text)
    )


def _each(work: Callable[..., object], things: Iterable[object]) -> dict[str, float]:
    taken = []
    for thing in things:
        start = perf_counter()
        work(thing)
        taken.append(perf_counter() - start)
    return _latencies(taken)


def _latencies(taken: Sequence[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "seconds": sum(ordered),
        "count": len(ordered),
        "p50_ms": percentile(ordered, 50) * 1000,
        "p99_ms": percentile(ordered, 99) * 1000,
    }


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least `percent` of a hundred values do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


MEASUREMENTS = {
    measurement.__name__: measurement
    for measurement in (
        hashlib_loop,
        tree,
        openssl_speed,
        pymerkle_tree,
        opentimestamps_tree,
        pymerkle_proofs,
        submit,
        fill,
        look_up,
        verify,
        digest_one,
        digest_many,
        hash_memory,
        immudb,
    )
}


def main(words: list[str]) -> None:
    """Do the measurement that the words name."""
    if words[0] == "--cores":
        # Before anything is imported: who counts the processors counts these.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(words[1])])
        words = words[2:]
    print(json.dumps(MEASUREMENTS[words[0]](*words[1:])))


if __name__ == "__main__":
    main(sys.argv[1:])
