"""No change of a proof verifies, and none makes the verifier raise: bytes, members, parts of other
proofs.

What may change without anything being proven by it is listed by name in HINTS and in the tests
after it; docs/proof-format.md lists the same.
"""

import base64
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pytest
from fakes import strides
from hypothesis import given
from hypothesis import strategies as st
from make_proof import Honest, honest, stranger
from mutations import (
    Path,
    changed_proof,
    others,
    places,
    put,
    rehearsed,
    sealed_again,
    value_at,
    without,
    written,
)
from stored_proofs import Question, stored, verified

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Outcome, Report, Verdict
from witnesstree.ledger.base.witness import Anchor, Stamp
from witnesstree.ledger.proof.proof import LogProof, Proof, format_proof, parse_proof
from witnesstree.ledger.proof.record import parse_record
from witnesstree.ledger.tokens.names import comparable
from witnesstree.ledger.tokens.token import Token, judge_token, parse_token
from witnesstree.ledger.tree.tree import siblings
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.verify import Require, verify


def judged(content: bytes, digest: bytes | None = None, trust: Trust | None = None) -> Report:
    known = honest()
    return verify(digest or known.proof().digest, content, trust or known.trust, known.now)


def original(known: Honest | None = None, batch: int = 3, position: int = 4) -> Any:
    """A document in which every optional member is present."""
    proof = (known or honest()).proof(batch, position)
    hints = replace(
        proof.hints,
        name="photo.jpg",
        size=12,
        cid="bafkqaaa",
        links=("https://explorer.example/tx/1", "https://explorer.example/block/1"),
    )
    return json.loads(format_proof(replace(proof, hints=hints)))


def test_the_honest_proofs_verify() -> None:
    for known in (honest(), stranger()):
        for (batch, position), proof in known.proofs.items():
            report = verify(proof.digest, known.content(batch, position), known.trust, known.now)
            assert report.verdict is Verdict.VERIFIED, report
            assert all(
                check.outcome is Outcome.PASSED for check in report.checks if check.required
            ), report
    assert judged(sealed_again(original())).is_verified


def test_a_proof_that_is_written_again_is_the_same_bytes() -> None:
    assert format_proof(parse_proof(honest().content())) == honest().content()


# Bytes: the checksum stands as it was


def is_same_json(changed: bytes, content: bytes) -> bool:
    """Whether Python's own reader sees the same value: white space, an escape, -0 for 0."""
    try:
        return json.dumps(json.loads(changed.decode()), sort_keys=True) == json.dumps(
            json.loads(content), sort_keys=True
        )
    except ValueError:
        return False


def is_proof(content: bytes) -> bool:
    try:
        parse_proof(content)
    except InvalidInput:
        return False
    return True


def must_not_verify(changed: bytes, content: bytes) -> None:
    if is_proof(changed):
        assert is_same_json(changed, content), changed
    else:
        (check,) = judged(changed).checks
        assert (check.name, check.outcome) == ("proof", Outcome.FAILED)
        assert "\n" not in check.reason


SOME_BYTES = b'\x00\x1f \n\t"\\/{}[],:-+.0159aAefFnt~\x7f\x80\xbf\xc0\xc3\xed\xef\xf5\xff'


@pytest.mark.parametrize("stride", strides(4))
def test_no_byte_can_be_changed_anywhere(stride: int) -> None:
    """At every position of the file one change, in turn another kind of it."""
    content = honest().content()
    for at in range(0, len(content), stride):
        byte = content[at]
        other = SOME_BYTES[at % len(SOME_BYTES)]
        match at % 5:
            case 0:
                changed = content[:at] + bytes([byte ^ 1 << at % 8]) + content[at + 1 :]
            case 1:
                changed = content[:at] + content[at + 1 :]
            case 2:
                changed = content[:at] + bytes([other]) + content[at:]
            case 3:
                changed = (
                    content[:at]
                    + content[at + 1 : at + 2]
                    + content[at : at + 1]
                    + content[at + 2 :]
                )
            case _:
                changed = content[:at]
        if changed != content:
            must_not_verify(changed, content)


