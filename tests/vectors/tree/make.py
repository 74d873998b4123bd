"""Makes tree.json and path.json: `python tests/vectors/tree/make.py`.

A test compares what this makes with what is stored.

It computes trees by itself, from a level as a list, so that the vectors are not merely what
ledger/tree/tree.py says.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LISTED = 17
"""Trees to this size are given with all leaves and paths; of larger ones some paths are given."""
LARGE = (31, 32, 33, 100, 1003)


def leaf(i: int) -> bytes:
    return sha256(str(i).encode()).digest()


def parent(a: bytes, b: bytes) -> bytes:
    return sha256(min(a, b) + max(a, b)).digest()


def levels_of(size: int) -> list[list[bytes]]:
    """Every level, from the leaves up."""
    levels = [[leaf(i) for i in range(size)]]
    while len(levels[-1]) > 1:
        pairs = [levels[-1][i : i + 2] for i in range(0, len(levels[-1]), 2)]
        levels.append([parent(*pair) if len(pair) == 2 else pair[0] for pair in pairs])
    return levels


def path_of(levels: list[list[bytes]], position: int) -> list[bytes]:
    path = []
    for level in levels[:-1]:
        path += level[position ^ 1 :][:1] if position ^ 1 < len(level) else []
        position //= 2
    return path


def make() -> dict[str, dict[str, Any]]:
    """The content of each file, by its name."""
    return {"tree.json": _trees(), "path.json": _paths()}


def _trees() -> dict[str, Any]:
    cases = []
    for size in (*range(1, LISTED + 1), *LARGE):
        levels = levels_of(size)
        positions = (
            range(size)
            if size <= LISTED
            else sorted({0, 1, size // 2, size - 3, size - 2, size - 1})
        )
        cases.append(
            {
                "size": size,
                **({"leaves": [node.hex() for node in levels[0]]} if size <= LISTED else {}),
                "root": levels[-1][0].hex(),
                "paths": {
                    str(position): [node.hex() for node in path_of(levels, position)]
                    for position in positions
                },
            }
        )
    return {"about": "Roots and paths; leaf i is the SHA-256 of i in decimal", "cases": cases}


def _paths() -> dict[str, Any]:
    size, position = 7, 4
    levels = levels_of(size)
    root, digest, path = levels[-1][0], levels[0][position], path_of(levels, position)
    happy = {"digest": digest, "position": position, "size": size, "path": path, "root": root}
    inner, above = levels[1][0], path_of(levels, 0)[1:]
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("happy path", "verifies", {}),
        (
            "one leaf",
            "verifies",
            {"digest": leaf(0), "position": 0, "size": 1, "path": [], "root": leaf(0)},
        ),
        (
            "last of an odd number, shorter path",
            "verifies",
            {"digest": leaf(6), "position": 6, "path": path_of(levels, 6)},
        ),
        (
            "another position with a path as long: not found by this check",
            "verifies",
            {"position": 5},
        ),
        (
            "an inner node for the short position: not found by this check",
            "verifies",
            {"digest": inner, "position": 6, "path": above},
        ),
        ("another digest", "refused path", {"digest": leaf(99)}),
        (
            "one bit of the digest",
            "refused path",
            {"digest": digest[:-1] + bytes([digest[-1] ^ 1])},
        ),
        (
            "one bit of the path",
            "refused path",
            {"path": [*path[:-1], path[-1][:-1] + bytes([path[-1][-1] ^ 1])]},
        ),
        ("path backwards", "refused path", {"path": path[::-1]}),
        ("another root", "refused path", {"root": levels_of(8)[-1][0]}),
        ("the digest hashed once more", "refused path", {"digest": sha256(digest).digest()}),
        ("path without its first hash", "invalid path-length", {"path": path[1:]}),
        ("path without its last hash", "invalid path-length", {"path": path[:-1]}),
        ("path with a hash too many", "invalid path-length", {"path": [*path, root]}),
        (
            "an inner node one level up",
            "invalid path-length",
            {"digest": inner, "position": 0, "path": above},
        ),
        ("position with a shorter path", "invalid path-length", {"position": 6}),
        ("position beyond the tree", "invalid position", {"position": 7}),
        ("negative position", "invalid position", {"position": -1}),
        ("no leaves", "invalid size", {"size": 0}),
        ("size with a longer path", "invalid path-length", {"size": 9}),
        ("more than 2^48 leaves", "invalid limit", {"size": 2**48 + 1}),
        ("digest of 31 bytes", "invalid length", {"digest": digest[1:]}),
        (
            "digest of 64 bytes: two siblings",
            "invalid length",
            {"digest": levels[0][4] + levels[0][5]},
        ),
        (
            "path with a hash of 33 bytes",
            "invalid length",
            {"path": [*path[:-1], path[-1] + b"\0"]},
        ),
    ]
    return {
        "about": "Whether a path leads from a digest at a position to a root",
        "cases": [
            {"name": name, **_expected(expect), **_text({**happy, **change})}
            for name, expect, change in cases
        ],
    }


def _expected(expect: str) -> dict[str, str]:
    """What is expected, and the code of the reason behind it where it is no success."""
    outcome, _, reason = expect.partition(" ")
    return {"expect": outcome, "reason": reason or "ok"}


def _text(case: dict[str, Any]) -> dict[str, Any]:
    def text(value: Any) -> Any:
        if isinstance(value, list):
            return [node.hex() for node in value]
        return value.hex() if isinstance(value, bytes) else value

    return {name: text(value) for name, value in case.items()}


def format_file(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    for name, content in make().items():
        (HERE / name).write_text(format_file(content))
        sys.stdout.write(f"{name}: {len(content['cases'])} cases\n")
