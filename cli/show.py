"""`witnesstree show`: a proof in plain words."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.help import Command
from witnesstree.cli.language import words
from witnesstree.cli.options import PATH, answer, json_option, one_line, tell
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.message import message

if TYPE_CHECKING:
    from witnesstree.ledger.base.witness import Anchor, Stamp
    from witnesstree.ledger.proof.proof import Proof


@click.command("show", cls=Command)
@click.argument("proof", type=PATH)
@json_option
def show_command(proof: Path, *, as_json: bool) -> None:
    """Say in plain words what PROOF claims, and how to look it up without this software.

    Example:
        witnesstree show photo.jpg.proof.json
    """
    from witnesstree.cli.judging import brought
    from witnesstree.ledger.base.errors import InvalidInput
    from witnesstree.ledger.base.witness import Stamp
    from witnesstree.ledger.proof.kinds import Kind
    from witnesstree.ledger.proof.proof import parse_proof

    found = brought(proof)
    if found.kind is Kind.PROOF:
        parsed = parse_proof(found.content)
        if as_json:
            answer(_members(parsed))
        else:
            _print(parsed)
    elif found.kind is Kind.TOKEN:
        token = _token_members(Stamp(found.content))
        if as_json:
            answer(token)
        else:
            _print_bare(token, proof, is_answer=found.is_answer)
    elif found.kind is Kind.RECORD:
        record = _record_members(found.content)
        if as_json:
            answer(record)
        else:
            _print_record(record)
            click.echo()
            tell("show-unchecked")
    else:
        raise InvalidInput("show-verified-instead", path=proof)


def _members(proof: Proof) -> dict[str, Any]:
    at = proof.inclusion
    return {
        "digest": proof.digest.hex(),
        "name": proof.hints.name,
        "root": at.root.hex() if at else None,
        "position": at.position if at else None,
        "size": at.size if at else None,
        "missing": list(proof.missing),
        "tokens": [_token_members(stamp) for stamp in proof.tokens],
        "file_tokens": [_token_members(stamp) for stamp in proof.file_tokens],
        "anchors": [_anchor_members(anchor, proof) for anchor in proof.anchors],
        "records": [_record_members(record) for record in proof.records],
    }


def _token_members(stamp: Stamp) -> dict[str, Any]:
    from witnesstree.ledger.base.errors import InvalidInput
    from witnesstree.ledger.tokens.token import chain_of, parse_token
    from witnesstree.ledger.tokens.x509 import read_certificate
    from witnesstree.ledger.trust import Trust

    try:
        token = parse_token(stamp.token)
    except InvalidInput as error:
        return {"error": words(error.message)}
    chain = chain_of(token, Trust(), stamp.certificates)
    signer = read_certificate(chain[0]) if chain else None
    return {
        "time": format_time(token.gen_time),
        "authority": token.tsa,
        "signer": signer.name if signer else None,
        "policy": token.policy,
        "serial": f"{token.serial:x}",
        "algorithm": token.imprint_algorithm,
        "imprint": token.imprint.hex(),
        "accuracy": token.accuracy.total_seconds(),
    }


def _record_members(content: bytes) -> dict[str, Any]:
    """Who gave the newest timestamp of an evidence record, and until when its certificates say that
    it can be verified.
    """
    from witnesstree.ledger.base.errors import InvalidInput
    from witnesstree.ledger.proof.record import parse_record
    from witnesstree.ledger.proof.record_judge import expires
    from witnesstree.ledger.trust import Trust

    try:
        record = parse_record(content)
    except InvalidInput as error:
        return {"error": words(error.message)}
    newest, end = record.timestamps[-1], expires(record, Trust())
    stamped = _token_members(record.stamp(newest))
    return {
        "timestamps": len(record.timestamps),
        "algorithm": newest.algorithm,
        "newest": stamped["time"],
        "authority": stamped["authority"],
        "signer": stamped["signer"],
        "expires": format_time(end) if end else None,
    }


def _anchor_members(anchor: Anchor, proof: Proof) -> dict[str, Any]:
    from witnesstree.ledger.chain.known import contract_pages, explorer_links, known_chain

    assert proof.inclusion
    root = "0x" + proof.inclusion.root.hex()
    kept = _kept(anchor, proof.inclusion.root)
    return {
        "chain_id": anchor.chain_id,
        "chain": known_chain(anchor.chain_id).name,
        "contract": checksum_address(anchor.contract),
        "transaction": "0x" + anchor.transaction.hex() if anchor.transaction else None,
        "block": anchor.block_number,
        "block_hash": "0x" + anchor.block_hash.hex(),
        "not_proven": ["transaction", "block", "block_hash"],
        "links": explorer_links(anchor),
        "pages": contract_pages(anchor.chain_id, anchor.contract),
        "read": {
            "anchoredAt": {"root": root},
            "verify": {
                "root": root,
                "digest": "0x" + proof.digest.hex(),
                "path": ["0x" + node.hex() for node in proof.inclusion.path],
            },
        },
        "answers": {
            "anchoredAt": kept,
            "verify": {"included": True, "time": kept["time"] if kept else None},
        },
    }


def _kept(anchor: Anchor, root: bytes) -> dict[str, Any] | None:
    """Return what the contract answers of a root, as the state in the proof has it; nothing here
    says that its block is the chain's.
    """
    from witnesstree.ledger.base.errors import InvalidInput
    from witnesstree.ledger.chain.stateproof import parse_header, prove_slot

    state = anchor.state
    if state is None:
        return None
    try:
        header = parse_header(state.header)
        found = prove_slot(header, anchor.contract, root, state.account, state.storage).anchoring
    except InvalidInput:
        return None
    return {
        "time": found.time,
        "blockNumber": found.block_number,
        "submitter": checksum_address(found.submitter),
    }


def checksum_address(address: bytes) -> str:
    """Return an address as explorers write it, with mixed case as its checksum (ERC-55)."""
    from witnesstree.ledger.chain.keccak import keccak256

    digits = address.hex()
    marks = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if mark >= "8" else digit for digit, mark in zip(digits, marks, strict=False)
    )


def _print(proof: Proof) -> None:
    tell("show-digest")
    click.echo(f"    {proof.digest.hex()}")
    if proof.hints.name is not None:
        tell("show-name", indent=2, name=repr(proof.hints.name), size=proof.hints.size)
    if proof.hints.cid:
        tell("show-cid", indent=2, cid=proof.hints.cid)
    for stamp in proof.file_tokens:
        _print_token(_token_members(stamp), is_direct=True)
    if not proof.inclusion:
        tell("show-unsealed")
        return
    at = proof.inclusion
    tell("show-position", position=at.position, size=at.size)
    click.echo(f"    {at.root.hex()}")
    for stamp in proof.tokens:
        click.echo()
        _print_token(_token_members(stamp))
    for anchor in proof.anchors:
        click.echo()
        _print_anchor(_anchor_members(anchor, proof))
    for record in proof.records:
        click.echo()
        _print_record(_record_members(record))
    if proof.missing:
        click.echo()
        parts = [message("part-lacking", part=part) for part in proof.missing]
        tell("show-missing", parts=parts)
    click.echo()
    tell("show-unchecked")


def _name(token: dict[str, Any]) -> str | None:
    # Most authorities leave their name to the certificate.
    name: str | None = token["authority"] or token["signer"]
    return name


def _print_record(record: dict[str, Any]) -> None:
    if "error" in record:
        tell("show-record-unreadable", error=record["error"])
        return
    tell(
        "show-record",
        count=record["timestamps"],
        name=_name(record),
        newest=record["newest"],
        expires=record["expires"],
    )


def _print_token(token: dict[str, Any], *, is_direct: bool = False) -> None:
    if "error" in token:
        tell("show-token-unreadable", error=token["error"])
    else:
        code = "show-direct-token" if is_direct else "show-token"
        tell(code, name=_name(token), time=token["time"], serial=token["serial"])


def _print_bare(token: dict[str, Any], path: Path, *, is_answer: bool) -> None:
    tell("show-imprint", algorithm=token["algorithm"], imprint=token["imprint"])
    tell("show-bare-token", name=_name(token), time=token["time"], serial=token["serial"])
    tell("show-policy", policy=token["policy"], accuracy=f"{token['accuracy']:g}")
    tell("show-openssl")
    kind = "" if is_answer else " -token_in"
    named = quote(one_line(path))
    click.echo(f"    openssl ts -verify -data FILE -in {named}{kind} -CAfile ROOT.pem")
    click.echo()
    tell("show-unchecked")


def _print_anchor(anchor: dict[str, Any]) -> None:
    from witnesstree.ledger.chain.known import LOCAL_CHAIN_ID, known_chain
    from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS
    from witnesstree.ledger.verify.anchors import time_of

    # A chain that nobody named is called by its id already.
    is_named = anchor["chain"] != f"chain {anchor['chain_id']}"
    tell(
        "show-anchor",
        chain=known_chain(anchor["chain_id"]).title,
        id=anchor["chain_id"] if is_named else None,
    )
    _show("show-contract", anchor["contract"])
    if anchor["transaction"]:
        _show("show-transaction", anchor["transaction"])
    _show("show-block", anchor["block_hash"], number=anchor["block"])
    for link in anchor["links"]:
        tell("show-link", indent=4, link=link)
    kept, read = anchor["answers"]["anchoredAt"], anchor["read"]
    if kept and kept["blockNumber"] != anchor["block"]:
        tell("show-kept", indent=4, anchored=kept["blockNumber"], number=anchor["block"])
    if anchor["contract"] != checksum_address(CONTRACT_ADDRESS):
        tell("show-other-contract", indent=4, address=checksum_address(CONTRACT_ADDRESS))
        return
    if anchor["chain_id"] == LOCAL_CHAIN_ID:
        tell("show-no-page", indent=4)
        return
    click.echo()
    tell("show-paste")
    tell("show-ask", indent=4, function="anchoredAt")
    click.echo(f"    root    {read['anchoredAt']['root']}")
    tell(
        "show-answer-anchored",
        indent=6,
        time=kept["time"] if kept else None,
        date=time_of(kept["time"]) if kept else None,
        number=kept["blockNumber"] if kept else None,
        submitter=kept["submitter"] if kept else None,
    )
    tell("show-ask", indent=4, function="verify")
    click.echo(f"    root    {read['verify']['root']}")
    click.echo(f"    digest  {read['verify']['digest']}")
    # A form takes the lines as one.
    path = ",\n             ".join(read["verify"]["path"])
    click.echo(f"    path    [{path}]")
    tell("show-answer-verify", indent=6, time=kept["time"] if kept else None)


def _show(code: str, value: str, **params: Any) -> None:
    """Print what a value is, and under it the value, alone on its line to be copied."""
    tell(code, indent=4, **params)
    click.echo(f"    {value}")