def test_no_class_of_bytes_can_stand_for_another() -> None:
    """For each byte that the file holds, at three places where it stands: every other byte."""
    content = honest().content()
    for byte in sorted(set(content)):
        places = [at for at, there in enumerate(content) if there == byte]
        for at in {places[0], places[len(places) // 2], places[-1]}:
            for other in SOME_BYTES:
                if other != byte:
                    must_not_verify(content[:at] + bytes([other]) + content[at + 1 :], content)


@given(data=st.data())
def test_no_run_of_bytes_can_be_changed(data: st.DataObject) -> None:
    content = honest().content()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 80)))
    kind = data.draw(st.sampled_from(["replace", "move", "repeat", "other"]))
    if kind == "replace":
        changed = content[:start] + data.draw(st.binary(max_size=80)) + content[end:]
    elif kind == "move":
        rest = content[:start] + content[end:]
        to = data.draw(st.integers(0, len(rest)))
        changed = rest[:to] + content[start:end] + rest[to:]
    elif kind == "repeat":
        changed = content[:end] + content[start:]
    else:
        changed = content[:start] + honest().content(3, 5)[start:end] + content[end:]
    if changed != content:
        must_not_verify(changed, content)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(lambda text: text.encode(errors="surrogatepass")),
    )
)
def test_no_bytes_at_all_make_it_raise(content: bytes) -> None:
    assert judged(content).verdict is Verdict.FAILED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_json_makes_it_raise(value: Any) -> None:
    assert judged(json.dumps(value).encode()).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    "name",
    [
        "",
        "format",
        "digest",
        "inclusion",
        "opening",
        "tokens",
        "anchors",
        "log",
        "hints",
        "checksum",
    ],
)
def test_no_depth_makes_it_raise(name: str) -> None:
    """Around the depth at which Python's own reader gives up, too."""
    document = original()
    for depth in [*range(1, 1100, 7), *range(880, 1010), 100_000]:
        nested = "[" * depth + "]" * depth
        text = (
            nested if not name else json.dumps({**document, name: "HERE"}).replace('"HERE"', nested)
        )
        assert judged(text.encode()).verdict is Verdict.FAILED


# Members: the checksum is made to fit, because a forger does that


def is_seen(report: Report, honest_report: Report) -> bool:
    """Whether anything but a reason differs."""
    facts = [
        [(check.name, check.outcome, check.required) for check in each.checks]
        for each in (report, honest_report)
    ]
    summary = [
        (each.verdict, each.assurance, each.not_before, each.not_after)
        for each in (report, honest_report)
    ]
    return facts[0] != facts[1] or summary[0] != summary[1]


HINTS: Path = ("hints",)
TRANSACTION: Path = ("anchors", 0, "transaction")
POSITION: Path = ("inclusion", "position")
TOKENS: Path = ("tokens",)
ANCHORS: Path = ("anchors",)
CHECKPOINT: Path = ("log", "checkpoint")


def is_open(path: Path, value: Any, document: Any) -> bool:
    """Whether docs/proof-format.md says that this change is not found: it lists these, and no
    others, as not proven."""
    if path[:1] == HINTS or path == TRANSACTION:
        return True
    if path == POSITION:
        size = document["inclusion"]["size"]
        return (
            type(value) is int
            and 0 <= value < size
            and length(value, size) == length(document["inclusion"]["position"], size)
        )
    if path in (TOKENS, ANCHORS):
        # One and the same witness twice is as good as once.
        return (
            isinstance(value, list)
            and bool(value)
            and all(item == value_at(document, path)[0] for item in value)
        )
    if path == (*ANCHORS, 0) and isinstance(value, dict):
        return {**value, "transaction": None} == {**value_at(document, path), "transaction": None}
    return False


def length(position: int, size: int) -> int:
    return sum(1 for _ in siblings(position, size))


@pytest.mark.parametrize("stride", strides(5))
def test_no_member_can_be_changed(stride: int) -> None:
    document = original()
    before = judged(sealed_again(document))
    tried: Counter[str] = Counter()
    unseen = []
    changes = [
        (path, other)
        for path in places(document)
        if path != ("checksum",)
        for other in (*others(value_at(document, path)), ...)
    ]
    for path, other in changes[::stride]:
        changed = without(document, path) if other is ... else put(document, path, other)
        if changed == document and json.dumps(changed) == json.dumps(document):
            continue
        report = judged(written(changed))
        tried[str(path[0])] += 1
        if report.is_verified:
            unseen.append((path, other))
            assert not is_seen(report, before) or path in (TOKENS, ANCHORS), path
    assert [place for place in unseen if not is_open(*place, document)] == []
    assert min(tried[name] for name in document if name != "checksum") > 20 // stride
    assert sum(tried.values()) > 2_000 // stride


