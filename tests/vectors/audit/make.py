"""Makes audit.json: `python tests/vectors/audit/make.py`.

A test compares what this makes with what is stored.

It hashes, signs and writes the published logs by itself, so that the vectors are not merely what
ledger/audit/follow.py says. All keys are derived from names, and sign alike each time, so the file
always comes out the same.
"""

import json
import sys
from base64 import b64encode
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256, shake_256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

sys.path.insert(0, str(Path(__file__).parents[2]))

from asn1crypto import tsp
from make_token import CA, STAMPS, Forge, Issued, stamped

FILE = Path(__file__).parent / "audit.json"
ORIGIN = "ledger.example/court"
START = datetime(2026, 11, 23, 8, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEADLINE = 24 * HOUR
NOW = START + 72 * HOUR
SIZE = 3


def private(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


def base64(content: bytes) -> str:
    return b64encode(content).decode()


def canonical(value: Any) -> str:
    """RFC 8785, as far as it is needed: no fractions, and ASCII names of members."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def time_text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


# Notes


def vkey(name: str, key: str | None = None) -> str:
    public = private(key or name).public_key().public_bytes_raw()
    return f"{name}+{_key_id(name, public).hex()}+{base64(b'%c' % 1 + public)}"


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def checkpoint(size: int, root: bytes, key: str = ORIGIN) -> str:
    text = f"{ORIGIN}\n{size}\n{base64(root)}\n"
    signature = _key_id(ORIGIN, private(key).public_key().public_bytes_raw()) + private(key).sign(
        text.encode()
    )
    return f"{text}\n\N{EM DASH} {ORIGIN} {base64(signature)}\n"


# The tree of the log (RFC 9162, 2.1)


def tree_root(entries: list[bytes]) -> bytes:
    if len(entries) < 2:
        return sha256(b"".join(b"\0" + entry for entry in entries)).digest()
    left, right = _halves(entries)
    return sha256(b"\1" + tree_root(left) + tree_root(right)).digest()


def tree_path(entries: list[bytes], index: int) -> list[bytes]:
    if len(entries) < 2:
        return []
    left, right = _halves(entries)
    if index < len(left):
        return [*tree_path(left, index), tree_root(right)]
    return [*tree_path(right, index - len(left)), tree_root(left)]


def _halves(entries: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    middle = 1 << (len(entries) - 1).bit_length() - 1
    return entries[:middle], entries[middle:]


# Authority

OFFSETS = {"Audit vectors: root": (536, 3472), "Audit vectors: authority": (48, 204)}
"""What has to be added to a number that comes from a name, so that it is a prime."""


def _rsa(name: str) -> rsa.RSAPrivateKey:
    """A key that is the same each time: PKCS #1 v1.5 then signs alike each time, too.

    It protects nothing.
    """
    p, q = (
        _number(f"{name} {prime}") + offset
        for prime, offset in zip("pq", OFFSETS[name], strict=True)
    )
    e = 65537
    d = rsa.rsa_recover_private_exponent(e, p, q)
    public = rsa.RSAPublicNumbers(e, p * q)
    return rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    ).private_key()


def _number(name: str) -> int:
    """An odd number of 1024 bits, the highest two of them set."""
    return int.from_bytes(shake_256(name.encode()).digest(128), "big") | 3 << 1022 | 1


def _issued(name: str, above: Issued | None, extensions: Any) -> Issued:
    key = _rsa(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = above.certificate.subject if above else subject
    serial = int.from_bytes(sha256(name.encode()).digest()[:8], "big")
    builder = x509.CertificateBuilder(
        issuer, subject, key.public_key(), serial, START - 1000 * HOUR, START + 100_000 * HOUR
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    return Issued(builder.sign(above.key if above else key, hashes.SHA256()), key)


@cache
def authority_root() -> Issued:
    return _issued("Audit vectors: root", None, CA)


@cache
def token(imprint: bytes, time: datetime) -> bytes:
    signer = _issued("Audit vectors: authority", authority_root(), STAMPS)
    content = stamped(
        message_imprint={"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": imprint},
        gen_time=time,
    )
    return Forge(signer=signer, content=tsp.TSTInfo(content).dump()).make()


# The log


@dataclass(frozen=True)
class Batch:
    """What is published of a batch; `lag` is how long its token took, None if there is none."""

    sequence: int
    names: int
    """The size of the checkpoint that its opening record names."""
    content: bytes = b"a file"
    lag: timedelta | None = timedelta(seconds=5)
    origin: str = ORIGIN
    stated_opened: datetime | None = None
    late: timedelta = timedelta(0)

    @property
    def opened(self) -> datetime:
        return START + self.sequence * HOUR + self.late

    @property
    def closed(self) -> datetime:
        return self.opened + timedelta(minutes=1)


@dataclass(frozen=True)
class Log:
    """A published log.

    `named` are the checkpoints that opening records name, where they are not its own.
    """

    batches: tuple[Batch, ...] = tuple(Batch(sequence, sequence) for sequence in range(SIZE))
    named: dict[int, str] = field(default_factory=dict)
    entries: list[bytes] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def head(self, size: int, key: str = ORIGIN) -> str:
        return checkpoint(size, tree_root(self.entries[:size]), key)


def build(*batches: Batch, named: dict[int, str] | None = None) -> Log:
    log = Log(batches or Log().batches, named or {})
    log.files["checkpoint-0"] = log.head(0).encode()
    for index, batch in enumerate(log.batches):
        newest = log.named.get(batch.names) or log.head(batch.names)
        opening = canonical(
            {
                "format": "witnesstree-opening/1",
                "origin": batch.origin,
                "batch": batch.sequence,
                "checkpoint": sha256(newest.encode()).hexdigest(),
                "opened": time_text(batch.opened),
            }
        )
        digest, other = sha256(opening.encode()).digest(), sha256(batch.content).digest()
        root = sha256(min(digest, other) + max(digest, other)).digest()
        opened = batch.stated_opened or batch.opened
        lines = (
            "witnesstree-batch/1",
            batch.origin,
            batch.sequence,
            2,
            base64(root),
            time_text(opened),
            time_text(batch.closed),
        )
        statement = "".join(f"{line}\n" for line in lines)
        log.entries.append(statement.encode())
        log.files[f"batch/{index:03}.json"] = _record(log, index, opening, other, root)
    _publish(log)
    return log


def _record(log: Log, index: int, opening: str, other: bytes, root: bytes) -> bytes:
    batch = log.batches[index]
    tokens = [] if batch.lag is None else [{"token": base64(token(root, batch.closed + batch.lag))}]
    path = [other.hex()]
    members = {
        "format": "witnesstree-proof/1",
        "digest": sha256(opening.encode()).hexdigest(),
        "inclusion": {"position": 0, "size": 2, "root": root.hex(), "path": path},
        "opening": {"record": opening, "path": path},
        "tokens": tokens,
        "anchors": [],
        "log": {
            "statement": log.entries[index].decode(),
            "index": index,
            "path": [node.hex() for node in tree_path(log.entries, index)],
            "checkpoint": log.head(index + 1),
        },
        "hints": {},
    }
    return sealed(members)


def sealed(members: dict[str, Any]) -> bytes:
    """A proof file with a checksum that fits."""
    unsealed = {name: value for name, value in members.items() if name != "checksum"}
    return (
        canonical(
            {**unsealed, "checksum": sha256(canonical(unsealed).encode()).hexdigest()}
        ).encode()
        + b"\n"
    )


def _publish(log: Log) -> None:
    size = len(log.entries)
    log.files["checkpoint"] = log.head(size).encode()
    log.files[f"tile/0/000.p/{size}"] = b"".join(
        sha256(b"\0" + entry).digest() for entry in log.entries
    )
    log.files[f"tile/entries/000.p/{size}"] = b"".join(
        len(entry).to_bytes(2, "big") + entry for entry in log.entries
    )


def seen(log: Log, size: int, *waiting: int) -> dict[str, Any]:
    """What an auditor keeps who saw `log` when it had so many entries, and each opening record
    named the checkpoint just before it."""
    digests = [sha256(log.head(each).encode()).hexdigest() for each in (size - 1, size)]
    statements = [log.entries[index].decode() for index in waiting]
    return {
        "format": "witnesstree-audit/1",
        "checkpoint": log.head(size),
        "named": size - 1,
        "digests": digests,
        "waiting": statements,
    }


# The cases


def make() -> dict[str, Any]:
    """The file's content."""
    honest = build()
    first, second, third = honest.batches
    two = build(first, second)
    logs = {
        "honest": honest,
        "honest, two batches": two,
        "forked": build(first, replace(second, content=b"another file"), third),
        "a batch dropped": build(first, third, named={2: honest.head(2)}),
        "a batch doubled": build(first, second, second),
        "a batch of another ledger": build(
            first, replace(second, origin="ledger.example/port"), third
        ),
        "stamped late": build(first, replace(second, lag=30 * HOUR), third),
        "stamped just in time": build(
            first, replace(second, lag=DEADLINE - timedelta(seconds=2)), third
        ),
        "stamped in time but for its accuracy": build(
            first, replace(second, lag=DEADLINE - timedelta(seconds=1)), third
        ),
        "not stamped": build(first, replace(second, lag=None), third),
        "closed in the future": build(first, second, replace(third, late=200 * HOUR)),
        "names a checkpoint that nobody saw": build(
            first, second, third, named={1: checkpoint(1, bytes(32))}
        ),
        "names a checkpoint of another key": build(
            first, second, third, named={1: checkpoint(1, tree_root(honest.entries[:1]), "another")}
        ),
        "names an older checkpoint": build(first, second, replace(third, names=1)),
        "names an older checkpoint than the batch before": build(
            first, second, replace(third, names=0)
        ),
        "another opening time": build(
            first, replace(second, stated_opened=second.opened - HOUR), third
        ),
    }
    return {
        "about": "Published logs, what an auditor saw before, and what it has to find",
        "key": vkey(ORIGIN),
        "now": time_text(NOW),
        "deadline": int(DEADLINE.total_seconds()),
        "roots": [base64(authority_root().der)],
        "logs": {
            name: {path: base64(content) for path, content in log.files.items()}
            for name, log in logs.items()
        },
        "cases": [
            *_sound(honest, two),
            *_histories(honest),
            *_witnesses(),
            *_files(honest),
            *_openings(honest),
        ],
    }


def case(
    name: str, log: str = "honest", reason: str = "ok", checks: str = "", **changes: Any
) -> dict[str, Any]:
    """A case; `changed` are the files that stand there instead, None for one that is gone."""
    expect = changes.pop("expect", "sound" if reason == "ok" else "failed")
    changed = {
        path: content if content is None else base64(content)
        for path, content in changes.pop("changed", {}).items()
    }
    default: dict[str, Any] = {"changed": changed, "seen": None, "equivocation": False}
    return {
        "name": name,
        "expect": expect,
        "reason": reason,
        "checks": checks.split(),
        "log": log,
        **default,
        **changes,
    }


def _sound(honest: Log, two: Log) -> list[dict[str, Any]]:
    early = time_text(two.batches[1].closed + DEADLINE)
    return [
        case("happy path, seen for the first time"),
        case("continued from one batch", seen=seen(honest, 1)),
        case("continued from two batches", seen=seen(honest, 2)),
        case("nothing new", seen=seen(honest, 3)),
        case("a batch that was waited for is stamped now", seen=seen(honest, 2, 0)),
        case("stamped just in time, its accuracy of 1.5 seconds counted", "stamped just in time"),
        case("not stamped, and not due yet", "not stamped", now=early),
        case(
            "an opening record names the checkpoint before the newest", "names an older checkpoint"
        ),
        case("a file that no log has", changed={"tile/1/000.p/1": bytes(32)}),
    ]


def _histories(honest: Log) -> list[dict[str, Any]]:
    fork = {"reason": "fork", "checks": "consistency", "equivocation": True}
    return [
        case("a fork, as long as what was seen", "forked", **fork, seen=seen(honest, 3)),
        case("a fork, longer than what was seen", "forked", **fork, seen=seen(honest, 2)),
        case(
            "the tiles show no history",
            "honest",
            "root",
            "consistency",
            seen=seen(honest, 2),
            changed={"tile/0/000.p/3": bytes(96)},
        ),
        case("rewound", "honest, two batches", "rewind", "consistency", seen=seen(honest, 3)),
        case("a batch dropped", "a batch dropped", "sequence", "statements"),
        case("a batch doubled", "a batch doubled", "sequence", "statements"),
        case("a batch of another ledger", "a batch of another ledger", "origin", "statements"),
        case("a batch that closed in the future", "closed in the future", "clock", "statements"),
    ]


def _witnesses() -> list[dict[str, Any]]:
    late, after = "batch[1].stamped", Batch(1, 1).closed + DEADLINE + timedelta(seconds=1)
    all_of_them = " ".join(f"batch[{sequence}].stamped" for sequence in range(SIZE))
    return [
        case("stamped late", "stamped late", "late", late),
        case(
            "stamped in time but for its accuracy of 1.5 seconds",
            "stamped in time but for its accuracy",
            "late",
            late,
        ),
        case("not stamped, and due", "not stamped", "missing", late),
        case(
            "not stamped, due since a second",
            "not stamped",
            "missing",
            late,
            now=time_text(after),
        ),
        case(
            "nobody vouches for the authority",
            "honest",
            "chain",
            all_of_them,
            roots=[],
            expect="undecided",
        ),
        case("no key is expected", "honest", "no-key", "checkpoint", key=None, expect="undecided"),
    ]


def _files(honest: Log) -> list[dict[str, Any]]:
    tile, bundle = honest.files["tile/0/000.p/3"], honest.files["tile/entries/000.p/3"]
    altered = honest.head(3).replace("\n3\n", "\n4\n").encode()

    def changed(
        name: str, reason: str, checks: str, path: str, content: bytes | None, **more: Any
    ) -> dict[str, Any]:
        return case(name, "honest", reason, checks, changed={path: content}, **more)

    return [
        changed("a tile is missing", "missing-file", "tiles", "tile/0/000.p/3", None),
        changed("one bit of a tile", "tile", "tiles", "tile/0/000.p/3", flipped(tile)),
        changed("a tile that is too short", "length", "tiles", "tile/0/000.p/3", tile[:-1]),
        changed(
            "one bit of a tile that was seen before",
            "root",
            "entries",
            "tile/0/000.p/3",
            flipped(tile, 0),
            seen=seen(honest, 2),
        ),
        changed("the entries are missing", "missing-file", "entries", "tile/entries/000.p/3", None),
        changed("one bit of an entry", "root", "entries", "tile/entries/000.p/3", flipped(bundle)),
        changed(
            "the entries are cut short", "form", "entries", "tile/entries/000.p/3", bundle[:-1]
        ),
        changed(
            "an entry too few",
            "length",
            "entries",
            "tile/entries/000.p/3",
            bundle[: -2 - len(honest.entries[-1])],
        ),
        changed(
            "a checkpoint under another key",
            "unsigned",
            "checkpoint",
            "checkpoint",
            honest.head(3, "another").encode(),
        ),
        changed(
            "a checkpoint that was changed after it was signed",
            "signature",
            "checkpoint",
            "checkpoint",
            altered,
        ),
        changed("a checkpoint that is none", "form", "checkpoint", "checkpoint", b"3\n"),
        case(
            "another key is expected",
            "honest",
            "unsigned",
            "checkpoint",
            key=vkey(ORIGIN, "another"),
        ),
    ]


def _openings(honest: Log) -> list[dict[str, Any]]:
    path, second = "batch/001.json", "batch[1].opening"
    record = json.loads(honest.files[path])
    other = honest.files["batch/002.json"]

    def changed(
        name: str, reason: str, checks: str, content: bytes | None, path: str = path, **more: Any
    ) -> dict[str, Any]:
        return case(name, "honest", reason, checks, changed={path: content}, **more)

    def with_head(head: str) -> bytes:
        return sealed({**record, "log": {**record["log"], "checkpoint": head}})

    return [
        case(
            "an opening record names a checkpoint that nobody saw",
            "names a checkpoint that nobody saw",
            "checkpoint",
            second,
        ),
        case(
            "an opening record names a checkpoint of another key",
            "names a checkpoint of another key",
            "checkpoint",
            second,
        ),
        case(
            "an opening record names an older checkpoint than the batch before",
            "names an older checkpoint than the batch before",
            "checkpoint",
            "batch[2].opening",
        ),
        case(
            "an opening record and a statement with different times",
            "another opening time",
            "opening",
            second,
        ),
        changed("a record is missing", "missing-file", second, None),
        changed("a record is no proof", "form", second, b"{}"),
        changed(
            "a record with one bit flipped",
            "checksum",
            second,
            honest.files[path].replace(b'"position":0', b'"position":1'),
        ),
        changed("the record of another batch", "root", second, other),
        changed(
            "a record without its opening record",
            "root",
            second,
            sealed({name: value for name, value in record.items() if name != "opening"}),
        ),
        changed(
            "a record with the checkpoint of another size",
            "head",
            second,
            with_head(honest.head(3)),
        ),
        changed(
            "a record with the checkpoint of another key",
            "unsigned",
            second,
            with_head(honest.head(2, "another")),
        ),
        changed("the first checkpoint is missing", "missing-file", "opening", None, "checkpoint-0"),
        changed(
            "the first checkpoint is not of the empty log",
            "head",
            "opening",
            honest.head(1).encode(),
            "checkpoint-0",
        ),
        changed(
            "the first checkpoint under another key",
            "unsigned",
            "opening",
            honest.head(0, "another").encode(),
            "checkpoint-0",
        ),
        changed(
            "the record of a batch that was waited for is gone",
            "missing-file",
            "opening",
            None,
            "batch/000.json",
            seen=seen(honest, 2, 0),
        ),
        changed(
            "the record of a batch that was waited for is another",
            "root",
            "opening",
            other,
            "batch/000.json",
            seen=seen(honest, 2, 0),
        ),
    ]


def flipped(content: bytes, at: int = -1) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def format_file(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    content = make()
    FILE.write_text(format_file(content), encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: {len(content['cases'])} cases\n")
