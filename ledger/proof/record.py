"""Evidence records after RFC 4998: their values, and their reader. record_make.py makes and renews
them, record_judge.py judges them.

Pure and offline; no other module does it.

    EvidenceRecord = version, digest algorithms, cryptoInfos, encryptionInfo,
                     sequence of chains of archive timestamps
    ArchiveTimeStamp = digest algorithm, attributes, reduced hash tree (lists of hashes), token

A path of ledger/tree/tree.py is such a tree as it is: the first list holds the digest alone,
then each sibling is a list (RFC 4998, 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from asn1crypto import core, ocsp

from witnesstree.ledger.base.der import demand_der, encoding_of, reading
from witnesstree.ledger.base.errors import InvalidInput, OverLimit
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.record_asn1 import (
    CERTIFICATE_VALUES,
    REVOCATION_VALUES,
    AnyValues,
    ArchiveTimeStamp,
    Attribute,
    CryptoInfos,
    ReducedHashtree,
    RevocationValues,
)
from witnesstree.ledger.proof.record_asn1 import EvidenceRecord as EvidenceRecordForm
from witnesstree.ledger.tokens.signature import digest_of, read_hash
from witnesstree.ledger.tokens.token import Token, parse_token

MAX_RECORD = 4 * 2**20
"""Bytes in a record, as many as in a proof: it holds the same tokens, certificates, CRLs and OCSP
answers."""
MAX_CHAINS = 16
"""Chains in a record: each for a hash algorithm that was given up."""
MAX_TIMESTAMPS = 64
"""Archive timestamps in a record. With one a year that is two generations."""
MAX_LISTS = 64
"""Lists in a reduced hash tree: a binary tree of 2**48 leaves needs 49."""
MAX_HASHES = 16 * 1024
"""Hashes in all lists of a reduced hash tree: room for a data group of thousands of files."""
MAX_HASH = 64
"""Bytes in a hash: SHA-512 has as many."""
MAX_ALGORITHMS = 16
"""Digest algorithms that a record names: one for each chain."""
MAX_ATTRIBUTES = 128
"""Attributes in cryptoInfos: each renewal adds two at most."""
MAX_VOUCHERS = 64
"""Certificates in a record, and as many CRLs and OCSP answers: one for each timestamp.

Each may be looked at for each timestamp.
"""


@dataclass(frozen=True, slots=True)
class ArchiveTimestamp:
    """An ArchiveTimeStamp (RFC 4998, 4.1) as it was read.

    `lists` is its reduced hash tree, empty where there is none.

    `algorithm` is a name such as "sha256", or a dotted OID; `named` is the DER of the field that
    says so, None where the token's imprint does.
    """

    der: bytes
    algorithm: str
    named: bytes | None
    lists: tuple[tuple[bytes, ...], ...]
    token: Token

    @property
    def first(self) -> frozenset[bytes]:
        """The hashes of its first list: of files, or of the token before. Without a tree that is
        what the token is for.
        """
        return frozenset(self.lists[0] if self.lists else (self.token.imprint,))


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """An EvidenceRecord (RFC 4998, 3.1) as it was read: `der` is all of it.

    That it parsed proves nothing: see `verify_record`.

    `certificates`, `crls` and `ocsps` (whole OCSPResponses) are what its cryptoInfos hold of them,
    unread. `is_encrypted` says that its digests are those of encrypted files (RFC 4998, 6).
    """

    der: bytes
    chains: tuple[tuple[ArchiveTimestamp, ...], ...]
    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    ocsps: tuple[bytes, ...] = ()
    is_encrypted: bool = False

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The hash algorithms under which a verifier needs the files' digests, the oldest first."""
        return tuple(dict.fromkeys(chain[0].algorithm for chain in self.chains))

    @property
    def timestamps(self) -> tuple[ArchiveTimestamp, ...]:
        """All archive timestamps, the oldest first."""
        return tuple(timestamp for chain in self.chains for timestamp in chain)

    def stamp(self, timestamp: ArchiveTimestamp) -> Stamp:
        """Return the token of `timestamp` with all that the record holds to judge it by."""
        return Stamp(timestamp.token.der, self.certificates, self.crls, self.ocsps)


