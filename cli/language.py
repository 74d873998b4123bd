"""In which language the command line speaks: --lang, WITNESSTREE_LANG, the locale, in that order.

Answers for programs (`--json`) have the same members in every language; only the words in them
follow it.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING

from witnesstree.ledger.base.catalogue import ENGLISH, choose_language, worded
from witnesstree.ledger.base.message import message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from witnesstree.ledger.base.message import Message, Value

LANG_ENVVAR = "WITNESSTREE_LANG"
LANG_OPTION = "--lang"

_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


def language() -> str:
    """Return the language that is spoken now, as the catalogue names it."""
    return _language.get()


def speak(chosen: str) -> None:
    """Speak this language from now on."""
    _language.set(chosen)


def asked_language(arguments: Sequence[str]) -> str:
    """Return the language that the command line asks for, or else the environment.

    It is found before anything is parsed, because errors in parsing are told in it, too. What
    names no language that we have is left out of account: the option itself refuses it.
    """
    asked = [
        value
        for at, argument in enumerate(arguments)
        for value in _value_of(argument, arguments[at + 1 : at + 2])
    ]
    named = [os.environ.get(name, "") for name in (LANG_ENVVAR, "LC_ALL", "LC_MESSAGES", "LANG")]
    # The first that is set decides, as for every program; only an explicit wish is looked through.
    locale = next((name for name in named[1:] if name), "")
    return next(filter(None, map(choose_language, [*asked[-1:], named[0], locale])), ENGLISH)


def words(said: Message) -> str:
    """Return a message in the language that is spoken."""
    return worded(said, language())


def phrase(code: str, /, **params: Value) -> str:
    """Return the words of a code in the language that is spoken."""
    return words(message(code, **params))


def _value_of(argument: str, following: Sequence[str]) -> Sequence[str]:
    name, is_joined, value = argument.partition("=")
    if name != LANG_OPTION:
        return ()
    return (value,) if is_joined else following
