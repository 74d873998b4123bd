"""Makes evidence records (RFC 4998) from proofs, and renews them.

What is hashed to renew a record are bytes as they are in it, so bytes are kept and never encoded
again. docs/decisions/0017-evidence-records.md says what was decided where the standard leaves a
choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asn1crypto import algos, core, ocsp

from witnesstree.ledger.base.der import encoding_of, reading, shown
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.record import (
    ArchiveTimestamp,
    EvidenceRecord,
    parse_record,
    root_of_lists,
    sequence_hash,
    wrap,
)
from witnesstree.ledger.proof.record_asn1 import CERTIFICATE_VALUES, REVOCATION_VALUES
from witnesstree.ledger.proof.record_asn1 import EvidenceRecord as EvidenceRecordForm
from witnesstree.ledger.tokens.signature import HASHES, digest_of, hash_id, read_hash
from witnesstree.ledger.tokens.token import parse_token
from witnesstree.ledger.tree.tree import root_from_path

if TYPE_CHECKING:
    from witnesstree.ledger.proof.proof import Proof

_TokenFor = Callable[[bytes, str], Stamp]


def make_record(proof: Proof, token: int = 0) -> bytes:
    """Return the record (DER) that says what `proof` says with its token number `token`: the
    digest, the path, the token.

    The token is carried as it is; what is beside it in the proof goes into cryptoInfos.
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
    # What is beside the token was never read: what cannot be read back is no record.
    return parse_record(
        _format_record(
            [_format_algorithm("sha256")], _format_vouchers(stamp), b"", [wrap(0x30, archive)]
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
    if (
        root_of_lists(lists, _demand_known(first.algorithm)) if lists else digest
    ) != first.token.imprint:
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
    # So they are in one list.
    firsts = [
        tuple(sorted(digest_of(algorithm, timestamp.token.der) for timestamp in record.chains[-1]))
        for record in records
    ]
    leaves = {first: root_of_lists([first], algorithm) for first in firsts}
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
            parents.append(digest_of(algorithm, min(left, right) + max(left, right)))
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
    before = sequence_hash(record, len(record.chains), algorithm)
    hashes = sorted(digest_of(algorithm, digest + before) for digest in digests)
    lists = [hashes] if len(hashes) > 1 else []
    stamp = _ask(token_for, root_of_lists([hashes], algorithm), algorithm)
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
    """Return a record with these chains, and all that is beside the chains of `record`."""
    form = EvidenceRecordForm.load(record.der, strict=True)
    algorithms = [(read_hash(each), encoding_of(each)) for each in form["digest_algorithms"]]
    if algorithm is not None and algorithm not in dict(algorithms):
        algorithms.append((algorithm, _format_algorithm(algorithm)))
    infos = b"".join(encoding_of(each) for each in form["crypto_infos"])
    encoded = [
        wrap(0x30, b"".join(each if isinstance(each, bytes) else each.der for each in chain))
        for chain in chains
    ]
    encryption = encoding_of(form["encryption_info"]) if record.is_encrypted else b""
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
        wrap(0x30, b"".join(algorithms)),
        wrap(0xA0, infos) if infos else b"",
        encryption,
    ]
    return wrap(0x30, b"".join(parts) + wrap(0x30, b"".join(chains)))


def _format_timestamp(named: bytes, lists: Sequence[Sequence[bytes]], token: bytes) -> bytes:
    tree = b"".join(wrap(0x30, b"".join(wrap(0x04, node) for node in nodes)) for nodes in lists)
    return wrap(0x30, named + (wrap(0xA2, tree) if tree else b"") + token)


def _format_algorithm(algorithm: str) -> bytes:
    """Return the AlgorithmIdentifier without parameters, as RFC 5754, 2 wants it."""
    return wrap(0x30, bytes(algos.DigestAlgorithmId(hash_id(algorithm)).dump()))


def _format_named(algorithm: str) -> bytes:
    """Return the field digestAlgorithm.

    It is optional; BouncyCastle compares it within a chain, and authorities write their imprints
    differently.
    """
    return b"\xa0" + _format_algorithm(algorithm)[1:]


def _format_vouchers(stamp: Stamp) -> bytes:
    """Return the attributes (RFC 5126, 6.3.3 and 6.3.4) that hold what is beside a token; empty
    where nothing does.
    """
    attributes = b""
    if stamp.certificates:
        attributes += _format_attribute(
            CERTIFICATE_VALUES, wrap(0x30, b"".join(stamp.certificates))
        )
    if stamp.crls or stamp.ocsps:
        crls = wrap(0xA0, wrap(0x30, b"".join(stamp.crls))) if stamp.crls else b""
        ocsps = (
            wrap(0xA1, wrap(0x30, b"".join(map(_basic_ocsp, stamp.ocsps)))) if stamp.ocsps else b""
        )
        attributes += _format_attribute(REVOCATION_VALUES, wrap(0x30, crls + ocsps))
    return attributes


def _format_attribute(kind: str, value: bytes) -> bytes:
    return wrap(0x30, bytes(core.ObjectIdentifier(kind).dump()) + wrap(0x31, value))


def _basic_ocsp(der: bytes) -> bytes:
    with reading("OCSPResponse (RFC 6960, 4.2.1)"):
        return bytes(ocsp.OCSPResponse.load(der, strict=True)["response_bytes"]["response"])
