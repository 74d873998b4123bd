"""The embedded chain: real blocks and proofs, kept through crashes, and every damage found by
name."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import rlp
from eth.db.schema import SchemaV1
from eth_account import Account
from eth_typing import BlockNumber, Hash32
from eth_utils.address import to_checksum_address
from web3reader import Contract, web3_on

from witnesstree.anchor.evm import blocks, local, mining
from witnesstree.anchor.evm.blocks import FILE, HEAD, ChainFile, canonical_hash
from witnesstree.anchor.evm.contract import anchoring_calldata, artefact
from witnesstree.anchor.evm.local import KEY_FILE, LocalChain
from witnesstree.ledger.base.errors import Conflict, Damaged, InvalidInput, NotFound, StorageFailure
from witnesstree.ledger.base.ports import SignedTransaction, Standing
from witnesstree.ledger.base.witness import Anchor
from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.chain.known import LOCAL_CHAIN_ID
from witnesstree.ledger.chain.stateproof import (
    CONTRACT_ADDRESS,
    CONTRACT_CODE_HASH,
    parse_header,
    prove_slot,
)

START = datetime(2026, 11, 23, 3, 48, 55, tzinfo=UTC)
ROOT, OTHER = (sha256(name).digest() for name in (b"root", b"other"))


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "chain"


@pytest.fixture
def chain(folder: Path, clock: Clock) -> Iterator[LocalChain]:
    chain = LocalChain.create(folder, clock)
    yield chain
    chain.close()


def anchor(chain: LocalChain, root: bytes) -> bytes:
    transaction = chain.sign([root])
    chain.send(transaction)
    return transaction


def require_honest(anchored: Anchor | None, root: bytes) -> int:
    """Check an anchor as a verifier would; return the block in which the root came first."""
    assert anchored
    assert anchored.state
    header = parse_header(anchored.state.header)
    assert (header.hash, header.number) == (anchored.block_hash, anchored.block_number)
    slot = prove_slot(
        header, anchored.contract, root, anchored.state.account, anchored.state.storage
    )
    assert slot.code_hash == CONTRACT_CODE_HASH
    return slot.anchoring.block_number


def contract_of(chain: LocalChain) -> Contract:
    return Contract(web3_on(chain))


def change(folder: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(folder / FILE)
    with connection:
        assert connection.execute(statement, values).rowcount != 0
    connection.close()


# What it is


def test_it_is_a_chain_of_its_own(chain: LocalChain) -> None:
    assert chain.name == "local"
    assert chain.recent_block().chain_id == LOCAL_CHAIN_ID == int.from_bytes(b"WITN")


def test_the_contract_stands_where_it_stands_on_public_chains(chain: LocalChain) -> None:
    code = web3_on(chain).eth.get_code(to_checksum_address(CONTRACT_ADDRESS))
    assert keccak256(code) == CONTRACT_CODE_HASH == artefact().code_hash


def test_the_key_is_for_its_owner_alone_and_every_chain_has_its_own(
    chain: LocalChain, folder: Path, tmp_path: Path
) -> None:
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    LocalChain.create(tmp_path / "second", Clock()).close()
    assert (tmp_path / "second" / KEY_FILE).read_bytes() != (folder / KEY_FILE).read_bytes()


def test_the_keys_of_the_file_are_those_of_py_evm(chain: LocalChain, folder: Path) -> None:
    transaction = anchor(chain, ROOT)
    assert SchemaV1.make_canonical_head_hash_lookup_key() == HEAD
    with ChainFile.open(folder) as file:
        assert (
            file.get(SchemaV1.make_block_number_to_hash_lookup_key(BlockNumber(2)))
            == b"\xa0" + file.head()
        )
        assert file.get(
            SchemaV1.make_transaction_hash_to_block_lookup_key(Hash32(transaction.hash))
        ) == rlp.encode([b"\2", b""])


# Anchoring


def test_a_root_is_signed_sent_and_collected(chain: LocalChain) -> None:
    assert chain.standing(ROOT, None) is Standing.ABSENT
    assert chain.collect(ROOT, []) is None
    transaction = chain.sign([ROOT])
    assert chain.standing(ROOT, None) is Standing.ABSENT
    chain.send(transaction)
    assert chain.standing(ROOT, None) is Standing.FINAL
    assert chain.standing(OTHER, None) is Standing.ABSENT
    anchored = chain.collect(ROOT, [transaction])
    assert require_honest(anchored, ROOT) == 2
    assert anchored
    assert (anchored.chain_id, anchored.contract, anchored.transaction) == (
        LOCAL_CHAIN_ID,
        CONTRACT_ADDRESS,
        transaction.hash,
    )


def test_the_proof_and_the_contract_say_the_same(chain: LocalChain) -> None:
    anchor(chain, ROOT)
    anchored = chain.collect(ROOT, [])
    assert anchored
    assert anchored.state
    slot = prove_slot(
        parse_header(anchored.state.header),
        anchored.contract,
        ROOT,
        anchored.state.account,
        anchored.state.storage,
    )
    assert contract_of(chain).anchored_at(ROOT) == slot.anchoring
    assert contract_of(chain).anchored_at(OTHER) is None


def test_every_root_of_many_can_be_proven_at_the_newest_block(chain: LocalChain) -> None:
    roots = [sha256(b"%d" % i).digest() for i in range(20)]
    for root in roots:
        anchor(chain, root)
    newest = chain.recent_block()
    for number, root in enumerate(roots, start=2):
        anchored = chain.collect(root, [])
        assert require_honest(anchored, root) == number
        assert anchored
        assert anchored.block_hash == newest.hash


def test_the_signed_transaction_is_eip_1559_and_stays_the_same_until_something_is_sent(
    chain: LocalChain, folder: Path
) -> None:
    transaction = chain.sign([ROOT])
    assert chain.sign([ROOT]) == transaction
    assert transaction.raw[0] == 2
    assert transaction.hash == keccak256(transaction.raw)
    account = Account.from_key((folder / KEY_FILE).read_text())
    assert (
        Account.recover_transaction(transaction.raw)
        == account.address
        == to_checksum_address(transaction.sender)
    )
    fields = rlp.decode(transaction.raw[1:])
    assert transaction.nonce == int.from_bytes(fields[1])
    assert int.from_bytes(fields[0]) == LOCAL_CHAIN_ID
    chain.send(transaction)
    assert (
        int.from_bytes(rlp.decode(chain.sign([OTHER]).raw[1:])[1]) == int.from_bytes(fields[1]) + 1
    )


def test_sending_twice_is_sending_once(chain: LocalChain, folder: Path, clock: Clock) -> None:
    transaction = anchor(chain, ROOT)
    block, content = chain.recent_block(), (folder / FILE).read_bytes()
    chain.send(transaction)
    again = LocalChain.open(folder, clock)
    again.send(transaction)
    again.close()
    assert chain.recent_block() == block
    assert (folder / FILE).read_bytes() == content


def test_a_transaction_signed_before_another_was_sent_must_be_signed_again(
    chain: LocalChain,
) -> None:
    first, second = chain.sign([ROOT]), chain.sign([OTHER])
    chain.send(first)
    with pytest.raises(Conflict, match="sign it again"):
        chain.send(second)
    assert chain.standing(OTHER, second) is Standing.LOST
    assert chain.standing(OTHER, None) is Standing.ABSENT
    anchor(chain, OTHER)
    assert chain.standing(OTHER, None) is Standing.FINAL


def test_a_root_that_another_transaction_anchored_has_no_transaction_of_ours(
    chain: LocalChain,
) -> None:
    anchor(chain, ROOT)
    late = anchor(chain, ROOT)
    anchored = chain.collect(ROOT, [late])
    assert require_honest(anchored, ROOT) == 2
    assert anchored
    assert anchored.transaction is None
    never_sent = chain.collect(ROOT, [chain.sign([ROOT])])
    assert never_sent
    assert never_sent.transaction is None


@pytest.mark.parametrize(
    ("name", "transaction"),
    [
        ("empty", lambda signed, _: b""),
        ("cut off", lambda signed, _: signed[:-1]),
        ("with a byte after it", lambda signed, _: signed + b"\0"),
        ("another type", lambda signed, _: b"\3" + signed[1:]),
        ("random", lambda signed, _: b"\2" + sha256(signed).digest() * 4),
        ("another chain's", lambda _, key: sign_with(key, chainId=1)),
        ("an account's without money", lambda _, key: sign_with(sha256(key).digest(), nonce=0)),
        ("too little gas", lambda _, key: sign_with(key, gas=21_000)),
        ("too low a fee", lambda _, key: sign_with(key, maxFeePerGas=1)),
        ("more gas than a block has", lambda _, key: sign_with(key, gas=40_000_000)),
    ],
)
def test_what_is_no_transaction_for_this_chain_is_refused(
    chain: LocalChain, folder: Path, name: str, transaction: Callable[[bytes, bytes], bytes]
) -> None:
    content = (folder / FILE).read_bytes()
    signed = chain.sign([ROOT])
    raw = transaction(signed.raw, bytes.fromhex((folder / KEY_FILE).read_text()))
    with pytest.raises(InvalidInput, match="transaction"):
        chain.send(SignedTransaction(raw, keccak256(raw), signed.sender, signed.nonce))
    assert (folder / FILE).read_bytes() == content
    anchor(chain, ROOT)
    assert chain.standing(ROOT, None) is Standing.FINAL


def sign_with(key: bytes, **fields: int) -> bytes:
    transaction = {
        "type": 2,
        "chainId": LOCAL_CHAIN_ID,
        "nonce": 1,
        "to": CONTRACT_ADDRESS,
        "value": 0,
        "data": bytes(36),
        "gas": 100_000,
    }
    fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 0}
    return bytes(Account.sign_transaction({**transaction, **fees, **fields}, key).raw_transaction)


# Time


def test_blocks_have_the_time_of_the_clock(chain: LocalChain, clock: Clock) -> None:
    clock.now = START + timedelta(hours=5)
    anchor(chain, ROOT)
    assert parse_header(chain.recent_block().header).time == int(clock.now.timestamp())
    record = contract_of(chain).anchored_at(ROOT)
    assert record
    assert record.time == int(clock.now.timestamp())


def test_the_first_root_does_not_stand_in_the_future_and_times_rise_though_the_clock_stands(
    chain: LocalChain,
) -> None:
    anchor(chain, ROOT)
    assert parse_header(chain.recent_block().header).time == int(START.timestamp())
    anchor(chain, OTHER)
    assert parse_header(chain.recent_block().header).time == int(START.timestamp()) + 1


def test_times_rise_though_the_clock_goes_back(chain: LocalChain, clock: Clock) -> None:
    anchor(chain, ROOT)
    clock.now = START - timedelta(days=1)
    anchor(chain, OTHER)
    assert parse_header(chain.recent_block().header).time == int(START.timestamp()) + 1


# Keeping


def test_the_chain_goes_on_where_it_was(chain: LocalChain, folder: Path, clock: Clock) -> None:
    transaction = anchor(chain, ROOT)
    before, block = chain.collect(ROOT, [transaction]), chain.recent_block()
    chain.close()
    again = LocalChain.open(folder, clock)
    assert again.collect(ROOT, [transaction]) == before
    anchor(again, OTHER)
    header = rlp.decode(again.recent_block().header)
    assert header[0] == block.hash
    assert require_honest(again.collect(ROOT, [transaction]), ROOT) == 2
    again.close()


def test_a_reader_beside_the_writer_sees_each_block(
    chain: LocalChain, folder: Path, clock: Clock
) -> None:
    reader = LocalChain.open(folder, clock)
    for root in (ROOT, OTHER):
        assert reader.standing(root, None) is Standing.ABSENT
        anchor(chain, root)
        assert reader.standing(root, None) is Standing.FINAL
        assert reader.recent_block() == chain.recent_block()
    # It wrote nothing so far, but it may: its miner is as new as the file.
    third = sha256(b"third").digest()
    anchor(reader, third)
    assert chain.standing(third, None) is Standing.FINAL
    reader.close()


def test_a_second_chain_is_not_made_over_the_first(
    chain: LocalChain, folder: Path, clock: Clock
) -> None:
    content = (folder / FILE).read_bytes()
    with pytest.raises(Conflict, match="already"):
        LocalChain.create(folder, clock)
    assert (folder / FILE).read_bytes() == content


def test_there_must_be_a_chain_to_open(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(NotFound, match="witnesstree init"):
        LocalChain.open(tmp_path, clock)
    assert not list(tmp_path.iterdir())


def test_a_creation_that_was_cut_off_is_made_good(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "_found", cut_off)
    with pytest.raises(KeyboardInterrupt):
        LocalChain.create(folder, clock)
    with pytest.raises(NotFound):
        LocalChain.open(folder, clock)
    monkeypatch.undo()
    key = (folder / KEY_FILE).read_bytes()
    chain = LocalChain.create(folder, clock)
    anchor(chain, ROOT)
    chain.close()
    assert (folder / KEY_FILE).read_bytes() == key
    assert sorted(path.name for path in folder.iterdir()) == sorted([KEY_FILE, FILE])


@pytest.mark.parametrize(
    ("name", "value"), [("CONTRACT_CODE_HASH", bytes(32)), ("CONTRACT_ADDRESS", bytes(20))]
)
def test_a_contract_that_the_verifier_does_not_know_is_not_founded(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, name: str, value: bytes
) -> None:
    monkeypatch.setattr(local, name, value)
    with pytest.raises(Damaged, match="install witnesstree again"):
        LocalChain.create(folder, clock)
    assert not (folder / FILE).exists()


def test_a_chain_cannot_be_made_where_a_file_is(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailure, match="cannot be made"):
        LocalChain.create(tmp_path / "file" / "chain", clock)


# Crashes


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a forked child and return its wait status.

    The child never returns to pytest.
    """
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def require_sound(folder: Path) -> int:
    """Check every block from the newest to the first, as `canonical_hash` reads them; return the
    newest one's number."""
    with ChainFile.open(folder) as file:
        head = file.head()
        newest = parse_header(file.header(head)).number
        for number in range(newest, -1, -1):
            assert file.canonical_hash(number) == head
            head = rlp.decode(file.header(head))[0]
        assert file.canonical_hash(newest + 1) is None
    return newest


