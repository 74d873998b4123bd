"""The committer: the one thread of the service that takes entries into the ledger.

Requests wait in a queue for each tenant. The committer takes what waits, from each tenant in turn,
submits all of it at once, and signs its receipts in the same transaction; then each request is
answered. So the disk is waited for once a group, no tenant waits behind another's load, and nobody
is answered before what is said is durable: an error is told to everybody in the group.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from witnesstree.api.store.submissions import (
    Answer,
    add_range,
    answer_to,
    keep_answer,
    keep_names,
    next_number,
)
from witnesstree.ledger.base.errors import Conflict, StorageFailure, WitnesstreeError
from witnesstree.ledger.log.receipt import Place, Promise, format_receipts, tree_of
from witnesstree.ledger.tree.tree import NODE, root_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime, timedelta

    from witnesstree.ledger.log.receipt import Entry
    from witnesstree.ledger.store.metadata import Transaction
    from witnesstree.ledger.work.receipts import ReceiptKey
    from witnesstree.ledger.work.sealing import Ledger, Span

MAX_GROUP: Final = 2**20
"""Entries that are submitted at once: 32 MiB."""
MAX_WAITING: Final = 8 * 2**20
"""Entries that wait at most: 256 MiB."""
GATHERING: Final = 0.005
"""Seconds that a group waits at most for as many requests as the one before had: who was just
answered is about to ask again, and a group costs the same whether it has ten or a thousand."""
MAX_REQUESTS: Final = 20_000
"""Requests that wait at most, a quarter of them of one tenant."""


@dataclass(slots=True)
class Request:
    """Packed digests that a tenant submits, and how to tell of them.

    `names` are the references of its entries, `key` the Idempotency-Key with the SHA-256 of the
    request's `body`. `answer` gets the receipt (JSON), or the error.
    """

    tenant: int
    packed: bytes | bytearray
    answer: Callable[[bytes | WitnesstreeError], None]
    names: Sequence[str | None] | None = None
    key: str | None = None
    body: bytes = b""
    is_repeated: bool = False
    """Whether it was answered before: then nothing of it counts anew."""
    count: int = field(init=False)

    def __post_init__(self) -> None:
        self.count = len(self.packed) // NODE

    @property
    def is_plain(self) -> bool:
        """Whether it shares a receipt's note with others of its tenant."""
        return self.count == 1 and self.names is None


@dataclass(slots=True)
class _Run:
    """Requests of one tenant that get one note: plain ones, or one other."""

    requests: list[Request]
    packed: bytes | bytearray
    root: bytes
    entries: Sequence[Entry | None]

    @property
    def tenant(self) -> int:
        return self.requests[0].tenant


