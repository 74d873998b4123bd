"""Makes header.json and slot.json: `python tests/vectors/chain/make.py`.

A test compares what this makes with what is stored.
"""

import json
import sys
import tempfile
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import rlp

from witnesstree.anchor.evm.local import KEY_FILE, LocalChain
from witnesstree.ledger.base.witness import Anchor, StateProof
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    slot_of,
)

HERE = Path(__file__).parent
ROOTS = [sha256(b"root %d" % i).digest() for i in range(20)]
ROOT = ROOTS[0]
TIME = 1_767_225_600
"""2026-01-01T00:00:00Z: block 0 stands two seconds before it, and each block one second after its
parent."""


HEADER_REASONS = {
    name: reason
    for reason, names in {
        "form": (
            "empty",
            "a string, not a list",
            "an empty list",
            "14 fields",
            "a byte after its end",
            "its last byte cut off",
            "state root is a list",
            "number is a list",
            "its length cut off",
        ),
        "encoding": (
            "number with a leading zero",
            "time with a leading zero",
            "a head before a byte that stands for itself",
            "its length with a leading zero",
        ),
        "length": ("state root of 31 bytes",),
        "limit": (
            "number of 9 bytes",
            "time of 9 bytes",
            "more than 2048 bytes",
        ),
    }.items()
    for name in names
}

SLOT_REASONS = {
    name: reason
    for reason, names in {
        "trie": (
            "another root, anchored too",
            "another contract",
            "another state root",
            "storage proof of another root",
            "account proof empty",
            "storage proof empty",
            "account proof without its first node",
            "account proof without its last node",
            "storage proof without its first node",
            "storage proof without its last node",
            "account proof backwards",
            "storage proof backwards",
            "proofs exchanged",
            "one bit in the account's leaf",
            "one bit in the slot's leaf",
            "one bit in the account trie's root",
        ),
        "leftover": (
            "account proof with a node too many",
            "storage proof with a node too many",
        ),
        "limit": (
            "more nodes than a key has nibbles",
            "a node of 533 bytes",
        ),
        "account": (
            "forged: account of 3 fields",
            "forged: account of 5 fields",
            "forged: storage root of 31 bytes",
            "forged: code hash of 33 bytes",
            "forged: account is a string",
            "forged: nonce of 9 bytes",
            "forged: nonce with a leading zero",
            "forged: nonce is a list",
            "forged: balance of 33 bytes",
            "forged: balance with a leading zero",
            "forged: balance is a list",
        ),
        "slot": (
            "forged: the slot is zero",
            "forged: the slot has a record without a time",
            "forged: the slot has 33 bytes",
            "forged: the slot is empty",
            "forged: the slot is a list",
            "forged: the slot has bytes after its end",
            "forged: the leaf's value is a list",
        ),
        "encoding": (
            "forged: the slot has leading zeros",
            "forged: a node's length with a leading zero",
        ),
        "absent": (
            "another root, never anchored",
            "slot in a contract that is not there",
            "forged: the leaf of another key",
            "forged: the leaf of a shorter key",
            "forged: an extension to other keys",
            "forged: a branch with no link for the key",
        ),
        "node": (
            "forged: the path is padded with one",
            "forged: the path is neither a leaf's nor an extension's",
            "forged: the path is empty",
            "forged: the path is a list",
            "forged: an extension without a path",
            "forged: a node of 3 items",
            "forged: a link of 31 bytes",
            "forged: a long node in its parent",
            "forged: a short node on its own",
            "forged: a branch below the end of the key",
            "forged: a node with bytes after its end",
            "forged: a node that is a string",
        ),
    }.items()
    for name in names
}
"""Which rule each refused case breaks: the codes of REASONS.md."""


def make_chain(folder: Path) -> LocalChain:
    """A chain whose every byte is known: a fixed key, a clock that stands still, ROOTS anchored one
    by one."""
    folder.mkdir(parents=True)
    (folder / KEY_FILE).write_text(sha256(b"witnesstree test vectors").hexdigest())
    chain = LocalChain.create(folder, lambda: datetime.fromtimestamp(TIME, UTC))
    for root in ROOTS:
        chain.send(chain.sign([root]))
    return chain


