"""Recent blocks: what a batch's opening record names so that nobody can say that it is older.

Who takes entries from many people asks no chain while they wait: the worker keeps a recent block in
the home, `recent-block.json`, and a batch that is opened names that one.
"""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from witnesstree.ledger.base.clock import format_time, parse_time
from witnesstree.ledger.base.errors import BadAnswer, Conflict, InvalidInput, Unreachable
from witnesstree.ledger.base.ports import Block
from witnesstree.ledger.base.strictjson import load
from witnesstree.ledger.chain.stateproof import parse_header
from witnesstree.ledger.store.disk import write_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from witnesstree.ledger.store.home import Home
    from witnesstree.ledger.work.clocks import Clocks
    from witnesstree.ledger.work.outbox import Witnesses

FILE: Final = "recent-block.json"
KEPT_FOR: Final = timedelta(minutes=15)
"""An older block is not named: the record then names none, and is honest about it."""
ASKED_EVERY: Final = timedelta(minutes=1)
_MAX_FILE: Final = 64 * 1024


class RecentBlocks:
    """The recent blocks of the chains that a ledger is anchored on."""

    def __init__(
        self,
        home: Home,
        witnesses: Witnesses,
        clocks: Clocks,
        clock: Callable[[], datetime],
        *,
        asks: bool,
    ) -> None:
        self._path = home.folder / FILE
        self._witnesses, self._clocks, self._clock = witnesses, clocks, clock
        self.asks = asks

    def newest(self, *, may_alarm: bool = True) -> Block | None:
        """Return a recent block of the first chain that answers; the one that is kept, where no
        chain is to be asked.

        A chain that is down, or whose time cannot be right, must not stop a submission: the record
        then names none.
        """
        if not self.asks:
            return self._kept(KEPT_FOR)
        for chain in self._witnesses.chains.values():
            try:
                block = chain.recent_block()
            except (Unreachable, BadAnswer, Conflict):
                continue
            if self._clocks.admits(chain.name, block, may_alarm=may_alarm):
                return block
        return None

    def keep(self) -> None:
        """Ask the chains and keep what they say, unless what is kept is not a minute old.

        Raises StorageFailure.
        """
        if self._kept(ASKED_EVERY):
            return
        if block := self.newest():
            members = {
                "asked": format_time(self._clock()),
                "chain_id": block.chain_id,
                "number": block.number,
                "header": base64.b64encode(block.header).decode(),
            }
            write_file(self._path, json.dumps(members).encode())

    def _kept(self, age: timedelta) -> Block | None:
        """Return the block that is kept, None where none was within `age` or it cannot be read."""
        try:
            with self._path.open("rb") as file:
                value = load(str(self._path), file.read(_MAX_FILE))
            value.members("asked chain_id header number")
            asked = parse_time(value["asked"].text(40))
            header = base64.b64decode(value["header"].text(_MAX_FILE), validate=True)
            block = Block(
                value["chain_id"].integer(),
                value["number"].integer(),
                parse_header(header).hash,
                header,
            )
        except (OSError, ValueError, InvalidInput):
            return None
        return block if timedelta() <= self._clock() - asked <= age else None