def send_and_die_at(folder: Path, transaction: bytes, statement: int) -> None:
    """Send, and die of SIGKILL before the commit's n-th statement runs; the one after the last is
    death after it."""
    chain = LocalChain.open(folder, Clock())
    chain._miner()
    seen: list[str] = []

    def die(text: str) -> None:
        if seen or text.startswith("BEGIN"):
            seen.append(text)
        if len(seen) == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    chain._file._connection.set_trace_callback(die)
    chain.send(transaction)


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_killed_at_any_statement_the_chain_is_at_the_block_before_or_after(
    chain: LocalChain, folder: Path, clock: Clock
) -> None:
    transaction = chain.sign([ROOT])
    before = chain.recent_block().number
    chain.close()
    for statement in range(1, 200):
        status = in_child(
            lambda statement=statement: send_and_die_at(folder, transaction, statement)
        )  # type: ignore[misc]
        number = require_sound(folder)
        again = LocalChain.open(folder, clock)
        assert (again.standing(ROOT, None) is Standing.FINAL) == (number == before + 1)
        assert number in (before, before + 1)
        again.close()
        if number == before + 1:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert 10 < statement < 199
    again = LocalChain.open(folder, clock)
    again.send(transaction)
    assert again.recent_block().number == before + 1
    assert require_honest(again.collect(ROOT, [transaction]), ROOT) == before + 1
    again.close()


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_killed_at_any_time_no_acknowledged_root_is_missing(
    chain: LocalChain, folder: Path, clock: Clock
) -> None:
    chain.close()
    acknowledged: list[bytes] = []
    for turn in range(6):
        out, back = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                writer = LocalChain.open(folder, clock)
                for i in range(1000):
                    root = sha256(b"%d %d" % (turn, i)).digest()
                    anchor(writer, root)
                    os.write(back, root)
            finally:
                os._exit(1)
        os.close(back)
        acknowledged.append(os.read(out, 32))
        time.sleep(0.013 * turn)
        os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        while root := os.read(out, 32):
            acknowledged.append(root)
        os.close(out)
        newest = require_sound(folder)
        assert newest >= 1 + len(acknowledged)
        assert newest <= 1 + len(acknowledged) + turn + 1
    again = LocalChain.open(folder, clock)
    for root in acknowledged:
        require_honest(again.collect(root, []), root)
    again.close()


