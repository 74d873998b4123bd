"""Questions about direct tokens: timestamps over an entry's own digest."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import select

from witnesstree.ledger.proof.proof import format_vouchers, parse_vouchers
from witnesstree.ledger.store.database import schema
from witnesstree.ledger.store.database.rows import Rows, parsed

if TYPE_CHECKING:
    from witnesstree.ledger.base.witness import Stamp


class DirectRows(Rows):
    """Direct tokens, by the digest that they are over."""

    def keep_direct_token(self, digest: bytes, authority: str, stamp: Stamp) -> bool:
        """Keep a token over `digest`, and what vouches for it, and return whether it was kept:
        where there is one of this authority already, that one stays.
        """
        row = {
            "digest": digest,
            "authority": authority,
            "token": stamp.token,
            "vouchers": format_vouchers(stamp),
        }
        return self._add_once(schema.direct_tokens, row)

    def direct_tokens(self, digest: bytes) -> list[tuple[str, Stamp]]:
        """Return (authority, token) of a digest, in the order of the authorities' names."""
        query = (
            select(schema.direct_tokens)
            .where(schema.direct_tokens.c.digest == digest)
            .order_by(schema.direct_tokens.c.authority)
        )
        rows = [dict(row) for row in self._connection.execute(query).mappings()]
        stamps = [
            parsed(schema.direct_tokens, row, vouchers=partial(parse_vouchers, row["token"]))
            for row in rows
        ]
        return [(row["authority"], row["vouchers"]) for row in stamps]

    def directly_stamped(self) -> list[bytes]:
        """Return the digests that have a direct token, in ascending order."""
        column = schema.direct_tokens.c.digest
        query = select(column).distinct().order_by(column)
        return list(self._connection.execute(query).scalars())
