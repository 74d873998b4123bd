"""ledger/proof/proof.py and ledger/verify/verify.py against tests/vectors/proof/, and what the
writer and the reader of proofs promise each other."""

import json
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_proof import honest
from stored_proofs import question, stored
from vectors.proof.make import format_file, make, sealed_again

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.base.witness import Anchor, Stamp, StateProof
from witnesstree.ledger.proof.proof import (
    MAX_HINT,
    MAX_PATH,
    MAX_PROOF,
    MAX_WITNESSES,
    Hints,
    Inclusion,
    LogProof,
    OpeningProof,
    Proof,
    format_anchor,
    format_proof,
    format_vouchers,
    parse_anchor,
    parse_proof,
    parse_vouchers,
)

# Vectors


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in stored()["cases"]]
)
def test_proof_vector(case: dict[str, Any]) -> None:
    report = question(case).report()
    assert report.verdict.value == case["expect"]
    decisive = {"verified": [], "failed": [Outcome.FAILED], "undecided": [Outcome.UNKNOWN]}[
        case["expect"]
    ]
    assert [
        check.name
        for check in report.checks
        if check.outcome in decisive and (check.required or case["expect"] == "failed")
    ] == case["checks"]
    found = {name: getattr(report, name) for name in case.get("dates", {})}
    assert {name: time and format_time(time) for name, time in found.items()} == case.get(
        "dates", {}
    )
    if "assurance" in case:
        assert (report.assurance and report.assurance.name.lower()) == case["assurance"]


def test_the_vectors_are_what_their_generator_makes_of_the_honest_proofs() -> None:
    text = (Path(__file__).parents[3] / "vectors" / "proof" / "proof.json").read_text(
        encoding="utf-8"
    )
    assert format_file(make(stored())) == text
    names = [case["name"] for case in stored()["cases"]]
    assert len(names) == len(set(names)) > 60


# Writing and reading


def parsed(document: Any) -> Proof:
    return parse_proof(sealed_again(document).encode())


HASH = st.binary(min_size=32, max_size=32)
PATH = st.lists(HASH, max_size=MAX_PATH).map(tuple)
NUMBER = st.integers(0, 2**53 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
NODES = st.lists(st.binary(min_size=1, max_size=100), max_size=4).map(tuple)
INCLUSION = st.integers(1, 2**48).flatmap(
    lambda size: st.builds(Inclusion, st.integers(0, size - 1), st.just(size), HASH, PATH)
)
STATE = st.builds(StateProof, st.binary(min_size=1, max_size=100), NODES, NODES)
ANCHOR = st.builds(
    Anchor,
    st.integers(1, 2**53 - 1),
    st.binary(min_size=20, max_size=20),
    st.none() | HASH,
    NUMBER,
    HASH,
    st.none() | STATE,
)
OPENING = st.builds(OpeningProof, TEXT, PATH, st.none() | st.binary(min_size=1, max_size=100))
LOG = st.builds(LogProof, TEXT, NUMBER, PATH, TEXT)
HINTS = st.builds(
    Hints,
    st.none() | TEXT,
    st.none() | NUMBER,
    st.none() | TEXT,
    st.lists(TEXT, max_size=4).map(tuple),
)
DERS = st.lists(st.binary(min_size=1, max_size=100), max_size=3).map(tuple)
STAMP = st.builds(Stamp, st.binary(min_size=1, max_size=100), DERS, DERS, DERS)
TOKENS = st.lists(STAMP, max_size=3).map(tuple)
PROOF = st.builds(
    Proof,
    HASH,
    INCLUSION,
    st.none() | OPENING,
    TOKENS,
    st.lists(ANCHOR, max_size=3).map(tuple),
    st.none() | LOG,
    HINTS,
) | st.builds(Proof, HASH, hints=HINTS)


@given(PROOF)
def test_what_is_written_is_read_as_the_same_proof(proof: Proof) -> None:
    content = format_proof(proof)
    assert parse_proof(content) == proof
    assert format_proof(parse_proof(content)) == content


@given(ANCHOR)
def test_an_anchor_alone_is_read_as_the_same_anchor(anchor: Anchor) -> None:
    text = format_anchor(anchor)
    assert parse_anchor(text) == anchor
    assert format_anchor(parse_anchor(text)) == text


@given(STAMP)
def test_what_vouches_for_a_token_alone_is_read_as_the_same(stamp: Stamp) -> None:
    text = format_vouchers(stamp)
    assert (text is None) == (stamp == Stamp(stamp.token))
    assert parse_vouchers(stamp.token, text) == stamp


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "\ud800",
        '{"token":"AA=="}',
        '{"crls":{}}',
        '{"ocsps":["A"]}',
        '{"crls":' + "[" * 100_000,
    ],
)
def test_what_vouches_for_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="what vouches for the token"):
        parse_vouchers(b"token", text)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "\ud800", '{"chain_id":1}', "[" * 100_000]
)
def test_what_is_no_anchor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="the anchor"):
        parse_anchor(text)