def parse_record(der: bytes) -> EvidenceRecord:
    """Return what an EvidenceRecord (RFC 4998, 3.1) of at most MAX_RECORD bytes claims.

    Matches `make_record`.

    Takes any record whose timestamps are RFC 3161 tokens, with trees of any arity. Certificates,
    CRLs and OCSP answers stay unread, attributes of unknown types are ignored, and what the record
    says of encryption is not looked at.

    Raises InvalidInput; of that OverLimit where a part is larger or more than the limits above.
    """
    demand_der(_demand_size(der))
    with reading("EvidenceRecord (RFC 4998, 3.1)"):
        return _read_record(der)


def _demand_size(der: bytes) -> bytes:
    if len(der) > MAX_RECORD:
        raise OverLimit("record-too-large", found=len(der), most=MAX_RECORD)
    return der


def _read_record(der: bytes) -> EvidenceRecord:
    form = _whole(EvidenceRecordForm.load(der, strict=True))
    if form["version"].native != 1:
        raise InvalidInput("record-version-wrong")
    algorithms = form["digest_algorithms"]
    _demand_count("algorithms", len(algorithms), MAX_ALGORITHMS)
    for algorithm in algorithms:
        read_hash(algorithm)
    sequence = form["archive_time_stamp_sequence"]
    _demand_count("chains", len(sequence), MAX_CHAINS)
    _demand_count("timestamps", sum(len(chain) for chain in sequence), MAX_TIMESTAMPS)
    record = EvidenceRecord(
        der,
        tuple(_read_chain(chain) for chain in sequence),
        is_encrypted=not isinstance(form["encryption_info"], core.Void),
    )
    return _with_vouchers(record, form["crypto_infos"])


def _read_chain(chain: Any) -> tuple[ArchiveTimestamp, ...]:
    _demand_count("timestamps", len(chain), MAX_TIMESTAMPS)
    return tuple(_read_timestamp(archive) for archive in chain)


def _read_timestamp(archive: ArchiveTimeStamp) -> ArchiveTimestamp:
    token = parse_token(encoding_of(_whole(archive)["time_stamp"]))
    named = archive["digest_algorithm"]
    is_named = not isinstance(named, core.Void)
    return ArchiveTimestamp(
        der=encoding_of(archive),
        algorithm=read_hash(named) if is_named else token.imprint_algorithm,
        named=encoding_of(named) if is_named else None,
        lists=_read_tree(archive["reduced_hashtree"]),
        token=token,
    )


def _read_tree(tree: ReducedHashtree) -> tuple[tuple[bytes, ...], ...]:
    if isinstance(tree, core.Void):
        return ()
    _demand_count("lists", len(tree), MAX_LISTS)
    _demand_count("hashes", sum(len(nodes) for nodes in tree), MAX_HASHES)
    lists = tuple(tuple(bytes(node) for node in nodes) for nodes in tree)
    if any(not nodes or any(not 1 <= len(node) <= MAX_HASH for node in nodes) for nodes in lists):
        raise InvalidInput("record-tree-malformed", most=MAX_HASH)
    return lists


def _with_vouchers(record: EvidenceRecord, infos: CryptoInfos) -> EvidenceRecord:
    if isinstance(infos, core.Void):
        return record
    _demand_count("attributes", len(infos), MAX_ATTRIBUTES)
    found: dict[str, list[bytes]] = {"certificates": [], "crls": [], "ocsps": []}
    for attribute in infos:
        _read_vouchers(attribute, found)
    for name, values in found.items():
        if len(values) > MAX_VOUCHERS:
            raise OverLimit(
                "record-vouchers-too-many", most=MAX_VOUCHERS, kind=name, found=len(values)
            )
    ocsps = tuple(_whole_ocsp(basic) for basic in found["ocsps"])
    return replace(
        record, certificates=tuple(found["certificates"]), crls=tuple(found["crls"]), ocsps=ocsps
    )


