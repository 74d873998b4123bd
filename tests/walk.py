"""A walk through all that the tests have us say: `pytest -p walk --walk FOLDER` writes one file a
language there, each message once by its code, worded with what a test made of it. To be read.

What a test never provokes is at the end of each file, as the catalogue has it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from witnesstree.ledger.base import message as messages
from witnesstree.ledger.base.catalogue import LANGUAGES, ROOMS, worded, words_of

if TYPE_CHECKING:
    import pytest

_seen: dict[str, messages.Message] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--walk", type=Path, help="Write what is said into this folder.")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--walk") is None:
        return
    real = messages.Message.__init__

    def noting(self: messages.Message, *given: Any, **named: Any) -> None:
        real(self, *given, **named)
        _seen.setdefault(self.code, self)

    messages.Message.__init__ = noting  # type: ignore[method-assign]


def pytest_sessionfinish(session: pytest.Session) -> None:
    folder: Path | None = session.config.getoption("--walk")
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.json"
    known = {code for room in ROOMS for code in words_of(LANGUAGES[0], room)}
    said = {code: messages.to_json(each) for code, each in _seen.items() if code in known}
    part.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")
    if hasattr(session.config, "workerinput"):
        return
    together: dict[str, messages.Message] = {}
    for path in sorted(folder.glob("*.json")):
        for code, each in json.loads(path.read_text(encoding="utf-8")).items():
            together.setdefault(code, messages.from_json(each))
    for language in LANGUAGES:
        lines = []
        for room in ROOMS:
            lines.append(f"\n## {room}\n")
            lines += [
                f"{code}: {worded(together[code], language)}"
                if code in together
                else f"{code} (no test): {words}"
                for code, words in words_of(language, room).items()
            ]
        (folder / f"{language}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
