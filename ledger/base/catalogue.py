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
    "api",
)
"""The files of each language, named after the rooms that say what is in them."""
HELP = "help"
"""The file with the command line's help: large, and read only where help is asked for."""

_WORDS = os.path.join(os.path.dirname(__file__), "words")  # noqa: PTH118, PTH120 - pathlib is slow to load
_BETWEEN = {ENGLISH: ", ", CHINESE: "、"}
_EDGE = "\u2060"
"""Where words of ours begin and end inside others, while these are put together."""
_HAN = r"[\u4e00-\u9fff]"
_BESIDE_HAN = rf"(?<={_HAN}) (?={_EDGE}{_HAN})|(?<={_HAN}{_EDGE}) (?={_HAN})"
"""The space around a Latin name, where the name turned out to be Chinese."""
_MARK = re.compile(r"'[{}#]+'|[{}#]")
_ARGUMENT = re.compile(r"\s*(\w+)\s*(?:,\s*(number|plural|select)\s*(,)?)?")
_CASE = re.compile(r"\s*(=\d+|[\w.-]+)\s*\{")


def worded(said: Message, language: str = ENGLISH) -> str:
    """Return a message in words. Where we lack the language, or it lacks the code, English has it.

    It never fails: a code without words is shown as code and parameters.
    """
    parts = _template(language, said.code) or _template(ENGLISH, said.code)
    if parts is None:
        shown = ", ".join(f"{name}={_shown(value, language)}" for name, value in said.params)
        return f"{said.code}({shown})" if shown else said.code
    params = dict(said.params)
    text = "".join(part if isinstance(part, str) else part(params, language) for part in parts)
    return re.sub(_BESIDE_HAN, "", text).replace(_EDGE, "") if language == CHINESE else text


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
    words = _all_words(language).get(code) if language in LANGUAGES else None
    return None if words is None else parse_words(words)


def parse_words(words: str, names: set[str] | None = None) -> list[str | _Part]:
    """Return the parts of one entry, and add the parameters that it names to `names`.

    Raises ValueError if it is not in the form above.
    """
    try:
        parts, end = _parse(words, 0, set() if names is None else names, in_plural=False)
    except RecursionError:
        raise ValueError(f"too many braces inside one another in {words[:60]!r}") from None
    if end != len(words):
        raise ValueError(f"a brace too many at {end} of {words!r}")
    return parts


def names_in(words: str) -> set[str]:
    """Return the names of the parameters that an entry's words are about.

    Raises ValueError if it is not in the form above.
    """
    names: set[str] = set()
    parse_words(words, names)
    return names


def _parse(
    words: str, at: int, names: set[str], *, in_plural: bool
) -> tuple[list[str | _Part], int]:
    parts: list[str | _Part] = []
    while mark := _MARK.search(words, at):
        if mark.start() > at:
            parts.append(words[at : mark.start()])
        found, at = mark[0], mark.end()
        if found.startswith("'"):
            parts.append(found[1:-1])
        elif found == "}":
            return parts, mark.start()
        elif found == "{":
            part, at = _parse_argument(words, at, names)
            parts.append(part)
        elif in_plural:
            parts.append(_number_of_plural)
        else:
            parts.append(found)
    parts.append(words[at:])
    return parts, len(words)


def _parse_argument(words: str, at: int, names: set[str]) -> tuple[_Part, int]:
    head = _ARGUMENT.match(words, at)
    if head is None:
        raise ValueError(f"no name behind a brace at {at} of {words!r}")
    name, kind, at = head[1], head[2], head.end()
    names.add(name)
    if kind in {None, "number"}:
        if words[at : at + 1] != "}":
            raise ValueError(f"no closing brace at {at} of {words!r}")
        return (_numbered if kind else _simple)(name), at + 1
    cases: dict[str, list[str | _Part]] = {}
    while case := _CASE.match(words, at):
        cases[case[1]], at = _parse(words, case.end(), names, in_plural=kind == "plural")
        at += 1
    end = re.compile(r"\s*\}").match(words, at)
    if "other" not in cases or end is None:
        raise ValueError(f"no case 'other', or no end, at {at} of {words!r}")
    return _branching(name, cases, is_plural=kind == "plural"), end.end()


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
        text = worded(value, language)
        return f"{_EDGE}{text}{_EDGE}" if language == CHINESE else text
    if isinstance(value, tuple):
        return _BETWEEN.get(language, ", ").join(_shown(each, language) for each in value)
    return str(value)