def test_a_full_disk_leaves_the_chain_as_it_was(chain: LocalChain, folder: Path) -> None:
    block = chain.recent_block()
    transaction = chain.sign([ROOT])
    connection = chain._file._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    refusal = None
    while refusal is None:
        try:
            chain.send(transaction)
        except StorageFailure as error:
            refusal = str(error)
        else:
            block, transaction = chain.recent_block(), chain.sign([ROOT])
    assert "No space left on device" in refusal
    assert chain.recent_block() == block
    assert require_sound(folder) == block.number
    connection.execute("PRAGMA max_page_count = 100000")
    chain.send(transaction)
    assert chain.recent_block().number == block.number + 1
    assert chain.standing(ROOT, None) is Standing.FINAL


def test_a_block_is_not_added_to_another_than_it_was_made_for(
    chain: LocalChain, folder: Path
) -> None:
    with ChainFile.open(folder) as file:
        with pytest.raises(Conflict, match="another process has added a block"):
            file.put({b"key": b"value"}, after=bytes(32))
        assert file.get(b"key") is None
        file.put({b"key": b"value"}, after=file.head())
        assert file.get(b"key") == b"value"


def test_nothing_is_ever_deleted(chain: LocalChain, folder: Path) -> None:
    def pairs() -> dict[bytes, bytes]:
        connection = sqlite3.connect(folder / FILE)
        found = dict(connection.execute("SELECT key, value FROM pair"))
        connection.close()
        return found

    before = pairs()
    anchor(chain, ROOT)
    after = pairs()
    assert before.keys() <= after.keys()
    assert {key for key in before if before[key] != after[key]} == {
        HEAD,
        b"v1:header_chain_gaps",
        b"v1:chain_gaps",
    } & before.keys()
    with ChainFile.open(folder) as file, pytest.raises(NotImplementedError):
        del mining._Pairs(file)[HEAD]


