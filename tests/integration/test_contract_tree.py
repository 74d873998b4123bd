"""The contract's `verify` on the embedded chain and ledger/tree/tree.py's `root_from_path` say the
same of the same trees."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import web3reader
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from witnesstree.anchor.evm.contract import anchoring_calldata
from witnesstree.anchor.evm.local import KEY_FILE, LocalChain, _signed
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.chain.stateproof import CONTRACT_ADDRESS
from witnesstree.ledger.tree.tree import parent, prove, root_from_path, root_of

TREES = 1000
BATCH = 500
"""Roots in one transaction: 27,000 gas each, and a block has 30,000,000."""
TIME = 1_795_405_735
SELECTOR = keccak(text="verify(bytes32,bytes32,bytes32[])")[:4]


class Tree:
    """A random tree, a leaf of it and its path."""

    def __init__(self, rng: random.Random) -> None:
        size = rng.choice([rng.randint(1, 9), rng.randint(1, 9), rng.randint(10, 130)])
        self.leaves = rng.randbytes(32 * size)
        self.size = size
        self.position = rng.randrange(size)
        self.digest = self.leaves[32 * self.position :][:32]
        self.root = root_of(self.leaves)
        self.path = prove(self.leaves, self.position)


class Contract:
    """The deployed contract, asked by its virtual machine directly: a thousand times faster to set
    up than a call through web3."""

    def __init__(self, chain: LocalChain) -> None:
        miner = chain._miner()
        self.through_web3 = web3reader.Contract(web3reader.web3_on(chain))
        self._vm = miner._chain.get_vm(miner._chain.get_canonical_head())
        self._code = self._vm.state.get_code(CONTRACT_ADDRESS)  # type: ignore[arg-type]

    def verify(self, root: bytes, digest: bytes, path: list[bytes]) -> tuple[bool, int]:
        computation = self._vm.execute_bytecode(
            origin=bytes(20),  # type: ignore[arg-type]
            gas_price=0,
            gas=10_000_000,
            to=CONTRACT_ADDRESS,  # type: ignore[arg-type]
            sender=bytes(20),  # type: ignore[arg-type]
            value=0,
            data=SELECTOR + encode(["bytes32", "bytes32", "bytes32[]"], [root, digest, path]),
            code=self._code,
        )
        computation.raise_if_error()
        included, time = decode(["bool", "uint64"], computation.output)
        return included, time


@pytest.fixture(scope="module")
def trees() -> list[Tree]:
    rng = random.Random(4998)
    return [Tree(rng) for _ in range(TREES)]


@pytest.fixture(scope="module")
def contract(trees: list[Tree], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    """The contract on a chain that has anchored every tree's root."""
    folder: Path = tmp_path_factory.mktemp("home") / "chain"
    chain = LocalChain.create(folder, lambda: datetime.fromtimestamp(TIME, UTC))
    key = bytes.fromhex((folder / KEY_FILE).read_text())
    for start in range(0, TREES, BATCH):
        calldata = anchoring_calldata([tree.root for tree in trees[start : start + BATCH]])
        chain.send(_signed(chain._file, key, CONTRACT_ADDRESS, calldata, 29_000_000))
    yield Contract(chain)
    chain.close()


def accepts(root: bytes, digest: bytes, position: int, size: int, path: list[bytes]) -> bool:
    """What the ledger says."""
    try:
        return root_from_path(digest, position, size, path) == root
    except InvalidInput:
        return False


def flipped(rng: random.Random, node: bytes) -> bytes:
    at = rng.randrange(32)
    return node[:at] + bytes([node[at] ^ 1 << rng.randrange(8)]) + node[at + 1 :]


def corrupted(
    rng: random.Random, tree: Tree, other: Tree
) -> Iterator[tuple[str, bytes, bytes, list[bytes]]]:
    """Yield named changes of the root, the digest and the path, each of which makes the claim
    false."""
    yield "another digest", tree.root, flipped(rng, tree.digest), tree.path
    yield "another root, anchored too", other.root, tree.digest, tree.path
    yield "another root, never anchored", flipped(rng, tree.root), tree.digest, tree.path
    yield "a hash too many", tree.root, tree.digest, [*tree.path, rng.randbytes(32)]
    if tree.path:
        at = rng.randrange(len(tree.path))
        yield (
            "another hash",
            tree.root,
            tree.digest,
            [*tree.path[:at], flipped(rng, tree.path[at]), *tree.path[at + 1 :]],
        )
        yield "a hash too few", tree.root, tree.digest, tree.path[:at] + tree.path[at + 1 :]
    if len(tree.path) > 1:
        yield "the path backwards", tree.root, tree.digest, tree.path[::-1]


def test_what_the_ledger_accepts_the_contract_accepts(
    trees: list[Tree], contract: Contract
) -> None:
    for number, tree in enumerate(trees):
        assert accepts(tree.root, tree.digest, tree.position, tree.size, tree.path)
        # The clock stands still, so each block is a second after its parent.
        assert contract.verify(tree.root, tree.digest, tree.path) == (
            True,
            TIME + number // BATCH,
        ), number


def test_what_is_false_both_refuse(trees: list[Tree], contract: Contract) -> None:
    rng = random.Random(3161)
    seen = dict.fromkeys(
        ["another digest", "another hash", "a hash too few", "the path backwards"], 0
    )
    for tree, other in zip(trees, [*trees[1:], trees[0]], strict=True):
        name, root, digest, path = rng.choice(list(corrupted(rng, tree, other)))
        assert not accepts(root, digest, tree.position, tree.size, path), name
        included, _ = contract.verify(root, digest, path)
        assert not included, name
        seen[name] = seen.get(name, 0) + 1
    assert min(seen.values()) > TREES / 20


def test_every_change_of_one_tree_is_refused_by_both(trees: list[Tree], contract: Contract) -> None:
    tree = max(trees, key=lambda tree: len(tree.path))
    other = next(candidate for candidate in trees if candidate is not tree)
    for name, root, digest, path in corrupted(random.Random(0), tree, other):
        assert not accepts(root, digest, tree.position, tree.size, path), name
        assert not contract.verify(root, digest, path)[0], name


def test_a_call_through_web3_says_the_same(trees: list[Tree], contract: Contract) -> None:
    for tree in trees[:20]:
        for digest in (tree.digest, bytes(32)):
            assert contract.through_web3.verify(tree.root, digest, tree.path) == contract.verify(
                tree.root, digest, tree.path
            )


def test_only_the_ledger_sees_a_node_that_passes_for_a_leaf(
    trees: list[Tree], contract: Contract
) -> None:
    """The one difference, by design: the contract knows no position, so it cannot demand a path's
    length."""
    tree = next(tree for tree in trees if len(tree.path) > 2)
    node = parent(tree.digest, tree.path[0])
    assert contract.verify(tree.root, node, tree.path[1:])[0]
    assert not accepts(tree.root, node, tree.position, tree.size, tree.path[1:])
