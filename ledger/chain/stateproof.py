"""Proofs of a contract's storage on an EVM chain, from a block header down to one slot: pure
functions on bytes.

A block's hash is keccak-256 of its header. The header holds the root of a Merkle-Patricia trie of
accounts, an account holds the root of a trie of storage slots, and the nodes of both are found by
their keccak-256 (Ethereum Yellow Paper, appendices B and D; EIP-1186). So anyone who trusts a block
hash can check a slot without a node of the chain. Whether a block hash is to be trusted is not
decided here.

This module alone knows RLP, tries and how the EvidenceAnchor contract lays out its storage. It
reads RLP itself, because the usual libraries take longer to import than `witnesstree verify` may
take to start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput, OverLimit
from witnesstree.ledger.base.message import message
from witnesstree.ledger.chain.keccak import keccak256

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from witnesstree.ledger.base.message import Message

CONTRACT_ADDRESS = bytes.fromhex("eddd42066a3856a4d9802d91cde4aae4d2cc16d2")
"""Where EvidenceAnchor is on every chain: the usual CREATE2 deployer put it there, so the
address commits to the code that it was made by."""
CONTRACT_CODE_HASH = bytes.fromhex(
    "4ed48e2d363496f17f2a2e7289bd82b442a968de2470517f240ed2270a321d28"
)
"""keccak-256 of EvidenceAnchor's code as it runs.

It takes no constructor arguments, so every chain has the same.
"""

MAX_HEADER = 16 * 1024
"""Bytes in a block header of any chain; known.py says how many each one's may have."""
MIN_FIELDS = 15
"""Fields in a block header of the first Ethereum release; forks have only ever added more at the
end."""
MAX_NODE = 532
"""Bytes in a trie node: a branch with 16 links of 33 bytes, no value, and a list head of 3 bytes.
No other node is larger."""
MAX_NODES = 64
"""Nodes on the way to one value: a key of 32 bytes has 64 nibbles, and each node takes one at
least."""
MAX_NUMBER_SIZE = 8
"""Bytes in a block's number or time."""
MAX_NONCE_SIZE = 8
"""Bytes in an account's nonce (EIP-2681)."""
MAX_BALANCE_SIZE = 32
"""Bytes in an account's balance (Yellow Paper, 4.1)."""

LINK = 32
"""Bytes in a link to a node.

A node whose RLP is shorter is inside its parent instead of a link (Yellow Paper, appendix D).
"""


@dataclass(frozen=True, slots=True)
class Header:
    """What a block header says: its own hash, its number, its time (seconds since 1970 UTC) and the
    root of the state after it.
    """

    hash: bytes
    number: int
    time: int
    state_root: bytes


@dataclass(frozen=True, slots=True)
class Anchoring:
    """What the contract keeps for a root: when (seconds since 1970 UTC) and in which block it came
    first, and the 20-byte caller.
    """

    time: int
    block_number: int
    submitter: bytes


@dataclass(frozen=True, slots=True)
class SlotProof:
    """What a state proof has shown: the keccak-256 of the contract's code, and what it keeps for
    the root.
    """

    code_hash: bytes
    anchoring: Anchoring


def parse_header(rlp: bytes, most: int = MAX_HEADER) -> Header:
    """Return what the block header `rlp`, of at most so many bytes, says.

    Fields that later forks added at its end are legal and passed over, and so is what seals it:
    AuRa has step and signature where Ethereum has mixHash and nonce.

    This proves nothing by itself: the caller compares the hash with one that it trusts.

    Raises InvalidInput if these bytes are no block header, OverLimit if they are too many.
    """
    if len(rlp) > most:
        raise OverLimit("header-too-large", most=most, found=len(rlp))
    fields = _items(rlp, message("part-header"))
    if len(fields) < MIN_FIELDS:
        raise InvalidInput("header-fields-missing", least=MIN_FIELDS, found=len(fields))
    # The 4th, 9th and 12th field: Yellow Paper, 4.4.
    return Header(
        hash=keccak256(rlp),
        number=_integer(fields[8], MAX_NUMBER_SIZE, message("part-block-number")),
        time=_integer(fields[11], MAX_NUMBER_SIZE, message("part-block-time")),
        state_root=_hash(fields[3], message("part-state-root")),
    )


def slot_of(root: bytes) -> bytes:
    """Return the 32-byte key of the storage slot that holds the anchoring of `root`: an entry of
    the mapping at slot 0.
    """
    return keccak256(root + bytes(32))


