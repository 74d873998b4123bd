"""Our rules for chains of certificates before those of pyhanko-certvalidator: 2,000 chains grown
from numbers, of which a sample is judged each time. REHEARSAL=1 judges all."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from asn1crypto import x509 as asn1_x509
from make_forest import Tree, grow
from make_token import NOW, trust
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.authority import CertTrustAnchor
from pyhanko_certvalidator.errors import PathValidationError
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.validate import async_validate_path

from witnesstree.ledger.tokens.x509 import Chain, find_chain, read_certificate
from witnesstree.ledger.trust import Trust

WHOLE, SAMPLE = 2_000, 300
RULES = {
    "certificate-critical",
    "certificate-not-of-authority",
    "certificate-not-valid-then",
    "key-may-not-sign-certificates",
    "name-not-permitted",
    "path-longer-than-allowed",
    "policy-mapping-of-any",
    "policy-not-allowed",
}
"""Each of ours that a tree can break, by its code."""
DIFFERENCES: dict[str, Callable[[Chain, Exception | None], bool]] = {
    "it does not compare IP addresses, and says so (RFC 5280, 4.2.1.10, last paragraphs)": (
        lambda ours, theirs: isinstance(theirs, NotImplementedError) and "IP_ADDRESS" in str(theirs)
    ),
}
"""Why the two may disagree, and how that is told."""


def ours(tree: Tree) -> Chain:
    *between, leaf = (each.der for each in tree.chain[1:])
    read = read_certificate(leaf)
    assert read
    return find_chain(read, NOW, between, Trust(tuple(trust(tree.chain[0]))))


def theirs(tree: Tree) -> Exception | None:
    root, *between, leaf = (asn1_x509.Certificate.load(each.der) for each in tree.chain)
    context = ValidationContext(
        trust_roots=[root], moment=NOW, allow_fetching=False, time_tolerance=timedelta(0)
    )
    path = ValidationPath(CertTrustAnchor(root), between, leaf)
    try:
        asyncio.run(async_validate_path(context, path))
    except (PathValidationError, NotImplementedError) as error:
        return error
    return None


def test_both_judge_alike() -> None:
    count = WHOLE if os.environ.get("REHEARSAL") == "1" else SAMPLE
    accepted, rules, reasons = Counter[bool](), Counter[str](), Counter[str]()
    for seed in range(count):
        tree = grow(seed)
        own, other = ours(tree), theirs(tree)
        accepted[bool(own.path)] += 1
        if own.refusal:
            rules[own.refusal.message.code] += 1
        if bool(own.path) is (other is None):
            continue
        reason = next((why for why, is_so in DIFFERENCES.items() if is_so(own, other)), None)
        assert reason, (seed, sorted(tree.marks), own.refusal, other)
        reasons[reason] += 1
    assert accepted[True] > count / 5
    assert accepted[False] > count / 5
    assert set(rules) == RULES
    assert sum(reasons.values()) < count / 50