def test_another_process_that_holds_the_file_is_a_conflict(
    chain: LocalChain, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BUSY_SECONDS", 0)
    holder = sqlite3.connect(folder / FILE, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Conflict, match="another process"):
        canonical_hash(folder, 0)
    holder.close()
    assert canonical_hash(folder, 0)


# Damage


@pytest.mark.parametrize(
    "content",
    [b"", b"not a database", b"SQLite format 3\0" + bytes(84), b"SQLite format 3\0" + bytes(4096)],
)
def test_a_file_that_is_no_chain_is_damaged(tmp_path: Path, clock: Clock, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    for read in (lambda: LocalChain.open(tmp_path, clock), lambda: canonical_hash(tmp_path, 0)):
        with pytest.raises(Damaged, match="fsck"):
            read()
    assert (tmp_path / FILE).read_bytes() == content


def test_a_file_of_a_newer_version_is_left_to_it(
    chain: LocalChain, folder: Path, clock: Clock
) -> None:
    chain.close()
    change(folder, "PRAGMA user_version = 2")
    with pytest.raises(Conflict, match="newer witnesstree"):
        LocalChain.open(folder, clock)


def test_a_file_that_cannot_be_opened_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StorageFailure, match="cannot be read"):
        canonical_hash(tmp_path, 0)


@pytest.mark.parametrize(
    "content", [None, b"", b"00" * 32, b"ff" * 32, b"11" * 31, b"not hex", b"\xff"]
)
def test_a_lost_or_broken_key_stops_signing_and_nothing_else(
    chain: LocalChain, folder: Path, content: bytes | None
) -> None:
    anchor(chain, ROOT)
    (folder / KEY_FILE).unlink()
    if content is not None:
        (folder / KEY_FILE).write_bytes(content)
    with pytest.raises(InvalidInput if content is None else Damaged, match=KEY_FILE):
        chain.sign([OTHER])
    assert require_honest(chain.collect(ROOT, []), ROOT) == 2


def test_a_key_that_cannot_be_read_is_a_storage_failure(chain: LocalChain, folder: Path) -> None:
    (folder / KEY_FILE).unlink()
    (folder / KEY_FILE).mkdir()
    with pytest.raises(StorageFailure, match=KEY_FILE):
        chain.sign([OTHER])


def node_hashes(chain: LocalChain) -> list[bytes]:
    anchored = chain.collect(ROOT, [])
    assert anchored
    assert anchored.state
    return [
        keccak256(node)
        for node in (anchored.state.header, *anchored.state.account, *anchored.state.storage)
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM pair WHERE key = ?",
        "UPDATE pair SET value = x'c0' WHERE key = ?",
        "UPDATE pair SET value = 7 WHERE key = ?",
    ],
)
def test_a_lost_or_changed_node_is_damage(chain: LocalChain, folder: Path, statement: str) -> None:
    anchor(chain, OTHER)
    anchor(chain, ROOT)
    waiting = chain.sign([sha256(b"waiting").digest()])
    for node_hash in node_hashes(chain):
        connection = sqlite3.connect(folder / FILE)
        (kept,) = connection.execute(
            "SELECT value FROM pair WHERE key = ?", (node_hash,)
        ).fetchone()
        connection.close()
        change(folder, statement, node_hash)
        for read in (lambda: chain.collect(ROOT, []), lambda: chain.standing(ROOT, None)):
            with pytest.raises(Damaged, match=FILE):
                read()
        change(folder, "REPLACE INTO pair VALUES (?, ?)", node_hash, kept)
    chain.send(waiting)
    assert require_honest(chain.collect(ROOT, []), ROOT) == 3


