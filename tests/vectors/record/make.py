"""Writes records.json anew, with new keys: one happy path, and records that are wrong in one named
way each. Run it from the folder tests/."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from hashlib import new, sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from make_record import (
    GROUP,
    START,
    YEAR,
    archive,
    authority,
    compose,
    digests,
    document,
    group_record,
    identifier,
    other_readings,
    sorted_chain,
    token,
    tokens_of,
    top,
    way,
)
from make_revocation import wrap

from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.proof.record_make import renew_hash_tree

PASSED, FAILED, UNKNOWN = "verified", "failed", "undecided"
FIRST, SECOND, THIRD = (
    "chains[0].timestamps[0]",
    "chains[0].timestamps[1]",
    "chains[1].timestamps[0]",
)


def case(
    name: str,
    reason: str,
    expect: tuple[str, str | None],
    record: bytes,
    *,
    files: Sequence[bytes] = (document(4),),
    now: datetime = START + 7 * YEAR,
    is_group: bool = False,
    roots: Sequence[bytes] | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "reason": reason,
        "record": b64encode(record).decode(),
        "files": [
            {algorithm: digest.hex() for algorithm, digest in digests(content).items()}
            for content in files
        ],
        "group": is_group,
        "now": format_time(now),
        "roots": [b64encode(der).decode() for der in ([top().der] if roots is None else roots)],
        "expect": {"verdict": expect[0], "check": expect[1]},
    }


def flip(content: bytes, at: int = 0) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def cases() -> list[dict[str, Any]]:
    made, content = way(7, 4), document(4)
    whole = made.hashed_again.der
    (first, second), (third,) = made.hashed_again.chains
    lists = [list(nodes) for nodes in first.lists]
    both = ("sha256", "sha512")
    flipped = archive([lists[0], [flip(lists[1][0])], *lists[2:]], first.token.der)
    exchanged = archive([lists[0], lists[2], lists[1]], first.token.der)
    elsewhere = archive([], token(bytes(32), years=3))
    another = renew_hash_tree(
        made.stamped_again, [new("sha512", b"another file").digest()], "sha512", tokens_of(6)
    )
    early = archive(
        [], token(sha256(first.token.der).digest(), "sha256", -0.5, authority(-1, "p384"))
    )
    late = archive([], token(sha256(first.token.der).digest(), "sha256", 6))
    other = archive([], token(new("sha512", first.token.der).digest(), "sha512", 3), "sha512")
    old = archive([[bytes(20)]], token(sha256(content).digest()), "sha1")
    bad_signature = archive(lists, flip(first.token.der, len(first.token.der) - 9))
    return [
        case("a record", "ok", (PASSED, None), made.initial.der, now=START + YEAR),
        case("its timestamp renewed", "ok", (PASSED, None), made.stamped_again.der),
        case("its hash tree renewed", "ok", (PASSED, None), whole),
        case("a data group", "ok", (PASSED, None), group_record().der, files=GROUP, is_group=True),
        case(
            "one file of a data group", "ok", (PASSED, None), group_record().der, files=GROUP[1:2]
        ),
        *(
            case(
                name,
                "ok",
                (PASSED, None),
                record,
                files=[subject],
                now=START + (7 if "chain" in name else 1) * YEAR,
            )
            for name, (record, subject) in other_readings().items()
        ),
        case("another file", "data", (FAILED, f"{FIRST}.data"), whole, files=[b"another file"]),
        case(
            "another leaf",
            "data",
            (FAILED, f"{FIRST}.data"),
            compose([archive([[bytes(32)], *lists[1:]], first.token.der)]),
            now=START,
        ),
        case(
            "a file that the group does not have",
            "data",
            (FAILED, f"{FIRST}.data"),
            group_record().der,
            files=[*GROUP, b"one more"],
        ),
        case(
            "the new chain is for another file",
            "data",
            (FAILED, f"{THIRD}.data"),
            compose([first.der, second.der], [another.chains[1][0].der]),
        ),
        case(
            "the new chain is on other chains",
            "data",
            (FAILED, f"{THIRD}.data"),
            compose([first.der], [third.der], algorithms=both),
        ),
        case(
            "the new chain joins file and older chains in descending order (5.2 of RFC 4998 has the"
            " file first, its figure 4 sorts)",
            "data",
            (FAILED, f"{THIRD}.data"),
            sorted_chain(ascending=False),
            files=[document(3)],
        ),
        case(
            "a group has more files",
            "group",
            (FAILED, f"{FIRST}.group"),
            group_record().der,
            files=GROUP[:2],
            is_group=True,
        ),
        case(
            "a hash in the tree flipped",
            "imprint",
            (FAILED, f"{FIRST}.imprint"),
            compose([flipped]),
            now=START,
        ),
        case(
            "the last list dropped",
            "imprint",
            (FAILED, f"{FIRST}.imprint"),
            compose([archive(lists[:-1], first.token.der)]),
            now=START,
        ),
        case(
            "a list added",
            "imprint",
            (FAILED, f"{FIRST}.imprint"),
            compose([archive([*lists, [bytes(32)]], first.token.der)]),
            now=START,
        ),
        case(
            "two lists exchanged",
            "imprint",
            (FAILED, f"{FIRST}.imprint"),
            compose([exchanged]),
            now=START,
        ),
        case(
            "the token of another root",
            "imprint",
            (FAILED, f"{FIRST}.imprint"),
            compose([archive(lists, token(bytes(32)))]),
            now=START,
        ),
        case(
            "the renewal is on another token",
            "previous",
            (FAILED, f"{SECOND}.previous"),
            compose([first.der, elsewhere]),
        ),
        case(
            "the renewal has another algorithm",
            "algorithm",
            (FAILED, f"{SECOND}.algorithm"),
            compose([first.der, other], algorithms=both),
        ),
        case(
            "SHA-1",
            "algorithm",
            (UNKNOWN, f"{FIRST}.algorithm"),
            compose([old], algorithms=["sha1"]),
            now=START,
        ),
        case(
            "the renewal is older than the first",
            "order",
            (FAILED, f"{SECOND}.time"),
            compose([first.der, early]),
        ),
        case("renewed too late", "end", (UNKNOWN, f"{FIRST}.time"), compose([first.der, late])),
        case("not renewed", "end", (UNKNOWN, f"{FIRST}.time"), made.initial.der),
        case(
            "the signature changed",
            "signature",
            (FAILED, f"{FIRST}.signature"),
            compose([bad_signature]),
            now=START,
        ),
        case(
            "no trusted root",
            "chain",
            (UNKNOWN, f"{FIRST}.chain"),
            made.initial.der,
            now=START,
            roots=[],
        ),
        case("from the future", "window", (UNKNOWN, "window"), made.initial.der, now=START - YEAR),
        case(
            "version 2", "form", (FAILED, "record"), compose([first.der], version=b"\x02\x01\x02")
        ),
        case("no chain", "form", (FAILED, "record"), compose()),
        case("an empty chain", "form", (FAILED, "record"), compose([])),
        case(
            "an empty list", "form", (FAILED, "record"), compose([archive([[]], first.token.der)])
        ),
        case(
            "a timestamp that is no token",
            "form",
            (FAILED, "record"),
            compose([archive(lists, wrap(0x30, identifier("sha256")))]),
        ),
        case("cut short", "form", (FAILED, "record"), whole[:-1]),
        case("a byte after the end", "form", (FAILED, "record"), whole + b"\0"),
    ]


def main() -> None:
    entries = cases()
    content = {"format": "witnesstree-record-vectors/1", "cases": entries}
    Path(__file__).with_name("records.json").write_text(
        json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
