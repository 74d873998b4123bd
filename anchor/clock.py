"""One clock: this machine's, compared with outside time servers (SNTP, RFC 5905, 14).

What is compared is kept in the home, `clock.json`, by the worker; everybody else reads it. A clock
that was not compared for long is *not compared*: nothing is reckoned on.
"""

from __future__ import annotations

import json
import secrets
import socket
import statistics
import struct
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import BadAnswer, InvalidInput, Unreachable
from witnesstree.ledger.base.message import Message, from_json, message, to_json
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.store.disk import write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FILE: Final = "clock.json"
SUBJECT: Final = "clock"
"""What its alarms are about."""
VALID_FOR: Final = timedelta(hours=1)
COMPARED_EVERY: Final = timedelta(minutes=5)
PATIENCE: Final = 3.0
"""Seconds to wait for one answer."""
PORT: Final = 123
_PACKET: Final = struct.Struct("!BBbb11I")
"""RFC 5905, 7.3: 48 bytes; extensions and authenticators behind them are not read."""
_CLIENT: Final = 4 << 3 | 3
"""Version 4, mode 3."""
_SERVER, _UNSYNCHRONISED, _MAX_STRATUM = 4, 3, 15
_EPOCH: Final = 2_208_988_800
"""Seconds from 1900 to 1970."""
_MAX_FILE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """What one time server said: how far this machine's clock is behind it, and how long the
    question and its answer were under way, both in seconds; or why it said nothing of use.
    """

    source: str
    offset: float = 0.0
    round_trip: float = 0.0
    fault: Message | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All readings of one moment."""

    at: datetime
    readings: tuple[Reading, ...]

    @property
    def offset(self) -> float | None:
        """The median of what the servers said, None where none said anything."""
        found = [reading.offset for reading in self.readings if reading.fault is None]
        return statistics.median(found) if found else None

    def is_valid(self, now: datetime) -> bool:
        """Whether it still says something of the clock."""
        return self.offset is not None and timedelta() <= now - self.at <= VALID_FOR


def ask(source: str, port: int = PORT, patience: float = PATIENCE) -> Reading:
    """Ask one time server, by a host name or address, or HOST:PORT.

    Raises Unreachable if it does not answer, BadAnswer if what it says must not be used.
    """
    host, _, given = source.rpartition(":")
    if host and given.isdigit() and "]" not in given:
        source, port = host.strip("[]"), int(given)
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            source, port, type=socket.SOCK_DGRAM
        )
        with socket.socket(family, kind, protocol) as asking:
            asking.settimeout(patience)
            asking.connect(address)
            # Sixty-four random bits in the place of our time: only who saw the question can answer
            # it, and nobody learns our clock.
            token = secrets.randbits(64)
            asking.send(_PACKET.pack(_CLIENT, 0, 0, 0, *[0] * 9, token >> 32, token & 0xFFFF_FFFF))
            sent, sent_at = time.time(), time.monotonic()
            answer = asking.recv(1024)
            round_trip = time.monotonic() - sent_at
    except OSError as error:
        raise Unreachable("time-server-silent", source=source, error=error) from error
    return _read(source, answer, token, sent, round_trip)


def _read(source: str, answer: bytes, token: int, sent: float, round_trip: float) -> Reading:
    if len(answer) < _PACKET.size:
        raise BadAnswer("time-server-wrong", source=source)
    head, stratum, _, _, *words = _PACKET.unpack(answer[: _PACKET.size])
    mode, leap = head & 7, head >> 6
    origin = words[5] << 32 | words[6]
    received, transmitted = (_seconds(words[at], words[at + 1]) for at in (7, 9))
    # RFC 5905, 8 (origin) and 7.4 (stratum 0 is a kiss-o'-death: go away).
    if mode != _SERVER or origin != token or leap == _UNSYNCHRONISED:
        raise BadAnswer("time-server-wrong", source=source)
    if not 1 <= stratum <= _MAX_STRATUM or transmitted < received:
        raise BadAnswer("time-server-wrong", source=source)
    offset = ((received - sent) + (transmitted - sent - round_trip)) / 2
    return Reading(source, offset, max(0.0, round_trip - (transmitted - received)))


def _seconds(whole: int, fraction: int) -> float:
    # Era 1 begins in 2036: a time before 1968 is one of it.
    era = 0 if whole >= 1 << 31 else 1 << 32
    return whole + era - _EPOCH + fraction / (1 << 32)


def compare(sources: Sequence[str], now: Callable[[], datetime]) -> Comparison:
    """Ask all time servers, one after the other; one that fails is kept with its reason."""
    readings = []
    for source in sources:
        try:
            readings.append(ask(source))
        except (Unreachable, BadAnswer) as error:
            readings.append(Reading(source, fault=error.message))
    return Comparison(now(), tuple(readings))


def keep(home: Path, comparison: Comparison) -> None:
    """Keep a comparison in a home. Raises StorageFailure."""
    members = {
        "at": format_time(comparison.at),
        "readings": [
            {
                "source": reading.source,
                "offset": round(reading.offset, 6),
                "round_trip": round(reading.round_trip, 6),
                "fault": to_json(reading.fault) if reading.fault else None,
            }
            for reading in comparison.readings
        ],
    }
    write_file(home / FILE, json.dumps(members).encode())


def kept(home: Path) -> Comparison | None:
    """Return the last comparison, None where there is none that can be read."""
    try:
        with (home / FILE).open("rb") as file:
            value = load(FILE, file.read(_MAX_FILE), fractions=True)
        return Comparison(
            parse_time(value["at"].text(40)),
            tuple(
                Reading(
                    str(each["source"]),
                    float(each["offset"]),
                    float(each["round_trip"]),
                    from_json(each["fault"]) if each["fault"] else None,
                )
                for each in value.object()["readings"]
            ),
        )
    except (OSError, InvalidInput, KeyError, TypeError, ValueError):
        return None


def fault_of(comparison: Comparison, bound: timedelta) -> Message | None:
    """Return what is wrong with this machine's clock, None if nothing is known to be."""
    offset = comparison.offset
    if offset is None:
        return message("clock-not-compared")
    if abs(offset) > bound.total_seconds():
        return message("clock-is-off", seconds=round(offset, 3))
    return None
