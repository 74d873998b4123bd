"""ledger/proof/bundle.py against tests/vectors/bundle/; its quick writer and reader against the
slow ones; a Verifier against verify()."""

import base64
import io
import json
import os
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_record import START, YEAR, long_chain, make_proof, tokens_of, trusted
from make_record import token as stamped
from vectors.bundle.make import (
    FILE,
    HONEST,
    MAGIC,
    format_file,
    levels_of,
    make,
    sealed_again,
    shared_of,
    whole,
)

from witnesstree.ledger.base.clock import parse_time
from witnesstree.ledger.base.errors import InvalidInput, OverLimit
from witnesstree.ledger.base.report import Assurance, Outcome, Report, Verdict
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.log.note import parse_verifier_key
from witnesstree.ledger.proof import bundle as bundle_module
from witnesstree.ledger.proof.bundle import Bundle, format_head, nodes_in, open_bundle, write_bundle
from witnesstree.ledger.proof.proof import (
    MAX_HINT,
    MAX_PROOF,
    Hints,
    Inclusion,
    Proof,
    format_proof,
    parse_proof,
)
from witnesstree.ledger.proof.record import parse_record
from witnesstree.ledger.proof.record_make import make_record, renew_hash_tree, renew_timestamp
from witnesstree.ledger.proof.template import Template, shared_bytes
from witnesstree.ledger.tree.tree import root_from_path
from witnesstree.ledger.trust import Trust, TrustedBlock, TrustedRoot
from witnesstree.ledger.verify import tokens as tokens_module
from witnesstree.ledger.verify import verify as verify_module
from witnesstree.ledger.verify.verify import Require, Verifier, verify

VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
PROOFS: dict[str, Any] = json.loads(HONEST.read_text(encoding="utf-8"))
HAPPY = base64.b64decode(VECTORS["happy"])
NOW = parse_time(PROOFS["now"])
SAID = {
    "form": "expected the line|the proof|parts that are of one file alone",
    "version": "expected the line",
    "encoding": "expected the line|bytes other than zeros|and not -0",
    "limit": "expected the line|at most 4194304 bytes",
    "length": "all of them in the file",
    "checksum": "the proof",
    "missing": "expected the proof of leaf 0 of a sealed batch",
    "position": "expected the proof of leaf 0 of a sealed batch",
    "size": "was cut or has grown",
    "digest": "not that of its first digest",
}


def opened(folder: Path, content: bytes) -> Bundle:
    path = folder / "batch.proofs"
    path.write_bytes(content)
    return open_bundle(path.open("rb", buffering=0))


def trust_of(trust: dict[str, Any]) -> Trust:
    return Trust(
        tuple(
            TrustedRoot(
                base64.b64decode(root["certificate"]),
                "a test",
                Assurance[root["assurance"].upper()],
            )
            for root in trust["roots"]
        ),
        tuple(
            TrustedBlock(
                bytes.fromhex(block["hash"][2:]),
                "a test",
                block.get("chain_id"),
                block.get("number"),
            )
            for block in trust["blocks"]
        ),
        tuple(parse_verifier_key(key) for key in trust["checkpoint_keys"]),
    )


@pytest.fixture(autouse=True)
def _files_are_closed(monkeypatch: pytest.MonkeyPatch) -> Any:
    files: list[BinaryIO] = []
    real = Path.open

    def noting(path: Path, *arguments: Any, **how: Any) -> Any:
        files.append(real(path, *arguments, **how))
        return files[-1]

    monkeypatch.setattr(Path, "open", noting)
    yield
    for file in files:
        file.close()


@pytest.fixture
def happy(tmp_path: Path) -> Bundle:
    return opened(tmp_path, HAPPY)


def test_the_vectors_are_what_their_maker_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == format_file(make())


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any], tmp_path: Path) -> None:
    content = base64.b64decode(case["bytes"])
    if case["expect"] == "refused":
        with pytest.raises(InvalidInput, match=SAID[case["reason"]]):
            opened(tmp_path, content)
        return
    bundle = opened(tmp_path, content)
    steps: list[int] = []
    assert (bundle.fault(steps.append) is None) is (case["expect"] == "sound")
    if case["expect"] == "sound":
        assert sum(steps) == nodes_in(bundle.size)


