"""The cases of tests/vectors/proof/ as questions to a verifier."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from witnesstree.ledger.base.clock import parse_time
from witnesstree.ledger.base.report import Assurance, Report
from witnesstree.ledger.log.note import parse_verifier_key
from witnesstree.ledger.trust import Trust, TrustedBlock, TrustedRoot
from witnesstree.ledger.verify.verify import Require, verify


@cache
def stored() -> Any:
    file = Path(__file__).parent / "vectors" / "proof" / "proof.json"
    return json.loads(file.read_text(encoding="utf-8"))


def trust_of(members: dict[str, Any]) -> Trust:
    return Trust(
        roots=tuple(
            TrustedRoot(
                base64.b64decode(root["certificate"]),
                "the vectors",
                Assurance[root["assurance"].upper()],
            )
            for root in members["roots"]
        ),
        blocks=tuple(
            TrustedBlock(
                bytes.fromhex(block["hash"][2:]),
                "the vectors",
                block.get("chain_id"),
                block.get("number"),
            )
            for block in members["blocks"]
        ),
        checkpoint_keys=tuple(parse_verifier_key(key) for key in members["checkpoint_keys"]),
        key_notes=tuple(members.get("key_notes", ())),
    )


@dataclass(frozen=True, slots=True)
class Question:
    """A proof, and what its verifier knows; `members` are the same as the vectors write it."""

    content: bytes
    digest: bytes
    trust: Trust
    now: datetime
    require: Require
    digests: dict[str, bytes]
    members: dict[str, Any]

    def report(self, content: bytes | None = None) -> Report:
        """What it comes to, or what other content comes to for the same verifier."""
        return verify(
            self.digest,
            self.content if content is None else content,
            self.trust,
            self.now,
            self.require,
            digests=self.digests,
        )


def question(case: dict[str, Any]) -> Question:
    members = {**{name: stored()[name] for name in ("digest", "now", "require", "trust")}, **case}
    content = base64.b64decode(case["bytes"]) if "bytes" in case else case["proof"].encode()
    return Question(
        content,
        bytes.fromhex(members["digest"]),
        trust_of(members["trust"]),
        parse_time(members["now"]),
        Require(members["require"]),
        {name: bytes.fromhex(digest) for name, digest in case.get("digests", {}).items()},
        {
            name: members[name]
            for name in ("digest", "now", "require", "trust", "digests")
            if name in members
        },
    )


@cache
def verified() -> tuple[Question, ...]:
    """The questions that are answered with VERIFIED."""
    return tuple(question(case) for case in stored()["cases"] if case["expect"] == "verified")
