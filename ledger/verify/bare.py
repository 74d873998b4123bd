"""A timestamp token that stands alone: what it proves about a file, without any proof of ours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.der import shown
from witnesstree.ledger.base.report import Report, passed, unknown
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.tokens.signature import HASHES
from witnesstree.ledger.tokens.token import IMPRINT
from witnesstree.ledger.verify.tokens import judge_stamp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from witnesstree.ledger.tokens.token import Token
    from witnesstree.ledger.trust import Trust

WEAK = frozenset({"md2", "md5", "sha1"})
"""Digests under which another file with the same one can be made."""


def verify_token(token: Token, digests: Mapping[str, bytes], trust: Trust, now: datetime) -> Report:
    """Return what a token (RFC 3161, 2.4.2) proves about a file, given by its digests, by hash
    algorithm: `token.imprint_algorithm` says which is needed. Never raises.

    1. token.form to token.revocation   as for a token in a proof (ledger/tokens/token.py); where
                                        the digest is of an algorithm that is not accepted,
                                        token.imprint is UNKNOWN
    2. window                           the file existed by the token's time, which is not later
                                        than `now`, give or take SKEW
    """
    algorithm = token.imprint_algorithm
    digest = digests.get(algorithm)
    if digest is None or algorithm not in HASHES:
        witness = judge_stamp(
            "token", Stamp(token.der), token.imprint, trust, now, algorithm=algorithm
        )
        code = "imprint-algorithm-weak" if algorithm in WEAK else "imprint-algorithm-not-accepted"
        doubt = unknown(IMPRINT, code, algorithm=shown(algorithm))
        return Report(tuple(doubt if each.name == IMPRINT else each for each in witness.checks))
    witness = judge_stamp("token", Stamp(token.der), digest, trust, now, algorithm=algorithm)
    assert witness.not_after
    if token.gen_time - now > SKEW:
        return Report(
            (
                *witness.checks,
                unknown("window", "record-clock-behind", time=token.gen_time, now=now),
            )
        )
    if not witness.has_passed:
        return Report(tuple(witness.checks))
    report = Report(
        (*witness.checks, passed("window", "file-existed", time=witness.not_after)),
        witness.assurance,
        None,
        witness.not_after,
        not_after_token=witness.not_after,
    )
    return report if report.is_verified else replace(report, assurance=None)
