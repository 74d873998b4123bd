"""What other people made and we verify, by name: a stricter rule must not lose any of it unseen.

Where a rule does lose one, its line goes, and the change says why. None was lost so far."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from witnesstree.ledger.base.clock import parse_time
from witnesstree.ledger.base.report import Assurance, Outcome
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.record_judge import verify_record
from witnesstree.ledger.tokens.signature import HASHES, digest_of
from witnesstree.ledger.tokens.token import judge_token
from witnesstree.ledger.trust import Trust, TrustedRoot

VECTORS = Path(__file__).parents[1] / "vectors"
TOKENS = json.loads((VECTORS / "token" / "tokens.json").read_text(encoding="utf-8"))
RECORDS = json.loads((VECTORS / "record" / "public.json").read_text(encoding="utf-8"))

VERIFIED_TOKENS = [
    "GlobalSign, 2021",
    "DigiCert, 2018",
    "Symantec, 2018",
    "FreeTSA, 2024, SHA-512 imprint",
    "Sigstore staging, 2025",
    "Sigstore staging, 2025, SHA-384 imprint",
    "GlobalSign, 2021, its certificates removed",
    "Sigstore staging, 2025, without certificates",
]
"""The others of the file carry no certificates, and none are at hand."""
VERIFIED_RECORDS = [
    "ERS test tool: one timestamp",
    "ERS test tool: timestamp renewed",
    "ERS test tool: timestamp and hash tree renewed",
    "TR-ESOR C.2: one timestamp, valid",
    "TR-ESOR C.2: timestamp renewed, valid",
    "TR-ESOR C.2: timestamp and hash tree renewed, valid",
    "ERVerifyTool: hash tree renewed",
]
"""The others of the file are wrong, and their authors say so."""


def decoded(text: str) -> bytes:
    return base64.b64decode(text)


def trusting(certificates: dict[str, str]) -> Trust:
    return Trust(
        tuple(
            TrustedRoot(decoded(der), name, Assurance.PUBLIC) for name, der in certificates.items()
        )
    )


@pytest.mark.parametrize("name", TOKENS["tokens"])
def test_tokens_of_public_authorities(name: str) -> None:
    """Each is judged for what it stamps, under its own hash."""
    known = TOKENS["tokens"][name]
    beside = {
        each
        for case in TOKENS["cases"]
        if case["token"] == name and case["reason"] == "ok"
        for each in case["certificates"]
    }
    stamp = Stamp(decoded(known["token"]), tuple(map(decoded, sorted(beside))))
    trust = trusting({name: each["certificate"] for name, each in TOKENS["roots"].items()})
    proven = {
        judge_token(stamp, digest_of(algorithm, known["stamped"].encode()), trust, algorithm)
        for algorithm in HASHES
    }
    assert any(judgement.is_proven for judgement in proven) is (name in VERIFIED_TOKENS)


@pytest.mark.parametrize("name", [record["name"] for record in RECORDS["records"]])
def test_records_of_other_programs(name: str) -> None:
    """Most come without their file: then all is judged but that they are for it."""
    (record,) = (each for each in RECORDS["records"] if each["name"] == name)
    content = (record["document"] or "").encode()
    files = [{algorithm: digest_of(algorithm, content) for algorithm in HASHES}]
    now = parse_time(record["now"])
    report = verify_record(decoded(record["record"]), files, trusting(RECORDS["roots"]), now)
    wrong = [
        check
        for check in report.checks
        if check.required
        and check.outcome is not Outcome.PASSED
        and (record["document"] or not check.name.endswith(".data"))
    ]
    assert (not wrong) is (name in VERIFIED_RECORDS)
