"""Block headers rebuilt from what a node says of a block: the RLP (Yellow Paper, 4.4) whose
keccak-256 is the block's hash.

The state proof in a proof file begins at these bytes (ledger/chain/stateproof.py). Chains that are
not built like Ethereum hash something else: their blocks have no such header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import rlp

from witnesstree.anchor.evm.rpc import octets, quantity
from witnesstree.ledger.chain.stateproof import MAX_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

NUMBER: Final = -1
ANY: Final = -2

FIELDS: Final = {
    "parentHash": 32,
    "sha3Uncles": 32,
    "miner": 20,
    "stateRoot": 32,
    "transactionsRoot": 32,
    "receiptsRoot": 32,
    "logsBloom": 256,
    "difficulty": NUMBER,
    "number": NUMBER,
    "gasLimit": NUMBER,
    "gasUsed": NUMBER,
    "timestamp": NUMBER,
    "extraData": ANY,
    "mixHash": 32,
    "nonce": 8,
}
"""The fields of a header of the first Ethereum release, in its order: NUMBER, or so many bytes."""

LATER: Final = {
    "baseFeePerGas": NUMBER,
    "withdrawalsRoot": 32,
    "blobGasUsed": NUMBER,
    "excessBlobGas": NUMBER,
    "parentBeaconBlockRoot": 32,
    "requestsHash": 32,
}
"""Those that later forks added behind them, in this order: London (EIP-1559), Shanghai (4895),
Cancun (4844, 4788), Prague (7685); Osaka none."""


def rebuild_header(members: Mapping[str, Any], place: str) -> bytes:
    """Return the RLP of the header of a block that the node at `place` describes so (the `members`
    of eth_getBlockByNumber's answer).

    This says nothing about the block's hash: the caller compares it with keccak-256 of what is
    returned. A field that a later fork may add is not known here, and the hash is then another one.

    Raises BadAnswer if a field is missing or of another form.
    """
    fields = [_field(members.get(name), name, size, place) for name, size in FIELDS.items()]
    later = [
        _field(members[name], name, size, place) if members.get(name) is not None else b""
        for name, size in LATER.items()
    ]
    # Only a field with a later one behind it has a place to be empty in.
    count = max((i for i, name in enumerate(LATER, 1) if members.get(name) is not None), default=0)
    return bytes(rlp.encode(fields + later[:count]))


def _field(value: object, name: str, size: int, place: str) -> bytes | int:
    if size == NUMBER:
        return quantity(value, name, place)
    return octets(value, name, place, None if size == ANY else size, MAX_HEADER)
