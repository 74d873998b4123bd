"""What the verifier loads: how much code that is, and none of it keeps or runs a ledger.

`pytest -s` prints the figures. Whoever has to trust the verifier has to read so many lines.
"""

import ast
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

VERIFIER = "witnesstree.ledger.verify.verify"
PLAIN = tuple(f"witnesstree.cli.{name}" for name in ("verify", "show", "export", "proof", "trust"))
"""Commands of a plain install, which runs on Windows, too."""
DOORS = frozenset(
    {
        "witnesstree.cli.homes",  # --home
        "witnesstree.anchor.trust",  # --rpc with --home
        "witnesstree.anchor.evm.check",  # --rpc
        "witnesstree.anchor.wiring",  # `proof` without --from
        "witnesstree.ledger.work.lookup",  # the same
    }
)
"""What these commands load only where they are asked for more than a plain install has."""
POSIX_ONLY = {"crypt", "fcntl", "grp", "nis", "posix", "pty", "pwd", "readline", "resource"}
POSIX_ONLY |= {"spwd", "syslog", "termios", "tty"}
MOST_AT_ONCE, MOST_IN_ALL = 5_300, 6_100
"""Lines of 100 columns. They were 3,849 and 4,618 when this was written, and 3,972 and 4,770 before
that; in longer lines, 3,080 and 3,560. A change that adds to them says why.

Since then: a date for each kind of witness, and what they come to (window.py); what is
judged of a new token without a root (token.py); the rules for chains, which were cryptography's
and left out names and policies (path.py, names.py), and who else may have signed a CRL
(revocation.py); the parts of a proof that are of one file alone, and what it holds that is not
known yet (proof.py, tokens.py); SM2 and SM3 (sm2.py); numbers that canonical JSON cannot have
(strictjson.py), and what no signature covers in a token (der.py, token.py); both readings of
RFC 4998 (record_judge.py); roots that are trusted for certain times only, and why a root is missing
(trust.py, token.py); names and attributes as a stranger read the document (names.py, der.py)."""


def source_of(module: str) -> Path:
    spec = find_spec(module)
    assert spec
    assert spec.origin
    return Path(spec.origin)


def code_lines(text: str) -> int:
    """Count the lines that hold code: no blank ones, no comments, no docstrings."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in {
            tokenize.COMMENT,
            tokenize.NL,
            tokenize.NEWLINE,
            tokenize.INDENT,
            tokenize.DEDENT,
            tokenize.ENDMARKER,
        }:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield what a module imports, at once or when it is needed; not what only types need."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            yield from imported(node)


def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def imports_of(module: str) -> set[str]:
    return set(imported(ast.parse(source_of(module).read_text(encoding="utf-8"))))


def closure(*modules: str, but: frozenset[str] = frozenset()) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found | but or not module.startswith("witnesstree.") or not is_module(module):
            continue
        found.add(module)
        waiting += imports_of(module)
    return found


def loaded() -> set[str]:
    program = f"import sys, {VERIFIER}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    names = [
        name for name in done.stdout.decode().split() if name.startswith("witnesstree.ledger.")
    ]
    # A package is one line of docstring; the native core only hashes, as Python does without it.
    return {
        name
        for name in names
        if source_of(name).name != "__init__.py" and not name.endswith("._native")
    }


def lines_of(modules: set[str]) -> int:
    return sum(code_lines(source_of(each).read_text(encoding="utf-8")) for each in modules)


def test_the_verifier_stays_small_and_knows_neither_store_nor_work() -> None:
    at_once, in_all = loaded(), closure(VERIFIER)
    assert at_once <= in_all
    print(f"\nthe verifier: {lines_of(at_once)} lines at once, {lines_of(in_all)} in all")
    for module in sorted(in_all):
        assert module.split(".")[1] == "ledger", module
        assert module.split(".")[2] not in {"store", "work", "audit"}, module
    assert lines_of(at_once) <= MOST_AT_ONCE
    assert lines_of(in_all) <= MOST_IN_ALL


def test_a_plain_install_keeps_no_ledger_and_needs_no_posix() -> None:
    found = closure("witnesstree.cli.main", *PLAIN, but=DOORS)
    assert {"witnesstree.cli.folder", VERIFIER, "witnesstree.ledger.store.disk"} <= found
    rooms = {"witnesstree.ledger.work", "witnesstree.ledger.audit", "witnesstree.ledger.store"}
    assert {each for each in found if each.rpartition(".")[0] in rooms} == {
        "witnesstree.ledger.store.disk"
    }
    # Locks are taken where somebody changes the trust store, once the system was asked for them.
    assert {(each, name) for each in found for name in imports_of(each) & POSIX_ONLY} == {
        ("witnesstree.ledger.store.disk", "fcntl")
    }


def test_what_keeps_a_ledger_is_behind_the_doors() -> None:
    behind = closure(*DOORS)
    assert "witnesstree.ledger.store.home" in behind
    assert any(imports_of(each) & POSIX_ONLY for each in behind)


def test_lines_are_counted_as_they_are_read() -> None:
    assert code_lines('"""A docstring."""\n\n# A comment.\nx = 1  # One.\n') == 1
    assert code_lines("x = [\n    1,\n\n    2,\n]\n") == 4
    assert code_lines('def f():\n    """Said\n    at length."""\n    return """a\nb"""\n') == 3
