"""The ground that figures stand on: how large they are, and the files and ledgers that several of
them share, each made when first asked for."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from benchmarks.measure import find_program, require

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE = 32
PIECE = 2**15
"""Digests written at a time: what a peak of memory is compared with must stay small."""
ENTRY_BYTES = 32 + 32 + 1 + 12
"""A digest on disk: in the file that is handed in, in the batch, its share of the tree, and of the
index."""
ROOM = 1.3
"""Times what a ledger takes, so that some of the disk is left."""

PYTHON = sys.executable
WITNESSTREE = Path(sys.executable).with_name("witnesstree")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything there is."""

    rounds: int
    tree: int
    python_tree: int
    pymerkle: int
    opentimestamps: int
    openzeppelin: int
    seal: int
    immudb: int
    tessera: int
    steps: tuple[int, ...]
    """Ledgers that cost is compared between, as entries in them."""
    more: int
    """Entries sealed on top of each."""
    warm: int
    cold: int
    pymerkle_kept: int
    large: int
    """Bytes in the large file."""
    many: int
    many_size: int
    folder: int
    """Files in the folder that is verified at once."""
    verified: int
    load: int
    """Seconds for which a service is asked."""


USUAL = Sizes(
    rounds=5,
    tree=10_000_000,
    python_tree=1_000_000,
    pymerkle=100_000,
    opentimestamps=100_000,
    openzeppelin=50_000,
    seal=10_000_000,
    immudb=1_000_000,
    tessera=1_000_000,
    steps=(100_000, 1_000_000, 10_000_000),
    more=1_000_000,
    warm=10_000,
    cold=200,
    pymerkle_kept=100_000,
    large=2**30,
    many=2000,
    many_size=2**18,
    folder=10_000,
    verified=200,
    load=8,
)
QUICK = Sizes(
    rounds=2,
    tree=200_000,
    python_tree=50_000,
    pymerkle=5_000,
    opentimestamps=5_000,
    openzeppelin=2_000,
    seal=100_000,
    immudb=20_000,
    tessera=20_000,
    steps=(2_000, 50_000),
    more=10_000,
    warm=200,
    cold=10,
    pymerkle_kept=5_000,
    large=2**26,
    many=100,
    many_size=2**18,
    folder=100,
    verified=10,
    load=2,
)
FULL_STEP = 100_000_000
"""Entries in the ledger that only --full builds: some 8 GB, and as much again while batches are
sealed on top of it."""


