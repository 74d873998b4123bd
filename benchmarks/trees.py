"""The tree in memory: our core, a loop around hashlib, what openssl says the machine can hash, and
other people's trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.ground import missing_package, native_core
from benchmarks.measure import LIMITS, PEER, ROOT, Side, find_program

if TYPE_CHECKING:
    from benchmarks.ground import Ground

NATIVE, NATIVE_ONE = "our native core", "our native core, one processor"
LOOP = "loop around hashlib"
SPEED, SPEED_ONE = "openssl speed, two processes", "openssl speed, one process"

OPENZEPPELIN = ROOT / "benchmarks/peers/openzeppelin"


def tree(ground: Ground) -> list[Side]:
    """Return the sides of the figure: every level above the leaves, hashed from memory to
    memory."""
    sizes = ground.sizes
    return [
        Side(
            NATIVE,
            ground.timed("tree", "native", sizes.tree),
            sizes.tree,
            "leaves",
            absent=native_core(),
        ),
        Side(
            NATIVE_ONE,
            ground.timed("tree", "native", sizes.tree, cores=1),
            sizes.tree,
            "leaves",
            absent=native_core(),
        ),
        Side(
            "our Python core",
            ground.timed("tree", "python", sizes.python_tree),
            sizes.python_tree,
            "leaves",
        ),
        Side(
            LOOP,
            ground.timed("hashlib_loop", sizes.tree),
            sizes.tree,
            "leaves",
            PEER,
            "a few lines of Python, the same tree",
        ),
        _speed(ground, SPEED, 2),
        _speed(ground, SPEED_ONE, 1),
        Side(
            "pymerkle, tree in memory",
            ground.timed("pymerkle_tree", sizes.pymerkle),
            sizes.pymerkle,
            "leaves",
            PEER,
            "RFC 9162's tree: it hashes each leaf, too, and keeps every entry",
            absent=missing_package("pymerkle"),
        ),
        Side(
            "OpenTimestamps' tree",
            ground.timed("opentimestamps_tree", sizes.opentimestamps),
            sizes.opentimestamps,
            "leaves",
            PEER,
            "it keeps the operations of every leaf's path as objects",
            absent=missing_package("opentimestamps"),
        ),
        Side(
            "OpenZeppelin merkle-tree",
            ["node", OPENZEPPELIN / "tree.js", str(sizes.openzeppelin)],
            sizes.openzeppelin,
            "leaves",
            PEER,
            "keccak-256, which the EVM has at hand; it hashes each leaf, too, and sorts them",
            absent=_openzeppelin(),
        ),
    ]


def _speed(ground: Ground, name: str, processes: int) -> Side:
    # The second block of a node is always the same, and nodes can be hashed many at a time: openssl
    # does neither.
    note = (
        "16 KiB at a time: no tree, only the hash, a node counted as two blocks; a core that is"
        " made for nodes can do better"
    )
    absent = "" if find_program("openssl") else "openssl is not installed"
    return Side(
        name, ground.timed("openssl_speed", processes), 1, "leaves", LIMITS, note, absent=absent
    )


def _openzeppelin() -> str:
    if not find_program("node"):
        return "Node.js is not installed"
    is_there = (OPENZEPPELIN / "node_modules").is_dir()
    return (
        ""
        if is_there
        else (
            "@openzeppelin/merkle-tree is not installed: run `npm ci` in"
            " benchmarks/peers/openzeppelin"
        )
    )
