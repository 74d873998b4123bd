"""The opening record, `witnesstree-opening/1`: what leaf 0 of every batch commits to.

It is canonical JSON (RFC 8785) and names the ledger, the batch, the newest checkpoint before it,
and where a chain is at hand a recent block: so each root commits to the whole history before it,
and no batch can be older than its block.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import rfc8785

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.strictjson import Reader, load
from witnesstree.ledger.log.note import MAX_NAME

if TYPE_CHECKING:
    from datetime import datetime

FORMAT = "witnesstree-opening/1"

MAX_ORIGIN = MAX_NAME
"""Characters in a ledger's origin."""


@dataclass(frozen=True, slots=True)
class BlockName:
    """A block of an EVM chain, by number and 32-byte hash."""

    chain_id: int
    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Opening:
    """The record.

    `checkpoint` is the SHA-256 of the newest signed checkpoint's text; `block` is None where no
    chain answered.
    """

    origin: str
    batch: int
    checkpoint: bytes
    opened: datetime
    block: BlockName | None


def format_opening(opening: Opening) -> str:
    """Return the record's canonical text."""
    members: dict[str, Any] = {
        "format": FORMAT,
        "origin": opening.origin,
        "batch": opening.batch,
        "checkpoint": opening.checkpoint.hex(),
        "opened": format_time(opening.opened),
    }
    if opening.block:
        members["block"] = {
            "chain_id": opening.block.chain_id,
            "number": opening.block.number,
            "hash": "0x" + opening.block.hash.hex(),
        }
    return rfc8785.dumps(members).decode()


def parse_opening(text: str) -> Opening:
    """Return the record that `format_opening` wrote.

    Raises InvalidInput for any other text, other spellings of the same JSON among them.
    """
    value = load(message("document-opening"), text.encode(errors="surrogatepass"))
    value.members("format origin batch checkpoint opened", "block")
    value.demand_format(FORMAT)
    opening = Opening(
        origin=value["origin"].text(MAX_ORIGIN),
        batch=value["batch"].integer(),
        checkpoint=value["checkpoint"].hex(32),
        opened=parse_time(value["opened"].text(20)),
        block=value.optional("block", _read_block),
    )
    if format_opening(opening) != text:
        raise InvalidInput("opening-not-canonical")
    return opening


def opening_digest(text: str) -> bytes:
    """Return the leaf of the record: the SHA-256 of its text."""
    return sha256(text.encode()).digest()


def _read_block(value: Reader) -> BlockName:
    value.members("chain_id number hash")
    return BlockName(
        chain_id=value["chain_id"].integer(least=1),
        number=value["number"].integer(),
        hash=value["hash"].hex(32, prefix="0x"),
    )
