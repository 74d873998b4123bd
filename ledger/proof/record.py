"""Evidence records after RFC 4998: makes one from a proof, reads, judges and renews any.

Pure and offline; no other module does it.

    EvidenceRecord = version, digest algorithms, cryptoInfos, encryptionInfo,
                     sequence of chains of archive timestamps
    ArchiveTimeStamp = digest algorithm, attributes, reduced hash tree (lists of hashes), token

A path of ledger/tree/tree.py is such a tree as it stands: the first list holds the digest alone,
then each sibling is a list (RFC 4998, 4.2). What is hashed to renew a record are bytes as they
stand in it, so bytes are kept and never encoded anew. docs/decisions/0017-evidence-records.md says
what was decided where the standard leaves a choice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from asn1crypto import algos, core, ocsp
from cryptography.hazmat.primitives.asymmetric import rsa

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.der import demand_der, reading, shown
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput
from witnesstree.ledger.base.report import Check, Outcome, Report, failed, passed, unknown
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
from witnesstree.ledger.tokens.signature import HASHES
from witnesstree.ledger.tokens.token import Token, chain_of, judge_token, parse_token
from witnesstree.ledger.tokens.x509 import read_certificate
from witnesstree.ledger.tree.tree import root_from_path

if TYPE_CHECKING:
    from witnesstree.ledger.base.report import Assurance
    from witnesstree.ledger.proof.proof import Proof
    from witnesstree.ledger.trust import Trust

MAX_RECORD = 4 * 2**20
"""Bytes in a record, as many as in a proof: it holds the same tokens, certificates, CRLs and OCSP
answers."""
MAX_CHAINS = 16
"""Chains in a record: each stands for a hash algorithm that was given up."""
MAX_TIMESTAMPS = 32
"""Archive timestamps in a record. With one in three years that is a century."""
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
"""Certificates in a record, and likewise CRLs and OCSP answers: two for each timestamp.

Each may be looked at for each timestamp.
"""

WEAK_RSA = "rsa below 3072 bits"
ENDS: Mapping[str, datetime] = MappingProxyType({WEAK_RSA: datetime(2031, 1, 1, tzinfo=UTC)})
"""When methods stop being safe.

NIST SP 800-57 Part 1 Rev. 5 (2020), table 4: 112 bits of security, which RSA with 2048 bits has,
until the end of 2030. It gives no end for 128 bits and more, so none of SHA-256, SHA-384 and
SHA-512 is here: whoever knows better adds them, by name, such as "sha256".
"""

_TokenFor = Callable[[bytes, str], Stamp]


@dataclass(frozen=True, slots=True)
class ArchiveTimestamp:
    """An ArchiveTimeStamp (RFC 4998, 4.1) as it stands.

    `lists` is its reduced hash tree, empty where there is none.

    `algorithm` is a name such as "sha256", or a dotted OID; `named` is the DER of the field that
    says so, None where the token's imprint does.
    """

    der: bytes
    algorithm: str
    named: bytes | None
    lists: tuple[tuple[bytes, ...], ...]
    token: Token


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """An EvidenceRecord (RFC 4998, 3.1) as it stands: `der` is all of it.

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


# Making
# --------------------------------------------------------------------------------------------------


def make_record(proof: Proof, token: int = 0) -> bytes:
    """Return the record (DER) that says what `proof` says with its token number `token`: the
    digest, the path, the token.

    The token is carried as it is; what stands beside it in the proof goes into cryptoInfos.
    Anchors, opening record and log have no place in a record. Nothing is judged but that the path
    leads to the root and that the token is for it.

    Raises InvalidInput if the proof has no inclusion or no such token, if these do not belong
    together, or if the record would break a limit.
    """
    if proof.inclusion is None or not 0 <= token < len(proof.tokens):
        raise InvalidInput("record-needs-path-and-token")
    at, stamp = proof.inclusion, proof.tokens[token]
    if root_from_path(proof.digest, at.position, at.size, at.path) != at.root:
        raise InvalidInput("path-not-to-root")
    read = parse_token(stamp.token)
    if (read.imprint_algorithm, read.imprint) != ("sha256", at.root):
        raise InvalidInput("token-not-for-root")
    # One leaf alone needs no tree (RFC 4998, 4.2.2): the token is for the digest itself.
    lists = [[proof.digest], *([node] for node in at.path)] if at.path else []
    archive = _format_timestamp(_format_named("sha256"), lists, stamp.token)
    # What stands beside the token was never read: what cannot be read back is no record.
    return parse_record(
        _format_record(
            [_format_algorithm("sha256")], _format_vouchers(stamp), b"", [_wrap(0x30, archive)]
        )
    ).der


