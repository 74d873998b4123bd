"""Evidence records: made from proofs, read with limits, judged and renewed; the vectors, and
records that other people made."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import new, sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import tsp
from cryptography import x509
from make_record import (
    ALGORITHMS,
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
    joined,
    levels,
    long_chain,
    make_proof,
    other_readings,
    sorted_chain,
    token,
    tokens_of,
    top,
    trusted,
    way,
)
from make_revocation import make_crl, make_ocsp, wrap
from make_token import CA, STAMPS, Forge, issue, key, sign_ec, stamped, trust

from witnesstree.ledger.base.clock import SKEW, parse_time
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, OverLimit
from witnesstree.ledger.base.report import Assurance, Outcome, Report, Verdict
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.proof import Proof
from witnesstree.ledger.proof.record import (
    MAX_ALGORITHMS,
    MAX_ATTRIBUTES,
    MAX_CHAINS,
    MAX_HASH,
    MAX_HASHES,
    MAX_LISTS,
    MAX_RECORD,
    MAX_TIMESTAMPS,
    MAX_VOUCHERS,
    EvidenceRecord,
    parse_record,
)
from witnesstree.ledger.proof.record_asn1 import EvidenceRecord as EvidenceRecordForm
from witnesstree.ledger.proof.record_judge import expires, verify_record
from witnesstree.ledger.proof.record_make import (
    derive_record,
    make_record,
    renew_hash_tree,
    renew_timestamp,
    renew_timestamps,
)
from witnesstree.ledger.tokens.signature import digest_of, hash_id
from witnesstree.ledger.tokens.soundness import ENDS
from witnesstree.ledger.trust import Trust, TrustedRoot

VECTORS = Path(__file__).parents[3] / "vectors" / "record"
CASES = json.loads((VECTORS / "records.json").read_text(encoding="utf-8"))["cases"]
PUBLIC = json.loads((VECTORS / "public.json").read_text(encoding="utf-8"))
FIRST = "chains[0].timestamps[0]"


def verified(
    record: bytes, *contents: bytes, now: datetime = START + YEAR, **options: Any
) -> Report:
    return verify_record(
        record,
        [digests(content) for content in contents],
        options.pop("trust", trusted()),
        now,
        **options,
    )


def outcomes(report: Report, outcome: Outcome) -> list[str]:
    """The checks with this outcome that count."""
    return [check.name for check in report.checks if check.outcome is outcome and check.required]


# Making


def test_a_record_says_what_its_proof_says() -> None:
    proof = make_proof(7, 4)
    record = parse_record(make_record(proof))
    assert proof.inclusion
    (timestamp,) = record.timestamps
    assert timestamp.lists == ((proof.digest,), *((node,) for node in proof.inclusion.path))
    assert (timestamp.token.der, timestamp.algorithm) == (proof.tokens[0].token, "sha256")
    assert record.algorithms == ("sha256",)
    assert record == EvidenceRecord(make_record(proof), ((timestamp,),))


def test_its_bytes_are_those_that_the_standard_s_module_gives() -> None:
    """Composed by another way: nothing is encoded differently, and nothing more is in it."""
    proof = make_proof(3, 1)
    assert proof.inclusion
    lists = [[proof.digest], *([node] for node in proof.inclusion.path)]
    assert make_record(proof) == compose([archive(lists, proof.tokens[0].token)])


@pytest.mark.parametrize("size", range(1, 18))
def test_every_position_of_small_batches_is_verified(size: int) -> None:
    for position in {0, size // 2, size - 1}:
        record = make_record(make_proof(size, position))
        report = verified(record, document(position))
        assert report.verdict is Verdict.VERIFIED
        assert (report.assurance, report.not_before) == (Assurance.PRIVATE, None)
        assert report.not_after == START + timedelta(seconds=2)


def test_a_batch_of_one_leaf_has_no_tree() -> None:
    assert parse_record(make_record(make_proof(1, 0))).timestamps[0].lists == ()


def test_it_takes_the_token_that_is_asked_for() -> None:
    proof = make_proof(2, 1)
    root = levels(2)[-1]
    other = Stamp(token(root, years=1))
    both = replace(proof, tokens=(*proof.tokens, other))
    assert parse_record(make_record(both, 1)).timestamps[0].token.der == other.token
    for number in (-1, 2):
        with pytest.raises(InvalidInput, match="lacks one"):
            make_record(both, number)


def test_what_is_no_proof_of_a_stamped_root_gives_none() -> None:
    proof = make_proof(3, 1)
    assert proof.inclusion
    faulty: dict[str, Proof] = {
        "lacks one": Proof(proof.digest),
        "does not lead to its root": replace(
            proof, inclusion=replace(proof.inclusion, root=bytes(32))
        ),
        "is not for its root": replace(proof, tokens=(Stamp(token(bytes(32))),)),
        "not DER": replace(proof, tokens=(Stamp(b"no token"),)),
        "has a path of": replace(proof, inclusion=replace(proof.inclusion, path=())),
    }
    for reason, each in faulty.items():
        with pytest.raises(InvalidInput, match=reason):
            make_record(each)
    sha512 = new("sha512", b"").digest()
    with pytest.raises(InvalidInput, match="is not for its root"):
        make_record(replace(proof, tokens=(Stamp(token(sha512, "sha512")),)))


def test_too_many_crls_are_refused() -> None:
    with pytest.raises(InvalidInput, match="too large"):
        make_record(make_proof(3, 1, crls=(wrap(0x30, bytes(MAX_RECORD)),)))


# What vouches beside a token


def vouchers() -> dict[str, tuple[bytes, ...]]:
    crl, answer = (
        make_crl(top(), extensions=[(x509.CRLNumber(1), False)]),
        make_ocsp(authority(0), top()),
    )
    return {
        "certificates": (authority(0).der, authority(3).der),
        "crls": (crl,),
        "ocsps": (answer,),
    }


@pytest.mark.parametrize(
    "names",
    [
        ("certificates",),
        ("crls",),
        ("ocsps",),
        ("crls", "ocsps"),
        ("certificates", "crls", "ocsps"),
    ],
)
def test_what_vouches_is_carried_and_comes_back(names: tuple[str, ...]) -> None:
    beside = {name: vouchers()[name] for name in names}
    record = parse_record(make_record(make_proof(3, 1, **beside)))
    assert {name: getattr(record, name) for name in names} == beside
    assert record.stamp(record.timestamps[0]) == Stamp(
        record.timestamps[0].token.der, record.certificates, record.crls, record.ocsps
    )


def test_a_token_without_certificates_is_judged_by_those_beside_it() -> None:
    root = levels(3)[-1]
    bare = Forge(
        signer=authority(0),
        content=tsp.TSTInfo(stamped(message_imprint=imprint(root), gen_time=START)).dump(),
        certificates=[],
    ).make()
    proof = replace(make_proof(3, 1), tokens=(Stamp(bare),))
    assert f"{FIRST}.signer" in outcomes(verified(make_record(proof), document(1)), Outcome.UNKNOWN)
    record = make_record(replace(proof, tokens=(Stamp(bare, (authority(0).der,)),)))
    assert verified(record, document(1)).verdict is Verdict.VERIFIED


def imprint(root: bytes) -> dict[str, Any]:
    return {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": root}


def test_renewal_adds_only_what_is_new() -> None:
    beside = vouchers()
    record = parse_record(make_record(make_proof(3, 1, **{**beside, "crls": ()})))
    more = (*beside["certificates"], top().der)
    again = renew_timestamp(
        record, lambda digest, algorithm: Stamp(token(digest, algorithm, 3), more, beside["crls"])
    )
    assert again.certificates == more
    assert (again.crls, again.ocsps) == (beside["crls"], beside["ocsps"])
    third = renew_timestamp(
        again,
        lambda digest, algorithm: Stamp(
            token(digest, algorithm, 4), again.certificates, again.crls, again.ocsps
        ),
    )
    assert len(third.der) - len(again.der) < 1500
    assert (third.certificates, third.crls, third.ocsps) == (
        again.certificates,
        again.crls,
        again.ocsps,
    )


@pytest.mark.parametrize("name", ["certificates", "crls"])
def test_what_vouches_has_to_be_der(name: str) -> None:
    with pytest.raises(InvalidInput, match="not DER"):
        make_record(make_proof(3, 1, **{name: (b"no certificate",)}))


def test_an_ocsp_answer_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="OCSP"):
        make_record(make_proof(3, 1, ocsps=(b"\x30\x00",)))


# Renewing


def test_bytes_of_older_chains_never_change() -> None:
    made = way(7, 4)
    records = [made.initial, made.stamped_again, made.hashed_again, made.twice]
    assert [[len(chain) for chain in record.chains] for record in records] == [
        [1],
        [2],
        [2, 1],
        [2, 2],
    ]
    for older, newer in pairwise(records):
        assert newer.timestamps[:-1] == older.timestamps
    assert made.hashed_again.der == compose(
        [each.der for each in made.stamped_again.timestamps],
        [made.hashed_again.timestamps[-1].der],
        algorithms=("sha256", "sha512"),
    )
    assert [record.algorithms for record in records] == [
        ("sha256",),
        ("sha256",),
        ("sha256", "sha512"),
        ("sha256", "sha512"),
    ]


def test_what_is_hashed_for_a_timestamp_renewal() -> None:
    made = way(7, 4)
    first, second = made.stamped_again.chains[0]
    assert (second.lists, second.token.imprint) == ((), sha256(first.token.der).digest())
    third = renew_timestamp(made.stamped_again, tokens_of(4)).chains[0][2]
    hashes = [sha256(each.token.der).digest() for each in (first, second)]
    assert (third.lists, third.token.imprint) == (
        (tuple(sorted(hashes)),),
        joined("sha256", hashes),
    )


def test_what_is_hashed_for_a_hash_tree_renewal() -> None:
    """RFC 4998, 5.2: H(h(i) + ha(i)), ha(i) the hash of the encoded sequence of all older chains,
    tag and length included."""
    made = way(7, 4)
    chain = wrap(0x30, b"".join(each.der for each in made.stamped_again.chains[0]))
    before = new("sha512", wrap(0x30, chain)).digest()
    newest = made.hashed_again.chains[1][0]
    assert (newest.lists, newest.algorithm) == ((), "sha512")
    assert (
        newest.token.imprint
        == new("sha512", new("sha512", made.content).digest() + before).digest()
    )


def test_records_without_the_field_are_renewed_without_it() -> None:
    """The field digestAlgorithm is optional; what compares it compares it within a chain."""
    lists = [[sha256(document(4)).digest()]]
    record = parse_record(compose([archive(lists, token(lists[0][0]), None)]))
    assert (record.timestamps[0].named, record.timestamps[0].algorithm) == (None, "sha256")
    again = renew_timestamp(record, tokens_of(3))
    assert again.timestamps[1].named is None
    assert verified(again.der, document(4), now=START + 4 * YEAR).verdict is Verdict.VERIFIED


def test_what_stands_beside_the_chains_is_kept() -> None:
    info = wrap(0xA1, bytes.fromhex("06032a0304") + b"\x05\x00")
    foreign = wrap(0x30, bytes.fromhex("06032a0305") + wrap(0x31, b"\x05\x00"))
    first = way(3, 1).initial.timestamps[0].der
    record = parse_record(compose([first], between=wrap(0xA0, foreign) + info))
    assert record.is_encrypted
    again = renew_timestamp(
        record, lambda digest, algorithm: Stamp(token(digest, algorithm, 3), (top().der,))
    )
    assert foreign in again.der
    assert info in again.der
    assert (again.certificates, again.is_encrypted) == ((top().der,), True)


def test_an_algorithm_is_named_once() -> None:
    made = way(3, 1)
    digest = sha256(made.content).digest()
    record = renew_hash_tree(made.initial, [digest], "sha256", tokens_of(3))
    assert len(record.chains) == 2
    assert record.der.count(identifier("sha256")) == made.initial.der.count(identifier("sha256"))
    assert verified(record.der, made.content, now=START + 4 * YEAR).verdict is Verdict.VERIFIED


def test_a_hash_tree_and_a_timestamp_are_renewed_under_sm3() -> None:
    """asn1crypto has no name for it: it is written and read by its identifier."""
    made = way(3, 1)

    def in_sm3(years: int) -> Any:
        return lambda imprint, name: Stamp(token(imprint, hash_id(name), years))

    digest = digest_of("sm3", made.content)
    hashed = renew_hash_tree(made.initial, [digest], "sm3", in_sm3(3))
    assert hashed.algorithms == ("sha256", "sm3")
    again = renew_timestamp(hashed, in_sm3(6))
    assert [each.algorithm for each in again.timestamps] == ["sha256", "sm3", "sm3"]
    assert parse_record(again.der) == again
    for record in (again, renew_hash_tree(again, [digest], "sm3", in_sm3(7))):
        algorithms = EvidenceRecordForm.load(record.der)["digest_algorithms"]
        named = [each["algorithm"].dotted for each in algorithms]
        assert named == ["2.16.840.1.101.3.4.2.1", "1.2.156.10197.1.401"]
    files = [digests(made.content) | {"sm3": digest}]
    judged = verify_record(again.der, files, trusted(), START + 7 * YEAR)
    assert judged.verdict is Verdict.VERIFIED
    files = [digests(made.content) | {"sm3": bytes(32)}]
    judged = verify_record(again.der, files, trusted(), START + 7 * YEAR)
    assert judged.verdict is Verdict.FAILED


@pytest.mark.parametrize(
    "answer",
    [
        Stamp(token(bytes(32), "sha256", 3)),
        Stamp(b"no token"),
        Stamp(token(bytes(64), "sha512", 3)),
    ],
)
def test_an_answer_for_other_bytes_is_not_taken(answer: Stamp) -> None:
    made = way(3, 1)
    with pytest.raises(BadAnswer):
        renew_timestamp(made.initial, lambda digest, algorithm: answer)
    with pytest.raises(BadAnswer):
        renew_hash_tree(made.initial, [bytes(48)], "sha384", lambda digest, algorithm: answer)


@pytest.mark.parametrize(
    ("given", "algorithm"),
    [
        ([], "sha512"),
        ([bytes(32)], "sha512"),
        ([bytes(64), bytes(48)], "sha512"),
        ([bytes(20)], "sha1"),
    ],
)
def test_digests_that_do_not_fit_are_refused(given: list[bytes], algorithm: str) -> None:
    with pytest.raises(InvalidInput, match="expected"):
        renew_hash_tree(way(3, 1).initial, given, algorithm, tokens_of(3))


def test_a_chain_of_an_unknown_algorithm_is_not_renewed() -> None:
    record = parse_record(compose([archive([[bytes(20)]], token(bytes(32)), "sha1")]))
    with pytest.raises(InvalidInput, match="not sha1"):
        renew_timestamp(record, tokens_of(3))


def test_a_record_does_not_outgrow_its_limits() -> None:
    first = way(3, 1).initial.timestamps[0].der
    full = parse_record(compose([first] * MAX_TIMESTAMPS))
    with pytest.raises(InvalidInput, match="archive timestamps"):
        renew_timestamp(full, tokens_of(3))


def test_when_it_expires() -> None:
    made = way(7, 4)
    assert expires(made.initial, trusted()) == authority(0).certificate.not_valid_after_utc
    # The fourth authority's certificate lasts beyond what its RSA key may.
    assert expires(made.stamped_again, trusted()) == authority(3).certificate.not_valid_after_utc
    assert expires(made.hashed_again, trusted()) == min(
        authority(6).certificate.not_valid_after_utc, ENDS["rsa below 3072 bits"]
    )
    assert expires(made.initial, trusted(), {"sha256": START + YEAR}) == START + YEAR
    assert expires(made.initial, trusted(), {}) == authority(0).certificate.not_valid_after_utc
    elliptic = renew_timestamp(made.initial, tokens_of(8, authority(8, "p256")))
    assert (
        expires(elliptic, trusted(), ENDS)
        == authority(8, "p256").certificate.not_valid_after_utc
        > ENDS["rsa below 3072 bits"]
    )


def test_without_its_signer_nobody_knows_when() -> None:
    bare = Forge(
        signer=authority(0),
        content=tsp.TSTInfo(stamped(message_imprint=imprint(levels(3)[-1]))).dump(),
        certificates=[],
    ).make()
    record = parse_record(make_record(replace(make_proof(3, 1), tokens=(Stamp(bare),))))
    assert expires(record, trusted()) is None


# Judging


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    roots = tuple(
        TrustedRoot(b64decode(der), "a vector", Assurance.PUBLIC) for der in case["roots"]
    )
    files = [
        {name: bytes.fromhex(digest) for name, digest in file.items()} for file in case["files"]
    ]
    report = verify_record(
        b64decode(case["record"]),
        files,
        Trust(roots),
        parse_time(case["now"]),
        is_group=case["group"],
    )
    assert report.verdict.value == case["expect"]["verdict"]
    assert (report.assurance is None) == (report.verdict is not Verdict.VERIFIED)
    decisive = outcomes(
        report, Outcome.FAILED if report.verdict is Verdict.FAILED else Outcome.UNKNOWN
    )
    assert case["expect"]["check"] in (decisive or [None])


def test_every_reason_is_explained() -> None:
    readme = (VECTORS / "README.md").read_text(encoding="utf-8")
    for case in CASES:
        assert f"| `{case['reason']}` |" in readme


@pytest.mark.parametrize("entry", PUBLIC["records"], ids=lambda entry: entry["name"])
def test_records_of_others_are_judged_as_their_authors_say(entry: dict[str, Any]) -> None:
    """Most come without the file that they are for: of them everything else is judged."""
    record = b64decode(entry["record"])
    known = Trust(
        tuple(
            TrustedRoot(b64decode(PUBLIC["roots"][name]), name, Assurance.PUBLIC)
            for name in entry["roots"]
        )
    )
    content = (entry["document"] or "not known").encode()
    report = verify_record(record, [digests(content)], known, parse_time(entry["now"]))
    faults = [
        name
        for name in outcomes(report, Outcome.FAILED) + outcomes(report, Outcome.UNKNOWN)
        if entry["document"] or not name.endswith(".data")
    ]
    assert bool(faults) == (entry["authors"] == "invalid"), faults
    assert (report.verdict is Verdict.VERIFIED) == (entry["document"] is not None)


def test_a_file_is_needed_under_every_algorithm() -> None:
    made = way(7, 4)
    file = {"sha256": sha256(made.content).digest()}
    report = verify_record(made.hashed_again.der, [file], trusted(), START + 7 * YEAR)
    assert outcomes(report, Outcome.UNKNOWN) == ["chains[1].timestamps[0].data"]
    assert outcomes(report, Outcome.FAILED) == []
    both = verify_record(group_record().der, [digests(GROUP[0]), file], trusted(), START + 6 * YEAR)
    assert "chains[1].timestamps[0].data" in outcomes(both, Outcome.UNKNOWN)


def test_no_file_is_no_proof() -> None:
    report = verify_record(way(7, 4).initial.der, [], trusted(), START)
    assert outcomes(report, Outcome.UNKNOWN) == [f"{FIRST}.data"]


def test_several_files_need_a_tree() -> None:
    record = make_record(make_proof(1, 0))
    assert verified(record, document(0), is_group=True).verdict is Verdict.VERIFIED
    assert outcomes(verified(record, document(0), b"another"), Outcome.FAILED) == [f"{FIRST}.data"]


def test_a_missing_digest_leaves_the_rest_judged() -> None:
    report = verify_record(make_record(make_proof(1, 0)), [], trusted(), START)
    assert outcomes(report, Outcome.UNKNOWN) == [f"{FIRST}.data"]
    assert {check.name for check in report.checks} >= {f"{FIRST}.imprint", f"{FIRST}.time"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("arity", [2, 3, 9])
def test_trees_of_any_arity(algorithm: str, arity: int) -> None:
    leaf = new(algorithm, document(1)).digest()
    lists: list[list[bytes]] = [[leaf]]
    root = leaf
    for level in range(3):
        lists.append(
            [new(algorithm, b"%d.%d" % (level, number)).digest() for number in range(arity - 1)]
        )
        root = joined(algorithm, [root, *lists[-1]])
    record = compose([archive(lists, token(root, algorithm), algorithm)], algorithms=[algorithm])
    assert verified(record, document(1)).verdict is Verdict.VERIFIED
    # The order within a list means nothing; it is sorted.
    turned = compose(
        [archive([nodes[::-1] for nodes in lists], token(root, algorithm), algorithm)],
        algorithms=[algorithm],
    )
    assert verified(turned, document(1)).verdict is Verdict.VERIFIED


@pytest.mark.parametrize("name", other_readings())
def test_what_rfc_4998_lets_others_make(name: str) -> None:
    record, content = other_readings()[name]
    later = START + 7 * YEAR if "chain" in name else START + YEAR
    assert verified(record, content, now=later).verdict is Verdict.VERIFIED
    assert verified(record, b"another file", now=later).verdict is Verdict.FAILED
    (chain, *_) = parse_record(record).chains
    lists = [list(nodes) for nodes in chain[0].lists]
    for at, nodes in enumerate(lists):
        for place in range(len(nodes)):
            changed = [list(each) for each in lists]
            changed[at][place] = bytes(32)
            forged = compose([archive(changed, chain[0].token.der)])
            assert verified(forged, content).verdict is Verdict.FAILED


def test_what_rfc_4998_does_not_allow_stays_failed() -> None:
    hashes = sorted(sha256(content).digest() for content in GROUP)
    others = sorted(sha256(b"other %d" % number).digest() for number in range(2))
    group = joined("sha256", hashes)

    def report(lists: list[list[bytes]], root: bytes) -> Report:
        return verified(compose([archive(lists, token(root))]), *GROUP)

    assert report([hashes, others], joined("sha256", [group, *others])).verdict is Verdict.VERIFIED
    unsorted = sha256(b"".join(hashes[::-1])).digest()
    apart = joined("sha256", [group, joined("sha256", others)])
    for lists, root in (([hashes[::-1]], unsorted), ([hashes, others], apart)):
        assert outcomes(report(lists, root), Outcome.FAILED) == [f"{FIRST}.imprint"]
    instead = report([[group], others], joined("sha256", [group, *others]))
    assert outcomes(instead, Outcome.FAILED) == [f"{FIRST}.data"]


def test_a_list_of_nothing_but_the_node_below_is_no_step() -> None:
    leaf = sha256(document(4)).digest()
    record = compose([archive([[leaf], [leaf]], token(leaf))])
    assert outcomes(verified(record, document(4)), Outcome.FAILED) == [f"{FIRST}.imprint"]


def test_no_reading_joins_a_new_chain_in_descending_order() -> None:
    report = verified(sorted_chain(ascending=False), document(3), now=START + 7 * YEAR)
    assert outcomes(report, Outcome.FAILED) == ["chains[1].timestamps[0].data"]


def test_a_group_s_files_are_renewed_by_one_reading() -> None:
    """Some of the files as the text of 5.2 has them and some as figure 4 does is neither."""
    contents = [b"file %d of a group" % number for number in range(64)]
    hashes = [sha256(content).digest() for content in contents]
    first = archive([hashes], token(joined("sha256", hashes)))
    older = new("sha512", wrap(0x30, wrap(0x30, first))).digest()
    digests_now = [new("sha512", content).digest() for content in contents]
    positional = [new("sha512", each + older).digest() for each in digests_now]
    ordered = [new("sha512", min(each + older, older + each)).digest() for each in digests_now]

    def renewed(hashes: list[bytes]) -> Verdict:
        chain = archive([hashes], token(joined("sha512", hashes), "sha512", 3), "sha512")
        record = compose([first], [chain], algorithms=("sha256", "sha512"))
        return verified(record, *contents, now=START + 4 * YEAR, is_group=True).verdict

    assert renewed(positional) is renewed(ordered) is Verdict.VERIFIED
    differing = [at for at in range(64) if positional[at] != ordered[at]]
    mixed = [*ordered]
    mixed[differing[0]] = positional[differing[0]]
    assert renewed(mixed) is Verdict.FAILED


def test_a_record_of_64_timestamps_is_judged_and_one_of_65_is_left_open() -> None:
    assert MAX_TIMESTAMPS == 64
    now = START + 20 * YEAR
    report = verified(long_chain(64), document(4), now=now)
    assert report.verdict is Verdict.VERIFIED
    assert str(report.checks[0].message).endswith("with 64 archive timestamps.")
    assert verified(long_chain(64), b"another file", now=now).verdict is Verdict.FAILED
    beyond = verified(long_chain(65), document(4), now=now)
    assert outcomes(beyond, Outcome.UNKNOWN) == ["record"]
    assert str(beyond.checks[0].message) == (
        "This evidence record has more than is judged here, so nothing is said of it: an evidence"
        " record has 1 to 64 archive timestamps, this has 65."
    )


def test_a_method_that_is_not_safe_any_more() -> None:
    made = way(7, 4)
    assert (
        verified(made.initial.der, made.content, ends={"sha256": START + YEAR}).verdict
        is Verdict.UNDECIDED
    )
    assert (
        verified(
            made.initial.der, made.content, ends={"sha256": START + YEAR + timedelta(seconds=1)}
        ).verdict
        is Verdict.VERIFIED
    )
    broken = {"sha256": START + 6 * YEAR + timedelta(days=1)}
    later = START + 7 * YEAR
    assert (
        verified(made.stamped_again.der, made.content, now=later, ends=broken).verdict
        is Verdict.UNDECIDED
    )
    # Its newest token is signed with SHA-256, so it does not outlive it either; its tree would.
    assert outcomes(
        verified(made.hashed_again.der, made.content, now=later, ends=broken), Outcome.UNKNOWN
    ) == ["chains[1].timestamps[0].time"]


def test_clocks_may_differ_a_little() -> None:
    made = way(7, 4)
    assert verified(made.initial.der, made.content, now=START - SKEW).verdict is Verdict.VERIFIED
    assert outcomes(
        verified(made.initial.der, made.content, now=START - SKEW - timedelta(seconds=1)),
        Outcome.UNKNOWN,
    ) == ["window"]
    assert outcomes(
        verified(made.hashed_again.der, made.content, now=START + YEAR), Outcome.UNKNOWN
    ) == ["window"]


def test_a_record_that_is_not_verified_says_when_only_if_its_first_token_holds() -> None:
    made = way(7, 4)
    late = verified(made.initial.der, made.content, now=START + 6 * YEAR)
    assert (late.verdict, late.not_after) == (Verdict.UNDECIDED, None)
    broken = compose([made.initial.timestamps[0].der, archive([], token(bytes(32), years=3))])
    report = verified(broken, made.content, now=START + 4 * YEAR)
    assert (report.verdict, report.not_after) == (Verdict.FAILED, START + timedelta(seconds=2))


def test_the_end_of_time() -> None:
    end = datetime.max.replace(microsecond=0, tzinfo=UTC)
    root = issue("A root for good", None, key("p256", 88), CA, end=end)
    signer = issue("An authority for good", root, key("p256", 89), STAMPS, end=end)
    content = (
        tsp.TSTInfo(stamped(message_imprint=imprint(levels(1)[-1])))
        .dump()
        .replace(b"20261123120000Z", b"99991231235959Z")
    )
    method = {"algorithm": "sha256_ecdsa"}
    forge = Forge(signer=signer, content=content, algorithm=method, sign=sign_ec("sha256"))
    record = make_record(replace(make_proof(1, 0), tokens=(Stamp(forge.make()),)))
    report = verified(
        record,
        document(0),
        now=end - timedelta(seconds=1),
        trust=Trust(tuple(trust(root))),
        ends={},
    )
    assert (report.verdict, report.not_after) == (
        Verdict.VERIFIED,
        datetime.max.replace(tzinfo=UTC),
    )


# Reading


def nodes(count: int) -> list[list[bytes]]:
    return [[bytes(1)] * count]


LIMITS = {
    "digest algorithms": (
        lambda count: compose([first()], algorithms=["sha256"] * count),
        MAX_ALGORITHMS,
        1,
    ),
    "chains": (lambda count: compose(*[[first()]] * count), MAX_CHAINS, 1),
    "archive timestamps": (lambda count: compose([first()] * count), MAX_TIMESTAMPS, 1),
    "lists in a hash tree": (
        lambda count: compose([archive([[b"1"]] * count, bare())]),
        MAX_LISTS,
        1,
    ),
    "hashes in a hash tree": (
        lambda count: compose([archive(nodes(count), bare())]),
        MAX_HASHES,
        1,
    ),
    "to 128 attributes": (
        lambda count: compose([first()], between=wrap(0xA0, foreign_attribute() * count)),
        MAX_ATTRIBUTES,
        1,
    ),
    "certificates": (
        lambda count: compose([first()], between=wrap(0xA0, certificate_attribute(count))),
        MAX_VOUCHERS,
        0,
    ),
}


def first() -> bytes:
    return way(3, 1).initial.timestamps[0].der


def bare() -> bytes:
    return way(3, 1).initial.timestamps[0].token.der


def foreign_attribute() -> bytes:
    return wrap(0x30, bytes.fromhex("06032a0305") + wrap(0x31, b"\x05\x00"))


def certificate_attribute(count: int) -> bytes:
    return wrap(
        0x30,
        bytes.fromhex("060b2a864886f70d0109100217") + wrap(0x31, wrap(0x30, b"\x30\x00" * count)),
    )


@pytest.mark.parametrize("what", LIMITS)
def test_limits(what: str) -> None:
    record, most, least = LIMITS[what]
    parse_record(record(most))
    parse_record(record(least))
    with pytest.raises(OverLimit, match=what):
        parse_record(record(most + 1))
    assert verified(record(most + 1), document(1)).verdict is Verdict.UNDECIDED


def test_none_is_no_question_of_limits() -> None:
    for record in (compose(), compose([]), compose([first()], algorithms=[])):
        with pytest.raises(InvalidInput, match="this has 0") as refusal:
            parse_record(record)
        assert not isinstance(refusal.value, OverLimit)
        assert verified(record, document(1)).verdict is Verdict.FAILED


def test_a_hash_has_a_size() -> None:
    assert parse_record(compose([archive([[bytes(MAX_HASH)]], bare())]))
    for size in (0, MAX_HASH + 1):
        with pytest.raises(InvalidInput, match="does not have 1 to 64 bytes"):
            parse_record(compose([archive([[bytes(size)]], bare())]))


def test_bytes_beyond_the_limit_are_not_looked_at() -> None:
    with pytest.raises(OverLimit, match="too large"):
        parse_record(bytes(MAX_RECORD + 1))


@pytest.mark.parametrize(
    "record",
    [
        compose([first()], between=b"\xa0\x00"),
        compose([first()], between=wrap(0xA2, b"\x05\x00")),
        compose(
            [first()],
            between=wrap(
                0xA0,
                wrap(0x30, bytes.fromhex("060b2a864886f70d0109100217") + wrap(0x31, b"\x05\x00")),
            ),
        ),
        compose(
            [first()],
            between=wrap(
                0xA0,
                wrap(
                    0x30,
                    bytes.fromhex("060b2a864886f70d0109100218")
                    + wrap(0x31, wrap(0x30, b"\x05\x00")),
                ),
            ),
        ),
        compose([first()], version=b"\x02\x01\x00"),
        compose([first()], version=b"\x01\x01\xff"),
        compose([first()], algorithms=[]),
        compose([archive([[b"1"]], bare(), None, b"\xa1\x00"), b"\x05\x00"]),
        compose([wrap(0x30, b"\xa2\x00" + bare())]),
        # More fields than there are.
        wrap(0x30, compose([first()])[4:] + b"\x05\x00"),
        compose([wrap(0x30, bare() + b"\x05\x00")]),
        compose(
            [first()],
            between=wrap(
                0xA0,
                wrap(0x30, bytes.fromhex("06032a0305") + wrap(0x31, b"\x05\x00") + b"\x05\x00"),
            ),
        ),
    ],
)
def test_other_forms_are_refused(record: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_record(record)


def test_attributes_of_an_archive_timestamp_are_ignored() -> None:
    proof = make_proof(3, 1)
    assert proof.inclusion
    lists = [[proof.digest], *([node] for node in proof.inclusion.path)]
    record = compose(
        [archive(lists, proof.tokens[0].token, "sha256", wrap(0xA1, foreign_attribute()))]
    )
    assert verified(record, document(1)).verdict is Verdict.VERIFIED


def names(checks: Sequence[Any]) -> list[str]:
    return [check.name for check in checks]


def test_the_checks_have_their_order() -> None:
    made = way(7, 4)
    token_checks = ["form", "imprint", "signer", "signature", "chain", "revocation", "time"]
    expected = ["record"]
    for place, own in (
        (FIRST, ["algorithm", "data"]),
        ("chains[0].timestamps[1]", ["algorithm", "previous"]),
    ):
        expected += [f"{place}.{name}" for name in (*own, *token_checks)]
    assert names(verified(made.stamped_again.der, made.content, now=START + 4 * YEAR).checks) == [
        *expected,
        "window",
    ]


# Records that are renewed together, and derived from one another


def test_a_record_is_derived_byte_for_byte() -> None:
    records = [parse_record(make_record(make_proof(7, position))) for position in range(7)]
    renewed = renew_timestamps(records[:1], tokens_of(3))[0]
    for position, record in enumerate(records):
        at = make_proof(7, position).inclusion
        assert at
        digest = sha256(document(position)).digest()
        assert derive_record(records[0], digest, at.path) == record
        derived = derive_record(renewed, digest, at.path)
        assert derived.chains[0][0].der == record.chains[0][0].der
        assert derived.chains[0][1].der == renewed.chains[0][1].der
        report = verify_record(
            derived.der, [digests(document(position))], trusted(), START + 4 * YEAR
        )
        assert report.verdict is Verdict.VERIFIED


def test_a_record_of_one_leaf_is_derived_as_it_is() -> None:
    alone = way(1, 0).stamped_again
    assert derive_record(alone, sha256(document(0)).digest(), ()).der == alone.der


def test_what_is_beside_the_chains_goes_with_it() -> None:
    record = parse_record(make_record(make_proof(3, 0, certificates=(authority(3).der,))))
    at = make_proof(3, 2).inclusion
    assert at
    assert derive_record(record, sha256(document(2)).digest(), at.path).certificates == (
        authority(3).der,
    )


def test_a_path_of_another_batch_gives_no_record() -> None:
    record = way(7, 4).initial
    for digest, path in (
        (bytes(32), (bytes(32),)),
        (bytes(32), ()),
        (sha256(document(4)).digest(), ()),
    ):
        with pytest.raises(
            InvalidInput, match="does not lead to what the record's first timestamp is for"
        ):
            derive_record(record, digest, path)


def test_a_record_with_two_chains_is_for_its_file_alone() -> None:
    with pytest.raises(InvalidInput, match="for its own file alone"):
        derive_record(way().hashed_again, bytes(32), ())


@pytest.mark.parametrize("count", range(1, 10))
def test_records_are_renewed_together_under_any_algorithm(count: int) -> None:
    made = [way(7, position % 7) for position in range(count)]
    for step in ("initial", "stamped_again", "hashed_again", "twice"):
        renewed = renew_timestamps(
            [getattr(each, step) for each in made],
            tokens_of(6.5 if step in {"hashed_again", "twice"} else 4),
        )
        for each, record in zip(made, renewed, strict=True):
            report = verify_record(record.der, [digests(each.content)], trusted(), START + 7 * YEAR)
            assert report.verdict is Verdict.VERIFIED, (count, step)
        assert len({record.timestamps[-1].token.der for record in renewed}) == 1


def test_records_that_need_the_same_share_a_leaf() -> None:
    record, other = way(7, 4).initial, way(5, 2).initial
    same, _, again = renew_timestamps([record, other, record], tokens_of(3))
    assert same == again
    assert [len(nodes) for nodes in same.timestamps[1].lists] == [1, 1]


def test_records_under_different_algorithms_are_renewed_apart() -> None:
    for records in ([way().initial, way().hashed_again], []):
        with pytest.raises(InvalidInput, match="under one hash algorithm"):
            renew_timestamps(records, tokens_of(3))
