"""Version 2: transactions have a table of their own, jobs a time for the next attempt, tokens what
vouches for them; published lists, alarms.

Only SQLite has databases of version 1. The SQL is written out, so that what this does stays the
same when the schema goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import rlp
from alembic import op
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError
from sqlalchemy import text

from witnesstree.ledger.chain.keccak import keccak256
from witnesstree.ledger.store.migrations.guards import sqlite_guards

if TYPE_CHECKING:
    from sqlalchemy import Connection

revision = "2"
down_revision = "1"

_CHANGES = (
    "ALTER TABLE tokens ADD COLUMN vouchers VARCHAR",
    "ALTER TABLE jobs ADD COLUMN retry_at VARCHAR",
    (
        "CREATE TABLE published (sequence INTEGER NOT NULL, store VARCHAR NOT NULL, cid VARCHAR NOT"
        " NULL, PRIMARY KEY (sequence, store))"
    ),
    """CREATE TABLE transactions (
        chain VARCHAR NOT NULL, hash BLOB NOT NULL, sender BLOB NOT NULL, nonce INTEGER NOT NULL,
        raw BLOB NOT NULL, signed VARCHAR NOT NULL,
        PRIMARY KEY (chain, hash)
    )""",
    """CREATE TABLE alarms (
        kind VARCHAR NOT NULL, subject VARCHAR NOT NULL, text VARCHAR NOT NULL,
        since VARCHAR NOT NULL,
        PRIMARY KEY (kind, subject)
    )""",
    # The first release looks here, and refuses what it does not know.
    "DROP TRIGGER ledger_no_update",
    "UPDATE ledger SET version = 2",
)
_LEDGER_GUARD = (
    "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'ledger is"
    " append-only'); END"
)
_KEYS = {"published": ("sequence", "store"), "transactions": ("chain", "hash")}


def upgrade() -> None:
    """Bring a database of version 1 to version 2."""
    connection = op.get_bind()
    for change in _CHANGES:
        connection.execute(text(change))
    _move_transactions(connection)
    connection.execute(text(_LEDGER_GUARD))
    for table, keys in _KEYS.items():
        for guard in sqlite_guards(table, keys):
            connection.execute(text(guard))


def _move_transactions(connection: Connection) -> None:
    """Give each signed transaction a row of its own, and leave its hash in its job.

    When it was signed is not known: not before its batch closed.
    """
    jobs = connection.execute(
        text(
            'SELECT j.sequence, j.kind, j.target, j.state, j."transaction" AS raw, b.closed FROM'
            ' jobs j JOIN batches b ON b.sequence = j.sequence WHERE j."transaction" IS NOT NULL'
        )
    )
    keep = text(
        "INSERT INTO transactions (chain, hash, sender, nonce, raw, signed) SELECT :chain, :hash,"
        " :sender, :nonce, :raw, :signed WHERE NOT EXISTS (SELECT 1 FROM transactions WHERE chain ="
        " :chain AND hash = :hash)"
    )
    point = text(
        'UPDATE jobs SET state = :state, "transaction" = :hash WHERE sequence = :sequence AND kind'
        " = :kind AND target = :target"
    )
    for job in jobs.mappings().all():
        hash_, (sender, nonce) = keccak256(job["raw"]), _sender_and_nonce(job["raw"])
        connection.execute(
            keep,
            {
                "chain": job["target"],
                "hash": hash_,
                "sender": sender,
                "nonce": nonce,
                "raw": job["raw"],
                "signed": job["closed"],
            },
        )
        # Nothing can be made of a transaction whose sender is not known; the chain is asked for the
        # root before another is signed.
        is_lost = job["state"] != "done" and not sender
        values = (
            {"state": "waiting", "hash": None}
            if is_lost
            else {"state": job["state"], "hash": hash_}
        )
        connection.execute(
            point,
            {**values, "sequence": job["sequence"], "kind": job["kind"], "target": job["target"]},
        )


def _sender_and_nonce(raw: bytes) -> tuple[bytes, int]:
    """Return the account that signed a transaction (EIP-1559, which is all that the first release
    signed), and its nonce; b"" and 0 for others.
    """
    try:
        fields = rlp.decode(raw[1:])
        *signed, parity, r, s = fields
        number = int.from_bytes
        signature = Signature(vrs=(number(parity), number(r), number(s)))
        key = signature.recover_public_key_from_msg_hash(keccak256(raw[:1] + rlp.encode(signed)))
        return key.to_canonical_address(), number(signed[1])
    except (
        rlp.exceptions.RLPException,
        BadSignature,
        ValidationError,
        TypeError,
        ValueError,
        IndexError,
    ):
        return b"", 0
