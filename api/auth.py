"""Who asks: the tenant whose key a request shows, and what the key may be used for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from witnesstree.api.problems import Problem, Unauthorized
from witnesstree.api.store.keys import FORM, Key, Scope, key_of
from witnesstree.api.store.schema import OPERATOR
from witnesstree.ledger.base.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from witnesstree.ledger.store.metadata import Metadata

FRESH: Final = 2.0
"""Seconds for which a key is believed without asking the database: a revoked one ends within."""
MAX_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a valid key."""

    tenant: int
    key: str
    scopes: frozenset[Scope]

    @property
    def is_operator(self) -> bool:
        """Whether this is who keeps the ledger, with a key for that."""
        return self.tenant == OPERATOR and Scope.OPERATOR in self.scopes


class Keys:
    """The keys as the database has them, and when each was last used."""

    def __init__(self, metadata: Metadata, clock: Callable[[], datetime]) -> None:
        self._metadata, self._clock = metadata, clock
        self._known: dict[str, tuple[float, Key | None]] = {}
        self.used: dict[str, datetime] = {}

    def caller(self, authorization: str | None) -> Caller:
        """Return who shows this field of the header. Raises Problem (401) if nobody we know."""
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise Unauthorized("key-required")
        found = FORM.fullmatch(secret)
        key = self._key(found[1]) if found else None
        # Which of these it is, is not told: somebody may be guessing.
        if key is None or not key.fits(secret):
            raise Unauthorized("key-not-known")
        now = self._clock()
        if not key.is_valid(now):
            raise Unauthorized("key-not-valid")
        self.used[key.id] = now
        return Caller(key.tenant, key.id, key.scopes)

    def known(self, authorization: str) -> Caller | None:
        """Return who shows this field, if that is known without asking the database."""
        id_ = authorization[10:18]
        asked, key = self._known.get(id_, (0.0, None))
        if key is None or time.monotonic() - asked > FRESH:
            return None
        scheme, secret = authorization[:7], authorization[7:]
        now = self._clock()
        if scheme != "Bearer " or not key.fits(secret) or not key.is_valid(now):
            return None
        self.used[id_] = now
        return Caller(key.tenant, id_, key.scopes)

    def allowed(self, authorization: str | None, scope: Scope) -> Caller:
        """Return who asks, if the key has a scope. Raises Problem (401, 403)."""
        caller = self.caller(authorization)
        if scope not in caller.scopes:
            raise Problem(403, "scope-missing", scope=scope.value)
        return caller

    def operator(self, authorization: str | None) -> Caller:
        """Return who asks, if it is who keeps the ledger. Raises Problem (401, 403)."""
        caller = self.allowed(authorization, Scope.OPERATOR)
        if not caller.is_operator:
            raise Problem(403, "operator-only")
        return caller

    def _key(self, id_: str) -> Key | None:
        asked, key = self._known.get(id_, (0.0, None))
        now = time.monotonic()
        if now - asked > FRESH or not asked:
            try:
                with self._metadata.read() as transaction:
                    key = key_of(transaction.connection, id_)
            except NotFound:
                key = None
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[id_] = (now, key)
        return key