def make() -> dict[str, dict[str, Any]]:
    """The content of each file, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        chain = make_chain(Path(folder) / "chain")
        first, other = chain.collect(ROOT, []), chain.collect(ROOTS[1], [])
        chain.close()
    assert first
    assert other
    return {"header.json": _headers(first), "slot.json": _slots(first, other)}


def _headers(anchor: Anchor) -> dict[str, Any]:
    assert anchor.state
    header = anchor.state.header
    fields: list[Any] = rlp.decode(header)

    def changed(index: int, value: Any) -> bytes:
        return _rlp([*fields[:index], value, *fields[index + 1 :]])

    def accepted(name: str, header: bytes) -> dict[str, Any]:
        state_root = _0x(fields[3])
        return {
            "name": name,
            "expect": "accepted",
            "reason": "ok",
            "header": _0x(header),
            "hash": _0x(keccak256(header)),
            "number": anchor.block_number,
            "time": int.from_bytes(fields[11]),
            "state_root": state_root,
        }

    payload = b"".join(_rlp(field) for field in fields)
    made = {
        "made: an epoch block of BNB Smart Chain since Luban, 21 validators and votes": (
            56,
            changed(12, bytes(32) + bytes([21]) + bytes(68 * 21) + b"\x01" + bytes(197 + 65)),
        ),
        "made: the last block of a sprint of Polygon, 105 validators and dependencies": (
            137,
            changed(
                12,
                bytes(32) + _rlp([bytes(40 * 105), [[bytes([i])] for i in range(99)]]) + bytes(65),
            ),
        ),
        "made: a block of Linea, fees in extraData": (
            59144,
            changed(12, bytes.fromhex("0100007530000f42400000a3b0").ljust(32, b"\0")),
        ),
        "made: a header of 16384 bytes on a chain that is not known": (
            424242,
            changed(12, bytes(16384 - len(changed(12, bytes(9999))) + 9999)),
        ),
    }
    refused = {
        "empty": b"",
        "a string, not a list": _rlp(header),
        "an empty list": b"\xc0",
        "14 fields": _rlp(fields[:14]),
        "a byte after its end": header + b"\0",
        "its last byte cut off": header[:-1],
        "state root of 31 bytes": changed(3, fields[3][1:]),
        "state root is a list": changed(3, [fields[3]]),
        "number with a leading zero": changed(8, b"\0" + fields[8]),
        "number of 9 bytes": changed(8, b"\1" * 9),
        "number is a list": changed(8, [fields[8]]),
        "time with a leading zero": changed(11, b"\0" + fields[11]),
        "time of 9 bytes": changed(11, b"\1" * 9),
        "a head before a byte that stands for itself": (
            b"\xf9" + (len(payload) + 2).to_bytes(2) + payload + b"\x81\x01"
        ),
        "its length with a leading zero": b"\xfa" + len(payload).to_bytes(3) + payload,
        "its length cut off": header[:2],
        "more than 2048 bytes": changed(12, bytes(2048)),
    }
    return {
        "about": "Block headers (RLP): hash, number, time and state root, or refused",
        "cases": [
            accepted("happy path", header),
            accepted("a field of a later fork at its end", _rlp([*fields, b"\1" * 32])),
            accepted("no fields of later forks", _rlp(fields[:15])),
            *_public(),
            *(
                {**accepted(name, header), "chain_id": chain_id}
                for name, (chain_id, header) in made.items()
            ),
            *(
                {
                    "name": name,
                    "expect": "refused",
                    "reason": "limit",
                    "header": _0x(changed(12, bytes(size))),
                    "chain_id": chain_id,
                }
                for name, size, chain_id in (
                    ("more than 8192 bytes on BNB Smart Chain", 8192, 56),
                    ("more than 16384 bytes on Polygon", 16384, 137),
                    ("more than 16384 bytes on a chain that is not known", 16384, 424242),
                )
            ),
            *(
                {
                    "name": name,
                    "expect": "refused",
                    "reason": HEADER_REASONS[name],
                    "header": _0x(header),
                }
                for name, header in refused.items()
            ),
        ],
    }


def _public() -> list[dict[str, Any]]:
    """The headers of public chains' blocks, which stand in the file and are made nowhere."""
    stored = json.loads((HERE / "header.json").read_text())["cases"]
    return [case for case in stored if "source" in case]