def prove_slot(
    header: Header,
    contract: bytes,
    root: bytes,
    account_proof: Sequence[bytes],
    storage_proof: Sequence[bytes],
) -> SlotProof:
    """Return what the state of the block `header` holds about `root` at the address `contract`.

    The two proofs are the trie nodes from the root down, as `eth_getProof` gives them (EIP-1186):
    every node counts, so one too many is refused as well. This does not look whether the header is
    canonical, nor whether the code is the one that we know: without that, it means nothing,
    because another contract can keep anything in that slot.

    Raises InvalidInput if the proofs do not lead there: the account or the slot is absent, a node
    does not have the hash that its parent names, or these are no such nodes.
    """
    account = _items(
        _value(header.state_root, contract, account_proof, "account"), message("part-account")
    )
    if len(account) != 4:
        raise InvalidInput("account-fields-wrong", found=len(account))
    # Not looked at further; but an account that no chain can have is none (Yellow Paper, 4.1).
    _integer(account[0], MAX_NONCE_SIZE, message("part-nonce"))
    _integer(account[1], MAX_BALANCE_SIZE, message("part-balance"))
    storage_root = _hash(account[2], message("part-storage-root"))
    code_hash = _hash(account[3], message("part-code-hash"))
    return SlotProof(
        code_hash, _anchoring(_value(storage_root, slot_of(root), storage_proof, "storage"))
    )


def _anchoring(value: bytes) -> Anchoring:
    """Take apart `submitter << 96 | blockNumber << 48 | time`: the first member of a Solidity
    struct is in the lowest bits.
    """
    slot = message("part-slot")
    word = _integer(_whole(value, slot), 32, slot).to_bytes(32)
    anchoring = Anchoring(int.from_bytes(word[26:]), int.from_bytes(word[20:26]), word[:20])
    if not anchoring.time:
        raise InvalidInput("slot-without-time")
    return anchoring


# Merkle-Patricia tries (Yellow Paper, appendix D). A path is written as one hex digit for each
# nibble.


def _value(root: bytes, key: bytes, proof: Sequence[bytes], trie: str) -> bytes:
    """Return the value at keccak-256 of `key` in the trie with this root.

    Raises InvalidInput if `proof` does not show one.
    """
    if len(proof) > MAX_NODES:
        raise InvalidInput("trie-too-deep", trie=trie, found=len(proof), most=MAX_NODES)
    path, link = keccak256(key).hex(), root
    for depth, node in enumerate(proof):
        where = message("trie-node", trie=trie, depth=depth)
        _require_node(node, link, depth, where)
        path, end = _descend(node, path, where)
        if end.is_leaf:
            if depth + 1 < len(proof):
                raise InvalidInput("trie-goes-on", trie=trie, node=where)
            return end.content
        link = end.content
    raise InvalidInput("trie-ends-early", trie=trie)


def _require_node(node: bytes, link: bytes, depth: int, where: Message) -> None:
    if len(node) > MAX_NODE:
        raise InvalidInput("trie-node-too-large", node=where, found=len(node), most=MAX_NODE)
    if keccak256(node) != link:
        raise InvalidInput("trie-node-hash-wrong", node=where, is_first=not depth)
    if depth and len(node) < LINK:
        raise InvalidInput("trie-node-too-short", node=where)


@dataclass(frozen=True, slots=True)
class _End:
    """Where the walk through one node ended: at a value, or at the 32-byte link to the next
    node.
    """

    content: bytes
    is_leaf: bool


def _descend(node: bytes, path: str, where: Message) -> tuple[str, _End]:
    """Follow `path` through one node, and through the short nodes inside it; return what is
    left of the path, and the end.

    Each turn either takes a nibble of the path or ends the walk, so it ends.
    """
    while True:
        items = _items(node, where)
        if len(items) == 2:
            shared, is_leaf = _compact(items[0], where)
            if is_leaf:
                if shared != path:
                    raise InvalidInput("trie-leaf-of-other-key", node=where)
                return "", _End(_string(items[1], where), is_leaf=True)
            if not path.startswith(shared):
                raise InvalidInput("trie-other-keys-only", node=where)
            child, path = items[1], path[len(shared) :]
        elif len(items) == 17:
            if not path:
                raise InvalidInput("trie-branch-below-key", node=where)
            child, path = items[int(path[0], 16)], path[1:]
        else:
            raise InvalidInput("trie-node-items-wrong", node=where, found=len(items))
        if not child.is_list:
            return path, _link(child, where)
        if len(child.encoded) >= LINK:
            raise InvalidInput("trie-child-too-long", node=where)
        node = child.encoded


