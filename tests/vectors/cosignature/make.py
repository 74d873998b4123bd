"""Makes cosignature.json and key.json: `python tests/vectors/cosignature/make.py`.

A test compares what this makes with what is stored.

It signs by itself, with the cryptography package alone, so that the vectors are not merely what
ledger/log/cosignature.py says.
"""

import json
import sys
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HERE = Path(__file__).parent
ORIGIN = "ledger.example/court"
NOW = 1_795_000_000
LOG, WITNESS, SUBTREE = b"\x01", b"\x04", b"\x06"
"""Types of keys: a log's, a witness's that cosigns with Ed25519, one that cosigns with ML-DSA-44
(C2SP signed-note)."""
W1, W2, W3, W4 = (f"witness.example/w{i}" for i in (1, 2, 3, 4))
TEXT = f"{ORIGIN}\n7\n{b64encode(sha256(b'a root').digest()).decode()}\n"


def private(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


def public(name: str) -> bytes:
    return private(name).public_key().public_bytes_raw()


def key_id(name: str, kind: bytes, key: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + kind + key).digest()[:4]


def vkey(name: str, kind: bytes = WITNESS, key: bytes | None = None) -> str:
    key = public(name) if key is None else key
    return f"{name}+{key_id(name, kind, key).hex()}+{b64encode(kind + key).decode()}"


def line(name: str, content: bytes) -> str:
    return f"\N{EM DASH} {name} {b64encode(content).decode()}\n"


def log_line(text: str = TEXT, name: str = ORIGIN) -> str:
    return line(name, key_id(name, LOG, public(name)) + private(name).sign(text.encode()))


def message(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def signed(
    name: str,
    text: str = TEXT,
    time: int = NOW,
    *,
    signed_time: int | None = None,
    by: str | None = None,
) -> bytes:
    """The 72 bytes behind the key id: time and signature."""
    return time.to_bytes(8, "big") + private(by or name).sign(
        message(text, time if signed_time is None else signed_time)
    )


def cosigned(
    name: str, *, kind: bytes = WITNESS, tail: bytes = b"", cut: int = 0, **how: Any
) -> str:
    content = key_id(name, kind, public(name)) + signed(name, **how) + tail
    return line(name, content[: len(content) - cut])


def make() -> dict[str, dict[str, Any]]:
    """The content of each file, by its name."""
    return {"cosignature.json": _cosignatures(), "key.json": _keys()}


def case(
    name: str,
    lines: str,
    found: list[tuple[str, int]],
    *,
    reason: str = "ok",
    quorum: int = 1,
    **changes: Any,
) -> dict[str, Any]:
    expect = changes.pop("expect", "met" if reason == "ok" else "unmet")
    happy: dict[str, Any] = {
        "note": f"{TEXT}\n{log_line()}{lines}",
        "witnesses": [vkey(W1), vkey(W2), vkey(W3)],
        "quorum": quorum,
        "now": NOW + 60,
    }
    there = (
        {}
        if expect == "invalid"
        else {"cosigned": [{"name": witness, "time": time} for witness, time in found]}
    )
    return {"name": name, "expect": expect, "reason": reason, **happy, **changes, **there}


def _cosignatures() -> dict[str, Any]:
    one, two, three = cosigned(W1), cosigned(W2, time=NOW + 5), cosigned(W3, time=NOW - 100)
    first, second, third = (W1, NOW), (W2, NOW + 5), (W3, NOW - 100)
    unknown = line(
        "witness.example/pq", key_id("witness.example/pq", SUBTREE, bytes(1312)) + bytes(8 + 2420)
    )
    bad = cosigned(W1, by=W4)
    return {
        "about": (
            "Cosigned checkpoints: which of the expected witnesses cosigned, when, and whether they"
            " are enough"
        ),
        "seed": "SHA-256 of a name is its private key",
        "cases": [
            case("happy path", one, [first]),
            case("two of three, two are needed", one + two, [first, second], quorum=2),
            case(
                "three of three, three are needed",
                three + one + two,
                [first, second, third],
                quorum=3,
            ),
            case(
                "the witnesses' order is the expected one, not the lines'",
                two + one,
                [first, second],
                quorum=2,
            ),
            case(
                "cosigned twice: the newer time counts, and the witness once",
                one + cosigned(W1, time=NOW + 9),
                [(W1, NOW + 9)],
            ),
            case("the newer time stands first", cosigned(W1, time=NOW + 9) + one, [(W1, NOW + 9)]),
            case("a wrong line of the same witness before the right one", bad + one, [first]),
            case("a wrong line of another expected witness", cosigned(W2, by=W4) + one, [first]),
            case("a line of an unknown witness", cosigned(W4) + one, [first]),
            case("a line of another algorithm (ML-DSA-44)", unknown + one, [first]),
            case("time 0", cosigned(W1, time=0), [(W1, 0)], reason="clock"),
            case("time 0 beside a right one", cosigned(W1, time=0) + one, [first]),
            case(
                "a clock far ahead, beside a right time of the same witness",
                one + cosigned(W1, time=NOW * 1000),
                [(W1, NOW * 1000)],
            ),
            case("a clock nine minutes ahead", one, [first], now=NOW - 540),
            case(
                "the log's own key does not count, nor matters", one, [first], note=f"{TEXT}\n{one}"
            ),
            case("one is missing", one + two, [first, second], reason="quorum", quorum=3),
            case("no cosignature", "", [], reason="quorum"),
            case(
                "one witness twice is not two",
                one + cosigned(W1, time=NOW + 1),
                [(W1, NOW + 1)],
                reason="quorum",
                quorum=2,
            ),
            case(
                "one witness expected twice is not two",
                one,
                [first],
                reason="quorum",
                quorum=2,
                witnesses=[vkey(W1), vkey(W1)],
            ),
            case("nobody is expected", one, [], reason="no-key", witnesses=[]),
            case("only an unknown witness", cosigned(W4), [], reason="unsigned"),
            case("only a line of another algorithm", unknown, [], reason="unsigned"),
            case(
                "the key id of another name",
                line(W1, key_id(W2, WITNESS, public(W1)) + signed(W1)),
                [],
                reason="unsigned",
            ),
            case("the key id of a log's key", cosigned(W1, kind=LOG), [], reason="unsigned"),
            case(
                "under another name",
                line(W4, key_id(W1, WITNESS, public(W1)) + signed(W1)),
                [],
                reason="unsigned",
            ),
            case("signed by another key", bad, [], reason="signature"),
            case(
                "another checkpoint",
                cosigned(W1, text=TEXT.replace("\n7\n", "\n8\n")),
                [],
                reason="signature",
            ),
            case(
                "another origin",
                cosigned(W1, text=TEXT.replace("court", "port")),
                [],
                reason="signature",
            ),
            case(
                "another time in the line than was signed",
                cosigned(W1, signed_time=NOW + 1),
                [],
                reason="signature",
            ),
            case(
                "the time with its little end first",
                line(
                    W1,
                    key_id(W1, WITNESS, public(W1))
                    + NOW.to_bytes(8, "little")
                    + private(W1).sign(message(TEXT, NOW)),
                ),
                [],
                reason="signature",
            ),
            case(
                "signed as a log signs, without a time",
                line(
                    W1,
                    key_id(W1, WITNESS, public(W1))
                    + NOW.to_bytes(8, "big")
                    + private(W1).sign(TEXT.encode()),
                ),
                [],
                reason="signature",
            ),
            case(
                "signed with the signatures of the note",
                cosigned(W1, text=f"{TEXT}\n{log_line()}"),
                [],
                reason="signature",
            ),
            case("a byte too many", cosigned(W1, tail=b"\0"), [], reason="length"),
            case("a byte too few", cosigned(W1, cut=1), [], reason="length"),
            case(
                "no time",
                line(W1, key_id(W1, WITNESS, public(W1)) + private(W1).sign(message(TEXT, NOW))),
                [],
                reason="length",
            ),
            case("time beyond 2^63 - 1", cosigned(W1, time=2**63), [], reason="limit"),
            case("a clock an hour ahead", one, [first], reason="clock", now=NOW - 3600),
            case(
                "a line that is no signature line",
                one + "witness.example/w2\n",
                [],
                reason="form",
                expect="invalid",
            ),
            case(
                "base64 in another spelling",
                one[:-2] + "\n",
                [],
                reason="encoding",
                expect="invalid",
            ),
            case("a line that is cut short", one[:-1], [], reason="form", expect="invalid"),
            case("no signature line at all", "", [], reason="form", expect="invalid", note=TEXT),
        ],
    }


def _keys() -> dict[str, Any]:
    good = vkey(W1)
    typed = b64encode(WITNESS + public(W1)).decode()
    accepted = {
        "name": W1,
        "key_id": key_id(W1, WITNESS, public(W1)).hex(),
        "public_key": b64encode(public(W1)).decode(),
    }
    wrong = [
        ("a log's key, type 0x01", "key-type", vkey(W1, LOG)),
        ("an ML-DSA-44 key, type 0x06", "key-type", vkey(W1, SUBTREE, bytes(1312))),
        ("empty", "form", ""),
        ("name only", "form", W1),
        ("key id of another name", "key-id", good.replace("w1", "w2")),
        ("key id of a log's key", "key-id", f"{W1}+{key_id(W1, LOG, public(W1)).hex()}+{typed}"),
        (
            "key id in capitals",
            "key-id",
            f"{W1}+{key_id(W1, WITNESS, public(W1)).hex().upper()}+{typed}",
        ),
        ("key of 31 bytes", "length", vkey(W1, WITNESS, public(W1)[1:])),
        ("name with a space", "name", f"a b+{key_id('a b', WITNESS, public(W1)).hex()}+{typed}"),
        ("empty name", "name", f"+{key_id('', WITNESS, public(W1)).hex()}+{typed}"),
        ("newline at the end", "encoding", good + "\n"),
    ]
    return {
        "about": "Keys of witnesses (C2SP vkey of type 0x04)",
        "cases": [
            {
                "name": "happy path",
                "expect": "accepted",
                "reason": "ok",
                "text": good,
                "key": accepted,
            },
            *(
                {"name": name, "expect": "invalid", "reason": reason, "text": text}
                for name, reason, text in wrong
            ),
        ],
    }


def format_file(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, content in make().items():
        (HERE / name).write_text(format_file(content), encoding="utf-8")
        sys.stdout.write(f"{name}: {len(content['cases'])} cases\n")
