"""The committer on a real store: one answer for each request, whatever the disk does."""

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Clock
from fakes import FakeWorld, Steps, When, digests

from witnesstree.api import committer as module
from witnesstree.api.committer import Committer, Request
from witnesstree.api.store.schema import require_tables
from witnesstree.api.store.submissions import names_in, owner, ranges, usage
from witnesstree.api.store.tenants import add_tenant
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import Conflict, StorageFailure, WitnesstreeError
from witnesstree.ledger.log.receipt import check_receipt, is_for, parse_receipt
from witnesstree.ledger.work.receipts import ReceiptKey, require_receipt_key
from witnesstree.ledger.work.sealing import Ledger, Limits

PROMISE = timedelta(hours=1)
LARGE = Limits(entries=1000, age=timedelta(hours=1), patience=5)


class Desk:
    """A committer and those who wait for it."""

    def __init__(self, ledger: Ledger) -> None:
        require_receipt_key(ledger, ledger.now())
        with ledger.metadata.write() as transaction:
            require_tables(transaction.connection, format_time(ledger.now()))
        self.ledger = ledger
        self.told: dict[str, bytes | WitnesstreeError] = {}
        self.committer = Committer(ledger, ReceiptKey(ledger.home), PROMISE, lambda tell: tell())

    def request(self, name: str, packed: bytes, tenant: int = 1, **more: Any) -> Request:
        def answer(result: bytes | WitnesstreeError) -> None:
            assert name not in self.told, "told twice"
            self.told[name] = result

        return Request(tenant, packed, answer, **more)

    def commit(self, *requests: Request) -> None:
        """Let requests wait, and the committer take them in."""
        assert all(self.committer.offer(request) for request in requests)
        self.committer.start()
        self.committer.drain()
        # A thread starts once.
        self.committer = Committer(
            self.ledger, ReceiptKey(self.ledger.home), PROMISE, lambda tell: tell()
        )

    def receipt(self, name: str) -> Any:
        told = self.told[name]
        assert isinstance(told, bytes), told
        return parse_receipt(told)


@pytest.fixture
def world(tmp_path: Path, clock: Clock) -> FakeWorld:
    return FakeWorld(tmp_path / "home", clock)


@pytest.fixture
def ledger(world: FakeWorld) -> Iterator[Ledger]:
    with world.open(LARGE) as ledger:
        yield ledger


@pytest.fixture
def desk(ledger: Ledger) -> Desk:
    return Desk(ledger)


def places(receipt: Any) -> list[tuple[int, int]]:
    """Return batch and position of each entry that a receipt is for."""
    found = [
        (place.batch, place.first + at)
        for place in receipt.promise.places
        for at in range(place.count)
    ]
    return [found[receipt.entry.position]] if receipt.entry else found


def test_everybody_gets_a_receipt_for_his_own(desk: Desk) -> None:
    some = {f"r{number}": digests(f"r{number}", number % 4 + 1) for number in range(12)}
    desk.commit(
        *(
            desk.request(name, b"".join(packed), tenant=number % 3)
            for number, (name, packed) in enumerate(some.items())
        )
    )
    key = desk.ledger.home.verifier_key()
    numbers = set()
    for number, (name, packed) in enumerate(some.items()):
        receipt = desk.receipt(name)
        promise = check_receipt(receipt, [key])
        assert promise
        assert is_for(receipt, b"".join(packed))
        assert promise.due - promise.taken == PROMISE
        numbers.add(promise.submission + (receipt.entry.position if receipt.entry else 0))
        with desk.ledger.metadata.read() as transaction:
            for batch, position in places(receipt):
                assert owner(transaction.connection, batch, position) == number % 3
        assert [
            desk.ledger.files.digest_at(batch, position) for batch, position in places(receipt)
        ] == packed
    assert numbers == set(range(1, 13))