class Ground:
    """A scratch folder with digest files, ledgers and files to hash."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder = folder
        self.sizes = sizes

    def timed(self, *words: str | Path | int, cores: int | None = None) -> list[str | Path]:
        """Return the command of a measurement of benchmarks/timed.py, held to the first `cores`
        processors."""
        held = ["--cores", str(cores)] if cores else []
        return [
            PYTHON,
            "-m",
            "benchmarks.timed",
            *held,
            *(word if isinstance(word, Path) else str(word) for word in words),
        ]

    @cache  # noqa: B019 - there is one, and it lives as long as the program
    def digests(self, count: int, form: str = "raw") -> Path:
        """Return a file of random digests: raw, hex (a line each) or sha256sum (a line with a name
        each)."""
        path = self.digests_path(count, form)
        with path.open("wb") as out:
            for first in range(0, count, PIECE):
                piece = os.urandom(min(PIECE, count - first) * NODE)
                out.write(piece if form == "raw" else b"".join(_lines(piece, first, form)))
        return path

    def digests_path(self, count: int, form: str = "raw") -> Path:
        """Return where that file stands, or will stand."""
        return self.folder / f"digests-{count}.{form}"

    @cached_property
    def empty_home(self) -> Path:
        """A home in which nothing is sealed yet."""
        home = self.folder / "empty-home"
        require([WITNESSTREE, "init", "--home", home], self.folder)
        return home

    def new_home(self, name: str) -> Path:
        """Return a fresh copy of the empty home."""
        return _copied(self.empty_home, self.folder / name)

    @cache  # noqa: B019 - there is one, and it lives as long as the program
    def ledger(self, count: int) -> Path:
        """Return a home whose ledger holds so many entries, each batch with its token and its
        anchor; `sample` names some of them."""
        home = self.folder / f"ledger-{count}"
        # A try that failed may have left half of one.
        discard(home)
        require(
            self.timed(
                "fill", home, count, self.sample(count), max(self.sizes.warm, self.sizes.cold)
            ),
            self.folder,
        )
        return home

    def sample(self, count: int) -> Path:
        """Return where some digests of the ledger of `count` entries stand."""
        return self.folder / f"sample-{count}"

    def copy(self, home: Path, name: str) -> Path:
        """Return a home with the same batches, which are linked and not copied: what is sealed in
        it, the other one does not see."""
        return _copied(home, self.folder / name)

    def no_room(self, entries: int) -> str:
        """Return why no ledger of so many entries can be built: "" where the disk takes it."""
        is_room = shutil.disk_usage(self.folder).free > entries * ENTRY_BYTES * ROOM
        return "" if is_room else f"the disk has no room for {entries:,} entries"

    @cached_property
    def large(self) -> Path:
        """One large file of random bytes, in the page cache."""
        return _random_file(self.folder / "large", self.sizes.large)

    @cached_property
    def many(self) -> Path:
        """A folder of middling files, in the page cache."""
        folder = self.folder / "many"
        folder.mkdir(exist_ok=True)
        for number in range(self.sizes.many):
            _random_file(folder / f"{number:05}", self.sizes.many_size)
        return folder

    @cached_property
    def sealed_files(self) -> tuple[Path, Path]:
        """A folder of small files with a proof beside each, and the home that sealed them."""
        folder, home = self.folder / "sealed", self.new_home("sealed-home")
        folder.mkdir(exist_ok=True)
        for number in range(self.sizes.folder):
            (folder / f"{number:05}.txt").write_bytes(f"file {number}\n".encode() * 50)
        require([WITNESSTREE, "seal", "-r", folder, "--home", home], self.folder)
        return folder, home


def discard(home: Path) -> None:
    """Delete a home."""
    shutil.rmtree(home, ignore_errors=True)


def takes(command: str, words: str) -> str:
    """Return why a command of ours cannot be measured yet: "" where its help has the words, which
    are a regular expression."""
    said = subprocess.run(
        [WITNESSTREE, command, "--help"], capture_output=True, text=True, check=False
    )
    return (
        ""
        if re.search(words, said.stdout)
        else f"this version of `witnesstree {command}` cannot do it"
    )


def missing(program: str, script: str) -> str:
    """Return why a peer cannot run here: "" where it is there."""
    return "" if find_program(program) else f"{program} is not there: {script} builds it, with Go"


def missing_package(name: str) -> str:
    """Return why a peer in Python cannot run here: "" where it is installed."""
    return (
        ""
        if importlib.util.find_spec(name)
        else f"{name} is not installed: benchmarks/requirements.txt names it"
    )


def native_core() -> str:
    """Return why the native core cannot be measured: "" where it is installed."""
    return (
        ""
        if importlib.util.find_spec("witnesstree.ledger.tree._native")
        else "the native core is not built in this installation"
    )


def _lines(piece: bytes, first: int, form: str) -> Iterator[bytes]:
    for i in range(0, len(piece), NODE):
        name = "" if form == "hex" else f"  evidence/{first + i // NODE:08}.jpg"
        yield f"{piece[i : i + NODE].hex()}{name}\n".encode()


def _copied(home: Path, copy: Path) -> Path:
    def link_or_copy(source: str, target: str) -> None:
        # Files of sealed batches are never written again.
        if Path(source).suffix in {".digests", ".nodes", ".index"}:
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    discard(copy)
    shutil.copytree(home, copy, copy_function=link_or_copy)
    return copy


def _random_file(path: Path, size: int) -> Path:
    block = Random(size).randbytes(2**20)
    with path.open("wb") as out:
        for first in range(0, size, len(block)):
            # Every file is another one, and none compresses.
            out.write(os.urandom(16) + block[16 : min(len(block), size - first)])
    return path
