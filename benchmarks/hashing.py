"""Hashing files: one large file and many middling ones, all in the page cache, beside `openssl
dgst`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import LIMITS, PEER, Side, find_program

if TYPE_CHECKING:
    from benchmarks.ground import Ground

ONE, MANY = "one large file", "many files"
MEMORY = "hashlib alone, as many bytes in memory"
OPENSSL_ONE, OPENSSL_MANY = (
    "openssl dgst -sha256, one large file",
    "openssl dgst -sha256, many files",
)


def hashing(ground: Ground) -> list[Side]:
    """Return both kinds of files, and openssl on each: one process, one processor."""
    sizes = ground.sizes
    megabytes, many = sizes.large // 10**6, sizes.many * sizes.many_size // 10**6
    files = sorted(ground.many.iterdir())
    openssl = find_program("openssl")
    argv = [openssl or "openssl", "dgst", "-sha256"]
    absent = "" if openssl else "openssl is not installed"
    note = "its start is counted, a few milliseconds"
    return [
        Side(ONE, ground.timed("digest_one", ground.large), megabytes, "MB"),
        Side(
            OPENSSL_ONE,
            [*argv, ground.large],
            megabytes,
            "MB",
            PEER,
            note,
            tells=False,
            absent=absent,
        ),
        Side(MANY, ground.timed("digest_many", ground.many), many, "MB"),
        Side(OPENSSL_MANY, [*argv, *files], many, "MB", PEER, note, tells=False, absent=absent),
        Side(
            MEMORY,
            ground.timed("hash_memory", sizes.many, sizes.many_size),
            many,
            "MB",
            LIMITS,
            "bytes in a core's own cache, a thread a processor: the files have to be opened, read"
            " and looked at twice besides",
        ),
    ]
