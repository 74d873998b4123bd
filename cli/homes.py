"""What a home says of a proof, for those who have the home: a verifier without one loads nothing of
this, and nothing that keeps a ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from witnesstree.anchor.trust import home_trust
from witnesstree.anchor.tsa.local import trusted_root
from witnesstree.cli.options import say
from witnesstree.ledger.base.errors import NotFound, WitnesstreeError
from witnesstree.ledger.base.report import Outcome
from witnesstree.ledger.store.home import open_home
from witnesstree.ledger.trust import Trust
from witnesstree.ledger.verify.history import judge_log, judge_opening
from witnesstree.ledger.verify.receipt import place_of

if TYPE_CHECKING:
    from pathlib import Path

    from witnesstree.ledger.log.receipt import Receipt
    from witnesstree.ledger.proof.proof import Proof


def home_roots(home: Path) -> Trust:
    """Return trust in the embedded authority of a home."""
    return Trust((trusted_root(open_home(home).authority),))


def trust_of_home(home: Path, proof: Proof) -> Trust:
    """Return what a home lets its owner trust of `proof`; that it is another ledger's is said."""
    trust = home_trust(open_home(home), proof)
    if trust is None:
        say("proof-of-other-ledger", home=home)
    return trust or Trust()


def trust_of_own(home: Path, proof: Proof) -> Trust | None:
    """Return what the user's own ledger says, None where its key has not signed what the proof is
    of: a name alone is anybody's. Nobody asked for it, so what is amiss there stops nothing.
    """
    try:
        opened = open_home(home)
        known = Trust(checkpoint_keys=(opened.verifier_key(),), key_notes=tuple(opened.key_notes()))
        opening, _, checks = judge_opening(proof, Trust())
        signed = [*checks[:1], *judge_log(proof, opening, known)]
        if proof.log is None or any(check.outcome is not Outcome.PASSED for check in signed):
            return None
        return home_trust(opened, proof)
    except NotFound:
        return None
    except WitnesstreeError as error:
        say("own-ledger-unreadable", home=home, error=error)
        return None


def receipt_trust(home: Path, receipt: Receipt) -> tuple[Trust, list[Proof]]:
    """Return trust in the keys of a home's log, and the proofs of what stands where a receipt for
    one digest says that it is: none where that batch is not sealed, or of another ledger.
    """
    from witnesstree.anchor.wiring import open_ledger
    from witnesstree.ledger.work.lookup import Entry

    opened = open_home(home)
    trust = Trust(checkpoint_keys=(opened.verifier_key(),), key_notes=tuple(opened.key_notes()))
    place = place_of(receipt)
    if place is None or receipt.promise.origin != opened.origin:
        return trust, []
    number, position = place
    with open_ledger(home) as ledger:
        try:
            batch = ledger.batch(number)
        except NotFound:
            return trust, []
        # The opening record stands for a batch that has no such position.
        at = position if position < batch.count else 0
        digest = ledger.files.digest_at(number, at)
        return trust, [ledger.proof_of(digest, Entry(number, at, is_sealed=True))]
