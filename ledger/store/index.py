"""The digest index: beside each sealed batch one sorted run, from which the positions of a digest are found by binary search.

A run holds one record of 12 bytes an entry, sorted: the first 8 bytes of the digest, then its position as 4 bytes, both big-endian. It can be
made again from the digests file at any time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from witnesstree.ledger.errors import Damaged
from witnesstree.ledger.store.disk import write_file
from witnesstree.ledger.tree import NODE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORD = np.dtype([("key", ">u8"), ("position", ">u4")])
KEY = 8
MAX_ENTRIES = 2**32
"""Entries in a batch: positions have 4 bytes."""


def build_run(digests: Path, count: int) -> bytes:
    """Return the run over the first `count` digests of a file. It needs some 30 bytes of memory an entry.

    Raises Damaged if the file is missing or shorter.
    """
    try:
        # Every fourth number of 8 bytes is the beginning of a digest.
        keys = np.memmap(digests, dtype=">u8", mode="r", shape=(count * NODE // KEY,))[:: NODE // KEY].astype("u8")
    except (OSError, ValueError) as error:
        raise Damaged(f"cannot read {count} digests from {digests}: {error}; run `witnesstree fsck`") from error
    order = np.argsort(keys, kind="stable")
    run = np.empty(count, dtype=RECORD)
    run["key"] = keys[order]
    run["position"] = order
    return run.tobytes()


def write_run(path: Path, digests: Path, count: int) -> None:
    """Write the run of a batch, durably. Raises StorageFailure if the disk refuses, Damaged as `build_run` does."""
    write_file(path, build_run(digests, count))


def find_in_run(path: Path, count: int, digest: bytes) -> Iterator[int]:
    """Yield, in rising order, each position whose digest begins as `digest` does, in the run of a batch of `count`; the caller compares the rest.

    Raises Damaged if the run is missing or has another length.
    """
    size = RECORD.itemsize
    try:
        with path.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != count * size:
                raise Damaged(f"{path} does not have the length of its batch; run `witnesstree fsck`")

            def record(i: int) -> bytes:
                return os.pread(file.fileno(), size, i * size)

            first, last = 0, count
            while first < last:
                middle = (first + last) // 2
                first, last = (middle + 1, last) if record(middle)[:KEY] < digest[:KEY] else (first, middle)
            while (found := record(first))[:KEY] == digest[:KEY]:
                yield int.from_bytes(found[KEY:], "big")
                first += 1
    except OSError as error:
        raise Damaged(f"cannot read {path}: {error.strerror}; run `witnesstree fsck`") from error