def test_it_is_indented_utf8_with_a_newline_at_its_end() -> None:
    content = format_proof(Proof(bytes(32), hints=Hints(name="证据.jpg")))
    assert content.endswith(b"\n}\n")
    assert "证据.jpg".encode() in content
    assert list(json.loads(content)) == [
        "format",
        "digest",
        "tokens",
        "anchors",
        "hints",
        "checksum",
    ]


def test_what_is_not_there_yet_is_absent() -> None:
    proof = Proof(bytes(32))
    assert proof.missing == ("inclusion", "token", "anchor")
    assert honest().proof().missing == ()
    assert replace(honest().proof(), anchors=()).missing == ("anchor",)
    assert {field.name for field in fields(Proof)} - {"digest", "hints"} == {
        "inclusion",
        "opening",
        "tokens",
        "anchors",
        "log",
        "records",
        "digests",
        "file_tokens",
        "extensions",
    }


def test_a_proof_that_is_too_large_is_not_read() -> None:
    content = honest().content()
    assert parse_proof(content + b" " * (MAX_PROOF - len(content))) == honest().proof()
    with pytest.raises(InvalidInput, match=f"at most {MAX_PROOF} bytes"):
        parse_proof(content + b" " * (MAX_PROOF - len(content) + 1))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"format": "witnesstree-proof/2"},
            (
                "expected 'witnesstree-proof/1', not 'witnesstree-proof/2' .a newer witnesstree may"
                " read it."
            ),
        ),
        ({"digest": "AB" * 32}, "the proof, digest: expected 64 lower-case hex digits"),
        ({"extra": 1}, "expected no members but .* not 'extra'"),
        ({"tokens": {}}, "the proof, tokens: expected a list of at most 16"),
        (
            {"tokens": [{"token": "AAA"}]},
            r"the proof, tokens\[0\]\.token: expected canonical base64 of 1 to 65536 bytes",
        ),
        (
            {"anchors": [{}]},
            (
                r"the proof, anchors\[0\]: expected the members chain_id contract block; missing:"
                r" block, chain_id, contract"
            ),
        ),
        ({"hints": {"size": -1}}, r"the proof, hints\.size: expected a whole number from 0"),
        (
            {"hints": {"name": "x" * (MAX_HINT + 1)}},
            f"the proof, hints.name: expected a text of at most {MAX_HINT} characters",
        ),
        ({"checksum": "00"}, "the proof, checksum: expected 64 lower-case hex digits"),
        ({"opening": {"record": "", "path": []}}, "but no inclusion"),
        (
            {"tokens": [{"token": "AA=="}] * (MAX_WITNESSES + 1)},
            "the proof, tokens: expected a list of at most 16",
        ),
        ({"records": ["AA=="]}, "but no inclusion"),
        (
            {"records": ["AA=="] * (MAX_WITNESSES + 1)},
            "the proof, records: expected a list of at most 16",
        ),
        (
            {"records": [""]},
            r"the proof, records\[0\]: expected canonical base64 of 1 to 1048576 bytes",
        ),
        ({"records": {"0": "AA=="}}, "the proof, records: expected a list of at most 16"),
    ],
)
def test_the_reason_names_the_place(change: dict[str, Any], reason: str) -> None:
    document = json.loads(format_proof(Proof(bytes(32))))
    content = json.dumps(
        {
            **json.loads(sealed_again({**document, **change})),
            **{name: change[name] for name in change if name == "checksum"},
        }
    )
    with pytest.raises(InvalidInput, match=reason):
        parse_proof(content.encode())


def test_a_wrong_checksum_says_what_to_do() -> None:
    content = honest().content().replace(b'"hints": {}', b'"hints": {"name": "x"}')
    with pytest.raises(InvalidInput, match=r"damaged or edited .* fetch it again"):
        parse_proof(content)


def test_each_proof_of_one_batch_agrees_on_its_witnesses() -> None:
    batch = [proof for (number, _), proof in honest().proofs.items() if number == 1]
    assert len({(proof.tokens, proof.anchors, proof.log, proof.opening) for proof in batch}) == 1
    assert [proof.inclusion.position for proof in batch if proof.inclusion] == list(range(1, 12))
    assert timedelta(0) < honest().now - parse_time(stored()["now"]) + timedelta(seconds=1)