def test_mining_on_a_lost_node_is_damage(chain: LocalChain, folder: Path, clock: Clock) -> None:
    anchor(chain, ROOT)
    transaction = chain.sign([OTHER])
    hashes = node_hashes(chain)
    chain.close()
    for key in (*hashes, HEAD):
        connection = sqlite3.connect(folder / FILE)
        (kept,) = connection.execute("SELECT value FROM pair WHERE key = ?", (key,)).fetchone()
        connection.close()
        change(folder, "DELETE FROM pair WHERE key = ?", key)
        again = LocalChain.open(folder, clock)
        with pytest.raises(Damaged, match=FILE):
            again.send(transaction)
        again.close()
        change(folder, "REPLACE INTO pair VALUES (?, ?)", key, kept)
    again = LocalChain.open(folder, clock)
    again.send(transaction)
    again.close()


@pytest.mark.parametrize("head", [b"", bytes(31), bytes(32)])
def test_a_head_that_leads_nowhere_is_damage(chain: LocalChain, folder: Path, head: bytes) -> None:
    change(folder, "UPDATE pair SET value = ? WHERE key = ?", head, HEAD)
    with pytest.raises(Damaged, match=FILE):
        chain.recent_block()


def test_a_head_that_is_no_header_is_damage(chain: LocalChain, folder: Path) -> None:
    code_hash = CONTRACT_CODE_HASH
    change(folder, "UPDATE pair SET value = ? WHERE key = ?", code_hash, HEAD)
    with pytest.raises(Damaged, match="where a header should be"):
        chain.recent_block()


