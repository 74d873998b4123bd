"""Limits of each tenant: entries a second, and entries a month."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from witnesstree.api.problems import TooMany
from witnesstree.api.store.submissions import usage
from witnesstree.api.store.tenants import list_tenants

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from witnesstree.anchor.settings import ServiceSettings
    from witnesstree.ledger.store.metadata import Metadata

WINDOW = 10
"""Seconds over which the rate is reckoned, so that a burst of a second's length is no fault."""
FRESH = 10.0


class Limiting:
    """How much each tenant may submit still. One process takes submissions, so it may count."""

    def __init__(
        self, metadata: Metadata, settings: ServiceSettings, clock: Callable[[], datetime]
    ) -> None:
        self._metadata, self._settings, self._clock = metadata, settings, clock
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._month = ""
        self._used: dict[int, int] = {}
        self._tenants: dict[int, tuple[int | None, int | None]] = {}
        self._asked = 0.0

    def admit(self, tenant: int, count: int) -> dict[str, str]:
        """Let a tenant submit so many entries, and return the fields of the header that say what is
        left (draft-ietf-httpapi-ratelimit-headers). They count for the quota from here on, so that
        no two requests use the same rest; `give_back` takes that back. Raises TooMany.
        """
        rate, quota = self._limits(tenant)
        fields: dict[str, str] = {}
        if quota is not None and self._used_by(tenant) + count > quota:
            now = self._clock()
            raise TooMany("quota-exceeded", _until_next_month(now), quota=quota)
        if rate is not None:
            item = RateLimitItemPerSecond(rate * WINDOW, WINDOW)
            if not self._limiter.hit(item, str(tenant), cost=min(count, rate * WINDOW)):
                reset = self._limiter.get_window_stats(item, str(tenant)).reset_time
                raise TooMany("rate-exceeded", round(reset - time.time()), rate=rate)
            stats = self._limiter.get_window_stats(item, str(tenant))
            fields["RateLimit-Policy"] = f'"entries";q={rate * WINDOW};w={WINDOW}'
            fields["RateLimit"] = (
                f'"entries";r={stats.remaining};t={max(0, round(stats.reset_time - time.time()))}'
            )
        if tenant in self._used:
            self._used[tenant] += count
        return fields

    def has_rate(self, tenant: int) -> bool:
        """Whether what a tenant submits is counted by the second."""
        return self._limits(tenant)[0] is not None

    def admit_direct(self, tenant: int, count: int) -> None:
        """Let a tenant ask for so many direct tokens. Raises TooMany."""
        most = self._settings.direct
        item = RateLimitItemPerMinute(max(1, most))
        if count > most or not self._limiter.hit(item, "direct", str(tenant), cost=count):
            raise TooMany("direct-rate-exceeded", 60, most=most)

    def give_back(self, tenant: int, count: int) -> None:
        """Note that entries that were admitted did not become any: refused, or there before."""
        if tenant in self._used:
            self._used[tenant] -= count

    def _limits(self, tenant: int) -> tuple[int | None, int | None]:
        if time.monotonic() - self._asked > FRESH or not self._asked:
            with self._metadata.read() as transaction:
                self._tenants = {
                    each.id: (each.rate, each.quota)
                    for each in list_tenants(transaction.connection)
                }
            self._asked = time.monotonic()
        rate, quota = self._tenants.get(tenant, (None, None))
        return (
            self._settings.rate if rate is None else rate,
            self._settings.quota if quota is None else quota,
        )

    def _used_by(self, tenant: int) -> int:
        """Return how many entries a tenant submitted this month: from what was accepted."""
        now = self._clock()
        month = f"{now:%Y-%m}"
        if month != self._month:
            self._month, self._used = month, {}
        if tenant not in self._used:
            first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            with self._metadata.read() as transaction:
                self._used[tenant] = sum(
                    usage(transaction.connection, tenant, first, now.replace(year=9999)).values()
                )
        return self._used[tenant]


def _until_next_month(now: datetime) -> int:
    following = now.replace(
        year=now.year + now.month // 12,
        month=now.month % 12 + 1,
        day=1,
        hour=0,
        minute=0,
        second=0,
        microsecond=0,
    )
    return round((following - now).total_seconds())