def test_every_proof_comes_out_of_it(happy: Bundle) -> None:
    assert [(node["digest"], node["path"]) for node in VECTORS["proofs"]] == [
        (digest.hex(), [node.hex() for node in path]) for digest, path in happy.paths(0, happy.size)
    ]
    assert format_proof(happy.proof(4)) == PROOFS["happy"].encode()
    assert happy.repeated() == []


def test_paths_across_kept_levels(tmp_path: Path) -> None:
    large = opened(tmp_path, base64.b64decode(VECTORS["cases"][1]["bytes"]))
    found = list(large.paths(3, 197))
    assert large.shared.inclusion
    assert all(
        root_from_path(digest, 3 + i, 200, path) == large.shared.inclusion.root
        for i, (digest, path) in enumerate(found)
    )
    assert [large.path(i) for i in (3, 64, 199)] == [found[i - 3][1] for i in (3, 64, 199)]


def test_it_is_written_as_it_was_read(happy: Bundle) -> None:
    out, steps = io.BytesIO(), list[int]()
    write_bundle(out, happy, steps.append)
    assert (out.getvalue(), sum(steps)) == (HAPPY, happy.size)
    write_bundle(again := io.BytesIO(), happy)
    assert again.getvalue() == HAPPY


def test_digests_are_found_at_their_first_position(tmp_path: Path) -> None:
    leaves = [bytes.fromhex(node["digest"]) for node in VECTORS["proofs"]]
    # Position 6 repeats position 2; position 5 is no digest of a file but holds the end of one and
    # the beginning of the next.
    packed = b"".join([*leaves[:5], leaves[3][16:] + leaves[4][:16], leaves[2]])
    bundle = opened(tmp_path, HAPPY[: -7 * 32] + packed)
    steps: list[int] = []
    assert bundle.find([leaves[2]], steps.append) == {leaves[2]: 2}
    assert steps == [7]
    assert bundle.find({leaves[1], leaves[2], bytes(32)}) == {leaves[1]: 1, leaves[2]: 2}
    assert bundle.find([leaves[3][16:] + leaves[4][:16]]) == {leaves[3][16:] + leaves[4][:16]: 5}
    assert bundle.find([leaves[0][16:] + leaves[1][:16]]) == {}
    with pytest.raises(InvalidInput, match="the digests lead to"):
        bundle.repeated()


def test_repeated_digests_are_told_of_a_sound_batch_alone(tmp_path: Path, happy: Bundle) -> None:
    leaves = [sha256(b"%d" % (i % 5)).digest() for i in range(7)]
    levels = levels_of(leaves)
    members = json.loads(PROOFS["happy"])
    sound = whole(shared_of(members, levels), levels)
    assert opened(tmp_path, sound).repeated() == [5, 6]


def test_a_file_full_of_holes_takes_no_memory_for_what_it_claims(tmp_path: Path) -> None:
    shared = happy_with(size=2**30, path=[], root=sha256(b"nobody's").hexdigest())
    path = tmp_path / "holes.proofs"
    with path.open("wb") as file:
        head = MAGIC + b"%d\n" % len(shared) + shared
        head += bytes(-len(head) % 32)
        file.write(head + bytes.fromhex(VECTORS["proofs"][0]["digest"]))
        file.truncate(len(head) + nodes_in(2**30) * 32)
    bundle = open_bundle(path.open("rb", buffering=0))
    with pytest.raises(InvalidInput, match="the path in its first proof does not lead to"):
        bundle.repeated()


def happy_with(**changes: Any) -> bytes:
    happy = json.loads(HAPPY[HAPPY.index(b"{") : HAPPY.rindex(b"}") + 1])
    return sealed_again({**happy, "inclusion": {**happy["inclusion"], **changes}})


