"""Work on many things on all cores, in processes of their own.

No other command starts a process.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from threading import Event, Thread, Timer
from typing import TYPE_CHECKING, Any, TypeVar

from witnesstree.ledger.base.errors import Unreachable, WitnesstreeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from multiprocessing.connection import Connection

T = TypeVar("T")
R = TypeVar("R")

PART = 32
"""Things handed to a process at a time, where each is small: handing them over then costs less than
a tenth of the work."""
QUEUED = 4
"""Parts handed to each process in advance."""
WORTH_PROCESSES = 8
"""Parts that take longer than it takes to start processes, some 0.3 s."""
GRACE = 1.0
"""Seconds that work which nobody waits for any more has to end by itself."""

_WORK: list[Any] = []
"""In a process that was started here: the one function that does its work."""


def on_all_cores(
    start: Callable[..., Callable[[T], R]],
    arguments: tuple[Any, ...],
    things: Iterable[T],
    part: int = PART,
) -> Iterator[R]:
    """Yield what becomes of each thing, in their order; `part` of them are handed to a process at a
    time.

    `start(stop, *arguments)` is called once a process and returns the function that is then called
    with one thing after the other. Once `stop` (an Event) is set, nobody waits for answers any
    more. With few things all of it happens in this process. All that is handed over is pickled.

    Raises what `start` raises, where that is an error of this project; what the work raises, for
    the first thing in order; Unreachable if a process is ended from outside.
    """
    rest = iter(things)
    first = list(islice(rest, WORTH_PROCESSES * part))
    processes = os.cpu_count() or 1
    if len(first) < WORTH_PROCESSES * part or processes == 1:
        work = start(Event(), *arguments)
        yield from map(work, chain(first, rest))
        return
    # Forking would copy a process that may have threads, those of its progress bar among them.
    context = get_context("spawn")
    stop = context.Event()
    # Nothing is ever written: what the processes read is that this end was closed, or has gone with
    # this process.
    alive, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(processes, context, partial(_begin, start, stop, alive, arguments))
    late = Timer(GRACE, ours.close)
    pending: deque[Future[list[R]]] = deque()
    everything = chain(first, rest)
    try:
        while some := list(islice(everything, part)):
            with _interrupts_later():
                pending.append(pool.submit(_work_on, some))
            if len(pending) >= processes * QUEUED:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool as error:
        raise Unreachable("process-ended") from error
    except BaseException:
        # Nobody wants the answers any more. What heeds `stop` ends by itself, and leaves nothing
        # half done; the rest may take minutes yet.
        late.start()
        raise
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        late.cancel()
        ours.close()
        alive.close()


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hold a Ctrl-C back.

    Processes started meanwhile never hear of one: it reaches all of a terminal, and the first one
    tells the others. Windows cannot hold it back.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _begin(
    start: Callable[..., Callable[[Any], Any]],
    stop: object,
    alive: Connection,
    arguments: tuple[Any, ...],
) -> None:
    Thread(target=_end_with, args=(alive,), daemon=True).start()
    try:
        _WORK.append(start(stop, *arguments))
    except WitnesstreeError as error:
        # Raised here, it would be printed, and the pool called broken.
        _WORK.append(partial(_refuse, error))


def _end_with(alive: Connection) -> None:
    """End this process once the one that started it is done with it, or has ended: a killed one
    tells nobody.
    """
    alive.poll(None)
    os._exit(1)


def _refuse(error: WitnesstreeError, _thing: object) -> None:
    raise error


def _work_on(part: list[Any]) -> list[Any]:
    return [_WORK[0](thing) for thing in part]
