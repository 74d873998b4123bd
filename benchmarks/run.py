"""Measures this machine against peers in the same run, and prints medians and ratios.

    python benchmarks/run.py [--entries 1000000] [--rounds 5]

A ratio compares two figures of one run; a figure alone says more of the machine than of the code.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from witnesstree.anchor.trust import home_trust
from witnesstree.anchor.wiring import clock, make_home, new_origin, open_ledger
from witnesstree.ledger.digest import digest_file
from witnesstree.ledger.proof import format_proof
from witnesstree.ledger.store.batches import BatchFiles
from witnesstree.ledger.tree import NODE
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

FILE_SIZE = 256 * 2**20


@dataclass(frozen=True)
class Figure:
    """Seconds of each round, and how many things were done in each."""

    name: str
    unit: str
    count: float
    seconds: list[float]

    @property
    def rate(self) -> float:
        return self.count / statistics.median(self.seconds)

    def __str__(self) -> str:
        spread = (max(self.seconds) - min(self.seconds)) / statistics.median(self.seconds)
        return f"{self.name:52} {self.rate:14,.1f} {self.unit:12} spread {spread:4.0%}"


def measure(name: str, unit: str, count: float, rounds: int, work: Callable[[], object]) -> Figure:
    """Run `work` some rounds and print what came out."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    figure = Figure(name, unit, count, seconds)
    print(figure)
    return figure


def compare(ours: Figure, peer: Figure) -> None:
    """Print the ratio of two figures."""
    print(f"    {ours.name} is {ours.rate / peer.rate:.2f} × {peer.name}\n")


def hashlib_loop(leaves: bytes) -> bytes:
    """Hash a tree as a few lines of Python do it: the peer of our tree."""
    level = [leaves[i : i + NODE] for i in range(0, len(leaves), NODE)]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [sha256(a + b if a < b else b + a).digest() for a, b in pairs] + level[len(level) & ~1 :]
    return level[0]


def bench_tree(folder: Path, entries: int, rounds: int) -> None:
    leaves = os.urandom(entries * NODE)
    files = BatchFiles(folder)
    files.append(0, 0, leaves)
    peer = measure("bare hashlib loop in memory", "leaves/s", entries, rounds, lambda: hashlib_loop(leaves))
    compare(measure("tree from file to file, fsynced", "leaves/s", entries, rounds, lambda: files.seal(0, entries)), peer)


def bench_hashing(folder: Path, rounds: int) -> None:
    file = folder / "large"
    with file.open("wb") as out:
        for _ in range(FILE_SIZE // 2**20):
            out.write(os.urandom(2**20))
    ours = measure("hashing one file", "MB/s", FILE_SIZE / 1e6, rounds, lambda: digest_file(file))
    if openssl := shutil.which("openssl"):
        command = [openssl, "dgst", "-sha256", str(file)]
        compare(
            ours, measure("openssl dgst -sha256", "MB/s", FILE_SIZE / 1e6, rounds, lambda: subprocess.run(command, check=True, capture_output=True))
        )
    else:
        print("    openssl is not here, so there is no peer\n")


def bench_ledger(folder: Path, entries: int, rounds: int) -> None:
    home = make_home(folder / "home", new_origin())
    packed = os.urandom(entries * NODE)
    with open_ledger(home.folder) as ledger:

        def seal() -> None:
            for i in range(0, len(packed), 2**16 * NODE):
                ledger.submit(packed[i : i + 2**16 * NODE])
            ledger.close()
            ledger.outbox.work()

        measure("seal: submit, tree, index, token, anchor", "digests/s", entries, rounds, seal)
        sample = [packed[i * NODE : (i + 1) * NODE] for i in range(0, entries, max(1, entries // 1000))]
        measure("proof by digest", "proofs/s", len(sample), rounds, lambda: [ledger.proof(digest) for digest in sample])
        proof = ledger.proof(sample[0])
    content, trust, now = format_proof(proof), home_trust(home, proof) or Trust(), clock() + timedelta(seconds=1)
    measure("verify in process", "proofs/s", 100, rounds, lambda: [verify(sample[0], content, trust, now) for _ in range(100)])


def bench_start(rounds: int) -> None:
    python = measure("python -c pass", "starts/s", 1, rounds, lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
    program = [str(Path(sys.executable).with_name("witnesstree")), "verify", "--help"]
    compare(measure("witnesstree verify --help", "starts/s", 1, rounds, lambda: subprocess.run(program, check=True, capture_output=True)), python)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {clock():%Y-%m-%d}, {asked.entries:,} entries, medians of {asked.rounds} rounds\n"
    )
    with TemporaryDirectory(prefix="witnesstree-bench-") as temporary:
        bench_tree(Path(temporary), asked.entries, asked.rounds)
        bench_hashing(Path(temporary), asked.rounds)
        bench_ledger(Path(temporary), asked.entries, asked.rounds)
        bench_start(asked.rounds)


if __name__ == "__main__":
    main()
