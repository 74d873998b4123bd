"""Questions about the ledger log: its hashes, checkpoints, cosignatures and changes of keys."""

from __future__ import annotations

from sqlalchemy import (
    func,
    insert,
    select,
)

from witnesstree.ledger.base.errors import Damaged
from witnesstree.ledger.store.database import schema
from witnesstree.ledger.store.database.rows import Rows


class LogRows(Rows):
    """The ledger log: all of it is append-only."""

    def log_node(self, level: int, position: int) -> bytes:
        """Return a stored hash of the ledger log. Raises Damaged if it is missing."""
        where = (schema.log_nodes.c.level == level) & (schema.log_nodes.c.position == position)
        found = self._connection.execute(select(schema.log_nodes.c.hash).where(where)).scalar()
        if found is None:
            raise Damaged("log-hash-missing", level=level, position=position)
        return bytes(found)

    def log_node_count(self) -> int:
        """Return the number of stored hashes."""
        return self._connection.execute(
            select(func.count()).select_from(schema.log_nodes)
        ).scalar_one()

    def add_checkpoint(self, size: int, note: str) -> None:
        """Record the signed checkpoint of the log at `size`."""
        self._connection.execute(insert(schema.checkpoints), {"size": size, "note": note})

    def checkpoint(self, size: int | None = None) -> str:
        """Return the signed checkpoint of the log at `size`, by default the newest.

        Raises Damaged if it is missing.
        """
        query = (
            select(schema.checkpoints.c.note).order_by(schema.checkpoints.c.size.desc()).limit(1)
        )
        found = self._connection.execute(
            query if size is None else query.where(schema.checkpoints.c.size == size)
        ).scalar()
        if found is None:
            raise Damaged("checkpoint-missing")
        return str(found)

    def checkpoint_count(self) -> int:
        """Return the number of checkpoints, that of the empty log among them."""
        return self._connection.execute(
            select(func.count()).select_from(schema.checkpoints)
        ).scalar_one()

    def add_key_note(self, number: int, note: str) -> None:
        """Record that the log's key changed: from now on the new one signs."""
        self._connection.execute(insert(schema.keys), {"number": number, "note": note})

    def key_notes(self) -> list[str]:
        """Return the notes of all changes of the log's key, oldest first.

        Raises Damaged if one is missing.
        """
        rows = [
            (number, note)
            for number, note in self._connection.execute(
                select(schema.keys.c.number, schema.keys.c.note).order_by(schema.keys.c.number)
            )
        ]
        if [number for number, _ in rows] != list(range(1, len(rows) + 1)):
            raise Damaged("key-history-gap")
        return [note for _, note in rows]

    def add_cosignature(
        self, size: int, cosigner: str, key_id: bytes, line: str, *, replaces: bool = False
    ) -> bool:
        """Record the line in which a cosigner signed the checkpoint at `size`, and return whether
        it is new: the first one by a key stays, unless this one `replaces` it.

        No row is ever removed: what is replaced is still there, under the key's own id, and later
        ones have a zero byte more each.
        """
        found = self._connection.execute(
            select(schema.cosignatures.c.key_id).where(
                (schema.cosignatures.c.size == size) & (schema.cosignatures.c.witness == cosigner)
            )
        ).scalars()
        there = sum(bytes(each)[: len(key_id)] == key_id for each in found)
        if there and not replaces:
            return False
        self._connection.execute(
            insert(schema.cosignatures),
            {"size": size, "witness": cosigner, "key_id": key_id + bytes(there), "line": line},
        )
        return True

    def cosignatures(self, size: int) -> list[str]:
        """Return the lines in which cosigners signed the checkpoint at `size`, each with its
        newline; of each key, the last one.
        """
        order = (schema.cosignatures.c.witness, schema.cosignatures.c.key_id)
        rows = self._connection.execute(
            select(*order, schema.cosignatures.c.line)
            .where(schema.cosignatures.c.size == size)
            .order_by(*order)
        )
        return list({(cosigner, bytes(key)[:4]): line for cosigner, key, line in rows}.values())

    def cosigned_sizes(self) -> list[int]:
        """Return the sizes of the checkpoints that are cosigned, smallest first."""
        return list(
            self._connection.execute(
                select(schema.cosignatures.c.size).distinct().order_by(schema.cosignatures.c.size)
            ).scalars()
        )
