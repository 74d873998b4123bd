"""`witnesstree worker`: closes batches that are due, and works off the outbox until it is told to
stop.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import sys
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from typing_extensions import override

from witnesstree.cli.help import Command
from witnesstree.cli.language import language, words
from witnesstree.cli.options import (
    PATH,
    home_option,
    json_option,
    one_line,
    publish_option,
    require_file,
)
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import Conflict, InvalidInput, StorageFailure, Unreachable
from witnesstree.ledger.base.message import Message, message, to_json
from witnesstree.ledger.base.way import require_own_way

if TYPE_CHECKING:
    from collections.abc import Iterator

    from witnesstree.anchor.settings import Settings
    from witnesstree.ledger.store.database.values import Job
    from witnesstree.ledger.store.home import Home
    from witnesstree.ledger.work.renewal import Renewals
    from witnesstree.ledger.work.sealing import Ledger

_log = logging.getLogger("witnesstree.worker")


@click.command("worker", cls=Command)
@click.option("--once", is_flag=True)
@click.option("--until-done", is_flag=True)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.05, max=3600),
    default=2.0,
    show_default=True,
)
@click.option("--metrics", type=PATH, metavar="FILE")
@publish_option
@json_option
@home_option
def worker_command(
    home: Path,
    interval: float,
    metrics: Path | None,
    *,
    once: bool,
    until_done: bool,
    publishes: bool,
    as_json: bool,
) -> None:
    """Close batches that are full or old, fetch their tokens, anchor them, renew evidence
    records in time, and go on until told to stop.

    Example:
        witnesstree worker --metrics /var/lib/node_exporter/witnesstree.prom
    """
    from witnesstree.anchor.settings import read_settings
    from witnesstree.anchor.wiring import notice, open_ledger, open_renewals
    from witnesstree.ledger.store.restored import require_continued

    if metrics:
        require_file(metrics)
        require_own_way(metrics)
    with _logging(as_json=as_json), _stopping() as stop:
        is_over = False
        while not (is_over or stop.is_set()):
            with open_ledger(home, publishes=publishes) as ledger:
                if once or until_done:
                    # Only a worker that goes on can wait for the home to be let go on.
                    require_continued(ledger.home)
                settings = read_settings(ledger.home.folder)
                if said := notice(settings):
                    _log.warning(message("note", note=said))
                _log.info(
                    message("worker-working", origin=ledger.home.origin, folder=ledger.home.folder)
                )
                renewals = open_renewals(ledger)
                while not (is_over or stop.is_set() or _have_changed(settings, ledger.home)):
                    waits = _pass(ledger, stop)
                    _keep_ready(ledger, settings)
                    _renew(renewals, stop)
                    if metrics:
                        _write_metrics(ledger, settings, metrics)
                    is_over = once or (until_done and not waits)
                    if not is_over:
                        stop.wait(interval)
        _log.info(message("worker-stopped"))


def _have_changed(settings: Settings, home: Home) -> bool:
    """Whether the home's settings are others by now.

    Those that cannot be read do not count until they can.
    """
    from witnesstree.anchor.settings import read_settings

    try:
        return read_settings(home.folder) != settings
    except InvalidInput as error:
        _log.warning(message("settings-kept", error=error))
        return False


def _pass(ledger: Ledger, stop: _Stop) -> bool:
    """Do what is due, and return whether anything still waits.

    A database or another process that keeps us waiting ends the pass, not the worker.
    """
    try:
        for sequence in ledger.close(due_only=True):
            _log.info(message("batch-sealed", batch=sequence))
        waiting = ledger.outbox.work(_tell, due_only=True, stop=stop.is_set)
        with ledger.metadata.read() as transaction:
            unsealed = [batch for batch in transaction.open_batches() if batch.count > 1]
        return bool(unsealed or ledger.outbox.required(waiting))
    except (Unreachable, Conflict) as error:
        _log.warning(error.message)
        return True


def _keep_ready(ledger: Ledger, settings: Settings) -> None:
    """Keep ready what a service needs of the worker: a recent block, the receipt key, and the word
    that it works; and compare the clock. What holds that up is tried again.
    """
    from witnesstree.ledger.store.home import ALIVE
    from witnesstree.ledger.work.receipts import require_receipt_key

    try:
        _compare_clock(ledger, settings)
        ledger.keep_recent_block()
        require_receipt_key(ledger, ledger.now())
        (ledger.home.folder / ALIVE).touch()
    except (Unreachable, Conflict) as error:
        _log.warning(error.message)


def _compare_clock(ledger: Ledger, settings: Settings) -> None:
    """Compare this machine's clock with the time servers of the settings, every few minutes, and
    raise an alarm, or take it back.
    """
    from witnesstree.anchor import clock
    from witnesstree.ledger.store.database.values import AlarmKind
    from witnesstree.ledger.work.alarms import Alarms

    now = datetime.now(UTC)
    last = clock.kept(ledger.home.folder)
    is_fresh = last is not None and timedelta() <= now - last.at < clock.COMPARED_EVERY
    if not settings.clock_sources or is_fresh:
        return
    comparison = clock.compare(settings.clock_sources, lambda: datetime.now(UTC))
    clock.keep(ledger.home.folder, comparison)
    alarms = Alarms(ledger.metadata, lambda: datetime.now(UTC))
    if fault := clock.fault_of(comparison, settings.clock_bound):
        alarms.raise_(AlarmKind.CLOCK, clock.SUBJECT, fault)
    else:
        alarms.clear(clock.SUBJECT, AlarmKind.CLOCK)


def _renew(renewals: Renewals, stop: _Stop) -> None:
    """Renew the evidence records that are due.

    What holds that up is tried again, and sealing goes on.
    """
    try:
        renewals.work(stop=stop.is_set)
    except (Unreachable, Conflict) as error:
        _log.warning(error.message)


def _tell(job: Job, error: Message | None) -> None:
    if error:
        _log.warning(
            message("job-failed", batch=job.sequence, kind=job.kind, target=job.target, error=error)
        )


def _write_metrics(ledger: Ledger, settings: Settings, path: Path) -> None:
    from witnesstree.anchor.metrics import metrics_text
    from witnesstree.ledger.store.disk import write_file

    try:
        write_file(path, metrics_text(ledger, settings, language()), mode=0o644)
    except (Unreachable, Conflict, StorageFailure) as error:
        # Sealing does not end because nobody can be told of it.
        _log.warning(message("no-metrics", error=error))


class _Stop:
    """The wish that the worker ends, which a signal's handler may express at any moment.

    It is a byte in a pipe. A threading.Event holds a lock for a moment in each of its methods: a
    handler that runs just then waits for ever.
    """

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()

    def set(self) -> None:
        """Express it."""
        os.write(self._writing, b".")

    def is_set(self) -> bool:
        """Whether it was expressed."""
        return self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Wait until it is expressed, so long at most, and return whether it was."""
        return bool(select.select([self._reading], [], [], seconds)[0])

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._reading)
        os.close(self._writing)


