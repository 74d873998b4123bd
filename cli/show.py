"""`witnesstree show`: a proof in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from witnesstree.cli.options import PATH, answer, json_option, one_line
from witnesstree.ledger.base.clock import format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.ledger.base.witness import Anchor, Stamp
    from witnesstree.ledger.proof.proof import Proof


@click.command("show", short_help="Say in plain words what a proof claims.")
@click.argument("proof", type=PATH)
@json_option
def show_command(proof: Path, *, as_json: bool) -> None:
    """Say in plain words what PROOF claims, and how to look it up without this software.

    It checks nothing: `witnesstree verify` does.

    \b
    Example:
        witnesstree show photo.jpg.proof.json
    """
    from witnesstree.cli.verify import read_limited
    from witnesstree.ledger.proof.proof import parse_proof

    parsed = parse_proof(read_limited(proof))
    if as_json:
        answer(_members(parsed))
    else:
        for line in _lines(parsed):
            click.echo(one_line(line))


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
        return {"error": str(error)}
    chain = chain_of(token, Trust(), stamp.certificates)
    signer = read_certificate(chain[0]) if chain else None
    return {
        "time": format_time(token.gen_time),
        "authority": token.tsa,
        "signer": signer.name if signer else None,
        "policy": token.policy,
        "serial": f"{token.serial:x}",
    }


def _record_members(content: bytes) -> dict[str, Any]:
    """Who gave the newest timestamp of an evidence record, and until when its certificates say that
    it can be verified.
    """
    from witnesstree.ledger.base.errors import InvalidInput
    from witnesstree.ledger.proof.record import expires, parse_record
    from witnesstree.ledger.trust import Trust

    try:
        record = parse_record(content)
    except InvalidInput as error:
        return {"error": str(error)}
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
    from witnesstree.ledger.chain.known import explorer_links, known_chain

    assert proof.inclusion
    return {
        "chain_id": anchor.chain_id,
        "chain": known_chain(anchor.chain_id).name,
        "contract": checksum_address(anchor.contract),
        "transaction": "0x" + anchor.transaction.hex() if anchor.transaction else None,
        "block": anchor.block_number,
        "block_hash": "0x" + anchor.block_hash.hex(),
        "links": explorer_links(anchor),
        "read": {
            "anchoredAt": {"root": "0x" + proof.inclusion.root.hex()},
            "verify": {
                "root": "0x" + proof.inclusion.root.hex(),
                "digest": "0x" + proof.digest.hex(),
                "path": ["0x" + node.hex() for node in proof.inclusion.path],
            },
        },
    }


def checksum_address(address: bytes) -> str:
    """Return an address as explorers write it, with mixed case as its checksum (ERC-55)."""
    from witnesstree.ledger.chain.stateproof import keccak256

    digits = address.hex()
    marks = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if mark >= "8" else digit for digit, mark in zip(digits, marks, strict=False)
    )


def _lines(proof: Proof) -> Iterator[str]:
    yield f"This proof is for the file whose SHA-256 is {proof.digest.hex()}."
    if proof.hints.name is not None:
        size = f", {proof.hints.size:,} bytes" if proof.hints.size is not None else ""
        yield f"It says the file was named {proof.hints.name!r}{size} (this is not proven)."
    if proof.hints.cid:
        yield f"It says IPFS holds it as {proof.hints.cid} (this is not proven)."
    if not proof.inclusion:
        yield "Its batch was not sealed yet: fetch the proof again with `witnesstree proof`."
        return
    at = proof.inclusion
    yield (
        f"It stands at position {at.position} among {at.size} leaves under the root"
        f" {at.root.hex()}."
    )
    for stamp in proof.tokens:
        yield from ("", *_token_lines(stamp))
    for anchor in proof.anchors:
        yield from ("", *_anchor_lines(_anchor_members(anchor, proof)))
    for record in proof.records:
        yield from ("", _record_line(_record_members(record)))
    if proof.missing:
        yield ""
        yield (
            f"Not there yet: {', '.join(proof.missing)}. Fetch the proof again later with"
            " `witnesstree proof`."
        )
    yield ""
    yield "Nothing here has been checked: `witnesstree verify` does that."


def _name_words(token: dict[str, Any]) -> str:
    # Most authorities leave their name to the certificate.
    name = token["authority"] or token["signer"]
    return f" of {name}" if name else ""


def _record_line(record: dict[str, Any]) -> str:
    if "error" in record:
        return f"An evidence record that cannot be read: {record['error']}"
    count = f"{record['timestamps']} timestamp{'' if record['timestamps'] == 1 else 's'}"
    until = (
        f"can be verified until {record['expires']}"
        if record["expires"]
        else "holds no certificate that says until when it can be verified"
    )
    return (
        f"An evidence record (RFC 4998) with {count}, the newest{_name_words(record)}, made at"
        f" {record['newest']}: it {until}."
    )


def _token_lines(stamp: Stamp) -> Iterator[str]:
    token = _token_members(stamp)
    if "error" in token:
        yield f"A timestamp token that cannot be read: {token['error']}"
    else:
        yield (
            f"A timestamp token{_name_words(token)} says that the root was there at {token['time']}"
            f" (serial number {token['serial']})."
        )


def _chain_words(anchor: dict[str, Any]) -> str:
    name, number = anchor["chain"], anchor["chain_id"]
    # A chain that nobody named is called by its id already.
    return str(name) if name == f"chain {number}" else f"{name} (chain id {number})"


def _anchor_lines(anchor: dict[str, Any]) -> Iterator[str]:
    yield (
        f"An anchor says that the root stands in contract {anchor['contract']} on"
        f" {_chain_words(anchor)}."
    )
    if anchor["transaction"]:
        yield f"  Transaction: {anchor['transaction']}"
    yield f"  Block {anchor['block']}: {anchor['block_hash']}"
    for link in anchor["links"]:
        yield f"  Look it up: {link}"
    yield "  On the contract's Read page, paste:"
    yield f"    anchoredAt  root    {anchor['read']['anchoredAt']['root']}"
    yield f"    verify      root    {anchor['read']['verify']['root']}"
    yield f"                digest  {anchor['read']['verify']['digest']}"
    yield f"                path    [{','.join(anchor['read']['verify']['path'])}]"
