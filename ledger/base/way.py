"""The way to a place that somebody may write to besides us."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.system import own_user

if TYPE_CHECKING:
    from pathlib import Path


def require_own_way(path: Path) -> None:
    """Refuse a way to `path` that leads over a link which somebody else has made: it may lead
    anywhere by now. A link of the superuser, such as /var/run, is followed, and so is one's own.

    What has the name `path` itself is not asked: a file is put there, and no link followed.

    Raises InvalidInput.
    """
    for folder in path.absolute().parents:
        try:
            status = folder.lstat()
        except OSError:
            continue
        if stat.S_ISLNK(status.st_mode) and status.st_uid not in {0, own_user()}:
            raise InvalidInput("link-of-others", path=folder, owner=status.st_uid)