@contextmanager
def _stopping() -> Iterator[_Stop]:
    """Let SIGTERM and SIGINT express the wish to stop.

    The second one interrupts at once, which loses nothing either.
    """
    with closing(_Stop()) as stop:

        def note(_number: int, _frame: object) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            stop.set()

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield stop
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


# The log


class _Line(logging.Formatter):
    """One line a record: time, level, text."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.levelname:7} {one_line(_worded(record))}"


class _JsonLine(logging.Formatter):
    """One JSON object a record."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "message": _worded(record),
        }
        if isinstance(record.msg, Message):
            members |= to_json(record.msg)
        return json.dumps(members, ensure_ascii=True)


def _worded(record: logging.LogRecord) -> str:
    return words(record.msg) if isinstance(record.msg, Message) else record.getMessage()


def _time(record: logging.LogRecord) -> str:
    return format_time(datetime.fromtimestamp(record.created, UTC))


@contextmanager
def _logging(*, as_json: bool) -> Iterator[None]:
    """Write what the project logs to standard error while the block runs."""
    logger, output = logging.getLogger("witnesstree"), logging.StreamHandler(sys.stderr)
    output.setFormatter(_JsonLine() if as_json else _Line())
    logger.addHandler(output)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(output)
        logger.setLevel(logging.NOTSET)