def _link(child: _Item, where: Message) -> _End:
    if not child.content:
        raise InvalidInput("trie-leads-nowhere", node=where)
    if len(child.content) != LINK:
        raise InvalidInput(
            "trie-link-size-wrong", node=where, found=len(child.content), expected=LINK
        )
    return _End(child.content, is_leaf=False)


def _compact(item: _Item, where: Message) -> tuple[str, bool]:
    """Return the nibbles of a leaf's or an extension's path, and whether it is a leaf's (Yellow
    Paper, appendix C).
    """
    nibbles = _string(item, where).hex()
    flag, odd, even = nibbles[:1], nibbles[1:], nibbles[2:]
    if flag in ("1", "3"):
        return odd, flag == "3"
    if flag == "2" or (flag == "0" and even):
        if nibbles[1] != "0":
            raise InvalidInput("trie-path-padding-wrong", node=where)
        return even, flag == "2"
    raise InvalidInput("trie-path-kind-wrong", node=where)


# RLP (Yellow Paper, appendix B), in its one canonical spelling.


@dataclass(frozen=True, slots=True)
class _Item:
    """A string, or a list whose members are not read yet: its content, and its whole encoding."""

    is_list: bool
    content: bytes
    encoded: bytes


def _items(rlp: bytes, what: Message) -> list[_Item]:
    """Return the members of the list that `rlp` is; lists among them are not read further, so
    nothing here nests.
    """
    outer = _whole(rlp, what)
    if not outer.is_list:
        raise InvalidInput("rlp-expected-list", what=what)
    try:
        return list(_members(outer.content))
    except InvalidInput as error:
        raise InvalidInput("rlp-malformed", what=what, error=error) from None


def _whole(rlp: bytes, what: Message) -> _Item:
    """Return the one item that `rlp` is."""
    try:
        item = _item(rlp, 0, len(rlp))
    except InvalidInput as error:
        raise InvalidInput("rlp-malformed", what=what, error=error) from None
    if len(item.encoded) != len(rlp):
        raise InvalidInput("rlp-goes-on", what=what)
    return item


def _members(content: bytes) -> Iterator[_Item]:
    start = 0
    while start < len(content):
        item = _item(content, start, len(content))
        start += len(item.encoded)
        yield item


def _item(rlp: bytes, start: int, limit: int) -> _Item:
    if start >= limit:
        raise InvalidInput("rlp-item-missing")
    first = rlp[start]
    if first < 0x80:
        return _Item(is_list=False, content=rlp[start : start + 1], encoded=rlp[start : start + 1])
    is_list = first >= 0xC0
    begin, size = start + 1, first - (0xC0 if is_list else 0x80)
    if size > 55:
        begin, size = _long_size(rlp, begin, size - 55, limit)
    end = begin + size
    if end > limit:
        raise InvalidInput("rlp-item-too-long")
    if not is_list and size == 1 and rlp[begin] < 0x80:
        raise InvalidInput("rlp-needless-head")
    return _Item(is_list, rlp[begin:end], rlp[start:end])


def _long_size(rlp: bytes, begin: int, digits: int, limit: int) -> tuple[int, int]:
    end = begin + digits
    if end > limit:
        raise InvalidInput("rlp-length-cut")
    size = int.from_bytes(rlp[begin:end])
    if rlp[begin] == 0 or size <= 55:
        raise InvalidInput("rlp-length-not-shortest")
    return end, size


def _string(item: _Item, what: Message) -> bytes:
    if item.is_list:
        raise InvalidInput("rlp-expected-string", what=what)
    return item.content


def _integer(item: _Item, size: int, what: Message) -> int:
    digits = _string(item, what)
    if len(digits) > size or digits[:1] == b"\0":
        raise InvalidInput("rlp-expected-integer", what=what, most=size)
    return int.from_bytes(digits)


def _hash(item: _Item, what: Message) -> bytes:
    digest = _string(item, what)
    if len(digest) != 32:
        raise InvalidInput("rlp-expected-hash", what=what, found=len(digest))
    return digest