class Committer:
    """Takes requests in, one group after the other, in a thread of its own.

    `tell` runs a function where the answers belong: on the event loop.
    """

    def __init__(
        self,
        ledger: Ledger,
        key: ReceiptKey,
        promise: timedelta,
        tell: Callable[[Callable[[], None]], object],
    ) -> None:
        self._ledger, self._key, self._promise, self._tell = ledger, key, promise, tell
        self._queues: dict[int, deque[Request]] = {}
        self._waiting = self._requests = 0
        self._expected = 1
        self._condition = threading.Condition()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    @property
    def key_note(self) -> str:
        """The note that vouches for the key which signs the receipts."""
        return self._key.note

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def drain(self) -> None:
        """Take in what waits, and end."""
        with self._condition:
            self._is_ending = True
            self._condition.notify()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether it still takes requests."""
        return self._thread.is_alive() and not self._is_ending

    def offer(self, request: Request) -> bool:
        """Let a request wait for its turn; False if too many wait already."""
        with self._condition:
            queue = self._queues.setdefault(request.tenant, deque())
            if (
                self._is_ending
                or self._requests >= MAX_REQUESTS
                or len(queue) >= MAX_REQUESTS // 4 + (len(self._queues) == 1) * MAX_REQUESTS
                or (self._waiting and self._waiting + request.count > MAX_WAITING)
            ):
                return False
            queue.append(request)
            self._waiting += request.count
            self._requests += 1
            # Not for each of those that it gathers: to be woken for nothing costs it more.
            if self._requests >= self._expected:
                self._condition.notify()
            return True

    def _run(self) -> None:
        last = 1
        while True:
            with self._condition:
                while not (self._requests or self._is_ending):
                    self._condition.wait()
                self._gather(last)
                group = list(self._group())
            if not group:
                return
            last = len(group)
            self._tell(partial(_tell, self._commit(group)))

    def _gather(self, expected: int) -> None:
        """Wait a moment for as many requests as are expected."""
        if self._requests < expected and not self._is_ending:
            self._expected = expected
            self._condition.wait_for(
                lambda: self._requests >= expected or self._is_ending, GATHERING
            )
        self._expected = 1

    def _group(self) -> Iterator[Request]:
        """Take what goes into the next group, from each tenant in turn."""
        room = MAX_GROUP
        while self._queues and room > 0:
            tenant, queue = next(iter(self._queues.items()))
            # What a group has no room for is the first of the next one.
            if queue and queue[0].count > room and room < MAX_GROUP:
                return
            # Whose turn it was stands behind all others, in the next group, too.
            del self._queues[tenant]
            if queue:
                request = queue.popleft()
                self._queues[tenant] = queue
                room -= request.count
                self._waiting -= request.count
                self._requests -= 1
                yield request

    def _commit(self, group: list[Request]) -> list[tuple[Request, bytes | WitnesstreeError]]:
        """Return each request of a group with its answer."""
        answers: list[tuple[Request, bytes | WitnesstreeError]] = []
        fault: WitnesstreeError | None = None
        try:
            fresh = self._fresh(group, answers)
            if fresh:
                runs = _runs(fresh)
                given: list[tuple[Request, bytes | WitnesstreeError]] = []

                def keep(
                    transaction: Transaction, now: datetime, spans: list[tuple[Span, ...]]
                ) -> None:
                    given[:] = self._keep(transaction.connection, now, runs, spans)

                self._ledger.submit_runs([run.packed for run in runs], keep)
                answers += given
        except WitnesstreeError as error:
            fault = error
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever, and the thread goes on
            fault = StorageFailure("commit-failed", error=error)
        if fault:
            done = {id(request) for request, _ in answers}
            answers += [(each, fault) for each in group if id(each) not in done]
        return answers

    def _fresh(
        self, group: list[Request], answers: list[tuple[Request, bytes | WitnesstreeError]]
    ) -> list[Request]:
        """Return the requests that were not answered before; those that were get that answer."""
        if not any(request.key for request in group):
            return group
        fresh, pending = [], {}
        with self._ledger.metadata.read() as transaction:
            for request in group:
                if request.key is None:
                    fresh.append(request)
                    continue
                place = (request.tenant, request.key)
                known = answer_to(transaction.connection, *place, self._ledger.now())
                if known:
                    request.is_repeated = True
                    answers.append((request, _again(request, known)))
                elif place in pending:
                    # The same request, twice in one group: the second one is to ask again.
                    answers.append((request, Conflict("request-under-way", key=request.key)))
                else:
                    pending[place] = request
                    fresh.append(request)
        return fresh

    def _keep(
        self,
        connection: Any,
        now: datetime,
        runs: list[_Run],
        spans: list[tuple[Span, ...]],
    ) -> Iterator[tuple[Request, bytes | WitnesstreeError]]:
        """Record whose the entries are, and yield each request with its receipt."""
        number = next_number(connection)
        for run, places in zip(runs, spans, strict=True):
            requests = len(run.requests)
            add_range(connection, places, now, tenant=run.tenant, number=number, requests=requests)
            promise = Promise(
                self._ledger.home.origin,
                number,
                now,
                now + self._promise,
                len(run.packed) // NODE,
                run.root,
                tuple(Place(span.batch, span.first, span.count) for span in places),
            )
            receipts = format_receipts(self._key.sign(promise), run.entries)
            for request, receipt in zip(run.requests, receipts, strict=True):
                if request.names:
                    _keep_names(connection, number, request, places)
                if request.key:
                    kept = Answer(request.body, receipt)
                    keep_answer(connection, request.tenant, request.key, kept, now)
                yield request, receipt
            number += requests


def _runs(requests: list[Request]) -> list[_Run]:
    """Return the runs of a group: the plain requests of each tenant are one, each other is one."""
    plain: dict[int, list[Request]] = {}
    runs = []
    for request in requests:
        if request.is_plain:
            plain.setdefault(request.tenant, []).append(request)
        else:
            runs.append(_Run([request], request.packed, root_of(request.packed), [None]))
    for some in plain.values():
        packed = b"".join([request.packed for request in some])
        root, entries = tree_of(packed)
        runs.append(_Run(some, packed, root, [None] if len(some) == 1 else list(entries)))
    return runs


def _keep_names(connection: Any, number: int, request: Request, places: Sequence[Span]) -> None:
    names = list(request.names or ())
    for place in places:
        some, names = names[: place.count], names[place.count :]
        if any(some):
            keep_names(connection, number, request.tenant, place, some)


def _again(request: Request, known: Answer) -> bytes | WitnesstreeError:
    if known.body != request.body:
        return Conflict("idempotency-key-reused", key=request.key)
    return known.answer


def _tell(answers: list[tuple[Request, bytes | WitnesstreeError]]) -> None:
    for request, answer in answers:
        request.answer(answer)
