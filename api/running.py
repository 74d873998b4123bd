"""A service that runs: what it opens, what goes on beside the requests, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import time
from contextlib import asynccontextmanager, suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool

from witnesstree.anchor.publishing import publish
from witnesstree.anchor.settings import read_settings
from witnesstree.anchor.wiring import open_ledger
from witnesstree.api.committer import Committer, Request
from witnesstree.api.metrics import Metrics
from witnesstree.api.routes.log import FOLDER
from witnesstree.api.service import Service
from witnesstree.api.store.acts import newest_act
from witnesstree.api.store.keys import note_use
from witnesstree.api.store.schema import OPERATOR
from witnesstree.api.store.submissions import forget_answers
from witnesstree.ledger.base.errors import NotFound, WitnesstreeError
from witnesstree.ledger.base.message import Message, message, to_json
from witnesstree.ledger.store.home import ALIVE, open_home
from witnesstree.ledger.work.receipts import ReceiptKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

_log = logging.getLogger("witnesstree.api")

TICK: Final = 1.0
"""Seconds between two looks at the ledger beside the requests."""
HOUSEKEEPING: Final = 10
"""Looks between two rounds of what is not urgent."""
PATIENCE: Final = 60.0
"""Seconds to wait at the start for the worker to make the receipt key."""
SILENCE: Final = timedelta(minutes=2)
"""A worker that was not seen for so long does not work."""
ROOM: Final = 256 * 2**20
"""Bytes that must be free on the disk of the home."""


class Running:
    """One service on one home. With `has_worker`, a worker runs beside it."""

    def __init__(self, home: Path, *, has_worker: bool) -> None:
        self._home, self._has_worker = home, has_worker
        self.metrics = Metrics()
        self.settings = read_settings(open_home(home).folder)
        """As they were at the start: a service is started again to have others."""
        self._service: Service | None = None
        self._acts_sealed_on: date | None = None
        self.failure: WitnesstreeError | None = None
        """Why it could not start, where it could not."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Service]:
        """Serve while the block runs; then take in what waits, and end."""
        try:
            async with self._serving() as service:
                yield service
        except WitnesstreeError as error:
            self.failure = error
            raise

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[Service]:
        settings = self.settings
        async with self._working(), self._beside(self._tick()):
            key = await self._receipt_key()
            loop = asyncio.get_running_loop()
            with open_ledger(self._home, serves=True) as ledger:
                committer = Committer(
                    ledger, key, settings.service.promise, loop.call_soon_threadsafe
                )
                self._service = Service.over(ledger, settings, committer)
                committer.start()
                try:
                    yield self._service
                finally:
                    await run_in_threadpool(committer.drain)
                    await run_in_threadpool(self._service.direct.close)
                    await run_in_threadpool(self._housekeep)
                    self._service = None

    async def _receipt_key(self) -> ReceiptKey:
        """Return the receipt key, once the worker has made it. Raises NotFound."""
        home, until = open_home(self._home), time.monotonic() + PATIENCE
        while True:
            try:
                return ReceiptKey(home)
            except NotFound:
                if not self._has_worker or time.monotonic() > until:
                    raise
            await asyncio.sleep(0.1)

    # Beside the requests

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """Have a worker run beside the block, and start another where it ends."""
        if not self._has_worker:
            yield
            return
        async with self._beside(self._watch()):
            yield

    @staticmethod
    @asynccontextmanager
    async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Have work go on beside the block, and end with it."""
        task = asyncio.create_task(work)
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        pause = 0.5
        while True:
            began = time.monotonic()
            worker = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "witnesstree.api.worker",
                "worker",
                "--json",
                "--home",
                str(self._home),
                stdin=asyncio.subprocess.DEVNULL,
                # A Ctrl-C in the terminal is for the service, which then ends its worker.
                start_new_session=True,
            )
            try:
                code = await worker.wait()
            except asyncio.CancelledError:
                with suppress(ProcessLookupError):
                    worker.terminate()
                await worker.wait()
                raise
            _log.warning(message("worker-ended", code=code))
            pause = 0.5 if time.monotonic() - began > 60 else min(30.0, pause * 2)
            await asyncio.sleep(pause)

    async def _tick(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(TICK)
            if self._service is None:
                continue
            number += 1
            try:
                await run_in_threadpool(self._look)
                if number % HOUSEKEEPING == 0:
                    await run_in_threadpool(self._housekeep)
            except WitnesstreeError as error:
                _log.warning(error.message)
            except Exception:  # noqa: BLE001 - the loop goes on
                # Without it nothing is published, and no backlog seen, for ever.
                _log.exception(message("look-failed"))

    def _look(self) -> None:
        service = self._service
        assert service
        # First, because it tells of a database that is away, too.
        self.readiness()
        with service.ledger.metadata.read() as transaction:
            service.unsealed = sum(batch.entries for batch in transaction.open_batches())
            size = transaction.log_size()
        self.metrics.backlog(service.unsealed)
        if size != service.published:
            publish(service.ledger, service.ledger.home.folder / FOLDER)
            service.published = size

    def _housekeep(self) -> None:
        service = self._service
        assert service
        used, service.keys.used = service.keys.used, {}
        with service.ledger.metadata.write() as transaction:
            note_use(transaction.connection, used)
            forget_answers(transaction.connection, service.ledger.now())
            number, head = newest_act(transaction.connection)
        if number and service.ledger.now().date() != self._acts_sealed_on:
            self._seal_acts(service, head)

    def _seal_acts(self, service: Service, head: bytes) -> None:
        """Submit the hash that stands for all administrative acts, once a day, unless it is in the
        ledger already.
        """
        self._acts_sealed_on = service.ledger.now().date()
        if head in service.ledger.find([head]):
            return

        def told(result: bytes | WitnesstreeError) -> None:
            if isinstance(result, WitnesstreeError):
                self._acts_sealed_on = None
                _log.warning(result.message)

        if not service.committer.offer(Request(OPERATOR, head, told)):
            self._acts_sealed_on = None

    # Readiness

    def readiness(self) -> list[dict[str, Any]]:
        """Return what the service needs, and whether it has it."""
        service = self._service
        assert service
        found = [
            ("committer", None if service.committer.is_alive else message("committer-ended")),
            ("disk", self._disk()),
            ("worker", self._worker(service)),
            *self._ledger(service),
        ]
        self.metrics.readiness((name, said is None) for name, said in found)
        return [
            {
                "check": name,
                "ok": said is None,
                **({"reason": str(said), **to_json(said)} if said else {}),
            }
            for name, said in found
        ]

    def _disk(self) -> Message | None:
        try:
            free = shutil.disk_usage(self._home).free
        except OSError as error:
            return message("read-failed", path=self._home, error=error)
        return message("disk-nearly-full", free=free, needed=ROOM) if free < ROOM else None

    def _worker(self, service: Service) -> Message | None:
        try:
            seen = (service.ledger.home.folder / ALIVE).stat().st_mtime
        except OSError:
            return message("worker-not-seen")
        silence = time.time() - seen
        if silence > SILENCE.total_seconds():
            return message("worker-silent", seconds=round(silence))
        return None

    def _ledger(self, service: Service) -> list[tuple[str, Message | None]]:
        ledger = service.ledger
        try:
            late = ledger.outbox.late_batches(self.settings.batch_age)
            jobs = ledger.outbox.late()
            with ledger.metadata.read() as transaction:
                alarms = transaction.alarms()
        except WitnesstreeError as error:
            return [("database", error.message)]
        return [
            ("database", None),
            ("sealing", message("batches-late", batches=late) if late else None),
            (
                "witnesses",
                message("witnesses-late", targets=sorted({job.target for job in jobs}))
                if jobs
                else None,
            ),
            (
                "backlog",
                message("backlog-full", most=service.settings.backlog)
                if service.unsealed > service.settings.backlog
                else None,
            ),
            *((f"{alarm.kind.value}:{alarm.subject}", alarm.text) for alarm in alarms),
        ]
