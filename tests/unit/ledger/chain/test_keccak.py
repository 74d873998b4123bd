"""ledger/chain/keccak.py against pycryptodome's, and against values that the chain's own documents
name."""

import pytest
from Crypto.Hash import keccak
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.ledger.chain.keccak import RATE, keccak256


def theirs(data: bytes) -> bytes:
    return keccak.new(data=data, digest_bits=256).digest()


def test_it_is_not_sha3() -> None:
    # Yellow Paper, 4.1: the code hash of an account without code; appendix D: an empty trie's root.
    assert (
        keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    )
    assert (
        keccak256(b"\x80").hex()
        == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    )


@pytest.mark.parametrize("blocks", range(5))
def test_lengths_about_whole_blocks(blocks: int) -> None:
    for size in range(max(0, blocks * RATE - 3), blocks * RATE + 3):
        data = bytes(i * 7 % 251 for i in range(size))
        assert keccak256(data) == theirs(data), size


@given(st.binary(max_size=1_200))
def test_any_bytes(data: bytes) -> None:
    assert keccak256(data) == theirs(data)