def test_no_two_tenants_share_a_pair(desk: Desk) -> None:
    desk.commit(
        *(
            desk.request(f"{tenant} {number}", digests(f"{tenant} {number}", 1)[0], tenant=tenant)
            for number in range(5)
            for tenant in range(4)
        )
    )
    seen: dict[tuple[int, int], set[int]] = {}
    for name in desk.told:
        for batch, position in places(desk.receipt(name)):
            seen.setdefault((batch, position // 2), set()).add(int(name.split()[0]))
    assert all(len(tenants) == 1 for tenants in seen.values())


def test_a_group_goes_over_several_batches(world: FakeWorld) -> None:
    with world.open(Limits(entries=4, age=timedelta(hours=1), patience=5)) as ledger:
        desk = Desk(ledger)
        names = [f"name {number}" for number in range(11)]
        packed = digests("many", 11)
        desk.commit(
            desk.request("one", digests("one", 1)[0]),
            desk.request("many", b"".join(packed), names=names),
        )
        found = places(desk.receipt("many"))
        assert len({batch for batch, _ in found}) == 3
        with ledger.metadata.read() as transaction:
            named = {
                (batch, first + at): name
                for batch in {batch for batch, _ in found}
                for first, some in names_in(transaction.connection, batch, 1)
                for at, name in enumerate(some)
            }
            assert [named[place] for place in found] == names
            assert sum(usage(transaction.connection, 1, *_all_time(ledger)).values()) == 12


def _all_time(ledger: Ledger) -> tuple[Any, Any]:
    now = ledger.now()
    return now - timedelta(days=1), now + timedelta(days=1)


def test_the_same_key_gets_the_same_answer_and_another_body_none(desk: Desk) -> None:
    packed = b"".join(digests("keyed", 3))
    desk.commit(desk.request("first", packed, key="k", body=b"1"))
    desk.commit(
        desk.request("again", packed, key="k", body=b"1"),
        desk.request("other body", packed, key="k", body=b"2"),
        desk.request("other tenant", packed, tenant=2, key="k", body=b"1"),
    )
    assert desk.told["again"] == desk.told["first"]
    refused = desk.told["other body"]
    assert isinstance(refused, Conflict)
    assert refused.message.code == "idempotency-key-reused"
    assert desk.told["other tenant"] != desk.told["first"]
    with desk.ledger.metadata.read() as transaction:
        assert [count for _, count in ranges(transaction.connection, 0, 1)] == [3]


def test_a_key_that_comes_twice_at_once_counts_once(desk: Desk) -> None:
    packed = b"".join(digests("twice", 2))
    desk.commit(
        desk.request("first", packed, key="k", body=b"1"),
        desk.request("second", packed, key="k", body=b"1"),
    )
    assert isinstance(desk.told["first"], bytes)
    second = desk.told["second"]
    assert isinstance(second, Conflict)
    assert second.message.code == "request-under-way"


def test_a_key_is_forgotten_after_a_day(desk: Desk, clock: Clock) -> None:
    packed = b"".join(digests("day", 2))
    desk.commit(desk.request("first", packed, key="k", body=b"1"))
    clock.tick(24 * 3600 + 1)
    desk.commit(desk.request("second", packed, key="k", body=b"2"))
    assert isinstance(desk.told["second"], bytes)
    assert desk.told["second"] != desk.told["first"]


def test_a_tenant_waits_behind_no_others_load(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GROUP", 10)
    for number in range(50):
        assert desk.committer.offer(desk.request(f"load {number}", digests(f"l{number}", 1)[0]))
    assert desk.committer.offer(desk.request("quiet", digests("quiet", 1)[0], tenant=2))
    first = [request.tenant for request in desk.committer._group()]
    assert len(first) == 10
    assert 2 in first


def test_a_tenant_waits_behind_no_others_large_requests(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_GROUP", 10)
    for number in range(4):
        large = desk.request(f"large {number}", b"".join(digests(f"large {number}", 10)))
        assert desk.committer.offer(large)
    assert desk.committer.offer(desk.request("quiet", digests("quiet", 1)[0], tenant=2))
    groups = [[request.tenant for request in desk.committer._group()] for _ in range(5)]
    assert groups == [[1], [2], [1], [1], [1]]


def test_what_is_too_much_is_not_taken(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 5)
    assert desk.committer.offer(desk.request("large", b"".join(digests("large", 9))))
    assert not desk.committer.offer(desk.request("more", b"".join(digests("more", 2))))
    monkeypatch.setattr(module, "MAX_REQUESTS", 1)
    assert not desk.committer.offer(desk.request("one", digests("one", 1)[0]))
    desk.commit()
    assert not Committer.offer(_ended(desk), desk.request("late", digests("late", 1)[0]))


def _ended(desk: Desk) -> Committer:
    committer = Committer(desk.ledger, ReceiptKey(desk.ledger.home), PROMISE, lambda tell: tell())
    committer.start()
    committer.drain()
    assert not committer.is_alive
    return committer


def test_a_fault_that_nobody_foresaw_is_told_and_the_thread_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "next_number", lambda _connection: 1 // 0)
        desk.commit(desk.request("failed", digests("failed", 1)[0]))
    failed = desk.told["failed"]
    assert isinstance(failed, StorageFailure)
    assert failed.message.code == "commit-failed"
    desk.commit(desk.request("after", digests("after", 1)[0]))
    assert isinstance(desk.told["after"], bytes)
    assert list(desk.ledger.entries(digests("failed", 1)[0])) == []


def submitted(desk: Desk) -> list[Request]:
    return [
        desk.request("a", digests("a", 1)[0], key="a", body=b"a"),
        desk.request("b", digests("b", 1)[0], key="b", body=b"b"),
        desk.request("c", b"".join(digests("c", 5)), tenant=2, key="c", body=b"c"),
    ]


CONTENT = {"a": digests("a", 1), "b": digests("b", 1), "c": digests("c", 5)}


def steps_of(folder: Path, clock: Clock) -> list[str]:
    world = FakeWorld(folder, clock)
    with world.open(LARGE) as ledger:
        Desk(ledger)
    steps = Steps(lambda: None)
    with steps.counted(), world.open(LARGE) as ledger:
        desk = Desk(ledger)
        before = len(steps.names)
        desk.commit(*submitted(desk))
    return [*steps.names[before:], str(before)]


@pytest.mark.parametrize("when", list(When))
@pytest.mark.parametrize("code", [5, 28])
def test_a_disk_that_refuses_gives_no_receipt_that_is_not_kept(
    tmp_path: Path, clock: Clock, when: When, code: int
) -> None:
    """Each durable step of a group fails, before or after it took hold. Who has a receipt has his
    entries; who has none asks again with his key, and has them once."""
    *names, before = steps_of(tmp_path / "counted", clock)
    assert len(names) > 5

    def refuse() -> None:
        raise OSError(code, os.strerror(code))

    for number in range(len(names)):
        world = FakeWorld(tmp_path / f"{when.name}{number}", clock)
        with world.open(LARGE) as ledger:
            Desk(ledger)
        steps = Steps(refuse, at=int(before) + number, when=when)
        with steps.counted(), world.open(LARGE) as ledger:
            desk = Desk(ledger)
            desk.commit(*submitted(desk))
            assert set(desk.told) == set(CONTENT)
        first = desk.told
        with world.open(LARGE) as ledger:
            desk = Desk(ledger)
            desk.commit(*submitted(desk))
            for name, packed in CONTENT.items():
                receipt = desk.receipt(name)
                assert is_for(receipt, b"".join(packed))
                assert [
                    ledger.files.digest_at(batch, position) for batch, position in places(receipt)
                ] == packed
                if isinstance(first[name], bytes):
                    assert first[name] == desk.told[name], "a retry gives the same receipt"
                assert len(list(ledger.entries(packed[0]))) == 1
            ledger.close()


def test_many_threads_are_all_answered(desk: Desk) -> None:
    done = threading.Barrier(9)

    def work(number: int) -> None:
        for at in range(20):
            name = f"{number} {at}"
            assert desk.committer.offer(desk.request(name, digests(name, 1)[0], tenant=number))
        done.wait()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    desk.committer.start()
    for each in threads:
        each.start()
    done.wait()
    desk.committer.drain()
    assert len(desk.told) == 160
    for name in desk.told:
        assert is_for(desk.receipt(name), digests(name, 1)[0])
    with desk.ledger.metadata.read() as transaction:
        (batch,) = transaction.open_batches()
        assert batch.entries == 160
        assert batch.count % 2 == 0


def test_a_tenant_of_another_name_is_another(ledger: Ledger) -> None:
    Desk(ledger)
    with ledger.metadata.write() as transaction:
        first = add_tenant(transaction.connection, "acme", ledger.now(), None, None)
        with pytest.raises(Conflict, match="acme"):
            add_tenant(transaction.connection, "acme", ledger.now(), None, None)
        second = add_tenant(transaction.connection, "other", ledger.now(), 5, 6)
    assert (first.id, second.id) == (1, 2)
