from dataclasses import replace

import pytest

from witnesstree.ledger.base.report import Assurance
from witnesstree.ledger.base.witness import Anchor
from witnesstree.ledger.chain.known import (
    KNOWN_CHAINS,
    LOCAL_CHAIN_ID,
    contract_pages,
    explorer_links,
    known_chain,
    publishing_pages,
)

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
        assert chain.explorer is None or (
            chain.explorer.startswith("https://") and not chain.explorer.endswith("/")
        )
        assert chain.blockscout is None or (
            chain.explorer
            and chain.blockscout.startswith("https://")
            and not chain.blockscout.endswith("/")
        )


def test_conflux_alone_has_no_state_proofs() -> None:
    assert [chain.name for chain in KNOWN_CHAINS.values() if not chain.has_state_proofs] == [
        "Conflux eSpace"
    ]


@pytest.mark.parametrize(
    ("chain_id", "read", "publish"),
    [
        (
            1,
            [
                "https://etherscan.io/address/0xCC#readContract",
                "https://eth.blockscout.com/address/0xCC?tab=read_contract",
            ],
            [
                "https://etherscan.io/verifyContract?a=0xCC",
                "https://eth.blockscout.com/contract-verification",
                "https://verify.sourcify.dev/",
            ],
        ),
        (
            137,
            ["https://polygonscan.com/address/0xCC#readContract"],
            ["https://polygonscan.com/verifyContract?a=0xCC", "https://verify.sourcify.dev/"],
        ),
        (
            1030,
            ["https://evm.confluxscan.org/address/0xCC#readContract"],
            ["https://evm.confluxscan.org/address/0xCC", "https://verify.sourcify.dev/"],
        ),
        (LOCAL_CHAIN_ID, [], []),
        (31337, [], []),
    ],
)
def test_where_the_contract_can_be_asked_and_its_source_published(
    chain_id: int, read: list[str], publish: list[str]
) -> None:
    def filled(pages: list[str]) -> list[str]:
        return [page.replace("0xCC", "0x" + "11" * 20) for page in pages]

    assert contract_pages(chain_id, ANCHOR.contract) == filled(read)
    assert publishing_pages(chain_id, ANCHOR.contract) == filled(publish)
