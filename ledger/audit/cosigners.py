"""Whether enough cosigners have signed a checkpoint: others who follow the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from witnesstree.ledger.base.clock import SKEW
from witnesstree.ledger.base.message import joined, message
from witnesstree.ledger.base.report import Check, Outcome
from witnesstree.ledger.log.cosignature import CosignerKey, check_cosignatures, is_timely


def judge_cosignatures(note: str, keys: Sequence[CosignerKey], needed: int, now: datetime) -> Check:
    """Judge whether at least `needed` of the cosigners signed the checkpoint in `note`; their
    clocks may be ahead of `now` by SKEW.
    """
    latest = (now + SKEW).timestamp()
    found = check_cosignatures(note, keys, latest)
    good = [each for each in found if is_timely(each.time, latest)]
    is_met = len(good) >= needed
    said = [
        message(
            ("cosigners-enough" if is_met else "cosigners-missing") if good else "cosigners-none",
            found=len(good),
            known=len(keys),
            names=[each.key.name for each in good],
            needed=needed,
        )
    ]
    if timeless := [each.key.name for each in found if not each.time]:
        said.append(message("cosigners-without-time", names=timeless))
    if early := [each.key.name for each in found if each.time and each not in good]:
        said.append(message("cosigners-ahead", names=early))
    return Check("cosignatures", Outcome.PASSED if is_met else Outcome.UNKNOWN, joined(said))