def test_the_checksum_itself_cannot_be_changed() -> None:
    document = original()
    for other in others(document["checksum"]):
        if other == document["checksum"]:
            continue
        changed = json.dumps(put(document, ("checksum",), other)).encode()
        assert judged(changed).verdict is Verdict.FAILED
    assert judged(json.dumps(without(document, ("checksum",))).encode()).verdict is Verdict.FAILED


def test_hints_and_transaction_change_nothing() -> None:
    """Documented as not authenticated: whatever stands there, and if nothing does, every check
    comes out the same."""
    document, before = original(), judged(sealed_again(original()))
    changes = [
        put(document, TRANSACTION, "0x" + "00" * 32),
        without(document, TRANSACTION),
        put(document, HINTS, {}),
        put(document, HINTS, {"name": "another.jpg", "size": 0, "cid": "", "links": []}),
        *(without(document, ("hints", name)) for name in document["hints"]),
    ]
    for changed in changes:
        report = judged(sealed_again(changed))
        assert report.is_verified
        assert not is_seen(report, before)


def swapped(documents: tuple[Any, Any], path: Path) -> Any:
    return put(documents[0], path, deepcopy(value_at(documents[1], path)))


def paths_in_both(one: Any, other: Any) -> list[Path]:
    there = set(places(other))
    return [
        path
        for path in places(one)
        if path in there and value_at(one, path) != value_at(other, path)
    ]


@pytest.mark.parametrize(
    ("known", "batch", "position"),
    [
        (honest, 3, 5),
        (honest, 3, 6),
        (honest, 2, 4),
        (honest, 1, 4),
        (honest, 0, 1),
        (stranger, 0, 4),
    ],
    ids=[
        "same batch",
        "same batch, shorter path",
        "batch of 9",
        "batch of 12",
        "batch of 2",
        "other ledger, same size",
    ],
)
def test_no_part_of_another_honest_proof_fits(
    known: Callable[[], Honest], batch: int, position: int
) -> None:
    document, other = original(), original(known(), batch, position)
    # Both ledgers are trusted, so that what is refused is refused because it does not belong
    # together.
    ours, theirs = honest().trust, stranger().trust
    trust = Trust(
        ours.roots + theirs.roots,
        ours.blocks + theirs.blocks,
        ours.checkpoint_keys + theirs.checkpoint_keys,
    )
    if known is stranger:
        # The two embedded chains have one id: two blocks of one number are a contradiction, so only
        # ours is known.
        trust = replace(trust, blocks=ours.blocks)
    assert judged(sealed_again(document), trust=trust).is_verified
    different = [path for path in paths_in_both(document, other) if path != ("checksum",)]
    assert len(different) >= (2 if batch == 3 else 12)
    for path in different:
        changed = swapped((document, other), path)
        report = judged(sealed_again(changed), trust=trust)
        if report.is_verified:
            assert is_open(path, value_at(changed, path), document), path
        else:
            assert report.verdict is Verdict.FAILED, path


@pytest.mark.parametrize("size", [2, 7, 9, 12])
def test_a_position_is_proven_as_far_as_its_path_length_goes(size: int) -> None:
    batch = {
        proof.inclusion.size: batch
        for (batch, _), proof in honest().proofs.items()
        if proof.inclusion
    }[size]
    for position in range(1, size):
        document = original(batch=batch, position=position)
        digest = honest().proof(batch, position).digest
        for other in range(size):
            verdict = judged(sealed_again(put(document, POSITION, other)), digest).verdict
            is_as_long = length(other, size) == length(position, size)
            assert verdict is (Verdict.VERIFIED if is_as_long else Verdict.FAILED), (
                position,
                other,
            )


# Parts of other batches, as values


def parts(proof: Proof) -> dict[str, Any]:
    return {
        "tokens": proof.tokens,
        "anchors": proof.anchors,
        "opening": proof.opening,
        "log": proof.log,
    }


@pytest.mark.parametrize("name", ["tokens", "anchors", "opening", "log"])
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_a_part_of_another_batch_fails(name: str, batch: int) -> None:
    proof, other = honest().proof(), honest().proof(batch, 1)
    report = judged(format_proof(replace(proof, **{name: parts(other)[name]})))
    assert report.verdict is Verdict.FAILED
    assert {
        check.name.split(".")[0].split("[")[0]
        for check in report.checks
        if check.outcome is Outcome.FAILED
    } == {name}


