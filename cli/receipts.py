"""`witnesstree verify --receipt`: whether what a ledger promised in a receipt was kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from witnesstree.cli.judging import given_trust, read_limited, require_regular
from witnesstree.cli.language import phrase
from witnesstree.cli.names import proof_beside
from witnesstree.cli.options import answer, laid_out, say
from witnesstree.cli.report import EXIT_CODES, report_members, verdict_styled
from witnesstree.cli.verdict import print_checks
from witnesstree.ledger.base.digest import digest_file
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.log.receipt import parse_receipt
from witnesstree.ledger.proof.proof import format_proof, parse_proof
from witnesstree.ledger.verify.receipt import judge_receipt

if TYPE_CHECKING:
    from pathlib import Path

    from witnesstree.cli.judging import Asked
    from witnesstree.ledger.base.report import Report
    from witnesstree.ledger.proof.proof import Proof

_ANSWERS = {
    "promise-kept": "kept",
    "promise-broken-late": "broken",
    "promise-broken-missing": "broken",
    "promise-not-due": "not-due",
    "promise-not-known": "not-known",
}


def verify_receipt(
    file: Path,
    receipt_path: Path,
    proof_path: Path | None,
    evidence: Path | None,
    asked: Asked,
    *,
    as_json: bool,
) -> int:
    """Say whether the promise for one file was kept, and return the exit code.

    Raises InvalidInput if the receipt or a proof cannot be read, or the receipt is for several.
    """
    trust = given_trust(asked.pem, asked.block_hashes, asked.checkpoint_keys)
    try:
        receipt = parse_receipt(read_limited(receipt_path, "receipt-file-unreadable"))
    except InvalidInput as error:
        raise InvalidInput("not-judged", path=receipt_path, error=error) from error
    if receipt.entry is None and receipt.promise.count > 1:
        raise InvalidInput(
            "receipt-of-several", path=receipt_path, count=receipt.promise.count, file=file
        )
    digest = digest_file(file).digest
    proofs = _proofs(file, proof_path)
    if asked.home:
        from witnesstree.cli.homes import receipt_trust

        own, found = receipt_trust(asked.home, receipt)
        trust |= own
        proofs += found
    report = judge_receipt(receipt, digest, trust, asked.now, proofs)
    said = _answer(report)
    if evidence and said == "broken":
        # Each of them shows it alone, or says nothing of it.
        broken = next(
            proof
            for proof in proofs
            if _answer(judge_receipt(receipt, digest, trust, asked.now, [proof])) == said
        )
        from witnesstree.ledger.store.disk import write_file

        write_file(evidence, format_proof(broken))
        say("evidence-written", path=evidence)
    if as_json:
        answer({"promise": said, **report_members(report)})
    else:
        word = phrase("receipt-word", answer=said)
        line = laid_out(phrase("receipt-line", word=word, reason=report.checks[-1].message), 2)
        click.echo(verdict_styled(report.verdict, word) + line[len(word) :])
        click.echo()
        print_checks(report.checks)
    return EXIT_CODES[report.verdict]


def _answer(report: Report) -> str:
    return _ANSWERS.get(report.checks[-1].message.code, "none")


def _proofs(file: Path, named: Path | None) -> list[Proof]:
    """Return the proof that was named, or lies beside the file; none where there is none."""
    path = named or proof_beside(file)
    if named is None:
        if not os.path.lexists(path):
            return []
        require_regular(path)
    try:
        return [parse_proof(read_limited(path))]
    except InvalidInput as error:
        raise InvalidInput("not-judged", path=path, error=error) from error