def _read_vouchers(attribute: Attribute, found: dict[str, list[bytes]]) -> None:
    kind = _whole(attribute)["type"].dotted
    for value in attribute["values"]:
        if kind == CERTIFICATE_VALUES:
            found["certificates"] += _each(value.parse(spec=AnyValues))
        elif kind == REVOCATION_VALUES:
            revocation = _whole(value.parse(spec=RevocationValues))
            found["crls"] += _each(revocation["crl_vals"])
            found["ocsps"] += _each(revocation["ocsp_vals"])


def _whole(value: Any) -> Any:
    """Return `value`, a SEQUENCE, if it has no more fields than its class: asn1crypto lets them
    pass.
    """
    present = sum(not isinstance(value[name], core.Void) for name in value)
    if len(AnyValues.load(encoding_of(value), strict=True)) != present:
        raise InvalidInput("record-fields-too-many")
    return value


def _each(values: AnyValues) -> list[bytes]:
    return [encoding_of(value) for value in values]


def _demand_count(part: str, count: int, most: int) -> None:
    if count > most:
        raise OverLimit("record-parts-wrong", most=most, part=part, found=count)
    if not count:
        raise InvalidInput("record-parts-wrong", most=most, part=part, found=count)


def _whole_ocsp(basic: bytes) -> bytes:
    """Return the OCSPResponse around a BasicOCSPResponse: its status is that it was successful (RFC
    6960, 4.2.1).
    """
    kind = bytes(ocsp.ResponseType("basic_ocsp_response").dump())
    return wrap(0x30, b"\x0a\x01\x00" + wrap(0xA0, wrap(0x30, kind + wrap(0x04, basic))))


def wrap(tag: int, content: bytes) -> bytes:
    """Return the DER of a value with this tag."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


# Hashing


def root_of_lists(
    lists: Sequence[Sequence[bytes]],
    algorithm: str,
    *,
    hashes_one: bool = False,
    holds_nodes: bool = False,
) -> bytes:
    """Return where a reduced hash tree leads (RFC 4998, 4.3, step 3): each list, with the node from
    the list before it, sorted, joined and hashed.

    A first list of one hash leads to that hash, as its leaf did (4.2.1, step 3); with `hashes_one`
    to the hash of it, as 4.3 has it by the letter. With `holds_nodes` a list that holds the node
    from the list before it already, beside others, does not get it again.
    """
    node = b""
    for nodes in lists:
        is_held = not node or (holds_nodes and len(nodes) > 1 and node in nodes)
        together = sorted(nodes if is_held else [*nodes, node])
        is_alone = len(together) == 1 and not hashes_one
        node = together[0] if is_alone else digest_of(algorithm, b"".join(together))
    return node


def roots_of_lists(lists: Sequence[Sequence[bytes]], algorithm: str) -> tuple[bytes, ...]:
    """Return all hashes to which RFC 4998 lets a reduced hash tree lead, the one that we make
    first: 4.2 and 4.3 are read differently (docs/forms.md). Whichever it is, it commits to every
    hash in the lists.
    """
    return tuple(
        root_of_lists(lists, algorithm, hashes_one=hashes_one, holds_nodes=holds_nodes)
        for hashes_one in (False, True)
        for holds_nodes in (False, True)
    )


def sequence_hash(record: EvidenceRecord, count: int, algorithm: str) -> bytes:
    """Return the hash of the ArchiveTimeStampSequence of the oldest `count` chains (RFC 4998, 5.2,
    atsc(i)).
    """
    chains = (
        wrap(0x30, b"".join(timestamp.der for timestamp in chain))
        for chain in record.chains[:count]
    )
    return digest_of(algorithm, wrap(0x30, b"".join(chains)))