def test_all_parts_of_another_batch_fail_at_the_path() -> None:
    report = judged(format_proof(replace(honest().proof(2, 4), digest=honest().proof().digest)))
    assert [check.name for check in report.checks if check.outcome is Outcome.FAILED] == [
        "inclusion"
    ]


def test_a_part_of_another_ledger_fails_although_all_digests_are_the_same() -> None:
    proof, other = honest().proof(0, 1), stranger().proof(0, 1)
    for name, part in parts(other).items():
        assert (
            judged(format_proof(replace(proof, **{name: part})), proof.digest).verdict
            is Verdict.FAILED
        )


def log_of(proof: Proof) -> LogProof:
    assert proof.log
    return proof.log


def anchor_of(proof: Proof) -> Anchor:
    return proof.anchors[0]


def test_an_older_checkpoint_of_the_same_log_fails() -> None:
    log = log_of(honest().proof())
    older = replace(log, checkpoint=log_of(honest().proof(2, 1)).checkpoint)
    report = judged(format_proof(replace(honest().proof(), log=older)))
    assert [check.name for check in report.checks if check.outcome is Outcome.FAILED] == [
        "log.path"
    ]


# What stands outside every signature, and so can be changed, without anything being proven by it


def test_signature_lines_of_others_can_be_added_to_a_checkpoint() -> None:
    """C2SP signed-note: witnesses add lines to it.

    They are no ground for belief here, and none for doubt.
    """
    document, before = original(), judged(sealed_again(original()))
    checkpoint = value_at(document, CHECKPOINT)
    cosigned = (
        checkpoint + "\N{EM DASH} witness.example " + base64.b64encode(bytes(68)).decode() + "\n"
    )
    report = judged(sealed_again(put(document, CHECKPOINT, cosigned)))
    assert report.is_verified
    assert not is_seen(report, before)


def claims_of(token: bytes) -> Token:
    """What a token says. Its issuer's name is compared as names are (RFC 5280, 7.1): capitals are
    none of it.
    """
    read = parse_token(token)
    assert read.signer.issuer
    issuer = repr(comparable(read.signer.issuer)).encode()
    return replace(read, der=b"", signer=replace(read.signer, issuer=issuer))


def test_what_a_token_claims_cannot_be_changed() -> None:
    """Some bytes of CMS stand outside the signature (RFC 5652, 5.3 and 5.4): two version numbers,
    the list of digest algorithms, parameters that are NULL, capitals in the issuer's name. They can
    be changed, and nothing that the token claims or was judged by changes with them.
    """
    proof = honest().proof()
    assert proof.inclusion
    token, root, trust = proof.tokens[0].token, proof.inclusion.root, honest().trust
    claimed, unseen = claims_of(token), 0
    for i in range(len(token)):
        changed = token[:i] + bytes([token[i] ^ 1 << i % 8]) + token[i + 1 :]
        if judge_token(Stamp(changed), root, trust).is_proven:
            unseen += 1
            assert claims_of(changed) == claimed, i
            assert judged(format_proof(replace(proof, tokens=(Stamp(changed),)))).is_verified
    assert 0 < unseen < 32, unseen


def test_a_second_token_of_the_same_root_may_stand_beside_the_first() -> None:
    proof = honest().proof()
    report = judged(
        format_proof(replace(proof, tokens=proof.tokens * 2, anchors=proof.anchors * 2))
    )
    assert report.is_verified
    assert report.not_after == judged(honest().content()).not_after
    token = proof.tokens[0].token
    broken = Stamp(token[:-1] + bytes([token[-1] ^ 1]))
    assert (
        judged(format_proof(replace(proof, tokens=(proof.tokens[0], broken)))).verdict
        is Verdict.FAILED
    )


# Any change of any proof that verifies, several at once


CHUNK = 500
LIMIT = 2.0
"""Seconds of this process's own time for one proof."""


def counts(report: Report, part: str, number: int) -> bool:
    """Whether a witness is one that the verdict can rest on: none of its checks is open, but for
    its revocation."""
    return all(
        check.outcome is Outcome.PASSED or check.name.endswith(".revocation")
        for check in report.checks
        if check.name.startswith(f"{part}[{number}]")
    )