def _slots(first: Anchor, other: Anchor) -> dict[str, Any]:
    assert first.state
    assert other.state
    header, account, storage = first.state.header, first.state.account, first.state.storage
    happy = {
        "header": header,
        "contract": CONTRACT_ADDRESS,
        "root": ROOT,
        "account": account,
        "storage": storage,
    }
    word = _word(first.state)
    key = keccak256(slot_of(ROOT)).hex()
    leaf = _leaf(key, _rlp(word))

    def forged(nodes: list[bytes], account: Any = lambda fields: fields) -> dict[str, Any]:
        return _forge(header, nodes, account)

    assert leaf[0] == 0xF8
    long_form = b"\xf9\0" + leaf[1:]
    changes: dict[str, dict[str, Any]] = {
        "another root, anchored too": {"root": ROOTS[1]},
        "another root, never anchored": {"root": bytes(32)},
        "another contract": {"contract": bytes(20)},
        "another state root": _with_state_root(header, keccak256(b"")),
        "storage proof of another root": {"storage": other.state.storage},
        "account proof empty": {"account": ()},
        "storage proof empty": {"storage": ()},
        "account proof without its first node": {"account": account[1:]},
        "account proof without its last node": {"account": account[:-1]},
        "storage proof without its first node": {"storage": storage[1:]},
        "storage proof without its last node": {"storage": storage[:-1]},
        "account proof with a node too many": {"account": (*account, account[-1])},
        "storage proof with a node too many": {"storage": (*storage, b"\x80")},
        "account proof backwards": {"account": account[::-1]},
        "storage proof backwards": {"storage": storage[::-1]},
        "proofs exchanged": {"account": storage, "storage": account},
        "one bit in the account's leaf": {"account": (*account[:-1], _flip(account[-1]))},
        "one bit in the slot's leaf": {"storage": (*storage[:-1], _flip(storage[-1]))},
        "one bit in the account trie's root": {"account": (_flip(account[0]), *account[1:])},
        "more nodes than a key has nibbles": {"storage": storage + storage[-1:] * 64},
        "a node of 533 bytes": {
            "storage": (storage[0] + bytes(533 - len(storage[0])), *storage[1:])
        },
        "slot in a contract that is not there": {"contract": keccak256(b"nobody")[:20]},
        "forged: account of 3 fields": forged([leaf], account=lambda fields: fields[:3]),
        "forged: account of 5 fields": forged([leaf], account=lambda fields: [*fields, b""]),
        "forged: storage root of 31 bytes": forged(
            [leaf], account=lambda fields: [*fields[:2], fields[2][1:], fields[3]]
        ),
        "forged: code hash of 33 bytes": forged(
            [leaf], account=lambda fields: [*fields[:3], fields[3] + b"\0"]
        ),
        "forged: account is a string": forged([leaf], account=lambda fields: fields[2]),
        **{
            f"forged: {name} {fault}": forged(
                [leaf], account=lambda fields, at=at, value=value: _put(fields, at, value)
            )
            for at, name, fault, value in (
                (0, "nonce", "of 9 bytes", b"\1" * 9),
                (0, "nonce", "with a leading zero", b"\0\1"),
                (0, "nonce", "is a list", [b"\1"]),
                (1, "balance", "of 33 bytes", b"\1" * 33),
                (1, "balance", "with a leading zero", b"\0\1"),
                (1, "balance", "is a list", [b"\1"]),
            )
        },
        "forged: the slot is zero": forged([_leaf(key, b"\x80")]),
        "forged: the slot has a record without a time": forged(
            [_leaf(key, _rlp(word[:26] + bytes(6)))]
        ),
        "forged: the slot has leading zeros": forged([_leaf(key, _rlp(b"\0" + word[1:]))]),
        "forged: the slot has 33 bytes": forged([_leaf(key, _rlp(b"\1" + word))]),
        "forged: the slot is empty": forged([_leaf(key, b"")]),
        "forged: the slot is a list": forged([_leaf(key, _rlp([word]))]),
        "forged: the slot has bytes after its end": forged([_leaf(key, _rlp(word) + b"\0")]),
        "forged: the leaf's value is a list": forged([_rlp([_compact(key, leaf=True), [word]])]),
        "forged: the leaf of another key": forged(
            [_leaf(key[:-1] + ("0" if key[-1] != "0" else "1"), _rlp(word))]
        ),
        "forged: the leaf of a shorter key": forged([_leaf(key[:-1], _rlp(word))]),
        "forged: the path is padded with one": forged(
            [_rlp([b"\x21" + bytes.fromhex(key), _rlp(word)])]
        ),
        "forged: the path is neither a leaf's nor an extension's": forged(
            [_rlp([b"\x40" + bytes.fromhex(key), _rlp(word)])]
        ),
        "forged: the path is empty": forged([_rlp([b"", _rlp(word)])]),
        "forged: the path is a list": forged([_rlp([[b" "], _rlp(word)])]),
        "forged: an extension without a path": forged([_rlp([b"\0", keccak256(leaf)]), leaf]),
        "forged: an extension to other keys": forged(
            [_rlp([_compact("0" if key[0] != "0" else "1", leaf=False), keccak256(leaf)]), leaf]
        ),
        "forged: a node of 3 items": forged([_rlp([b"", b"", b""])]),
        "forged: a branch with no link for the key": forged([_rlp([b""] * 17)]),
        "forged: a link of 31 bytes": forged([_branch(key[0], keccak256(leaf)[1:])]),
        "forged: a long node in its parent": forged(
            [_branch(key[0], rlp.decode(_leaf(key[1:], _rlp(word))))]
        ),
        "forged: a short node on its own": forged(
            [_branch_above(key, keccak256(_short_branch(key))), _short_branch(key)]
        ),
        "forged: a branch below the end of the key": forged([_below_the_end(key)]),
        "forged: a node's length with a leading zero": forged([long_form]),
        "forged: a node with bytes after its end": forged([leaf + b"\0"]),
        "forged: a node that is a string": forged([_rlp(leaf)]),
    }
    return {
        "about": (
            "State proofs (EIP-1186) of the EvidenceAnchor contract's record of a root: code hash"
            " and record, or refused"
        ),
        "cases": [
            {
                "name": "happy path",
                "expect": "accepted",
                "reason": "ok",
                **_text(happy),
                **_record(word),
            },
            {
                "name": "forged: one account, one slot",
                "expect": "accepted",
                "reason": "ok",
                **_text({**happy, **forged([leaf])}),
                **_record(word),
            },
            {
                "name": "forged: an account with the greatest nonce and balance",
                "expect": "accepted",
                "reason": "ok",
                **_text(
                    {
                        **happy,
                        **forged(
                            [leaf],
                            account=lambda fields: [b"\xff" * 8, b"\xff" * 32, *fields[2:]],
                        ),
                    }
                ),
                **_record(word),
            },
            {
                "name": "forged: a short branch and a short leaf in their parents",
                "expect": "accepted",
                "reason": "ok",
                **_text({**happy, **forged([_branch_above(key, rlp.decode(_short_branch(key)))])}),
                **_record(bytes(31) + b"\1"),
            },
            *(
                {
                    "name": name,
                    "expect": "refused",
                    "reason": SLOT_REASONS[name],
                    **_text({**happy, **change}),
                }
                for name, change in changes.items()
            ),
        ],
    }