def derive_record(record: EvidenceRecord, digest: bytes, path: Sequence[bytes]) -> EvidenceRecord:
    """Return `record`, which is for one entry of a batch, as the record of another entry: of
    `digest`, which `path` leads to the same root.

    Its first reduced hash tree is replaced, and nothing else: timestamp renewal hashes tokens alone
    (RFC 4998, 5.2), so all later timestamps are on this record as they were on that one. A chain
    under another hash algorithm is on the file itself, so a record that has one cannot be derived.

    Raises InvalidInput if the record has several chains, or the path does not lead to what its
    first token is for.
    """
    if len(record.chains) > 1:
        raise InvalidInput("record-renewed-for-one-file")
    first, *later = record.chains[0]
    lists = [(digest,), *((node,) for node in path)] if path else []
    if (_root(lists, _demand_known(first.algorithm)) if lists else digest) != first.token.imprint:
        raise InvalidInput("record-of-other-batch")
    return _rebuilt(
        record, [[_format_timestamp(first.named or b"", lists, first.token.der), *later]]
    )


def renew_timestamp(record: EvidenceRecord, token_for: _TokenFor) -> EvidenceRecord:
    """Return `record` with a new archive timestamp on the token of its newest one, in the same
    chain (RFC 4998, 5.2, timestamp renewal).

    `token_for` is asked once for a token on an imprint under a hash algorithm, such as "sha256".
    Only for as long as the newest token can be verified does this prove anything. Nothing is judged
    but that the answer is for that imprint.

    Raises BadAnswer if it is not, InvalidInput if the record would outgrow a limit, and whatever
    `token_for` raises.
    """
    return renew_timestamps([record], token_for)[0]


def renew_timestamps(
    records: Sequence[EvidenceRecord], token_for: _TokenFor
) -> list[EvidenceRecord]:
    """Return each of `records` with a new archive timestamp, all on one token: as
    `renew_timestamp`, with a hash tree over what each one needs.

    The new reduced hash trees begin with the record's own hashes and go on with one hash a list, as
    those of a batch do (RFC 4998, 4.2 and 5.2). Records that need the same hash share a leaf.

    Raises InvalidInput if the newest chains are not all under one hash algorithm, or there are no
    records; else as `renew_timestamp`.
    """
    algorithms = {record.chains[-1][0].algorithm for record in records}
    if len(algorithms) != 1:
        raise InvalidInput("record-algorithms-differ", found=len(algorithms))
    algorithm = _demand_known(algorithms.pop())
    # The standard asks for the newest alone; BouncyCastle for all of the chain, from the third on.
    # So they stand in one list.
    firsts = [
        tuple(sorted(_hash(algorithm, timestamp.token.der) for timestamp in record.chains[-1]))
        for record in records
    ]
    leaves = {first: _root([first], algorithm) for first in firsts}
    root, paths = _tree(list(dict.fromkeys(leaves.values())), algorithm)
    stamp = _ask(token_for, root, algorithm)
    renewed = []
    for record, first in zip(records, firsts, strict=True):
        path = paths[leaves[first]]
        lists = [first, *((node,) for node in path)] if len(first) > 1 or path else []
        chain = record.chains[-1]
        archive = _format_timestamp(chain[-1].named or b"", lists, stamp.token)
        renewed.append(_with_chains(record, [*record.chains[:-1], [*chain, archive]], stamp))
    return renewed