def signed_parts(stamps: Sequence[Stamp], report: Report, part: str) -> set[Any]:
    tokens = [
        parse_token(stamp.token)
        for number, stamp in enumerate(stamps)
        if counts(report, part, number)
    ]
    return {(token.content, token.signer.attributes) for token in tokens}


def claims(proof: Proof, report: Report, trust: Trust) -> dict[str, Any]:
    """What a proof says that docs/proof-format.md, section 11, does not list as open: sets of what
    may be left out, and single things that may not."""
    by_hash_alone = {block.hash for block in trust.blocks if block.chain_id is None}
    assert proof.inclusion
    assert proof.opening
    log = proof.log if trust.checkpoint_keys else None
    return {
        "tokens": signed_parts(proof.tokens, report, "tokens"),
        "file_tokens": signed_parts(proof.file_tokens, report, "file_tokens"),
        "anchors": {
            replace(
                anchor,
                transaction=None,
                chain_id=0 if anchor.block_hash in by_hash_alone else anchor.chain_id,
            )
            for number, anchor in enumerate(proof.anchors)
            if counts(report, "anchors", number)
        },
        "records": {
            tuple(
                (each.token.content, each.token.signer.attributes, sorted(map(sorted, each.lists)))
                for each in parse_record(record).timestamps
            ).__repr__()
            for number, record in enumerate(proof.records)
            if counts(report, "records", number)
        },
        "digests": {
            (name, digest)
            for name, digest in proof.digests
            if Outcome.PASSED
            in (check.outcome for check in report.checks if check.name == f"digests.{name}")
        },
        "header": {proof.opening.header} - {None},
        "log": {
            (log.statement, log.index, log.path, log.checkpoint.split("\n\n")[0])
            for log in (log,)
            if log
        },
        "whole": (
            proof.digest,
            proof.inclusion.root,
            proof.inclusion.path,
            proof.inclusion.size if log else None,
            proof.opening.record,
            proof.opening.path,
        ),
    }


def assert_no_more(changed: bytes, asked: Question, before: Report) -> bool:
    """Assert that a changed proof is not believed, or proves no more than the honest one did: no
    other thing, no earlier end, no later beginning, no higher assurance. Return whether it is."""
    begun = time.process_time()
    report = asked.report(changed)
    assert time.process_time() - begun < LIMIT
    if not is_proof(changed):
        (check,) = report.checks
        assert check.name == "proof"
        assert check.outcome is not Outcome.PASSED
    if report.verdict is not Verdict.VERIFIED:
        return False
    assert report.assurance
    assert before.assurance
    assert report.assurance <= before.assurance
    assert report.not_after
    assert before.not_after
    assert report.not_after >= before.not_after
    assert report.not_before is None or (
        before.not_before is not None and report.not_before <= before.not_before
    )
    ours = claims(parse_proof(asked.content), before, asked.trust)
    theirs = claims(parse_proof(changed), report, asked.trust)
    for name, what in theirs.items():
        assert what <= ours[name] if isinstance(what, set) else what == ours[name], name
    return True


@cache
def seeds() -> tuple[tuple[Question, Report, Any], ...]:
    """The vectors that are VERIFIED, and an honest proof with every member."""
    known = honest()
    ours = Question(
        sealed_again(original()),
        known.proof().digest,
        known.trust,
        known.now,
        Require.BOTH,
        {},
        {},
    )
    asked = (ours, *verified())
    found = [(each, each.report(), json.loads(each.content)) for each in asked]
    return tuple((each, report, document) for each, report, document in found if report.not_after)


@cache
def other_documents() -> tuple[Any, ...]:
    """Honest proofs of other batches: what is true of them is true of no seed's batch."""
    return (json.loads(stored()["other"]), original(batch=2), original(stranger(), 0))


@pytest.mark.parametrize("chunk", rehearsed(2, 400))
def test_changed_proofs(chunk: int) -> None:
    random = Random(chunk)
    believed = 0
    for _ in range(CHUNK):
        asked, before, document = random.choice(seeds())
        changed = changed_proof(document, random.choice(other_documents()), random)
        believed += assert_no_more(written(changed), asked, before)
    # Hints, what vouches for nobody, repeated witnesses.
    assert believed < CHUNK / 3