def test_an_account_that_is_not_there_is_damage(chain: LocalChain, folder: Path) -> None:
    genesis = canonical_hash(folder, 0)
    change(folder, "UPDATE pair SET value = ? WHERE key = ?", genesis, HEAD)
    with pytest.raises(Damaged, match="no account"):
        chain.standing(ROOT, None)


def test_another_contract_at_our_address_is_damage(
    chain: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor(chain, ROOT)
    monkeypatch.setattr(local, "CONTRACT_CODE_HASH", bytes(32))
    with pytest.raises(Damaged, match="another contract"):
        chain.collect(ROOT, [])


def test_a_proof_that_does_not_verify_is_damage_and_not_given_out(
    chain: LocalChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InvalidInput("the account proof ends before it reaches a value")

    anchor(chain, ROOT)
    monkeypatch.setattr(local, "prove_slot", refuse)
    with pytest.raises(Damaged, match="does not prove what it says"):
        chain.collect(ROOT, [])


def test_a_transactions_place_that_is_none_is_damage(chain: LocalChain, folder: Path) -> None:
    transaction = anchor(chain, ROOT)
    change(
        folder,
        "UPDATE pair SET value = x'01' WHERE key = ?",
        f"transaction-hash-to-block:{transaction.hash!r}".encode(),
    )
    with pytest.raises(Damaged, match="in which block"):
        chain.collect(ROOT, [transaction])


def test_any_flipped_byte_of_the_file_gives_the_right_hash_none_or_damage(
    chain: LocalChain, folder: Path, tmp_path: Path
) -> None:
    anchor(chain, ROOT)
    honest = canonical_hash(folder, 2)
    chain.close()
    content = (folder / FILE).read_bytes()
    copy = tmp_path / "copy"
    copy.mkdir()
    seen = set()
    for at in range(0, len(content), 211):
        (copy / FILE).write_bytes(content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
        try:
            seen.add(canonical_hash(copy, 2))
        except (Damaged, Conflict, StorageFailure):
            seen.add(None)
        for leftover in copy.iterdir():
            leftover.unlink()
    assert seen == {honest, None}


# Reading without an EVM


def test_canonical_hashes_are_those_of_the_chain(chain: LocalChain, folder: Path) -> None:
    anchor(chain, ROOT)
    content = (folder / FILE).read_bytes()
    web3 = web3_on(chain)
    for number in range(3):
        assert canonical_hash(folder, number) == bytes(web3.eth.get_block(number)["hash"])
    assert canonical_hash(folder, 3) is None
    assert canonical_hash(folder / "elsewhere", 0) is None
    assert (folder / FILE).read_bytes() == content
    assert sorted(path.name for path in folder.iterdir()) == sorted([KEY_FILE, FILE])


@pytest.mark.parametrize("value", [b"", bytes(33), b"\xa0" + bytes(31)])
def test_a_number_without_a_hash_is_damage(chain: LocalChain, folder: Path, value: bytes) -> None:
    change(folder, "UPDATE pair SET value = ? WHERE key = ?", value, b"block-number-to-hash:1")
    with pytest.raises(Damaged, match="block 1"):
        canonical_hash(folder, 1)


def test_a_number_with_another_blocks_hash_is_damage(chain: LocalChain, folder: Path) -> None:
    genesis = canonical_hash(folder, 0)
    assert genesis
    change(
        folder,
        "UPDATE pair SET value = ? WHERE key = ?",
        b"\xa0" + genesis,
        b"block-number-to-hash:1",
    )
    with pytest.raises(Damaged, match="block 0 for block 1"):
        canonical_hash(folder, 1)
    change(
        folder,
        "UPDATE pair SET value = ? WHERE key = ?",
        b"\xa0" + CONTRACT_CODE_HASH,
        b"block-number-to-hash:1",
    )
    with pytest.raises(Damaged, match="no header where block 1"):
        canonical_hash(folder, 1)


def modules_after(program: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", program + "\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(run.stdout.split())


def test_reading_loads_nothing_heavy(chain: LocalChain, folder: Path) -> None:
    anchor(chain, ROOT)
    program = (
        "from pathlib import Path; from witnesstree.anchor.evm.blocks import canonical_hash;"
        f" canonical_hash(Path({str(folder)!r}), 2)"
    )
    assert not {
        "web3",
        "eth",
        "eth_tester",
        "eth_utils",
        "rlp",
        "trie",
        "sqlalchemy",
    } & modules_after(program)
    program = (
        "from datetime import *; from pathlib import Path; from witnesstree.anchor.evm.local"
        f" import LocalChain\nassert LocalChain.open(Path({str(folder)!r}), lambda:"
        f" datetime.now(UTC)).collect({ROOT!r}, [])"
    )
    assert not {"web3", "eth", "eth_tester", "eth_account"} & modules_after(program)


# The contract


def test_it_signs_as_eth_account_does(chain: LocalChain, folder: Path) -> None:
    signed = chain.sign([ROOT, OTHER])
    members = {
        "type": 2,
        "chainId": LOCAL_CHAIN_ID,
        "nonce": signed.nonce,
        "to": CONTRACT_ADDRESS,
        "value": 0,
    }
    fees = {
        "gas": local.ANCHOR_GAS + local.FURTHER_GAS,
        "maxFeePerGas": local.MAX_FEE,
        "maxPriorityFeePerGas": 0,
    }
    transaction = {**members, **fees, "data": anchoring_calldata([ROOT, OTHER])}
    assert signed.raw == bytes(
        Account.sign_transaction(transaction, (folder / KEY_FILE).read_text()).raw_transaction
    )
    assert signed.sender == bytes.fromhex(Account.recover_transaction(signed.raw)[2:])


def test_many_roots_in_one_transaction(chain: LocalChain, folder: Path) -> None:
    roots = [sha256(b"%d" % i).digest() for i in range(10)]
    anchor(chain, roots[3])
    calldata = anchoring_calldata([*roots, roots[0]])
    key = (folder / KEY_FILE).read_text()
    with ChainFile.open(folder) as file:
        chain.send(local._signed(file, bytes.fromhex(key), CONTRACT_ADDRESS, calldata, 1_000_000))
    records = [contract_of(chain).anchored_at(root) for root in roots]
    assert [record.block_number if record else None for record in records] == [
        3,
        3,
        3,
        2,
        3,
        3,
        3,
        3,
        3,
        3,
    ]
    assert {record.submitter.hex() for record in records if record} == {
        Account.from_key(key).address[2:].lower()
    }


def test_the_contract_can_be_asked_as_of_an_earlier_block(chain: LocalChain) -> None:
    anchor(chain, ROOT)
    anchor(chain, OTHER)
    contract = contract_of(chain)
    assert contract.anchored_at(OTHER, 2) is None
    assert contract.anchored_at(OTHER, 3)
    assert contract.verify(OTHER, OTHER, []) == (True, int(START.timestamp()) + 1)
    assert contract.verify(OTHER, OTHER, [], 2) == (False, 0)
    assert contract.verify(OTHER, ROOT, []) == (False, int(START.timestamp()) + 1)


def test_a_copy_is_of_one_moment_and_a_place_that_refuses_is_named(
    folder: Path, tmp_path: Path, clock: Clock
) -> None:
    with closing(LocalChain.create(folder, clock)) as chain:
        head = chain.recent_block().hash
        with ChainFile.open(folder) as file:
            file.copy(tmp_path / FILE)
            with pytest.raises(StorageFailure, match="The file cannot be opened"):
                file.copy(tmp_path / "nowhere" / FILE)
        clock.now += timedelta(seconds=5)
        signed = chain.sign([ROOT])
        assert signed
        chain.send(signed)
        assert chain.recent_block().hash != head
    with ChainFile.open(tmp_path) as copy:
        assert copy.head() == head