def _tree(leaves: Sequence[bytes], algorithm: str) -> tuple[bytes, dict[bytes, list[bytes]]]:
    """Return the root over different leaves, paired as in tree.py under any hash algorithm, and the
    path of each.
    """
    paths: dict[bytes, list[bytes]] = {leaf: [] for leaf in leaves}
    below = {leaf: [leaf] for leaf in leaves}
    level = list(leaves)
    while len(level) > 1:
        parents = []
        for left, right in zip(level[::2], level[1::2], strict=False):
            for node, sibling in ((left, right), (right, left)):
                for leaf in below[node]:
                    paths[leaf].append(sibling)
            parents.append(_hash(algorithm, min(left, right) + max(left, right)))
            below[parents[-1]] = below.pop(left) + below.pop(right)
        level = parents + (level[-1:] if len(level) % 2 else [])
    return level[0], paths


def renew_hash_tree(
    record: EvidenceRecord, digests: Sequence[bytes], algorithm: str, token_for: _TokenFor
) -> EvidenceRecord:
    """Return `record` with a new chain under another hash algorithm, on its files and all its
    chains (RFC 4998, 5.2, hash-tree renewal).

    `digests` are those of all files that the record is for under `algorithm`, "sha256", "sha384" or
    "sha512": one, or those of a data group. That they are the same files as before is not seen here
    and shows when the result is verified. `token_for` is as in `renew_timestamp`.

    Raises InvalidInput for an unknown algorithm, for no digests, or for digests of another length;
    else as `renew_timestamp`.
    """
    size = HASHES[_demand_known(algorithm)]().digest_size
    if not digests or any(len(digest) != size for digest in digests):
        raise InvalidInput("record-digests-wrong", size=size)
    before = _sequence_hash(record, len(record.chains), algorithm)
    hashes = sorted(_hash(algorithm, digest + before) for digest in digests)
    lists = [hashes] if len(hashes) > 1 else []
    stamp = _ask(token_for, _root([hashes], algorithm), algorithm)
    archive = _format_timestamp(_format_named(algorithm), lists, stamp.token)
    return _with_chains(record, [*record.chains, (archive,)], stamp, algorithm)


def _ask(token_for: _TokenFor, imprint: bytes, algorithm: str) -> Stamp:
    stamp = token_for(imprint, algorithm)
    try:
        token = parse_token(stamp.token)
    except InvalidInput as error:
        raise BadAnswer("authority-answer-unreadable", error=error) from error
    if (token.imprint_algorithm, token.imprint) != (algorithm, imprint):
        raise BadAnswer("authority-answer-for-other-bytes")
    return stamp


def _demand_known(algorithm: str) -> str:
    if algorithm not in HASHES:
        raise InvalidInput("hash-algorithm-unknown", known=list(HASHES), found=shown(algorithm))
    return algorithm


# Writing
# --------------------------------------------------------------------------------------------------


def _with_chains(
    record: EvidenceRecord,
    chains: Sequence[Sequence[ArchiveTimestamp | bytes]],
    stamp: Stamp,
    algorithm: str | None = None,
) -> EvidenceRecord:
    # What the record holds already is not added again.
    new = replace(
        stamp,
        certificates=_without(stamp.certificates, record.certificates),
        crls=_without(stamp.crls, record.crls),
        ocsps=_without(stamp.ocsps, record.ocsps),
    )
    return _rebuilt(record, chains, _format_vouchers(new), algorithm)


def _rebuilt(
    record: EvidenceRecord,
    chains: Sequence[Sequence[ArchiveTimestamp | bytes]],
    vouchers: bytes = b"",
    algorithm: str | None = None,
) -> EvidenceRecord:
    """Return a record with these chains, and all that stands beside the chains of `record`."""
    form = EvidenceRecordForm.load(record.der, strict=True)
    algorithms = [
        (each["algorithm"].native, bytes(each.dump())) for each in form["digest_algorithms"]
    ]
    if algorithm is not None and algorithm not in dict(algorithms):
        algorithms.append((algorithm, _format_algorithm(algorithm)))
    infos = b"".join(bytes(each.dump()) for each in form["crypto_infos"])
    encoded = [
        _wrap(0x30, b"".join(each if isinstance(each, bytes) else each.der for each in chain))
        for chain in chains
    ]
    encryption = bytes(form["encryption_info"].dump()) if record.is_encrypted else b""
    return parse_record(
        _format_record([der for _, der in algorithms], infos + vouchers, encryption, encoded)
    )


