"""The catalogue words every code in every language; no sentence for people is elsewhere."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from witnesstree.ledger.base.catalogue import (
    ENGLISH,
    HELP,
    LANGUAGES,
    ROOMS,
    names_in,
    parse_words,
    words_of,
)

ROOT = Path(__file__).parents[2]
WORDS = ROOT / "ledger" / "base" / "words"
SOURCES = sorted(
    path
    for room in ("ledger", "anchor", "api", "cli")
    for path in (ROOT / room).rglob("*.py")
    if not {"node_modules", "target"} & set(path.parts)
)

CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SENTENCE = re.compile(r"[A-Za-z’']{2,},? [a-z’']+,? [a-z’']+")
"""Three words after each other: nothing that only programs read looks like that."""

ERRORS = {
    "InvalidInput",
    "OverLimit",
    "NotFound",
    "Conflict",
    "Unreachable",
    "Unaffordable",
    "BadAnswer",
    "Damaged",
    "StorageFailure",
}
FIRST = {"message", "say", "tell", "progress", *ERRORS}
"""Calls whose first argument is a code."""
SECOND = {"passed", "failed", "unknown"}
"""Calls whose second argument is one: the first is the check's name."""
NOT_PARAMETERS = {"required"}

NO_SENTENCES = {
    "too many requests": "how nodes say it, matched at the seam",
    "No matching keys": "how pyrage says it, matched at the seam",
    "is not pinned": "how Kubo says it, matched at the seam",
    "could not find": "how Kubo says it, matched at the seam",
    "service not known": "how Kubo says it, matched at the seam",
    "end of document": "how tomllib says it, matched at the seam",
    "Python extension validator failed": "how cryptography says it, matched at the seam",
    "proves nothing to third parties": "a name in the embedded authority's certificates",
    "LOCAL test ": "a name in the embedded authority's certificates",
    "a brace too many": "for who writes the catalogue: a test reads all of it",
    "too many braces": "for who writes the catalogue: a test reads all of it",
    "no name behind a brace": "for who writes the catalogue: a test reads all of it",
    "no case 'other'": "for who writes the catalogue: a test reads all of it",
    "no closing brace": "for who writes the catalogue: a test reads all of it",
    "SELECT ": "SQL",
    " NOT NULL": "SQL",
}
"""Literals that look like sentences and are none for users: a part of the text, and why."""


def all_words(language: str) -> dict[str, str]:
    return {
        code: words for room in (*ROOMS, HELP) for code, words in words_of(language, room).items()
    }


def test_the_files_are_those_that_are_read() -> None:
    for language in LANGUAGES:
        names = {path.stem for path in (WORDS / language).glob("*.json")}
        assert names == {*ROOMS, HELP}, language
    assert {path.name for path in WORDS.iterdir()} == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_code_is_worded_twice_and_all_are_in_order(language: str) -> None:
    seen: dict[str, str] = {}
    for room in (*ROOMS, HELP):
        text = (WORDS / language / f"{room}.json").read_text(encoding="utf-8")
        pairs = json.loads(text, object_pairs_hook=list)
        words = dict(pairs)
        assert len(pairs) == len(words), f"{room}: a code twice"
        assert text == json.dumps(words, ensure_ascii=False, indent=2, sort_keys=True) + "\n", (
            f"{language}/{room}.json is not in its form: `make format` puts it there"
        )
        for code in words:
            assert code not in seen, f"{code} is in {seen.get(code)} and in {room}"
            seen[code] = room


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != ENGLISH])
def test_every_language_has_every_code_with_the_same_parameters(language: str) -> None:
    for room in (*ROOMS, HELP):
        english, other = words_of(ENGLISH, room), words_of(language, room)
        assert set(english) == set(other), room
        for code, words in english.items():
            assert names_in(words) == names_in(other[code]), code


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_words_are_in_the_form(language: str) -> None:
    for code, words in all_words(language).items():
        assert words, code
        assert words.strip() == words, code
        parse_words(words)


def test_chinese_is_punctuated_as_chinese() -> None:
    """Between two Han characters no western comma, colon, semicolon, bracket or question mark."""
    wrong = re.compile(r"[\u4e00-\u9fff][,:;?!()][\s\u4e00-\u9fff]|[\u4e00-\u9fff]\.$")
    found = {c: w for c, w in all_words("zh-Hans").items() if wrong.search(w)}
    assert found == {}


# docs/glossary.zh.md says what stands for each.
NOT_OUR_WORDS = ("封存", "核验", "见证人", "证据清单", "证明力", "内置", "待办", "根哈希")


def test_chinese_keeps_to_the_glossary() -> None:
    found = {
        code: words
        for code, words in all_words("zh-Hans").items()
        if any(each in words for each in NOT_OUR_WORDS)
    }
    assert found == {}


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _literals(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)


def _said() -> Iterator[tuple[str, ast.Call, str]]:
    """Yield where a code is said, the call, and the code."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            at = 0 if _name(node) in FIRST else 1 if _name(node) in SECOND else None
            if at is not None and len(node.args) > at:
                for code in _literals(node.args[at]):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node, code


def test_every_code_that_is_said_has_words_for_its_parameters() -> None:
    words = all_words(ENGLISH)
    wrong = []
    for place, call, code in _said():
        if code not in words:
            wrong.append(f"{place}: {code!r} is not in the catalogue")
            continue
        given = {keyword.arg for keyword in call.keywords} - NOT_PARAMETERS
        if None not in given and not names_in(words[code]) <= given:
            wrong.append(f"{place}: {code} lacks {sorted(names_in(words[code]) - given)}")
    assert wrong == []


def test_every_worded_code_is_one_that_is_said_somewhere() -> None:
    """A code may be said through a table: it is enough that the source has it as a literal."""
    literals = {
        node.value
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    said = {code for room in ROOMS for code in words_of(ENGLISH, room)}
    unsaid = {c for c in said - literals if not c.startswith(("metric-", "os-", "setting-"))}
    assert unsaid == set()


THEIR_WORDS = {
    "ledger/store/database/postgresql.py": "what the server itself says, its first line",
}
"""Where words of others are shown: a file, and why."""


def _shows_an_error(call: ast.Call) -> bool:
    """Whether a parameter of what is said holds the text of an error."""
    return any(
        isinstance(node, ast.Call)
        and _name(node) in {"str", "repr"}
        and re.search(r"\b(error|orig|caught|exc|cause)\b(?!\.filename)", ast.unparse(node))
        for argument in (*call.args, *(keyword.value for keyword in call.keywords))
        for node in ast.walk(argument)
    )


def test_no_text_of_a_librarys_error_is_said() -> None:
    """An error is handed over as it is: message_of words those that it knows."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if str(path.relative_to(ROOT)) not in THEIR_WORDS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (_name(node) in FIRST | SECOND or any(k.arg == "text" for k in node.keywords))
        and _shows_an_error(node)
    ]
    assert found == []


def test_no_sentence_for_users_is_outside_the_catalogue() -> None:
    found = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {
            id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
        }  # docstrings, and those of constants
        asserted = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.Assert)
            for inner in ast.walk(node)
        }
        listed = {
            id(argument)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and _name(node) == "members"
            for argument in node.args
        }  # names of members of a JSON object
        found += [
            f"{path.relative_to(ROOT)}:{node.lineno}: {node.value[:70]!r}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in prose | asserted | listed
            and SENTENCE.search(node.value)
            and not any(part in node.value for part in NO_SENTENCES)
        ]
    assert found == []
