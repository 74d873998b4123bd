"""Serving: from a home to a process that listens."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from typing_extensions import override

from witnesstree.api.app import make_app
from witnesstree.api.protocol import Protocol
from witnesstree.api.running import Running
from witnesstree.ledger.base.catalogue import worded
from witnesstree.ledger.base.clock import format_time
from witnesstree.ledger.base.errors import InvalidInput, Unreachable
from witnesstree.ledger.base.message import Message, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

KEEP_ALIVE: Final = 75
"""Seconds for which a connection may rest between two requests."""
GRACE: Final = 30
"""Seconds that requests have to end once the service is to."""
BACKLOG: Final = 4096


def serve(
    home: Path,
    host: str,
    port: int,
    *,
    has_worker: bool,
    proxies: Sequence[str] = (),
    behind_proxy: bool = False,
    ready: Callable[[str], None],
) -> None:
    """Serve a home until told to stop; `ready` is told the address once it answers.

    Raises InvalidInput if the address is beyond this machine and no proxy is said to stand before
    it, Unreachable if it is taken.
    """
    if not behind_proxy and not _is_own(host):
        raise InvalidInput("plain-http-beyond-loopback", host=host)
    listening = _listen(host, port)
    address = f"http://{_shown(host)}:{listening.getsockname()[1]}"
    running = Running(home, has_worker=has_worker)
    config = uvicorn.Config(
        make_app(running),
        http=Protocol,
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=behind_proxy,
        forwarded_allow_ips=list(proxies) or ["127.0.0.1", "::1"],
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        backlog=BACKLOG,
    )
    server = _Server(config, lambda: ready(address))
    # uvicorn raises the signal that ended it once more, when all is done: then it is no news.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    # It ends the process where the application did not start; why, is said below.
    with _Logging(), suppress(SystemExit):
        server.run(sockets=[listening])
    listening.close()
    if running.failure:
        raise running.failure
    if not server.started:
        raise Unreachable("service-not-started")


class _Server(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._ready()


def _is_own(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Unreachable("address-taken", host=host, port=port, error=error) from error
    return listening


class _Logging:
    """Write what the project logs to standard error as JSON while the block runs."""

    def __enter__(self) -> None:
        self._output = logging.StreamHandler(sys.stderr)
        self._output.setFormatter(_Line())
        self._loggers = [logging.getLogger(name) for name in ("witnesstree", "uvicorn")]
        for logger in self._loggers:
            logger.addHandler(self._output)
            logger.propagate = False
        self._loggers[0].setLevel(logging.INFO)
        # Its tracebacks of what our own application raises are ours to tell.
        self._loggers[1].setLevel(logging.CRITICAL)

    def __exit__(self, *_error: object) -> None:
        for logger in self._loggers:
            logger.removeHandler(self._output)


class _Line(logging.Formatter):
    """One JSON object a record."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        said = record.msg
        members: dict[str, Any] = {
            "time": format_time(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "message": worded(said) if isinstance(said, Message) else record.getMessage(),
        }
        if isinstance(said, Message):
            members |= to_json(said)
        if record.exc_info:
            members["traceback"] = self.formatException(record.exc_info)
        return json.dumps(members, ensure_ascii=True)
