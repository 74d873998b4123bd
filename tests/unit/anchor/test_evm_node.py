"""Real chains on nodes in memory: what is final, absent or lost; what is signed for which fees;
what a node may say wrongly, and what comes of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rlp
from conftest import Clock
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from servers.anvil import KeySigner
from servers.stub import CHAIN_ID, PAYER, START, STRANGER, Network, RpcError, StubNode, World, hexed

from witnesstree.anchor.evm import check, fees, node
from witnesstree.anchor.evm.check import ask_nodes
from witnesstree.anchor.evm.client import Client
from witnesstree.anchor.evm.contract import artefact
from witnesstree.anchor.evm.deploy import is_for_want_of_money
from witnesstree.anchor.evm.fees import (
    GWEI,
    Market,
    Offer,
    bumped,
    offer,
    read_offer,
    replacement,
    wei,
)
from witnesstree.anchor.evm.finality import MAX_STEPS, final_block
from witnesstree.anchor.evm.node import MAX_GAS, PROOF_PATIENCE, NodeChain
from witnesstree.anchor.evm.rpc import Endpoint, refusals
from witnesstree.anchor.settings import ChainSettings
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    InvalidInput,
    Unaffordable,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.base.message import message
from witnesstree.ledger.base.ports import SignedTransaction, Standing
from witnesstree.ledger.base.witness import Anchor
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    MAX_HEADER,
    parse_header,
    prove_slot,
)
from witnesstree.ledger.log.opening import BlockName, Opening, format_opening
from witnesstree.ledger.proof.proof import Inclusion, OpeningProof, Proof
from witnesstree.ledger.trust import TrustedAnchoring

ROOT, OTHER, THIRD = (bytes([i]) * 32 for i in (1, 2, 3))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def stub(network: Network, world: World) -> StubNode:
    stub = StubNode(world)
    network.add(stub)
    return stub


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.fromtimestamp(START, UTC))


@pytest.fixture
def make(network: Network, clock: Clock) -> Callable[..., NodeChain]:
    def make(**settings: Any) -> NodeChain:
        members = {"chain_id": CHAIN_ID, "urls": tuple(network.nodes), **settings}
        return NodeChain("test", ChainSettings(**members), KeySigner(), clock)

    return make


@pytest.fixture
def chain(stub: StubNode, make: Callable[..., NodeChain]) -> NodeChain:
    return make()


def refusing(code: int, message: str) -> Callable[[Any], Any]:
    def refuse(_params: Any) -> Any:
        raise RpcError(code, message)

    return refuse


def signed(chain: NodeChain, *roots: bytes) -> SignedTransaction:
    transaction = chain.sign(roots or (ROOT,))
    assert transaction
    return transaction


# Fees


def test_gwei_are_read_as_they_are_written() -> None:
    assert wei(0.1) == 10**8
    assert wei(1e-9) == 1
    assert wei(100.0) == 100 * GWEI


def test_an_offer_stays_good_while_the_base_fee_doubles() -> None:
    assert offer(Market(10, 3), 10**9) == Offer(23, 3)
    assert offer(Market(10 * GWEI, GWEI), 12 * GWEI) == Offer(12 * GWEI, GWEI)
    assert offer(Market(10 * GWEI, GWEI), 10 * GWEI + fees.LEAST_TIP) == Offer(
        10 * GWEI + fees.LEAST_TIP, fees.LEAST_TIP
    )
    assert offer(Market(7, 0, is_legacy=True), 7) == Offer(7, 7, is_legacy=True)


def test_what_is_dearer_than_the_cap_is_not_offered() -> None:
    with pytest.raises(
        Unaffordable, match=r"the chain asks 50\.001 gwei for one gas, and the cap is 50 gwei"
    ):
        offer(Market(50 * GWEI, GWEI), 50 * GWEI)
    with pytest.raises(Unaffordable, match="8"):
        offer(Market(8, 0, is_legacy=True), 7)


@given(st.integers(0, 10**30), st.integers(0, 10**30), st.integers(1, 10**30), st.booleans())
def test_no_offer_is_above_the_cap_and_none_is_below_the_market(
    base: int, tip: int, cap: int, is_legacy: bool
) -> None:
    market = Market(base, 0 if is_legacy else tip, is_legacy)
    try:
        found = offer(market, cap)
    except Unaffordable:
        assert base + min(market.tip, fees.LEAST_TIP) > cap
    else:
        assert base <= found.most <= cap
        assert found.tip <= found.most


@given(
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(1, 10**13),
)
def test_a_replacement_raises_every_fee_by_an_eighth_and_stays_below_the_cap(
    most: int, tip: int, base: int, asked: int, cap: int
) -> None:
    before = Offer(max(most, tip), tip)
    try:
        after = replacement(before, Market(base, asked), cap)
    except Unaffordable:
        return
    if after is None:
        assert before.most >= base
    else:
        assert after.most <= cap
        assert after.tip <= after.most
        for old, new in ((before.most, after.most), (before.tip, after.tip)):
            assert new > old
            assert 8 * new >= 9 * old


def test_one_that_pays_what_is_asked_may_wait() -> None:
    assert replacement(Offer(23, 3), Market(20, 3), 1000) is None
    assert replacement(Offer(23, 3), Market(21, 3), 1000) == Offer(45, 4)
    assert replacement(Offer(23, 2), Market(2, 3), 1000) == Offer(26, 3)
    assert replacement(Offer(80, 2), Market(2, 3), 1000) == Offer(90, 3)


def test_a_replacement_above_the_cap_waits_with_both_numbers() -> None:
    with pytest.raises(
        Unaffordable,
        match=(
            r"to replace the transaction that waits, 9 gwei must be offered for one gas, and the"
            r" cap is 8\.5 gwei"
        ),
    ):
        replacement(Offer(8 * GWEI, 1), Market(5 * GWEI, GWEI), 8 * GWEI + GWEI // 2)


@pytest.mark.parametrize(("fee", "least"), [(0, 1), (1, 2), (7, 8), (8, 9), (9, 11), (100, 113)])
def test_bumped(fee: int, least: int) -> None:
    assert bumped(fee) == least


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02",
        b"\x01\xc0",
        b"\x02\xc0",
        b"\xc0",
        b"\x80",
        b"\x02" + rlp.encode([b"\0"] * 12),
        rlp.encode([[]] * 9),
        b"\xff" * 9,
    ],
)
def test_what_is_no_transaction(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_offer(raw)


@given(st.binary(max_size=100))
def test_any_bytes_give_an_offer_or_invalid_input(raw: bytes) -> None:
    for each in (raw, b"\x02" + raw):
        try:
            read_offer(each)
        except InvalidInput:
            continue


# Standing


def test_a_root_that_nobody_knows_is_absent(chain: NodeChain, world: World) -> None:
    world.mine(10)
    assert chain.standing(ROOT, None) is Standing.ABSENT
    assert chain.standing(ROOT, signed(chain)) is Standing.ABSENT
    assert chain.collect(ROOT, []) is None


def test_the_life_of_a_root(chain: NodeChain, stub: StubNode, world: World) -> None:
    world.mine(5)
    transaction = signed(chain)
    chain.send(transaction)
    assert chain.standing(ROOT, transaction) is Standing.ABSENT
    stub.mine_pool()
    seen = []
    for _ in range(4):
        seen.append(chain.standing(ROOT, transaction))
        assert chain.collect(ROOT, [transaction]) is None
        world.mine()
    assert seen == [Standing.UNSETTLED] * 4
    assert chain.standing(ROOT, transaction) is Standing.FINAL
    anchor = chain.collect(ROOT, [transaction])
    assert anchor
    assert anchor.transaction == transaction.hash
    require_proven(anchor, ROOT)
    assert chain.troubles() == []


def require_proven(anchor: Anchor | None, root: bytes) -> None:
    assert anchor
    assert anchor.state
    header = parse_header(anchor.state.header)
    assert (header.hash, header.number) == (anchor.block_hash, anchor.block_number)
    slot = prove_slot(header, anchor.contract, root, anchor.state.account, anchor.state.storage)
    assert slot.code_hash == CONTRACT_CODE_HASH


def test_a_reorganisation_takes_back_what_is_not_final(
    chain: NodeChain, stub: StubNode, world: World
) -> None:
    world.mine(5)
    transaction = signed(chain)
    chain.send(transaction)
    stub.mine_pool()
    world.reorganise(1)
    assert chain.standing(ROOT, transaction) is Standing.ABSENT
    chain.send(transaction)
    stub.mine_pool()
    world.mine(4)
    assert chain.standing(ROOT, transaction) is Standing.FINAL


def test_lost_is_said_only_once_another_transaction_is_final(
    chain: NodeChain, world: World
) -> None:
    world.mine(5)
    transaction = signed(chain)
    world.mine(spent=1)
    for _ in range(4):
        assert chain.standing(ROOT, transaction) is Standing.UNSETTLED
        world.mine()
    assert chain.standing(ROOT, transaction) is Standing.LOST
    assert chain.standing(ROOT, None) is Standing.ABSENT


def test_before_any_block_is_final_nothing_is(
    network: Network, world: World, make: Callable[..., NodeChain]
) -> None:
    stub = StubNode(world, finalizes=10)
    network.add(stub)
    chain = make()
    world.mine(roots=(ROOT,), spent=1)
    assert chain.standing(ROOT, None) is Standing.UNSETTLED
    assert chain.standing(OTHER, SignedTransaction(b"", bytes(32), PAYER, 0)) is Standing.UNSETTLED
    assert chain.collect(ROOT, []) is None
    with pytest.raises(Unreachable, match="no final block yet"):
        chain.recent_block()


@pytest.mark.parametrize(
    ("code", "message"), [(-39001, "Unknown block"), (-32000, "finalized block not found")]
)
def test_geth_s_words_for_no_final_block(
    chain: NodeChain, stub: StubNode, code: int, message: str
) -> None:
    stub.answers["eth_getBlockByNumber"] = lambda params: (
        refusing(code, message)(params)
        if params[0] == "finalized"
        else stub.honest("eth_getBlockByNumber", params)
    )
    assert chain.standing(ROOT, None) is Standing.ABSENT


def test_a_node_that_does_not_know_the_tag_is_an_error(chain: NodeChain, stub: StubNode) -> None:
    stub.answers["eth_getBlockByNumber"] = refusing(-32602, "invalid block tag")
    with pytest.raises(BadAnswer, match="invalid block tag"):
        chain.standing(ROOT, None)


@pytest.mark.parametrize("confirmations", [0, 1, 3, 50])
def test_finality_by_confirmations(
    stub: StubNode, world: World, make: Callable[..., NodeChain], confirmations: int
) -> None:
    chain = make(finality=confirmations)
    world.mine(5, roots=(ROOT,))
    assert chain.standing(ROOT, None) is (
        Standing.FINAL if confirmations <= 4 else Standing.UNSETTLED
    )
    if confirmations <= 4:
        assert chain.recent_block().number == 5 - confirmations


def test_a_node_that_forgot_the_final_state_is_believed_by_its_newest_one(
    network: Network, world: World, make: Callable[..., NodeChain]
) -> None:
    network.add(StubNode(world, keeps=2))
    chain = make()
    world.mine(6, roots=(ROOT,))
    assert chain.standing(ROOT, None) is Standing.FINAL
    world.mine(roots=(OTHER,))
    world.mine(3)
    assert chain.standing(OTHER, None) is Standing.UNSETTLED
    assert chain.standing(THIRD, None) is Standing.ABSENT
    # That a transaction is lost cannot be seen so.
    world.mine(spent=1)
    with pytest.raises(BadAnswer, match="missing trie node"):
        chain.standing(THIRD, SignedTransaction(b"", bytes(32), PAYER, 0))


def test_a_node_without_eip_1898_is_asked_by_number_with_the_hash_around_it(
    chain: NodeChain, stub: StubNode, world: World
) -> None:
    for method in ("eth_call", "eth_getProof", "eth_getTransactionCount"):

        def by_number(params: list[Any], method: str = method) -> Any:
            if isinstance(params[-1], dict):
                raise RpcError(-32602, "invalid argument: hex string expected")
            return stub.honest(method, params)

        stub.answers[method] = by_number
    world.mine(spent=1)
    world.mine(10, roots=(ROOT,))
    assert chain.standing(ROOT, None) is Standing.FINAL
    assert chain.standing(OTHER, SignedTransaction(b"", bytes(32), PAYER, 0)) is Standing.LOST
    require_proven(chain.collect(ROOT, []), ROOT)


def test_a_block_that_changes_while_it_is_read_is_not_believed(
    chain: NodeChain, stub: StubNode, world: World
) -> None:
    def reorganising(params: list[Any]) -> Any:
        if isinstance(params[-1], dict):
            raise RpcError(-32602, "invalid argument")
        world.reorganise(8)
        return stub.honest("eth_call", params)

    world.mine(10)
    stub.answers["eth_call"] = reorganising
    client = Client(Endpoint("http://node0.test", timeout=5))
    final = client.finalized()
    assert final
    with pytest.raises(BadAnswer, match="does not have block"):
        client.record(CONTRACT_ADDRESS, ROOT, final)


# Several endpoints


@pytest.fixture
def three(network: Network, world: World) -> list[StubNode]:
    nodes = [StubNode(world) for _ in range(3)]
    for each in nodes:
        network.add(each)
    world.mine(10)
    return nodes


def test_the_next_endpoint_answers_where_one_does_not(
    three: list[StubNode], make: Callable[..., NodeChain]
) -> None:
    chain = make()
    three[0].fails = Unreachable("it is gone")
    three[1].answers["eth_chainId"] = "0x1"
    assert chain.recent_block().number == 6
    assert chain.standing(ROOT, None) is Standing.ABSENT
    assert [str(each) for each in chain.troubles()] == [
        "it is gone",
        (
            f"http://node1.test is a node of chain 1, not of chain {CHAIN_ID}: correct its address"
            " or the chain's id"
        ),
    ]
    assert [endpoint.place for endpoint in chain.endpoints] == [
        "http://node2.test",
        "http://node0.test",
        "http://node1.test",
    ]


def test_endpoints_that_must_agree_settle_on_a_block_that_so_many_have(
    network: Network, world: World, make: Callable[..., NodeChain]
) -> None:
    for lag in (0, 3, 7):
        network.add(StubNode(world, lag=lag))
    world.mine(20)
    assert make(agree=1).recent_block().number == 16
    assert make(agree=2).recent_block().number == 13
    assert make(agree=3).recent_block().number == 9


def fork(world: World) -> World:
    other = World()
    other.salt = 99
    other.mine(len(world.blocks) - 1)
    return other


def test_endpoints_that_name_different_final_blocks_are_not_believed(
    three: list[StubNode], world: World, make: Callable[..., NodeChain]
) -> None:
    three[0].world = fork(world)
    three[2].fails = Unreachable("gone")
    chain = make(agree=2)
    for ask in (
        chain.recent_block,
        lambda: chain.standing(ROOT, None),
        lambda: chain.collect(ROOT, []),
    ):
        with pytest.raises(
            BadAnswer,
            match=(
                r"name different blocks 6 as final: 0x\w{64} by http://node0.test, 0x\w{64}"
                r" by http://node1.test"
            ),
        ):
            ask()


def test_two_of_three_outvote_one_and_it_is_named(
    three: list[StubNode], world: World, make: Callable[..., NodeChain]
) -> None:
    three[0].world = fork(world)
    chain = make(agree=2)
    world.mine(5, roots=(ROOT,))
    three[0].world.mine(5)
    assert chain.standing(ROOT, None) is Standing.FINAL
    require_proven(chain.collect(ROOT, []), ROOT)
    assert len(chain.troubles()) == 1
    assert "by http://node0.test" in str(chain.troubles()[0])


def test_too_few_endpoints_are_no_agreement(
    three: list[StubNode], world: World, make: Callable[..., NodeChain]
) -> None:
    chain = make(agree=3)
    three[1].fails = Unreachable("it is gone")
    with pytest.raises(
        Unreachable, match="3 endpoints of test have to agree, and 2 answered: it is gone"
    ):
        chain.standing(ROOT, None)
    three[1].fails = None
    three[1].finalizes = 100
    assert chain.standing(ROOT, None) is Standing.ABSENT
    assert chain.collect(ROOT, []) is None


def test_an_endpoint_that_falls_silent_in_between_is_no_vote(
    three: list[StubNode], make: Callable[..., NodeChain]
) -> None:
    chain = make(agree=3)
    three[1].lag = 1
    three[2].answers["eth_getBlockByNumber"] = lambda params: (
        None if params[0] != "finalized" else three[2].honest("eth_getBlockByNumber", params)
    )
    with pytest.raises(Unreachable, match="fewer than 3 endpoints of test gave block 5"):
        chain.standing(ROOT, None)


def test_more_must_agree_than_there_are(
    three: list[StubNode], make: Callable[..., NodeChain]
) -> None:
    with pytest.raises(InvalidInput, match="4 endpoints have to agree, but there are only 3"):
        make(agree=4)


def test_lost_is_contradicted_by_one_endpoint_that_has_the_root(
    three: list[StubNode], world: World, make: Callable[..., NodeChain]
) -> None:
    chain = make()
    transaction = signed(chain)
    world.mine(5, roots=(ROOT,), spent=1, transaction=transaction.hash)
    # The first one answers as if it had not seen the block's records.
    three[0].answers["eth_call"] = hexed(bytes(96))
    with pytest.raises(
        BadAnswer,
        match=(
            r"differ on whether the transaction 0x.* is lost: http://node0.test has it in block 11"
        ),
    ):
        chain.standing(ROOT, transaction)
    three[0].answers["eth_getTransactionReceipt"] = None
    world.receipts = {}
    with pytest.raises(BadAnswer, match=r"http://node1.test has the root in block"):
        chain.standing(ROOT, transaction)


def test_lost_is_contradicted_by_one_that_counts_otherwise(
    three: list[StubNode], world: World, make: Callable[..., NodeChain]
) -> None:
    chain = make()
    transaction = signed(chain)
    three[0].answers["eth_getTransactionCount"] = "0x1"
    with pytest.raises(BadAnswer, match=r"http://node1.test says that its nonce is not used"):
        chain.standing(ROOT, transaction)


def test_lost_needs_as_many_as_must_agree(
    three: list[StubNode], world: World, make: Callable[..., NodeChain]
) -> None:
    chain = make(agree=2)
    transaction = signed(chain)
    world.mine(5, spent=1)
    assert chain.standing(ROOT, transaction) is Standing.LOST
    for each in three[1:]:
        each.answers["eth_getTransactionReceipt"] = lambda _: (_ for _ in ()).throw(
            Unreachable("gone")
        )
    with pytest.raises(Unreachable):
        chain.standing(ROOT, transaction)


def test_a_receipt_of_a_failed_transaction_contradicts_nothing(
    chain: NodeChain, stub: StubNode, world: World
) -> None:
    transaction = signed(chain)
    world.mine(5, spent=1, transaction=transaction.hash)
    world.receipts[transaction.hash]["status"] = "0x0"
    assert chain.standing(ROOT, transaction) is Standing.LOST


# Recent blocks


def test_the_recent_block_is_final_and_bounded_in_time(
    three: list[StubNode], make: Callable[..., NodeChain], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = make()
    block = chain.recent_block()
    assert block.chain_id == CHAIN_ID
    assert keccak256(block.header) == block.hash
    assert parse_header(block.header).number == block.number == 6
    now = [0.0]
    monkeypatch.setattr(chain._quick, "_now", lambda: now[0])
    for each in three:
        each.body = lambda _question: (
            now.__setitem__(0, now[0] + 4),
            (_ for _ in ()).throw(Unreachable("slow")),
        )[1]
        each.asked.clear()
    with pytest.raises(Unreachable):
        chain.recent_block()
    assert [len(each.asked) for each in three] == [1, 1, 0]


def test_a_block_whose_header_is_too_long_is_gone_back_from(chain: NodeChain, world: World) -> None:
    world.mine(3)
    world.extra = bytes(MAX_HEADER)
    world.mine(2)
    world.extra = b""
    world.mine(4)
    assert chain.recent_block().number == 3
    world.extra = bytes(MAX_HEADER)
    world.mine(MAX_STEPS + 5)
    with pytest.raises(BadAnswer, match="have no header"):
        chain.recent_block()


# Headers


@pytest.fixture
def unlike(stub: StubNode, world: World) -> StubNode:
    """A chain whose blocks hash something else."""
    for block in world.blocks:
        block["hash"] = hexed(keccak256(bytes.fromhex(block["hash"][2:])))
    return stub


def test_a_chain_without_such_headers_gives_anchors_without_proof(
    world: World, unlike: StubNode, chain: NodeChain
) -> None:
    world.mine(10, roots=(ROOT,))
    for i, block in enumerate(world.blocks):
        block["hash"] = hexed(bytes([i]) * 32)
        block["parentHash"] = world.blocks[i - 1]["hash"] if i else hexed(bytes(32))
    anchor = chain.collect(ROOT, [])
    assert anchor
    assert anchor.state is None
    assert anchor.block_number == 6
    with pytest.raises(BadAnswer, match="have no header that could be proven"):
        chain.recent_block()


def test_one_wrong_hash_on_a_chain_with_headers_is_not_believed(
    chain: NodeChain, stub: StubNode, world: World
) -> None:
    world.mine(10, roots=(ROOT,))

    def wrong(params: list[Any]) -> Any:
        block = stub.honest("eth_getBlockByNumber", params)
        return {**block, "hash": hexed(bytes(32))} if params[0] == "finalized" else block

    stub.answers["eth_getBlockByNumber"] = wrong
    stub.answers["eth_call"] = lambda params: stub.honest("eth_call", [params[0], "latest"])
    with pytest.raises(BadAnswer, match="which is not that of its header"):
        chain.recent_block()
    with pytest.raises(BadAnswer, match="which is not that of its header"):
        chain.collect(ROOT, [])


def test_a_fork_that_is_not_known_here_is_read_from_the_raw_header(
    chain: NodeChain, stub: StubNode, world: World
) -> None:
    world.mine(10)
    raws = {}
    for i in range(len(world.blocks)):
        raw = rlp.encode(
            [
                *rlp.decode(
                    node.Client(Endpoint("http://node0.test", timeout=5)).header(
                        block_of(stub, i), MAX_HEADER
                    )
                    or b""
                ),
                b"new",
            ]
        )
        raws[hex(i)] = hexed(raw)
    for i, block in enumerate(world.blocks):
        block["hash"] = hexed(keccak256(bytes.fromhex(raws[hex(i)][2:])))
    stub.answers["debug_getRawHeader"] = lambda params: raws[params[0]]
    block = chain.recent_block()
    assert keccak256(block.header) == block.hash
    stub.answers["debug_getRawHeader"] = "0x1234"
    with pytest.raises(BadAnswer):
        chain.recent_block()


def test_a_header_that_is_longer_than_its_chain_s_may_be_is_none(
    stub: StubNode, world: World
) -> None:
    world.extra = bytes(2_000)
    world.mine(3)
    block, client = block_of(stub, 3), Client(Endpoint("http://node0.test", timeout=5))
    header = client.header(block, 8_192)
    assert header
    assert len(header) > 2_048
    assert client.header(block, 2_048) is None
    # So it is where the raw header is asked for.
    raw = rlp.encode([*rlp.decode(header), b"new"])
    world.blocks[3]["hash"] = hexed(keccak256(raw))
    stub.answers["debug_getRawHeader"] = hexed(raw)
    assert client.header(block_of(stub, 3), 8_192) == raw
    assert client.header(block_of(stub, 3), 2_048) is None


@pytest.mark.parametrize(("most", "number"), [(2_048, 2), (8_192, 4)])
def test_an_epoch_block_is_final_where_its_chain_has_such_headers(
    stub: StubNode, world: World, most: int, number: int
) -> None:
    world.mine(2)
    world.extra = bytes(1_700)
    world.mine(2)
    found = final_block(Client(Endpoint("http://node0.test", timeout=5)), 0, most)
    assert found
    assert found.number == number


def block_of(stub: StubNode, number: int) -> Any:
    found = Client(Endpoint("http://node0.test", timeout=5)).block(number)
    assert found
    return found


# Collecting


def test_a_node_without_proofs_gives_an_anchor_without_one_at_once(
    chain: NodeChain, stub: StubNode, world: World
) -> None:
    world.mine(10, roots=(ROOT,))
    stub.answers["eth_getProof"] = refusing(
        -32601, "the method eth_getProof does not exist/is not available"
    )
    anchor = chain.collect(ROOT, [])
    assert anchor
    assert anchor.state is None
    assert anchor.contract == CONTRACT_ADDRESS
    assert anchor.block_hash == bytes.fromhex(world.blocks[6]["hash"][2:])


def test_another_endpoint_s_proof_is_taken(
    three: list[StubNode], world: World, make: Callable[..., NodeChain]
) -> None:
    chain = make()
    world.mine(10, roots=(ROOT,))
    three[0].answers["eth_getProof"] = refusing(-32601, "no")
    three[1].fails = BadAnswer("nonsense")
    require_proven(chain.collect(ROOT, []), ROOT)


def test_a_proof_is_waited_for_where_an_endpoint_is_gone(
    three: list[StubNode], world: World, make: Callable[..., NodeChain], clock: Clock
) -> None:
    chain = make()
    world.mine(10, roots=(ROOT,))
    three[0].answers["eth_getProof"] = refusing(-32601, "no")
    for each in three[1:]:
        each.fails = Unreachable("gone")
    assert chain.collect(ROOT, []) is None
    clock.now += PROOF_PATIENCE + timedelta(hours=1)
    anchor = chain.collect(ROOT, [])
    assert anchor
    assert anchor.state is None


def test_a_pruned_node_s_proof_is_had_at_its_newest_block_and_given_out_when_that_is_final(
    network: Network, world: World, make: Callable[..., NodeChain]
) -> None:
    network.add(StubNode(world, keeps=2))
    chain = make()
    world.mine(10, roots=(ROOT,))
    for _ in range(4):
        assert chain.collect(ROOT, []) is None
        world.mine()
    anchor = chain.collect(ROOT, [])
    require_proven(anchor, ROOT)
    assert anchor
    assert anchor.block_number == 10
    assert chain.collect(ROOT, []) == anchor


@pytest.mark.parametrize("agree", [1, 2])
def test_a_kept_proof_of_a_block_that_was_reorganised_away_is_had_anew(
    network: Network, world: World, make: Callable[..., NodeChain], agree: int
) -> None:
    for _ in range(2):
        network.add(StubNode(world, keeps=2))
    chain = make(agree=agree)
    world.mine(10, roots=(ROOT,))
    assert chain.collect(ROOT, []) is None
    world.reorganise(3)
    world.mine(4)
    assert chain.collect(ROOT, []) is None
    world.mine(4)
    anchor = chain.collect(ROOT, [])
    require_proven(anchor, ROOT)
    assert anchor
    assert anchor.block_hash.hex() == world.blocks[anchor.block_number]["hash"][2:]


def test_kept_proofs_are_bounded(
    network: Network, world: World, make: Callable[..., NodeChain], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "MAX_KEPT", 1)
    network.add(StubNode(world, keeps=2))
    chain = make()
    world.mine(10, roots=(ROOT, OTHER))
    assert chain.collect(ROOT, []) is None
    chain.collect(OTHER, [])
    assert list(chain._kept) == [OTHER]


def test_the_transaction_is_the_one_of_ours_that_brought_the_root(
    chain: NodeChain, stub: StubNode, world: World
) -> None:
    first = signed(chain)
    stub.answers["eth_maxPriorityFeePerGas"] = hex(5 * GWEI)
    second = chain.sign([ROOT], first)
    assert second
    world.mine(roots=(ROOT,), spent=1, transaction=second.hash)
    world.mine(5)
    anchor = chain.collect(ROOT, [first, second])
    assert anchor
    assert anchor.transaction == second.hash


@pytest.mark.parametrize(
    "change",
    [
        {"status": "0x0"},
        {"logs": []},
        {"blockNumber": "0xff"},
        {"blockHash": hexed(bytes(32))},
        {"logs": [{"address": hexed(bytes(20)), "topics": []}]},
    ],
)
def test_a_receipt_that_says_otherwise_names_no_transaction(
    chain: NodeChain, world: World, change: dict[str, Any]
) -> None:
    transaction = signed(chain)
    world.mine(roots=(ROOT,), spent=1, transaction=transaction.hash)
    world.mine(5)
    receipt = world.receipts[transaction.hash]
    logs = [{**receipt["logs"][0], **log} for log in change.get("logs", receipt["logs"])]
    receipt.update({**change, "logs": logs})
    anchor = chain.collect(ROOT, [transaction])
    assert anchor
    assert anchor.transaction is None


def test_a_stranger_s_root_has_no_transaction_of_ours(chain: NodeChain, world: World) -> None:
    transaction = signed(chain)
    world.mine(roots=(ROOT,), sender=STRANGER)
    world.mine(spent=1, transaction=transaction.hash)
    world.mine(5)
    anchor = chain.collect(ROOT, [transaction])
    assert anchor
    assert anchor.transaction is None


def test_a_receipt_that_the_node_cannot_look_up_names_no_transaction(
    chain: NodeChain, stub: StubNode, world: World
) -> None:
    transaction = signed(chain)
    world.mine(roots=(ROOT,), spent=1, transaction=transaction.hash)
    world.mine(5)
    stub.answers["eth_getTransactionReceipt"] = refusing(
        -32000, "transaction indexing is in progress"
    )
    anchor = chain.collect(ROOT, [transaction])
    assert anchor
    assert anchor.transaction is None


LIES: dict[str, Any] = {
    "eth_getProof": [
        None,
        [],
        {},
        {"accountProof": [], "storageProof": []},
        {"accountProof": [], "storageProof": [None]},
        {"accountProof": [], "storageProof": [{"proof": []}]},
        {"accountProof": ["0x00"] * 65, "storageProof": [{"proof": []}]},
        {"accountProof": ["0x" + "00" * 533], "storageProof": [{"proof": []}]},
        {"accountProof": ["0xc0"], "storageProof": [{"proof": ["zz"]}]},
        {"accountProof": [hexed(b"\xf8" + bytes(99))], "storageProof": [{"proof": []}]},
    ],
    "eth_call": [None, 1, "0x1", "0x" + "00" * 95, "0x" + "ff" * 96, "0x" + "00" * 2000],
    "eth_getBlockByNumber": [1, "0x1", [], {}, {"number": "0x1"}],
}


@pytest.mark.parametrize(
    ("method", "lie"), [(method, lie) for method, lies in LIES.items() for lie in lies]
)
def test_a_lie_is_a_bad_answer_and_the_next_endpoint_is_asked(
    three: list[StubNode], world: World, make: Callable[..., NodeChain], method: str, lie: object
) -> None:
    world.mine(10, roots=(ROOT,))
    three[0].answers[method] = lie
    alone = make(urls=("http://node0.test",))
    with pytest.raises(BadAnswer):
        alone.collect(ROOT, [])
    chain = make()
    require_proven(chain.collect(ROOT, []), ROOT)
    assert len(chain.troubles()) == 1


def test_another_contract_s_record_means_nothing(
    chain: NodeChain, stub: StubNode, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.mine(10, roots=(ROOT,))
    monkeypatch.setattr(node, "CONTRACT_CODE_HASH", bytes(32))
    with pytest.raises(BadAnswer, match=r"as http://node0.test proves"):
        chain.collect(ROOT, [])
    stub.answers["eth_getProof"] = refusing(-32601, "no")
    with pytest.raises(
        BadAnswer, match=r"says http://node0.test: what is kept there means nothing"
    ):
        chain.collect(ROOT, [])


@pytest.mark.parametrize(
    "receipt", [1, [], {}, {"logs": None}, {"logs": [], "transactionHash": hexed(bytes(32))}, "0x"]
)
def test_a_receipt_of_another_form_is_a_bad_answer(
    chain: NodeChain, stub: StubNode, world: World, receipt: object
) -> None:
    world.mine(10, roots=(ROOT,))
    stub.answers["eth_getTransactionReceipt"] = receipt
    with pytest.raises(BadAnswer):
        chain.collect(ROOT, [SignedTransaction(b"", ROOT, PAYER, 0)])


@pytest.mark.parametrize(
    "log",
    [
        None,
        {},
        {"topics": []},
        {"topics": ["0x"] * 5, "address": hexed(PAYER)},
        {"topics": ["0x00"], "address": hexed(PAYER)},
    ],
)
def test_a_log_of_another_form_is_a_bad_answer(chain: NodeChain, world: World, log: object) -> None:
    world.mine(10, roots=(ROOT,), transaction=OTHER)
    world.receipts[OTHER]["logs"] = [log]
    with pytest.raises(BadAnswer):
        chain.collect(ROOT, [SignedTransaction(b"", OTHER, PAYER, 0)])


def test_a_node_answers_with_the_block_that_was_asked_for(
    chain: NodeChain, stub: StubNode, world: World
) -> None:
    world.mine(10)
    client = Client(Endpoint("http://node0.test", timeout=5))
    stub.answers["eth_getBlockByNumber"] = world.blocks[3]
    stub.answers["eth_getBlockByHash"] = world.blocks[3]
    with pytest.raises(BadAnswer, match="another block"):
        client.block(4)
    with pytest.raises(BadAnswer, match="another block"):
        client.block(bytes(32))
    stub.answers["eth_getBlockByNumber"] = None
    with pytest.raises(BadAnswer, match="no newest block"):
        client.newest()


# Signing


def decoded(transaction: SignedTransaction) -> list[Any]:
    assert transaction.raw[0] == 2
    fields: list[Any] = rlp.decode(transaction.raw[1:])
    return fields


def test_a_signed_transaction_is_what_it_says(chain: NodeChain, stub: StubNode) -> None:
    transaction = signed(chain)
    assert (
        bytes.fromhex(Account.recover_transaction(transaction.raw)[2:])
        == PAYER
        == transaction.sender
    )
    assert keccak256(transaction.raw) == transaction.hash
    chain_id, nonce, tip, most, gas, to, value, data, _, *_ = decoded(transaction)
    numbers = [int.from_bytes(each) for each in (chain_id, nonce, tip, most, gas, value)]
    assert numbers == [CHAIN_ID, 0, GWEI, 3 * GWEI, 57_000, 0]
    assert to == CONTRACT_ADDRESS
    assert data == keccak256(b"anchor(bytes32)")[:4] + ROOT
    several = signed(chain, ROOT, OTHER)
    assert decoded(several)[7][:4] == keccak256(b"anchorAll(bytes32[])")[:4]
    # Signing sends nothing.
    assert stub.pool == {}


def test_the_next_nonce_counts_what_waits(chain: NodeChain, stub: StubNode) -> None:
    chain.send(signed(chain))
    assert signed(chain, OTHER).nonce == 1


@pytest.mark.parametrize(
    ("newest", "pending"), [("0x0", "0x41"), ("0x5", "0x4"), ("0x0", "0x" + "f" * 12)]
)
def test_a_nonce_that_cannot_be_is_a_bad_answer(
    chain: NodeChain, stub: StubNode, newest: str, pending: str
) -> None:
    stub.answers["eth_getTransactionCount"] = lambda params: {"latest": newest, "pending": pending}[
        params[1]
    ]
    with pytest.raises(BadAnswer, match=r"transactions of 0xf39f.* wait"):
        chain.sign([ROOT])


def test_nothing_is_signed_where_the_contract_does_not_stand(
    chain: NodeChain, stub: StubNode
) -> None:
    for code in ("0x", "0x6001"):
        stub.answers["eth_getCode"] = code
        with pytest.raises(BadAnswer, match="EvidenceAnchor is not at"):
            chain.sign([ROOT])


def test_without_a_key_nothing_is_signed(stub: StubNode, clock: Clock) -> None:
    chain = NodeChain(
        "test", ChainSettings(chain_id=CHAIN_ID, urls=("http://node0.test",)), None, clock
    )
    with pytest.raises(InvalidInput, match="no key"):
        chain.sign([ROOT])


@pytest.mark.parametrize(
    ("estimate", "gas"),
    [(21_000, 57_000), (50_000, 60_000), (400_000, 480_000), (13_000_000, 15_600_000)],
)
def test_gas_is_within_our_own_bounds(
    stub: StubNode, make: Callable[..., NodeChain], estimate: int, gas: int
) -> None:
    stub.answers["eth_estimateGas"] = hex(estimate)
    stub.answers["eth_maxPriorityFeePerGas"] = "0x0"
    stub.world.base_fee = 10**7
    stub.world.mine()
    transaction = signed(make())
    assert int.from_bytes(decoded(transaction)[4]) == gas


@pytest.mark.parametrize("estimate", [MAX_GAS, 2**60, 4_000_000])
def test_a_huge_estimate_is_not_believed(chain: NodeChain, stub: StubNode, estimate: int) -> None:
    stub.answers["eth_estimateGas"] = hex(estimate)
    with pytest.raises(BadAnswer, match=f"takes {estimate} gas, and 90000 is usual"):
        chain.sign([ROOT])


def test_the_account_must_hold_what_may_be_spent(chain: NodeChain, stub: StubNode) -> None:
    need = 57_000 * 3 * GWEI
    stub.answers["eth_getBalance"] = hex(need)
    assert chain.sign([ROOT])
    stub.answers["eth_getBalance"] = hex(need - 1)
    with pytest.raises(
        Unaffordable,
        match=f"0x{PAYER.hex()} on test is too poor for a transaction: it must hold {need} wei",
    ):
        chain.sign([ROOT])


def test_a_base_fee_above_the_cap_waits(stub: StubNode, make: Callable[..., NodeChain]) -> None:
    chain = make(fee_cap=0.5)
    with pytest.raises(
        Unaffordable, match=r"the chain asks 1\.001 gwei .* and the cap is 0\.5 gwei"
    ):
        chain.sign([ROOT])
    assert chain.troubles() == []


@pytest.mark.parametrize(
    ("settings", "tip", "offered"),
    [
        ({}, hex(7 * GWEI), 7 * GWEI),
        ({}, hex(2**200), 50 * GWEI),
        ({"tip": 0.25}, hex(7 * GWEI), GWEI // 4),
        ({"tip": 0.0}, hex(7 * GWEI), 0),
        ({}, refusing(-32601, "no such method"), GWEI),
    ],
)
def test_the_tip_is_what_was_set_or_what_the_node_says_within_bounds(
    stub: StubNode,
    make: Callable[..., NodeChain],
    settings: dict[str, Any],
    tip: object,
    offered: int,
) -> None:
    stub.answers["eth_maxPriorityFeePerGas"] = tip
    assert int.from_bytes(decoded(signed(make(**settings)))[2]) == offered


def test_a_legacy_transaction(stub: StubNode, make: Callable[..., NodeChain]) -> None:
    chain = make(fees="legacy", fee_cap=3)
    transaction = signed(chain)
    assert read_offer(transaction.raw) == Offer(2 * GWEI, 2 * GWEI, is_legacy=True)
    assert bytes.fromhex(Account.recover_transaction(transaction.raw)[2:]) == PAYER
    assert chain.sign([ROOT], transaction) is None
    stub.answers["eth_gasPrice"] = hex(2 * GWEI + 1)
    better = chain.sign([ROOT], transaction)
    assert better
    assert read_offer(better.raw).most == 2 * GWEI + GWEI // 4
    stub.answers["eth_gasPrice"] = hex(4 * GWEI)
    with pytest.raises(Unaffordable):
        chain.sign([ROOT])


def test_a_chain_without_a_base_fee_must_be_set_to_legacy(
    network: Network, make: Callable[..., NodeChain]
) -> None:
    network.add(StubNode(World(base_fee=None)))
    with pytest.raises(BadAnswer, match="set `fees` to legacy"):
        make().sign([ROOT])


def test_a_replacement_has_the_nonce_and_better_fees(
    chain: NodeChain, stub: StubNode, world: World
) -> None:
    first = signed(chain)
    chain.send(first)
    assert chain.sign([ROOT], first) is None
    world.base_fee = 5 * GWEI
    world.mine()
    second = chain.sign([ROOT], first)
    assert second
    assert (second.nonce, second.sender) == (first.nonce, first.sender)
    before, after = read_offer(first.raw), read_offer(second.raw)
    assert after == Offer(11 * GWEI, bumped(GWEI))
    assert after.tip >= before.tip * 9 / 8
    # Signed anew from what was stored, after a restart.
    assert chain.sign([ROOT], second) is None


def test_a_replacement_above_the_cap_is_unaffordable(
    stub: StubNode, make: Callable[..., NodeChain], world: World
) -> None:
    chain = make(fee_cap=3.2)
    first = signed(chain)
    world.base_fee = 3 * GWEI
    world.mine()
    with pytest.raises(Unaffordable, match=r"to replace .* 3\.375 gwei .* the cap is 3\.2 gwei"):
        chain.sign([ROOT], first)


def test_what_is_in_a_block_is_not_replaced(chain: NodeChain, world: World) -> None:
    first = signed(chain)
    world.base_fee = 50 * GWEI
    world.mine(spent=1)
    assert chain.sign([ROOT], first) is None


def test_a_replacement_needs_the_same_account(chain: NodeChain) -> None:
    with pytest.raises(InvalidInput, match="put the former key back"):
        chain.sign([ROOT], SignedTransaction(b"", bytes(32), STRANGER, 0))


def test_a_signer_s_failure_is_not_the_endpoint_s(
    chain: NodeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_transaction: Any) -> bytes:
        raise BadAnswer("the signer refuses")

    monkeypatch.setattr(chain._signer, "sign", refuse)
    with pytest.raises(BadAnswer, match="the signer refuses"):
        chain.sign([ROOT])
    assert chain.troubles() == []


def test_any_call_can_be_signed_for_the_same_fees(chain: NodeChain, stub: StubNode) -> None:
    stub.answers["eth_estimateGas"] = hex(400_000)
    fields = decoded(chain.sign_call(lambda bridge: bridge.call(bytes(20), b"data"), 500_000))
    assert (fields[5], fields[7], int.from_bytes(fields[4])) == (bytes(20), b"data", 480_000)
    fields = decoded(chain.sign_call(lambda bridge: bridge.creation(), 500_000))
    assert (fields[5], fields[7]) == (b"", artefact().init_code)


# Sending


def test_sending_twice_is_sending_once_and_every_node_gets_it(
    three: list[StubNode], make: Callable[..., NodeChain]
) -> None:
    chain = make()
    transaction = signed(chain)
    for _ in range(2):
        chain.send(transaction)
    assert [list(each.pool) for each in three] == [[transaction.hash]] * 3
    three[0].mine_pool()
    chain.send(transaction)


def test_one_node_that_takes_it_is_enough(
    three: list[StubNode], make: Callable[..., NodeChain]
) -> None:
    chain = make()
    transaction = signed(chain)
    three[0].fails = Unreachable("gone")
    three[1].answers["eth_sendRawTransaction"] = refusing(-32000, "nonce too low")
    chain.send(transaction)
    assert list(three[2].pool) == [transaction.hash]


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (-32000, "nonce too low: next nonce 5, tx nonce 3", Conflict),
        (-32010, "OldNonce, Current nonce: 5, nonce of rejected tx: 3", Conflict),
        (-32000, "Nonce too low", Conflict),
        (-32000, "replacement transaction underpriced", Conflict),
        (-32010, "ReplacementNotAllowed", Conflict),
        (-32000, "insufficient funds for gas * price + value: balance 0, tx cost 1", Unaffordable),
        (-32010, "InsufficientFunds, Account balance: 0", Unaffordable),
        (-32000, "transaction underpriced: gas tip cap 0, minimum needed 1", Unaffordable),
        (-32003, "max fee per gas less than block base fee", Unaffordable),
        (-32010, "FeeTooLow, MaxFeePerGas too low", Unaffordable),
        (-32000, "tx fee (1.00 ether) exceeds the configured cap (0.50 ether)", Unaffordable),
        (-32000, "txpool is full", Unreachable),
        (-32000, "nonce too high", Unreachable),
        (-32603, "internal error", Unreachable),
        (-32000, "invalid sender", BadAnswer),
        (-32602, "Failed to decode transaction", BadAnswer),
    ],
)
def test_what_a_refusal_means(
    chain: NodeChain, stub: StubNode, code: int, message: str, kind: type[WitnesstreeError]
) -> None:
    transaction = signed(chain)
    stub.answers["eth_sendRawTransaction"] = refusing(code, message)
    with pytest.raises(kind) as caught:
        chain.send(transaction)
    assert isinstance(caught.value, Unaffordable) == (kind is Unaffordable)


@pytest.mark.parametrize(
    "message",
    ["already known", "Known transaction", "transaction already imported", "AlreadyKnown"],
)
def test_a_node_that_knows_it_has_taken_it(chain: NodeChain, stub: StubNode, message: str) -> None:
    stub.answers["eth_sendRawTransaction"] = refusing(-32000, message)
    stub.answers["eth_getTransactionByHash"] = refusing(
        -32000, "transaction indexing is in progress"
    )
    chain.send(signed(chain))


def test_of_several_refusals_the_taken_nonce_counts(
    three: list[StubNode], make: Callable[..., NodeChain]
) -> None:
    chain = make()
    transaction = signed(chain)
    three[0].answers["eth_sendRawTransaction"] = refusing(-32000, "insufficient funds")
    three[1].answers["eth_sendRawTransaction"] = refusing(-32000, "nonce too low")
    three[2].fails = Unreachable("gone")
    with pytest.raises(Conflict):
        chain.send(transaction)


@pytest.mark.parametrize("hash_", [hexed(bytes(32)), "0x", None])
def test_the_hash_must_be_ours(chain: NodeChain, stub: StubNode, hash_: object) -> None:
    stub.answers["eth_sendRawTransaction"] = hash_
    with pytest.raises(BadAnswer):
        chain.send(signed(chain))


def test_what_is_no_transaction_is_not_sent(chain: NodeChain, stub: StubNode) -> None:
    transaction = signed(chain)
    for raw, hash_ in (
        (b"", keccak256(b"")),
        (b"\x02", keccak256(b"\x02")),
        (transaction.raw, bytes(32)),
    ):
        with pytest.raises(InvalidInput):
            chain.send(SignedTransaction(raw, hash_, PAYER, 0))
    assert "eth_sendRawTransaction" not in stub.asked


def test_closing(chain: NodeChain) -> None:
    chain.close()
    assert chain.name == "test"


# What a verifier's nodes say


def proof_of(*anchors: Anchor, opening: str | None = None) -> Proof:
    return Proof(
        bytes(32),
        Inclusion(1, 2, ROOT, (bytes(32),)),
        OpeningProof(opening, ()) if opening else None,
        anchors=anchors,
    )


def anchor_at(
    world: World, number: int, chain_id: int = CHAIN_ID, contract: bytes = CONTRACT_ADDRESS
) -> Anchor:
    return Anchor(
        chain_id, contract, None, number, bytes.fromhex(world.blocks[number]["hash"][2:]), None
    )


def opening_with(world: World, number: int) -> str:
    block = BlockName(CHAIN_ID, number, bytes.fromhex(world.blocks[number]["hash"][2:]))
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return format_opening(Opening("ledger.test/x", 1, bytes(32), now, block))


def test_a_node_names_the_blocks_of_the_proof_and_the_record(stub: StubNode, world: World) -> None:
    world.mine(10, roots=(ROOT,))
    said = ask_nodes(
        ["http://node0.test"], proof_of(anchor_at(world, 5), opening=opening_with(world, 2))
    )
    assert [(block.number, block.hash.hex()) for block in said.trust.blocks] == [
        (n, world.blocks[n]["hash"][2:]) for n in (2, 5)
    ]
    assert {block.source for block in said.trust.blocks} == {
        message("node-says-so", place="http://node0.test")
    }
    assert said.trust.anchorings == (
        TrustedAnchoring(
            CHAIN_ID,
            CONTRACT_ADDRESS,
            ROOT,
            START + 12,
            message("node-says-so", place="http://node0.test"),
        ),
    )
    assert said.notes == ()


def test_what_is_not_final_there_is_not_confirmed(stub: StubNode, world: World) -> None:
    world.mine(10)
    said = ask_nodes(["http://node0.test"], proof_of(anchor_at(world, 7)))
    assert said.trust.blocks == ()
    assert (
        str(said.notes[0])
        == "http://node0.test does not have block 7 as final: its newest final one is 6."
    )
    assert "no record of the root" in str(said.notes[1])
    assert said.trust.anchorings == ()
    stub.finalizes = 100
    assert "names no final block" in str(
        ask_nodes(["http://node0.test"], proof_of(anchor_at(world, 7))).notes[0]
    )


def test_a_node_of_another_chain_is_told(stub: StubNode, world: World) -> None:
    for proof, names in (
        (proof_of(anchor_at(world, 0, chain_id=1)), "Ethereum"),
        (proof_of(), "no chain"),
        (proof_of(opening="rubbish"), "no chain"),
    ):
        with pytest.raises(
            BadAnswer, match=f"is a node of chain {CHAIN_ID}, and the proof names {names}"
        ):
            ask_nodes(["http://node0.test"], proof)


def test_two_nodes_that_contradict_each_other_are_both_not_believed(
    three: list[StubNode], world: World
) -> None:
    three[1].world = fork(world)
    proof = proof_of(anchor_at(world, 3))
    assert len(ask_nodes(["http://node0.test", "http://node2.test"], proof).trust.blocks) == 2
    with pytest.raises(BadAnswer, match="two nodes of one chain name different blocks 3"):
        ask_nodes(["http://node0.test", "http://node1.test"], proof)


def test_a_node_that_fails_is_left_out_where_another_answers(
    three: list[StubNode], world: World
) -> None:
    proof, urls = proof_of(anchor_at(world, 3)), ["http://node0.test", "http://node1.test"]
    for failure, words in (
        (Unreachable("node0 cannot be reached"), "node0 cannot be reached"),
        (BadAnswer("node0 lies"), "node0 lies"),
    ):
        three[0].fails = failure
        for asked in (urls, urls[::-1]):
            said = ask_nodes(asked, proof)
            assert [block.source for block in said.trust.blocks] == [
                message("node-says-so", place="http://node1.test")
            ]
            assert f"One node was left out: {words}." in map(str, said.notes)
    three[0].fails, three[0].answers["eth_chainId"] = None, "0x1"
    assert "is a node of Ethereum" in str(ask_nodes(urls, proof).notes[0])


def test_a_node_that_fails_in_the_middle_counts_for_nothing(
    three: list[StubNode], world: World
) -> None:
    three[0].world = fork(world)
    three[0].answers["eth_getCode"] = "no code"
    said = ask_nodes(["http://node0.test", "http://node1.test"], proof_of(anchor_at(world, 3)))
    # Its other block 3 would have contradicted the sound one.
    assert [block.hash.hex() for block in said.trust.blocks] == [world.blocks[3]["hash"][2:]]
    assert "One node was left out: http://node0.test gives 'no code' for eth_getCode" in str(
        said.notes[0]
    )


def test_where_all_nodes_fail_their_failure_is_told(three: list[StubNode], world: World) -> None:
    proof = proof_of(anchor_at(world, 3))
    three[0].fails, three[1].fails, three[2].fails = (
        Unreachable("down"),
        BadAnswer("lies"),
        BadAnswer("lies, too"),
    )
    with pytest.raises(Unreachable, match="down, lies"):
        ask_nodes(["http://node0.test", "http://node1.test"], proof)
    with pytest.raises(BadAnswer, match="lies, lies, too"):
        ask_nodes(["http://node1.test", "http://node2.test"], proof)
    with pytest.raises(Unreachable, match=r"^down$"):
        ask_nodes(["http://node0.test"], proof)


@pytest.mark.parametrize("url", ["http://[secret", "secret", "ftp://secret", "http://"])
def test_an_address_that_cannot_be_read_names_the_option(url: str, world: World) -> None:
    with pytest.raises(
        InvalidInput, match=r"^(--rpc takes the|a node's) address .*expected:? http://"
    ) as caught:
        ask_nodes([url], proof_of(anchor_at(world, 0)))
    assert "secret" not in str(caught.value)


def test_another_code_or_another_address_is_no_record_of_that_time(
    stub: StubNode, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.mine(10, roots=(ROOT,))
    monkeypatch.setattr(
        stub, "_eth_get_code", lambda _address, _at: stub.answers["code"], raising=False
    )
    stub.answers["code"] = "0x60"
    elsewhere = proof_of(anchor_at(world, 3, contract=bytes(20)))
    assert ask_nodes(["http://node0.test"], elsewhere).trust.anchorings == ()
    monkeypatch.setattr(check, "CONTRACT_CODE_HASH", keccak256(b"\x60"))
    # Whoever made it could have written the slot before, so only the final block's own time counts.
    assert [
        record.time for record in ask_nodes(["http://node0.test"], elsewhere).trust.anchorings
    ] == [START + 12 * 6]


def test_an_anchor_with_its_own_proof_or_of_another_chain_needs_no_record(
    chain: NodeChain, world: World
) -> None:
    world.mine(10, roots=(ROOT,))
    anchor = chain.collect(ROOT, [])
    assert anchor
    said = ask_nodes(["http://node0.test"], proof_of(anchor, anchor_at(world, 1, chain_id=1)))
    assert [block.number for block in said.trust.blocks] == [anchor.block_number]
    assert said.trust.anchorings == ()
    unsealed = Proof(bytes(32), anchors=(anchor_at(world, 3),))
    assert ask_nodes(["http://node0.test"], unsealed).trust.anchorings == ()


@pytest.mark.parametrize("kind", ["env", "file"])
def test_an_address_may_be_where_nobody_sees_it(
    stub: StubNode, world: World, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.mine(10)
    place = tmp_path / "address"
    place.write_text("http://node0.test\n")
    monkeypatch.setenv("NODE", "http://node0.test")
    given = {"env": "env:NODE", "file": f"file:{place}"}[kind]
    said = ask_nodes([given], proof_of(anchor_at(world, 5)))
    assert [block.number for block in said.trust.blocks] == [5]


@pytest.mark.parametrize(
    ("content", "given", "code"),
    [
        ("node0.test/KEY", "env:NODE", "rpc-option-wrong"),
        ("KEY", "env:NODE", "rpc-option-wrong"),
        ("http://[KEY", "env:NODE", "rpc-option-not-an-address"),
        ("", "env:https://node0.test/KEY", "rpc-option-not-an-address"),
        ("", "file:https://node0.test/KEY", "rpc-option-not-an-address"),
        ("", "env:ABSENT", "settings-variable-missing"),
        ("", "file:/absent", "settings-secret-unreadable"),
    ],
)
def test_an_address_that_is_none_is_not_repeated(
    world: World, content: str, given: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE", content)
    monkeypatch.delenv("ABSENT", raising=False)
    world.mine(1)
    with pytest.raises(InvalidInput) as raised:
        ask_nodes([given], proof_of(anchor_at(world, 0)))
    assert raised.value.message.code == code
    assert "KEY" not in str(raised.value)
    assert "KEY" not in str(raised.value.message.members)


@pytest.mark.parametrize(("finality", "number"), [({}, 6), ({CHAIN_ID: 1}, 9), ({1: 1}, 6)])
def test_a_chain_s_own_finality_is_asked_for(
    stub: StubNode, world: World, finality: dict[int, int], number: int
) -> None:
    world.mine(10)
    said = ask_nodes(["http://node0.test"], proof_of(anchor_at(world, 9)), finality)
    assert [block.number for block in said.trust.blocks] == [9] * (number == 9)
    if number != 9:
        assert said.notes[0] == message(
            "block-not-final-yet", place="http://node0.test", number=9, final=number
        )


def test_a_verifier_takes_no_block_whose_header_fits_into_no_proof(
    stub: StubNode, world: World
) -> None:
    world.mine(6)
    world.extra = bytes(MAX_HEADER)
    world.mine(4)
    said = ask_nodes(["http://node0.test"], proof_of(anchor_at(world, 7)), {CHAIN_ID: 1})
    assert said.notes[0] == message(
        "block-not-final-yet", place="http://node0.test", number=7, final=6
    )


def test_refusals_are_found_in_what_several_endpoints_say(
    three: list[StubNode], make: Callable[..., NodeChain]
) -> None:
    chain = make()
    for each in three:
        each.answers["eth_sendRawTransaction"] = refusing(-32000, "insufficient funds for gas")
    with pytest.raises(BadAnswer) as caught:
        chain.endpoints.first(lambda endpoint: Client(endpoint).send(b"\x02"))
    assert len(refusals(caught.value)) == 3
    assert is_for_want_of_money(caught.value)
    assert len(refusals(refusals(caught.value)[0])) == 1
    assert not is_for_want_of_money(BadAnswer("nonsense"))
