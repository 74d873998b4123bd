from dataclasses import replace

import pytest

from witnesstree.ledger.chains import KNOWN_CHAINS, LOCAL_CHAIN_ID, explorer_links, known_chain
from witnesstree.ledger.proof import Anchor
from witnesstree.ledger.trust import Assurance

ANCHOR = Anchor(1, bytes([0x11]) * 20, bytes([0x22]) * 32, 17, bytes([0x33]) * 32, None)


def test_an_anchor_on_a_known_chain_can_be_looked_up() -> None:
    assert explorer_links(ANCHOR) == [
        "https://etherscan.io/tx/0x" + "22" * 32,
        "https://etherscan.io/block/17",
        "https://etherscan.io/address/0x" + "11" * 20 + "#readContract",
    ]


def test_without_a_transaction_there_is_no_link_to_one() -> None:
    assert explorer_links(replace(ANCHOR, transaction=None)) == explorer_links(ANCHOR)[1:]


@pytest.mark.parametrize("chain_id", [LOCAL_CHAIN_ID, 31337, 2**53 - 1])
def test_where_there_is_no_explorer_there_are_no_links(chain_id: int) -> None:
    assert explorer_links(replace(ANCHOR, chain_id=chain_id)) == []


def test_a_stranger_is_private() -> None:
    assert known_chain(31337).assurance is Assurance.PRIVATE
    assert known_chain(31337).name == "chain 31337"


def test_the_embedded_chain_is_local_and_has_one_id() -> None:
    assert known_chain(LOCAL_CHAIN_ID).assurance is Assurance.LOCAL
    assert int.from_bytes(b"WITN") == LOCAL_CHAIN_ID


def test_a_test_network_is_not_public() -> None:
    assert known_chain(11155111).assurance is Assurance.PRIVATE


def test_only_the_embedded_chain_is_local_and_only_it_has_no_explorer() -> None:
    for chain_id, chain in KNOWN_CHAINS.items():
        is_local = chain_id == LOCAL_CHAIN_ID
        assert (chain.assurance is Assurance.LOCAL) == is_local
        assert (chain.explorer is None) == is_local
        assert chain.explorer is None or (chain.explorer.startswith("https://") and not chain.explorer.endswith("/"))
