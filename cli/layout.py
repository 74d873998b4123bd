"""Text on a terminal: lines broken by width, where a Han character is two columns wide.

Between two Han characters a line may be broken, before closing punctuation and behind an opening
bracket it may not (GB/T 15834, 5.1.10: no such sign at a line's start or end).
"""

from __future__ import annotations

import re
from itertools import pairwise
from unicodedata import combining, east_asian_width

_NOT_FIRST = frozenset("，。、；：？！…—·）》〉」』】〕”’％‰")
_NOT_LAST = frozenset("（《〈「『【〔“‘")
_SPACES = re.compile(r" +")


def width_of(text: str) -> int:
    """Return the columns that a text takes."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, width: int, first: str = "", then: str = "") -> list[str]:
    """Return a text of one line broken into lines of at most `width` columns, words whole.

    `first` begins the first line, `then` each further one. A word that is wider than a line keeps
    its line to itself.
    """
    lines, line = [], first
    is_empty = True
    for piece in _pieces(text):
        if not is_empty and width_of(line + piece.rstrip()) > width:
            lines.append(line.rstrip())
            line, is_empty = then, True
        line += piece.lstrip() if is_empty else piece
        is_empty = is_empty and not piece.strip()
    return [*lines, line.rstrip()]


def columns(rows: list[tuple[str, str]], width: int, left: int = 30) -> list[str]:
    """Return rows of two columns: what is wider than `left` has a line of its own."""
    wide = min(left, max((width_of(name) for name, _ in rows), default=0)) + 2
    lines = []
    for name, text in rows:
        head = f"  {name}"
        space = " " * (2 + wide)
        if not text:
            lines.append(head)
        elif width_of(name) > wide - 2:
            lines += [head, *wrapped(text, width, space, space)]
        else:
            lines += wrapped(text, width, head + " " * (wide - width_of(name)), space)
    return lines


def _pieces(text: str) -> list[str]:
    """Return the pieces of a text between which a line may be broken; spaces go with the left."""
    pieces, start = [], 0
    for at, (before, behind) in enumerate(pairwise(text), 1):
        if _may_break(before, behind):
            pieces.append(text[start:at])
            start = at
    return [*pieces, text[start:]]


def _may_break(before: str, behind: str) -> bool:
    if before == " ":
        return behind != " "
    if behind == " " or behind in _NOT_FIRST or before in _NOT_LAST:
        return False
    return "W" in {east_asian_width(before), east_asian_width(behind)} or before in _NOT_FIRST