def _without(values: Sequence[bytes], known: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(each for each in values if each not in known)


def _format_record(
    algorithms: Sequence[bytes], infos: bytes, encryption: bytes, chains: Sequence[bytes]
) -> bytes:
    parts = [
        b"\x02\x01\x01",
        _wrap(0x30, b"".join(algorithms)),
        _wrap(0xA0, infos) if infos else b"",
        encryption,
    ]
    return _wrap(0x30, b"".join(parts) + _wrap(0x30, b"".join(chains)))


def _format_timestamp(named: bytes, lists: Sequence[Sequence[bytes]], token: bytes) -> bytes:
    tree = b"".join(_wrap(0x30, b"".join(_wrap(0x04, node) for node in nodes)) for nodes in lists)
    return _wrap(0x30, named + (_wrap(0xA2, tree) if tree else b"") + token)


def _format_algorithm(algorithm: str) -> bytes:
    """Return the AlgorithmIdentifier without parameters, as RFC 5754, 2 wants it."""
    return _wrap(0x30, bytes(algos.DigestAlgorithmId(algorithm).dump()))


def _format_named(algorithm: str) -> bytes:
    """Return the field digestAlgorithm.

    It is optional; BouncyCastle compares it within a chain, and authorities write their imprints
    differently.
    """
    return b"\xa0" + _format_algorithm(algorithm)[1:]


def _format_vouchers(stamp: Stamp) -> bytes:
    """Return the attributes (RFC 5126, 6.3.3 and 6.3.4) that hold what stands beside a token; empty
    where nothing does.
    """
    attributes = b""
    if stamp.certificates:
        attributes += _format_attribute(
            CERTIFICATE_VALUES, _wrap(0x30, b"".join(stamp.certificates))
        )
    if stamp.crls or stamp.ocsps:
        crls = _wrap(0xA0, _wrap(0x30, b"".join(stamp.crls))) if stamp.crls else b""
        ocsps = (
            _wrap(0xA1, _wrap(0x30, b"".join(map(_basic_ocsp, stamp.ocsps))))
            if stamp.ocsps
            else b""
        )
        attributes += _format_attribute(REVOCATION_VALUES, _wrap(0x30, crls + ocsps))
    return attributes


def _format_attribute(kind: str, value: bytes) -> bytes:
    return _wrap(0x30, bytes(core.ObjectIdentifier(kind).dump()) + _wrap(0x31, value))


def _basic_ocsp(der: bytes) -> bytes:
    with reading("OCSPResponse (RFC 6960, 4.2.1)"):
        return bytes(ocsp.OCSPResponse.load(der, strict=True)["response_bytes"]["response"])


def _whole_ocsp(basic: bytes) -> bytes:
    """Return the OCSPResponse around a BasicOCSPResponse: its status is that it was successful (RFC
    6960, 4.2.1).
    """
    kind = bytes(ocsp.ResponseType("basic_ocsp_response").dump())
    return _wrap(0x30, b"\x0a\x01\x00" + _wrap(0xA0, _wrap(0x30, kind + _wrap(0x04, basic))))


def _wrap(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _demand_size(der: bytes) -> bytes:
    if len(der) > MAX_RECORD:
        raise InvalidInput("record-too-large", found=len(der), most=MAX_RECORD)
    return der


# Reading
# --------------------------------------------------------------------------------------------------


def parse_record(der: bytes) -> EvidenceRecord:
    """Return what an EvidenceRecord (RFC 4998, 3.1) of at most MAX_RECORD bytes claims.

    Matches `make_record`.

    Takes any record whose timestamps are RFC 3161 tokens, with trees of any arity. Certificates,
    CRLs and OCSP answers stay unread, attributes of unknown types are ignored, and what the record
    says of encryption is not looked at.

    Raises InvalidInput.
    """
    demand_der(_demand_size(der))
    with reading("EvidenceRecord (RFC 4998, 3.1)"):
        return _read_record(der)


def _read_record(der: bytes) -> EvidenceRecord:
    form = _whole(EvidenceRecordForm.load(der, strict=True))
    if form["version"].native != 1:
        raise InvalidInput("record-version-wrong")
    algorithms = form["digest_algorithms"]
    _demand_count("algorithms", len(algorithms), MAX_ALGORITHMS)
    for algorithm in algorithms:
        _ = algorithm["algorithm"].native
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
    token = parse_token(bytes(_whole(archive)["time_stamp"].dump()))
    named = archive["digest_algorithm"]
    is_named = not isinstance(named, core.Void)
    return ArchiveTimestamp(
        der=bytes(archive.dump()),
        algorithm=named["algorithm"].native if is_named else token.imprint_algorithm,
        named=bytes(named.dump()) if is_named else None,
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
            raise InvalidInput(
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
    if len(AnyValues.load(value.dump(), strict=True)) != present:
        raise InvalidInput("record-fields-too-many")
    return value


def _each(values: AnyValues) -> list[bytes]:
    return [bytes(value.dump()) for value in values]


def _demand_count(part: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise InvalidInput("record-parts-wrong", most=most, part=part, found=count)


# Hashing
# --------------------------------------------------------------------------------------------------


def _hash(algorithm: str, content: bytes) -> bytes:
    return hashlib.new(algorithm, content).digest()


def _root(lists: Sequence[Sequence[bytes]], algorithm: str) -> bytes:
    """Return where a reduced hash tree leads (RFC 4998, 4.3, step 2).

    A list of one hash stands for that hash, as its leaf did (4.2.1, step 3).
    """
    node = b""
    for nodes in lists:
        together = sorted([*nodes, node] if node else nodes)
        node = together[0] if len(together) == 1 else _hash(algorithm, b"".join(together))
    return node


def _sequence_hash(record: EvidenceRecord, count: int, algorithm: str) -> bytes:
    """Return the hash of the ArchiveTimeStampSequence of the oldest `count` chains (RFC 4998, 5.2,
    atsc(i)).
    """
    chains = (
        _wrap(0x30, b"".join(timestamp.der for timestamp in chain))
        for chain in record.chains[:count]
    )
    return _hash(algorithm, _wrap(0x30, b"".join(chains)))


# Judging
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """One archive timestamp, what its first list has to hold, and the time at which it has to be
    valid still.
    """

    name: str
    timestamp: ArchiveTimestamp
    expected: tuple[bytes, ...] | None
    is_first: bool
    until: datetime
    is_last: bool


def verify_record(
    content: bytes,
    files: Sequence[Mapping[str, bytes]],
    trust: Trust,
    now: datetime,
    *,
    is_group: bool = False,
    ends: Mapping[str, datetime] = ENDS,
) -> Report:
    """Return what `content`, the bytes of a record, proves about `files`.

    Never raises, whatever `content` is.

    Each file is given by its digests, by hash algorithm; `EvidenceRecord.algorithms` says which are
    needed. If `is_group`, the files have to be all that the record's data group has (RFC 4998,
    4.3), else others may stand beside them. `ends` says when methods stop being safe (ENDS).

    1. record                              it is an evidence record
    2. chains[i].timestamps[j].algorithm   it is hashed with the algorithm of its chain (RFC 4998,
                                           5.3, step 2)
    3. ….data, for j = 0                   the first list holds the files; with the older chains,
                                           for i > 0 (5.3, steps 1 and 3)
       ….group                             and nothing else, if is_group (5.3, last paragraph)
       ….previous, for j > 0               the first list holds the token before (5.3, step 2)
    4. ….form to ….revocation              the token is for the hash that the lists lead to, and can
                                           be believed (4.3; token.py)
    5. ….time                              it was made after the one before; it was valid when the
                                           next one was made, the newest is at `now` (5.3)
    6. window                              the newest token's time is not later than `now`, give or
                                           take SKEW

    What the newest token cannot be verified for any more is UNKNOWN, not FAILED: nothing is wrong
    in it, it was renewed too late or not at all.
    """
    try:
        record = parse_record(content)
    except InvalidInput as error:
        return Report((failed("record", "record-unreadable", error=error),))
    count = len(record.timestamps)
    checks = [passed("record", "record-readable", count=count)]
    worth: list[Assurance] = []
    oldest_passed = False
    previous: datetime | None = None
    for place in _places(record, files, now):
        found, assurance = _judge_place(place, record, trust, previous, ends, is_group=is_group)
        oldest_passed = oldest_passed or (previous is None and _have_passed(found))
        previous = place.timestamp.token.gen_time
        checks += found
        worth += [assurance] if assurance is not None else []
    not_after = _time_of(record.timestamps[0].token) if oldest_passed else None
    checks += _judge_window(not_after, record.timestamps[-1].token.gen_time, now)
    report = Report(tuple(checks), min(worth, default=None), None, not_after)
    return report if report.is_verified else replace(report, assurance=None)


def _places(
    record: EvidenceRecord, files: Sequence[Mapping[str, bytes]], now: datetime
) -> list[_Place]:
    times = [*(timestamp.token.gen_time for timestamp in record.timestamps[1:]), now]
    places: list[_Place] = []
    for i, chain in enumerate(record.chains):
        for j, timestamp in enumerate(chain):
            known = timestamp.algorithm in HASHES
            expected = (
                _previous(chain, j)
                if known and j
                else _expected(record, i, files)
                if known
                else None
            )
            last = len(places) == len(times) - 1
            places.append(
                _Place(
                    f"chains[{i}].timestamps[{j}]",
                    timestamp,
                    expected,
                    j == 0,
                    times[len(places)],
                    last,
                )
            )
    return places


def _previous(chain: Sequence[ArchiveTimestamp], j: int) -> tuple[bytes, ...]:
    return (_hash(chain[j].algorithm, chain[j - 1].token.der),)


def _expected(
    record: EvidenceRecord, i: int, files: Sequence[Mapping[str, bytes]]
) -> tuple[bytes, ...] | None:
    """Return what stands for the files in the first list of chain `i`, or None if a digest is
    missing for that.
    """
    algorithm = record.chains[i][0].algorithm
    digests = [file[algorithm] for file in files if algorithm in file]
    if not digests or len(digests) < len(files):
        return None
    before = _sequence_hash(record, i, algorithm) if i else b""
    return tuple(_hash(algorithm, digest + before) if i else digest for digest in digests)


def _judge_place(
    place: _Place,
    record: EvidenceRecord,
    trust: Trust,
    previous: datetime | None,
    ends: Mapping[str, datetime],
    *,
    is_group: bool,
) -> tuple[list[Check], Assurance | None]:
    """Return the checks of one archive timestamp, and what its token is worth, None unless all of
    them passed that are required.
    """
    timestamp, name = place.timestamp, place.name
    checks = [_judge_algorithm(place, record)]
    if checks[0].outcome is not Outcome.PASSED:
        return checks, None
    checks += _judge_first_list(place, is_group=is_group)
    # Without a tree the token is for what is expected itself, which must be one.
    alone = place.expected[0] if place.expected and len(place.expected) == 1 else None
    root = _root(timestamp.lists, timestamp.algorithm) if timestamp.lists else alone
    judgement = judge_token(
        record.stamp(timestamp),
        timestamp.token.imprint if root is None else root,
        trust,
        timestamp.algorithm,
    )
    checks += [
        replace(check, name=f"{name}.{check.name.removeprefix('token.')}")
        for check in judgement.checks
    ]
    checks.append(_judge_time(place, record, trust, previous, ends))
    return checks, judgement.assurance if _have_passed(checks) else None


def _judge_algorithm(place: _Place, record: EvidenceRecord) -> Check:
    name, algorithm = f"{place.name}.algorithm", place.timestamp.algorithm
    chain = next(chain for chain in record.chains if any(each is place.timestamp for each in chain))
    if algorithm != chain[0].algorithm:
        return failed(
            name,
            "record-algorithm-differs",
            found=shown(algorithm),
            expected=shown(chain[0].algorithm),
        )
    if algorithm not in HASHES:
        return unknown(name, "record-algorithm-not-accepted", algorithm=shown(algorithm))
    return passed(name, "record-algorithm-accepted", algorithm=algorithm)


def _judge_first_list(place: _Place, *, is_group: bool) -> list[Check]:
    kind = "data" if place.is_first else "previous"
    name = f"{place.name}.{kind}"
    if place.expected is None:
        return [unknown(name, "record-digest-not-given", algorithm=place.timestamp.algorithm)]
    lists = place.timestamp.lists
    first = set(lists[0] if lists else [place.timestamp.token.imprint])
    missing = [value for value in place.expected if value not in first]
    if missing:
        checks = [
            failed(name, "record-first-list-differs", is_file=place.is_first, missing=missing[0])
        ]
    else:
        checks = [
            passed(
                name, "record-first-list-matches", is_file=place.is_first, found=place.expected[0]
            )
        ]
    if is_group and place.is_first:
        checks.append(_judge_group(f"{place.name}.group", first, place.expected))
    return checks


def _judge_group(name: str, first: set[bytes], expected: Sequence[bytes]) -> Check:
    others = first.difference(expected)
    if others:
        return failed(name, "record-group-larger", count=len(others))
    return passed(name, "record-group-matches")


def _judge_time(
    place: _Place,
    record: EvidenceRecord,
    trust: Trust,
    previous: datetime | None,
    ends: Mapping[str, datetime],
) -> Check:
    name, token = f"{place.name}.time", place.timestamp.token
    if previous is not None and token.gen_time < previous:
        return failed(name, "record-order-wrong", time=token.gen_time, before=previous)
    end = _end_of(place.timestamp, record, trust, ends)
    if end is None:
        return unknown(name, "record-validity-unknown", is_newest=place.is_last)
    if end <= place.until:
        return unknown(
            name, "record-renewed-too-late", end=end, is_newest=place.is_last, time=place.until
        )
    return passed(name, "record-valid", is_newest=place.is_last, time=place.until, end=end)


def _judge_window(not_after: datetime | None, newest: datetime, now: datetime) -> list[Check]:
    if newest - now > SKEW:
        return [unknown("window", "record-clock-behind", time=newest, now=now)]
    return [] if not_after is None else [passed("window", "file-existed", time=not_after)]


def expires(
    record: EvidenceRecord, trust: Trust, ends: Mapping[str, datetime] = ENDS
) -> datetime | None:
    """Return when the newest archive timestamp stops being verifiable: until then the record has to
    be renewed. None if its signer is not known.

    It is the earliest end of a certificate from its signer up, or of a method (`ends`). Whether a
    certificate will be revoked before is not known.
    """
    return _end_of(record.timestamps[-1], record, trust, ends)


def _end_of(
    timestamp: ArchiveTimestamp, record: EvidenceRecord, trust: Trust, ends: Mapping[str, datetime]
) -> datetime | None:
    token = timestamp.token
    chain = [
        read
        for der in chain_of(token, trust, record.certificates)
        if (read := read_certificate(der))
    ]
    if not chain:
        return None
    key = chain[0].key
    methods = [
        timestamp.algorithm,
        token.signer.digest_algorithm,
        *([WEAK_RSA] if isinstance(key, rsa.RSAPublicKey) and key.key_size < 3072 else []),
    ]
    return min(
        (
            *(each.x509.not_valid_after_utc for each in chain),
            *(ends[method] for method in methods if method in ends),
        )
    )


def _time_of(token: Token) -> datetime:
    try:
        return token.gen_time + token.accuracy
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _have_passed(checks: Sequence[Check]) -> bool:
    return all(
        check.outcome is Outcome.PASSED or (check.outcome is Outcome.UNKNOWN and not check.required)
        for check in checks
    )