def _word(state: StateProof) -> bytes:
    """The slot's 32 bytes, read by another library than the one under test."""
    word: bytes = rlp.decode(rlp.decode(state.storage[-1])[1])
    return word.rjust(32, b"\0")


def _record(word: bytes) -> dict[str, Any]:
    return {
        "code_hash": _0x(CONTRACT_CODE_HASH),
        "time": int.from_bytes(word[26:]),
        "block_number": int.from_bytes(word[20:26]),
        "submitter": _0x(word[:20]),
    }


def _forge(header: bytes, storage: list[bytes], account: Any) -> dict[str, Any]:
    """A state of one account: everything fits together, from the header down to these storage
    nodes."""
    node = _leaf(
        keccak256(CONTRACT_ADDRESS).hex(),
        _rlp(account([b"\1", b"", keccak256(storage[0]), CONTRACT_CODE_HASH])),
    )
    return {
        **_with_state_root(header, keccak256(node)),
        "account": (node,),
        "storage": tuple(storage),
    }


def _put(fields: list[Any], at: int, value: Any) -> list[Any]:
    return [*fields[:at], value, *fields[at + 1 :]]


def _with_state_root(header: bytes, state_root: bytes) -> dict[str, Any]:
    fields: list[Any] = rlp.decode(header)
    fields[3] = state_root
    return {"header": _rlp(fields)}


def _compact(nibbles: str, *, leaf: bool) -> bytes:
    flag = 2 * leaf + len(nibbles) % 2
    return bytes.fromhex(f"{flag:x}{'' if len(nibbles) % 2 else '0'}{nibbles}")


def _leaf(nibbles: str, value: bytes) -> bytes:
    return _rlp([_compact(nibbles, leaf=True), value])


def _branch(nibble: str, child: Any) -> bytes:
    items: list[Any] = [b""] * 17
    items[int(nibble, 16)] = child
    return _rlp(items)


def _short_branch(key: str) -> bytes:
    """A branch that fits into its parent, with a leaf that fits into it: the record whose only bit
    is the lowest of its time."""
    return _branch(key[62], rlp.decode(_leaf(key[63:], b"\1")))


def _branch_above(key: str, child: Any) -> bytes:
    return _rlp([_compact(key[:62], leaf=False), child])


def _below_the_end(key: str) -> bytes:
    return _rlp([_compact(key, leaf=False), rlp.decode(_branch("0", b""))])


def _flip(node: bytes) -> bytes:
    return node[:-1] + bytes([node[-1] ^ 1])


def _rlp(value: Any) -> bytes:
    encoded: bytes = rlp.encode(value)
    return encoded


def _0x(value: bytes) -> str:
    return "0x" + value.hex()


def _text(case: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _0x(value) if isinstance(value, bytes) else [_0x(node) for node in value]
        for name, value in case.items()
    }


def format_file(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    for name, content in make().items():
        (HERE / name).write_text(format_file(content))
        sys.stdout.write(f"{name}: {len(content['cases'])} cases\n")
