"""The words of messages, one catalogue a language: words/<language>/<room>.json, a code a member.

The words are ICU MessageFormat, as far as this uses it, so that other programs read the same files
(`intl-messageformat` in TypeScript):

    {name}                                   the parameter; of a list, its parts after each other
    {name, number}                           with thousands parted: 12,345
    {name, plural, one {…} other {… # …}}    by the language's plural; # is the number; =0 {…} too
    {name, select, a {…} other {…}}          by the value: true, false, none, or the text itself

`'{'` and `'}'` are braces. An apostrophe that no brace or # follows is an apostrophe.
"""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from witnesstree.ledger.base.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from witnesstree.ledger.base.message import Plain

    _Part = Callable[[Mapping[str, Plain], str], str]

ENGLISH, CHINESE = "en", "zh-Hans"
LANGUAGES = (ENGLISH, CHINESE)
"""As BCP 47 names them; a folder of words each. The first has every code."""

ROOMS = (
    "base",
    "tree",
    "log",
    "tokens",
    "chain",
    "proof",
    "verify",
    "audit",
    "store",
    "work",
    "anchor",
    "evm",
    "ipfs",
    "tsa",
    "settings",
    "cli",
)
"""The files of each language, named after the rooms that say what is in them."""
HELP = "help"
"""The file with the command line's help: large, and read only where help is asked for."""

_WORDS = os.path.join(os.path.dirname(__file__), "words")  # noqa: PTH118, PTH120 - pathlib is slow to load
_BETWEEN = {ENGLISH: ", ", CHINESE: "、"}
_MARK = re.compile(r"'[{}#]+'|[{}#]")
_ARGUMENT = re.compile(r"\s*(\w+)\s*(?:,\s*(number|plural|select)\s*(,)?)?")
_END = re.compile(r"\s*\}")
_CASE = re.compile(r"\s*(=\d+|[\w.-]+)\s*\{")


def worded(said: Message, language: str = ENGLISH) -> str:
    """Return a message in words. Where a language lacks the code, English has it.

    It never fails: a code that nobody worded is shown as code and parameters.
    """
    parts = _template(language, said.code) or _template(ENGLISH, said.code)
    if parts is None:
        shown = ", ".join(f"{name}={_shown(value, language)}" for name, value in said.params)
        return f"{said.code}({shown})" if shown else said.code
    params = dict(said.params)
    return "".join(part if isinstance(part, str) else part(params, language) for part in parts)


def choose_language(asked: str) -> str | None:
    """Return the language that a BCP 47 tag or the name of a locale asks for, if we have it."""
    tag = asked.replace("_", "-").partition(".")[0].lower()
    if tag in {"c", "posix"} or tag.split("-")[0] == "en":
        return ENGLISH
    return CHINESE if tag.split("-")[0] == "zh" else None


@lru_cache(None)
def words_of(language: str, room: str) -> Mapping[str, str]:
    """Return one file of the catalogue: its words by code."""
    path = os.path.join(_WORDS, language, f"{room}.json")  # noqa: PTH118
    assert __spec__
    assert __spec__.loader
    content: bytes = __spec__.loader.get_data(path)  # type: ignore[attr-defined]
    words: dict[str, str] = json.loads(content)
    return words


@lru_cache(None)
def _all_words(language: str) -> Mapping[str, str]:
    return {code: words for room in ROOMS for code, words in words_of(language, room).items()}


@lru_cache(None)
def _template(language: str, code: str) -> list[str | _Part] | None:
    words = _all_words(language).get(code)
    return None if words is None else parse_words(words)


def parse_words(words: str) -> list[str | _Part]:
    """Return the parts of one entry. Raises ValueError if it is not in the form above."""
    return _Parser(words).parse()


def names_in(words: str) -> set[str]:
    """Return the parameters that an entry names, in all its branches."""
    parser = _Parser(words)
    parser.parse()
    return parser.names


class _Parser:
    """Reads one entry from left to right; `names` are the parameters that it has met."""

    def __init__(self, words: str) -> None:
        self._words = words
        self._at = 0
        self.names: set[str] = set()

    def parse(self) -> list[str | _Part]:
        parts = self._parts(in_plural=False)
        if self._at != len(self._words):
            raise self._fault("a brace too many")
        return parts

    def _fault(self, what: str) -> ValueError:
        return ValueError(f"{what} at {self._at} of {self._words!r}")

    def _parts(self, *, in_plural: bool) -> list[str | _Part]:
        """Read up to a closing brace, or the end, and stay before it."""
        parts: list[str | _Part] = []
        while mark := _MARK.search(self._words, self._at):
            if mark.start() > self._at:
                parts.append(self._words[self._at : mark.start()])
            self._at, found = mark.end(), mark[0]
            if found == "}":
                self._at = mark.start()
                return parts
            if found == "{":
                parts.append(self._argument())
            elif found == "#" and in_plural:
                parts.append(_number_of_plural)
            else:
                parts.append(found.strip("'"))
        if self._at < len(self._words):
            parts.append(self._words[self._at :])
            self._at = len(self._words)
        return parts

    def _argument(self) -> _Part:
        head = _ARGUMENT.match(self._words, self._at)
        if head is None:
            raise self._fault("no name behind a brace")
        name, kind, self._at = head[1], head[2], head.end()
        self.names.add(name)
        cases: dict[str, list[str | _Part]] = {}
        if kind in {"plural", "select"}:
            while case := _CASE.match(self._words, self._at):
                self._at = case.end()
                cases[case[1]] = self._parts(in_plural=kind == "plural")
                self._close()
            if "other" not in cases:
                raise self._fault("no case 'other'")
        self._close()
        if cases:
            return _branching(name, cases, is_plural=kind == "plural")
        return (_numbered if kind else _simple)(name)

    def _close(self) -> None:
        end = _END.match(self._words, self._at)
        if end is None:
            raise self._fault("no closing brace")
        self._at = end.end()


def _simple(name: str) -> _Part:
    return lambda params, language: _shown(params[name], language) if name in params else name


def _numbered(name: str) -> _Part:
    return lambda params, _language: _parted(params.get(name))


def _branching(name: str, cases: Mapping[str, list[str | _Part]], *, is_plural: bool) -> _Part:
    def choose(params: Mapping[str, Plain], language: str) -> str:
        value = params.get(name)
        if is_plural:
            plural = "one" if language == ENGLISH and value == 1 else "other"
            keys: tuple[str, ...] = (f"={value}", plural)
            params = {**params, "#": value}
        else:
            keys = (_key(value),)
        parts = next((cases[key] for key in keys if key in cases), cases["other"])
        return "".join(part if isinstance(part, str) else part(params, language) for part in parts)

    return choose


def _number_of_plural(params: Mapping[str, Plain], _language: str) -> str:
    return _parted(params.get("#"))


def _parted(value: Plain) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _key(value: Plain) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _shown(value: Plain, language: str) -> str:
    if isinstance(value, Message):
        return worded(value, language)
    if isinstance(value, tuple):
        return _BETWEEN.get(language, ", ").join(_shown(each, language) for each in value)
    return str(value)