def test_a_file_that_is_cut_while_it_is_read(
    tmp_path: Path, happy: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(tmp_path / "batch.proofs", len(HAPPY) - 1)
    with pytest.raises(InvalidInput, match="shorter than its batch"):
        happy.fault()

    def refuse(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", refuse)
    with pytest.raises(InvalidInput, match=r"cannot read .*batch\.proofs: Input/output error"):
        happy.digest_at(0)


@settings(max_examples=60)
@given(st.integers(0, len(HAPPY) - 1), st.integers(1, 255))
def test_any_byte_that_is_changed_is_found(tmp_path: Path, at: int, change: int) -> None:
    content = HAPPY[:at] + bytes([HAPPY[at] ^ change]) + HAPPY[at + 1 :]
    try:
        bundle = opened(tmp_path, content)
    except InvalidInput:
        return
    # White space and the order of members mean nothing in JSON: then the shared proof says the
    # same.
    assert bundle.fault() or bundle.shared == parse_proof(
        HAPPY[HAPPY.index(b"{") : HAPPY.rindex(b"}") + 1]
    )


@settings(max_examples=30)
@given(st.binary(max_size=300))
def test_any_bytes_give_proofs_or_the_one_error(tmp_path: Path, content: bytes) -> None:
    for start in (b"", b"witnesstree-proofs/1\n"):
        with pytest.raises(InvalidInput):
            opened(tmp_path, start + content)


# The quick writer and reader


@pytest.mark.parametrize(
    "hints", [Hints(), Hints('名\u2028\n"', 3, "b", ("x", "y")), Hints(links=("a",))]
)
def test_a_template_writes_and_reads_what_the_slow_way_does(happy: Bundle, hints: Hints) -> None:
    template = Template(happy.shared)
    for position in range(happy.size):
        proof = replace(happy.proof(position), hints=hints)
        content = format_proof(proof)
        assert proof.inclusion
        assert template.format(proof.digest, position, proof.inclusion.path, hints) == content
        assert template.parse(content) == proof == parse_proof(content)
        assert shared_bytes(content) == shared_bytes(format_proof(happy.shared))
    assert template.format(bytes(32), 0, (), hints).count(b'"path": []') >= 1


def test_a_template_says_nothing_of_what_it_would_not_write(happy: Bundle) -> None:
    template, content = Template(happy.shared), PROOFS["happy"].encode()
    assert template.parse(content)
    for other in (
        content.replace(b'"hints": {}', b'"hints": {"size": 1.5}'),
        content.replace(b'"hints": {}', b'"hints": {"name": 1}'),
        content.replace(b'"position": 4', b'"position": 7'),
        content.replace(b'"position": 4', b'"position": 5'),
        content.replace(b"\n", b""),
        content + b" " * MAX_PROOF,
        PROOFS["other"].encode(),
        content[: len(content) // 2],
        b"",
    ):
        assert template.parse(other) is None
    assert shared_bytes(b"{}") == b""


# A Verifier, and verify()


@pytest.mark.parametrize("require", Require)
def test_a_verifier_says_what_verify_says_of_every_vector(
    require: Require, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "KEPT", 2)
    verifiers: dict[str, Verifier] = {}
    said: dict[str, Report] = {}
    for _ in range(3):
        for case in PROOFS["cases"]:
            content = (
                case["proof"].encode(errors="surrogatepass")
                if "proof" in case
                else base64.b64decode(case["bytes"])
            )
            trust, now = (
                case.get("trust", PROOFS["trust"]),
                parse_time(case.get("now", PROOFS["now"])),
            )
            digest = bytes.fromhex(case.get("digest", PROOFS["digest"]))
            verifier = verifiers.setdefault(
                json.dumps([trust, case.get("now")]), Verifier(trust_of(trust), now, require)
            )
            if case["name"] not in said:
                said[case["name"]] = verify(digest, content, trust_of(trust), now, require)
            assert verifier.verify(digest, content) == said[case["name"]], case["name"]


def test_a_verifier_remembers_so_many_batches_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "KEPT", 1)
    verifier = Verifier(trust_of(PROOFS["trust"]), parse_time(PROOFS["now"]))
    for _ in range(2):
        for name in ("happy", "other"):
            assert format_proof(verifier.parse(PROOFS[name].encode())) == PROOFS[name].encode()
            assert len(verifier._parsed) == 1


def test_a_batch_is_judged_once(happy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = tokens_module.judge_token

    def noting(*arguments: Any) -> Any:
        asked.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(tokens_module, "judge_token", noting)
    verifier = Verifier(trust_of(PROOFS["trust"]), NOW)
    for position in range(1, happy.size):
        proof = replace(happy.proof(position), hints=Hints(name=f"{position}", size=position))
        assert verifier.verify(proof.digest, format_proof(proof)).is_verified
    assert len(asked) == 1


def test_the_verdict_on_a_whole_batch_and_on_one_in_it(happy: Bundle) -> None:
    verifier = Verifier(trust_of(PROOFS["trust"]), NOW)
    report = verifier.verify_batch(happy.shared, happy.fault())
    assert (report.verdict, report.assurance) == (Verdict.VERIFIED, Assurance.LOCAL)
    failed = verifier.verify_batch(happy.shared, "node 3 is wrong")
    assert [check.name for check in failed.checks if check.outcome is Outcome.FAILED] == [
        "inclusion"
    ]
    digest = bytes.fromhex(VECTORS["proofs"][5]["digest"])
    assert verifier.verify_in(happy, digest, 5).is_verified
    assert [
        check.name
        for check in verifier.verify_in(happy, bytes(32), None).checks
        if check.outcome is Outcome.FAILED
    ] == ["digest"]
    assert [
        check.name
        for check in verifier.verify_in(happy, digest, 4).checks
        if check.outcome is Outcome.FAILED
    ] == ["digest"]
    broken = replace(happy, shared=replace(happy.shared, records=(b"0",)))
    assert verifier.verify_in(broken, digest, 5).checks[0].outcome is Outcome.FAILED


def test_a_proof_with_records_is_parsed_the_slow_way() -> None:
    proof: Proof = replace(parse_proof(PROOFS["happy"].encode()), records=(b"0",))
    verifier = Verifier(Trust(), NOW)
    assert [verifier.parse(format_proof(proof)) for _ in range(3)] == [proof] * 3
    assert MAX_HINT < MAX_PROOF


@pytest.mark.parametrize(
    "parts", [{"digests": (("sha512", bytes(64)),)}, {"file_tokens": (Stamp(b"0"),)}]
)
def test_what_is_of_one_file_is_shared_by_none(parts: dict[str, Any], tmp_path: Path) -> None:
    shared = replace(make_proof(7, 0), **parts)
    with pytest.raises(InvalidInput, match="parts that are of one file alone"):
        opened(tmp_path, format_head(shared) + bytes(32 * 7))


# Evidence records in the shared proof


def renewed(folder: Path) -> Bundle:
    """The proofs of seven leaves whose token was renewed for all."""
    shared = make_proof(7, 0)
    record = renew_timestamp(parse_record(make_record(shared)), tokens_of(2))
    proofs = [make_proof(7, i) for i in range(7)]
    path = folder / "renewed.proofs"
    with path.open("wb") as file:
        file.write(
            format_head(replace(shared, records=(record.der,)))
            + b"".join(proof.digest for proof in proofs)
        )
    return open_bundle(path.open("rb", buffering=0))


def with_records(bundle: Bundle, *records: bytes) -> Bundle:
    return replace(bundle, shared=replace(bundle.shared, records=records))


def named(verifier: Verifier, bundle: Bundle) -> dict[str, str]:
    return {
        check.name: check.reason
        for check in verifier.verify_batch(bundle.shared, bundle.fault()).checks
        if check.outcome is Outcome.FAILED
    }


THEN = START + 3 * YEAR


def test_a_record_of_the_batch_witnesses_each_digest(tmp_path: Path) -> None:
    bundle, verifier = renewed(tmp_path), Verifier(trusted(), THEN, Require.TOKEN)
    # The root is stamped by nothing but the record.
    bare = replace(bundle, shared=replace(bundle.shared, tokens=()))
    checks = {
        check.name: check.outcome
        for check in verifier.verify_batch(bare.shared, bare.fault()).checks
    }
    assert (
        checks["records[0].root"]
        is checks["records[0].chains[0].timestamps[0].imprint"]
        is Outcome.PASSED
    )
    alone = {
        check.name: check.outcome for check in verifier.verify_in(bare, bare.digest_at(3), 3).checks
    }
    assert (alone["records[0].root"], alone["records[0].chains[0].timestamps[0].data"]) == (
        Outcome.PASSED,
        Outcome.PASSED,
    )
    assert verifier.verify_batch(bare.shared, bare.fault()).not_after == START + timedelta(
        seconds=2
    )
    assert not named(verifier, bare)


def test_a_record_of_leaf_0_alone_is_no_witness_of_the_others(tmp_path: Path) -> None:
    bundle, verifier = renewed(tmp_path), Verifier(trusted(), THEN, Require.TOKEN)
    first = bundle.shared.digest
    alone = make_record(Proof(first, Inclusion(0, 1, first, ()), tokens=(Stamp(stamped(first)),)))
    other = parse_record(bundle.shared.records[0])
    twice = renew_hash_tree(other, [bytes(64)], "sha512", tokens_of(2)).der
    for record in (alone, twice, b"0"):
        report = verifier.verify_batch(with_records(bundle, record).shared, None)
        assert [check.name for check in report.checks if check.outcome is Outcome.FAILED] == [
            "records"
        ]
        assert not any(check.name.startswith("records[") for check in report.checks)
    # A path that leads to the record's own first token, and not to the root, makes it no better.
    cut = replace(
        with_records(bundle, alone),
        shared=replace(
            bundle.shared, records=(alone,), inclusion=Inclusion(0, 7, bundle_root(bundle), ())
        ),
    )
    assert "the path in its first proof" in named(verifier, cut)["inclusion"]
    report = verifier.verify_batch(cut.shared, None)
    assert {check.name for check in report.checks if check.outcome is Outcome.FAILED} == {
        "records[0].root"
    }
    other_root = replace(bundle.shared, inclusion=replace(bundle.shared.inclusion, root=bytes(32)))  # type: ignore[type-var]
    assert "the path in its first proof" in str(replace(bundle, shared=other_root).fault())


def bundle_root(bundle: Bundle) -> bytes:
    assert bundle.shared.inclusion
    return bundle.shared.inclusion.root


def test_a_record_of_another_root_is_no_witness_of_a_single_proof(tmp_path: Path) -> None:
    bundle = renewed(tmp_path)
    proof = bundle.proof(4)
    # An honest record, older than the batch, of this very digest.
    older = make_record(
        Proof(
            proof.digest, Inclusion(0, 1, proof.digest, ()), tokens=(Stamp(stamped(proof.digest)),)
        )
    )
    report = Verifier(trusted(), THEN, Require.TOKEN).verify_proof(
        proof.digest, replace(proof, records=(older, b"0"))
    )
    failed = {
        check.name: check.reason for check in report.checks if check.outcome is Outcome.FAILED
    }
    assert set(failed) == {"records[0].root", "records[1].record"}
    assert "not for the batch's root" in failed["records[0].root"]


def test_equal_records_are_judged_once_and_not_more_timestamps_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = renewed(tmp_path)
    proof = bundle.proof(4)
    (record,) = proof.records
    longer = renew_timestamp(parse_record(record), tokens_of(2.5)).der
    monkeypatch.setattr(tokens_module, "MAX_JUDGED_TIMESTAMPS", 4)
    report = Verifier(trusted(), THEN, Require.TOKEN).verify_proof(
        proof.digest, replace(proof, records=(record, record, longer))
    )
    found = {
        check.name: check.outcome for check in report.checks if check.name.startswith("records")
    }
    assert found["records[0].window"] is found["records[1].window"] is Outcome.PASSED
    assert [
        (name, outcome) for name, outcome in found.items() if name.startswith("records[2]")
    ] == [("records[2].root", Outcome.UNKNOWN)]
    assert report.verdict is not Verdict.FAILED


def test_a_record_with_more_than_is_read_leaves_a_proof_open(tmp_path: Path) -> None:
    proof = renewed(tmp_path).proof(4)
    verifier = Verifier(trusted(), THEN, Require.TOKEN)
    alone = verifier.verify_proof(
        proof.digest, replace(proof, tokens=(), records=(long_chain(65),))
    )
    assert alone.verdict is Verdict.UNDECIDED
    (check,) = [each for each in alone.checks if each.name == "records[0].record"]
    assert (check.outcome, check.message.code) == (Outcome.UNKNOWN, "record-over-limit")


def test_what_no_proof_file_can_hold_does_not_come_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = renewed(tmp_path)
    proof = bundle.proof(3)
    monkeypatch.setattr(bundle_module, "MAX_PROOF", len(format_proof(proof)) - 1)
    verifier = Verifier(trusted(), THEN, Require.TOKEN)

    def left_open() -> list[str]:
        reports = [
            verifier.verify_in(bundle, proof.digest, 3),
            verifier.verify_batch(bundle.shared, None),
        ]
        assert not any(report.verdict is Verdict.FAILED for report in reports)
        return [
            check.name
            for report in reports
            for check in report.checks
            if check.message.code in {"proof-in-batch-unreadable", "record-not-for-all"}
        ]

    with pytest.raises(OverLimit, match="the proof of position 3 would be larger"):
        bundle.proof(3)
    assert left_open() == ["proof"]
    monkeypatch.setattr(bundle_module, "MAX_KEPT_RECORD", len(proof.records[0]) - 1)
    with pytest.raises(OverLimit, match="an evidence record of this digest would have more than"):
        bundle.proof(3)
    assert left_open() == ["proof", "records"]
    with pytest.raises(InvalidInput, match="leaves no room for a position"):
        renewed(tmp_path)
