"""Proofs of batches of any size, tokens under certificates made to measure, and evidence records
from both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import new, sha256

from asn1crypto import tsp
from make_revocation import wrap
from make_token import CA, STAMPS, Forge, Issued, issue, key, sign_ec, stamped, trust

from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.proof import Inclusion, Proof
from witnesstree.ledger.proof.record import EvidenceRecord, parse_record
from witnesstree.ledger.proof.record_make import make_record, renew_hash_tree, renew_timestamp
from witnesstree.ledger.tree.tree import NODE, next_level, siblings
from witnesstree.ledger.trust import Trust

YEAR = timedelta(days=365)
START = datetime(2020, 1, 1, tzinfo=UTC)
"""When the record's first timestamp is made; its authority's certificate ends five years later."""
ALGORITHMS = ("sha256", "sha384", "sha512")

TokenFor = Callable[[bytes, str], Stamp]


@cache
def top() -> Issued:
    return issue(
        "A root for records",
        None,
        key("p256", 90),
        CA,
        start=START - 2 * YEAR,
        end=START + 40 * YEAR,
    )


@cache
def authority(number: int, kind: str = "rsa") -> Issued:
    """An authority whose certificate lasts from the year `number` after START for five years."""
    start = START + number * YEAR
    return issue(
        f"Authority {number}",
        top(),
        key(kind, 91 + number),
        STAMPS,
        start=start - timedelta(days=1),
        end=start + 5 * YEAR,
    )


def trusted() -> Trust:
    return Trust(tuple(trust(top())))


def token(
    imprint: bytes,
    algorithm: str = "sha256",
    years: float = 0,
    signer: Issued | None = None,
    certificates: list[bytes] | None = None,
) -> bytes:
    """A token of so many years after START."""
    content = stamped(
        message_imprint={"hash_algorithm": {"algorithm": algorithm}, "hashed_message": imprint},
        gen_time=(START + years * YEAR).replace(microsecond=0),
    )
    made = Forge(signer=signer or authority(int(years)), content=tsp.TSTInfo(content).dump())
    if made.signer.key.__class__.__name__.startswith("EC"):
        made.algorithm, made.sign = {"algorithm": "sha256_ecdsa"}, sign_ec("sha256")
    return made.make()


def tokens_of(years: float, signer: Issued | None = None) -> TokenFor:
    return lambda imprint, algorithm: Stamp(token(imprint, algorithm, years, signer))


def document(position: int) -> bytes:
    """The file whose digest stands there in every batch made here; position 0 is the opening
    record."""
    return b"file %d" % position


def digests(content: bytes) -> dict[str, bytes]:
    return {algorithm: new(algorithm, content).digest() for algorithm in ALGORITHMS}


@cache
def levels(size: int) -> tuple[bytes, ...]:
    """All levels of a batch of `size` leaves, packed, the leaves first."""
    found = [b"".join(sha256(document(position)).digest() for position in range(size))]
    while len(found[-1]) > NODE:
        found.append(next_level(found[-1]))
    return tuple(found)


def make_proof(size: int, position: int, **beside: tuple[bytes, ...]) -> Proof:
    tree = levels(size)
    path = tuple(
        tree[level][index * NODE : (index + 1) * NODE] for level, index in siblings(position, size)
    )
    stamp = Stamp(root_token(tree[-1]), **beside)
    return Proof(
        sha256(document(position)).digest(),
        Inclusion(position, size, tree[-1], path),
        tokens=(stamp,),
    )


@cache
def root_token(root: bytes) -> bytes:
    return token(root)


@dataclass(frozen=True)
class Way:
    """One record on its way: as it was made, its timestamp renewed, and then its hash tree, and
    then its timestamp again."""

    content: bytes
    initial: EvidenceRecord
    stamped_again: EvidenceRecord
    hashed_again: EvidenceRecord
    twice: EvidenceRecord


@cache
def way(size: int = 7, position: int = 4) -> Way:
    content = document(position)
    initial = parse_record(make_record(make_proof(size, position)))
    again = renew_timestamp(initial, tokens_of(3))
    hashed = renew_hash_tree(again, [new("sha512", content).digest()], "sha512", tokens_of(6))
    return Way(content, initial, again, hashed, renew_timestamp(hashed, tokens_of(6.5)))


OIDS = {
    "sha1": "06052b0e03021a",
    **{name: f"060960864801650304020{number}" for number, name in enumerate(ALGORITHMS, 1)},
}


def identifier(algorithm: str, parameters: bytes = b"") -> bytes:
    return wrap(0x30, bytes.fromhex(OIDS[algorithm]) + parameters)


def archive(
    lists: Sequence[Sequence[bytes]],
    token: bytes,
    algorithm: str | None = "sha256",
    attributes: bytes = b"",
) -> bytes:
    """An ArchiveTimeStamp, field by field. `algorithm` None leaves the field out."""
    named = b"\xa0" + identifier(algorithm)[1:] if algorithm else b""
    tree = b"".join(wrap(0x30, b"".join(wrap(0x04, node) for node in nodes)) for nodes in lists)
    return wrap(0x30, named + attributes + (wrap(0xA2, tree) if tree else b"") + token)


def compose(
    *chains: Sequence[bytes],
    version: bytes = b"\x02\x01\x01",
    algorithms: Sequence[str] = ("sha256",),
    between: bytes = b"",
) -> bytes:
    """An EvidenceRecord, field by field; `between` are cryptoInfos and encryptionInfo."""
    sequence = wrap(0x30, b"".join(wrap(0x30, b"".join(chain)) for chain in chains))
    return wrap(
        0x30, version + wrap(0x30, b"".join(map(identifier, algorithms))) + between + sequence
    )


def joined(algorithm: str, nodes: Sequence[bytes]) -> bytes:
    """The node above a list of several (RFC 4998, 4.2.1)."""
    return new(algorithm, b"".join(sorted(nodes))).digest()


GROUP = (b"a contract", b"its first annex", b"its second annex")


@cache
def group_record() -> EvidenceRecord:
    """A data group of three files in a tree of any arity, which nobody here makes, renewed in both
    ways."""
    hashes = [sha256(content).digest() for content in GROUP]
    sibling, uncles = (
        sha256(b"another object").digest(),
        [sha256(b"uncle %d" % number).digest() for number in range(3)],
    )
    lists = [hashes, [sibling], uncles]
    root = joined("sha256", [joined("sha256", [joined("sha256", hashes), sibling]), *uncles])
    record = parse_record(compose([archive(lists, token(root))]))
    return renew_hash_tree(
        renew_timestamp(record, tokens_of(3)),
        [new("sha384", content).digest() for content in GROUP],
        "sha384",
        tokens_of(5),
    )


def other_readings() -> dict[str, tuple[bytes, bytes]]:
    """Records that RFC 4998 allows and nobody here makes, each with the file that it is for."""
    content = document(4)
    leaf, sibling = sha256(content).digest(), sha256(b"sibling").digest()
    uncles = [sha256(b"uncle %d" % number).digest() for number in range(2)]
    again = sha256(leaf).digest()
    pair = joined("sha256", [leaf, sibling])
    above = joined("sha256", [pair, *uncles])
    of_one = joined("sha256", [joined("sha256", [again, sibling]), *uncles])

    def record(lists: list[list[bytes]], root: bytes) -> tuple[bytes, bytes]:
        return compose([archive(lists, token(root))]), content

    return {
        "a first list of one hash, hashed once more": record([[leaf], [sibling], uncles], of_one),
        "one hash alone, hashed once more": record([[leaf]], again),
        "lists that hold the node below": record([[leaf, sibling], [pair, *uncles]], above),
        "both": record([[leaf], [again, sibling], uncles], of_one),
        "a new chain that sorts as figure 4 does": (sorted_chain(), document(3)),
    }


@cache
def sorted_chain(*, ascending: bool = True) -> bytes:
    """A record for document 3 whose hash tree was renewed with the hash of the older chains before
    the file's digest: in ascending order, as figure 4 of RFC 4998 has it and its text does not; or
    in descending order, which neither has."""
    digest = new("sha512", document(3)).digest()
    for step in range(100):
        older = renew_timestamp(way(7, 3).initial, tokens_of(3 + step / 1000))
        sequence = wrap(0x30, wrap(0x30, b"".join(each.der for each in older.timestamps)))
        before = new("sha512", sequence).digest()
        if (before < digest) == ascending:
            break
    chain = archive([], token(new("sha512", before + digest).digest(), "sha512", 6), "sha512")
    return compose(
        [each.der for each in older.timestamps], [chain], algorithms=("sha256", "sha512")
    )


@cache
def long_chain(count: int) -> bytes:
    """A record for document 4 whose timestamp was renewed until there were `count`, one in about
    four months."""
    stamps = [way(7, 4).initial.timestamps[0].der]
    before = way(7, 4).initial.timestamps[0].token.der
    for number in range(1, count):
        years = number * 0.3
        signer = authority(int(years), "p256")
        before = token(sha256(before).digest(), "sha256", years, signer)
        stamps.append(archive([], before))
    return compose(stamps)
