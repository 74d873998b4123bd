"""Makes bundle.json from the honest proof in ../proof/proof.json: `python
tests/vectors/bundle/make.py`. It does not use the code under test."""

import base64
import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import rfc8785

FILE = Path(__file__).parent / "bundle.json"
HONEST = Path(__file__).parents[1] / "proof" / "proof.json"
MAGIC = b"witnesstree-proofs/1\n"


def parent(a: bytes, b: bytes) -> bytes:
    return sha256(min(a, b) + max(a, b)).digest()


def levels_of(leaves: list[bytes]) -> list[list[bytes]]:
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append(
            [
                parent(*below[i : i + 2]) if i + 1 < len(below) else below[i]
                for i in range(0, len(below), 2)
            ]
        )
    return levels


def path_of(levels: list[list[bytes]], position: int) -> list[bytes]:
    return [
        level[position >> i ^ 1] for i, level in enumerate(levels) if position >> i ^ 1 < len(level)
    ]


def sealed_again(members: dict[str, Any]) -> bytes:
    bare = {name: value for name, value in members.items() if name != "checksum"}
    return (
        json.dumps(
            {**bare, "checksum": sha256(rfc8785.dumps(bare)).hexdigest()},
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    ).encode()


def shared_of(members: dict[str, Any], levels: list[list[bytes]], **changes: Any) -> bytes:
    inclusion = {
        "position": 0,
        "size": len(levels[0]),
        "root": levels[-1][0].hex(),
        "path": [node.hex() for node in path_of(levels, 0)],
    }
    return sealed_again(
        {**members, "digest": levels[0][0].hex(), "inclusion": {**inclusion, **changes}}
    )


def whole(
    shared: bytes, levels: list[list[bytes]], length: bytes | None = None, fill: bytes = b"\0"
) -> bytes:
    head = MAGIC + (b"%d" % len(shared) if length is None else length) + b"\n" + shared
    kept = [levels[0], *(level for level in levels[6::6] if len(level) > 1)]
    return head + fill * (-len(head) % 32) + b"".join(node for level in kept for node in level)


def make() -> dict[str, Any]:
    honest = json.loads(HONEST.read_text(encoding="utf-8"))
    document = json.loads(honest["happy"])
    leaves = [
        sha256(document["opening"]["record"].encode()).digest(),
        *(sha256(b"batch 3, position %d" % i).digest() for i in range(1, 7)),
    ]
    levels = levels_of(leaves)
    assert levels[-1][0].hex() == document["inclusion"]["root"]
    shared = shared_of(document, levels)
    happy = whole(shared, levels)
    many = levels_of([sha256(b"%d" % i).digest() for i in range(200)])
    bare: dict[str, Any] = {
        "format": "witnesstree-proof/1",
        "digest": "",
        "inclusion": {},
        "tokens": [],
        "anchors": [],
        "hints": {},
    }
    large = whole(shared_of(bare, many), many)
    early = sealed_again(
        {name: document[name] for name in ("format", "digest", "hints")}
        | {"tokens": [], "anchors": []}
    )

    def more(**members: Any) -> bytes:
        return whole(shared_of({**document, **members}, levels), levels)

    def counted(size: int) -> bytes:
        found = levels_of([sha256(b"%d" % i).digest() for i in range(size)])
        return whole(shared_of(bare, found), found)

    twice = levels_of([leaves[0], *leaves[1:6], leaves[1]])
    compact = json.dumps(json.loads(shared), separators=(",", ":")).encode()
    critical = [{"id": "org.example/new", "value": None, "critical": True}]
    token = document["tokens"][0]
    first = leaves[0].hex()
    last = [node.hex() for node in path_of(levels, 6)]
    flip = bytes([happy[-1] ^ 1])
    cases = [
        ("happy path", "sound", "ok", happy),
        ("200 leaves, with a kept level", "sound", "ok", large),
        ("one bit of the last digest", "unsound", "root", happy[:-1] + flip),
        ("one bit of a kept node", "unsound", "root", large[:-1] + bytes([large[-1] ^ 1])),
        (
            "one bit of a digest below a kept node",
            "unsound",
            "root",
            large[: -33 * 32] + bytes([large[-33 * 32] ^ 1]) + large[-33 * 32 + 1 :],
        ),
        (
            "two digests of one pair swapped, which sorted pairs do not tell",
            "sound",
            "ok",
            happy[:-96] + happy[-64:-32] + happy[-96:-64] + happy[-32:],
        ),
        (
            "two digests of different pairs swapped",
            "unsound",
            "root",
            happy[:-64] + happy[-32:] + happy[-64:-32],
        ),
        ("another root", "unsound", "root", whole(shared_of(document, levels, root=first), levels)),
        (
            "the first proof without its path",
            "unsound",
            "path-length",
            whole(shared_of(document, levels, path=[]), levels),
        ),
        (
            "the first proof with the path of position 6",
            "unsound",
            "path-length",
            whole(shared_of(document, levels, path=last), levels),
        ),
        (
            "the first proof with another path",
            "unsound",
            "path",
            whole(shared_of(document, levels, path=[first] * 3), levels),
        ),
        ("empty", "refused", "form", b""),
        ("a single proof", "refused", "form", honest["happy"].encode()),
        ("a newer format", "refused", "version", happy.replace(b"proofs/1", b"proofs/2", 1)),
        ("no length", "refused", "form", whole(shared, levels, b"")),
        (
            "a length with a leading zero",
            "refused",
            "encoding",
            whole(shared, levels, b"0%d" % len(shared)),
        ),
        ("a length that is negative", "refused", "encoding", whole(shared, levels, b"-1")),
        ("a length of eight digits", "refused", "limit", whole(shared, levels, b"10000000")),
        ("a length beyond the file", "refused", "length", whole(shared, levels, b"4000000")),
        ("a length too short", "refused", "form", whole(shared, levels, b"%d" % (len(shared) - 9))),
        (
            "the shared proof damaged",
            "refused",
            "checksum",
            happy.replace(b'"hints": {', b'"hints":  {"size": 1', 1),
        ),
        (
            "the shared proof of a batch that was not sealed",
            "refused",
            "missing",
            whole(early, levels),
        ),
        (
            "the shared proof of position 4",
            "refused",
            "position",
            whole(honest["happy"].encode(), levels),
        ),
        ("a byte too few", "refused", "size", happy[:-1]),
        ("a digest too few", "refused", "size", happy[:-32]),
        ("a digest too many", "refused", "size", happy + leaves[1]),
        ("another size", "refused", "size", whole(shared_of(document, levels, size=8), levels)),
        (
            "a size of 2^48",
            "refused",
            "size",
            whole(shared_of(document, levels, size=2**48), levels),
        ),
        ("no kept level", "refused", "size", large[: -4 * 32]),
        ("padding that is not zero", "refused", "encoding", whole(shared, levels, fill=b" ")),
        (
            "another first digest",
            "refused",
            "digest",
            whole(shared, [[leaves[1], *leaves[1:]], *levels[1:]]),
        ),
        ("64 leaves, with no kept level", "sound", "ok", counted(64)),
        ("65 leaves, with a kept level of two nodes", "sound", "ok", counted(65)),
        ("one leaf", "sound", "ok", counted(1)),
        ("a digest twice", "sound", "ok", whole(shared_of(document, twice), twice)),
        ("the shared proof without white space", "sound", "ok", whole(compact, levels)),
        ("the shared proof with an extension", "sound", "ok", more(extensions=critical)),
        ("the shared proof with empty digests", "sound", "ok", more(digests={})),
        (
            "the shared proof with another digest of one file",
            "refused",
            "form",
            more(digests={"sha512": "00" * 64}),
        ),
        (
            "the shared proof with a timestamp over one file",
            "refused",
            "form",
            more(file_tokens=[token]),
        ),
        (
            "the shared proof with a position of -0",
            "refused",
            "encoding",
            whole(shared.replace(b'"position": 0', b'"position": -0'), levels),
        ),
        ("a line end of two characters", "refused", "form", happy.replace(b"/1\n", b"/1\r\n", 1)),
        (
            "a space before the length",
            "refused",
            "encoding",
            whole(shared, levels, b" %d" % len(shared)),
        ),
        (
            "a length of seven digits beyond the limit",
            "refused",
            "limit",
            whole(shared, levels, b"4194305"),
        ),
    ]
    assert whole(shared, levels, fill=b" ") != happy
    return {
        "about": (
            "Files with all proofs of a batch: which are refused, and which have a tree that leads"
            " to the root"
        ),
        "root": levels[-1][0].hex(),
        "happy": base64.b64encode(happy).decode(),
        "proofs": [
            {"digest": leaf.hex(), "path": [node.hex() for node in path_of(levels, i)]}
            for i, leaf in enumerate(leaves)
        ],
        "cases": [
            {
                "name": name,
                "expect": expect,
                "reason": reason,
                "bytes": base64.b64encode(content).decode(),
            }
            for name, expect, reason, content in cases
        ],
    }


def format_file(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(format_file(make()), encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: {len(make()['cases'])} cases\n")
