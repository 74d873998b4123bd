"""How answers and talk are printed, and how errors become exit codes."""

import io
import json
import os
import pty
import signal
from collections.abc import Callable

import click
import pytest
from commandline import call
from hypothesis import given
from hypothesis import strategies as st

from witnesstree.cli import main as main_module
from witnesstree.cli.options import answer, laid_out, one_line
from witnesstree.cli.progress import progress


@given(st.text(st.characters(codec=None)))
def test_a_line_stays_a_line_and_can_be_printed(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert "\x1b" not in line
    line.encode()


def test_text_for_people_stays_as_it_is() -> None:
    for text in ("照片 1.jpg", "Zoë’s “contract” → 100 %", "a\u3000b", ""):
        assert one_line(text) == text
    assert one_line("a\nb\x1b[0m\u202e" + os.fsdecode(b"\xff")) == "a\\nb\\x1b[0m\\u202e\\udcff"


def test_json_is_utf_8_and_gives_back_every_name(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    value = {"path": os.fsdecode("照片\n".encode() + b"\xff")}
    answer(value)
    out = capfdbinary.readouterr().out
    assert "照片" in out.decode()
    assert json.loads(out) == value


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        *(
            (kind("what\nhappened"), code, "Error: what\\nhappened\n")
            for kind, code in main_module.EXIT_CODES.items()
        ),
        (
            KeyboardInterrupt(),
            130,
            "Interrupted. Everything acknowledged is kept; run the same command again to finish.\n",
        ),
        (
            click.Abort(),
            130,
            "Interrupted. Everything acknowledged is kept; run the same command again to finish.\n",
        ),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_how: object) -> None:
        raise error

    monkeypatch.setattr(main_module.cli, "main", fail)
    ran = call()
    assert (ran.code, ran.talk) == (code, says)


def test_an_unforeseen_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_how: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main_module.cli, "main", fail)
    with pytest.raises(ZeroDivisionError):
        call()


def interrupt_in_disguise(**_how: object) -> int:
    """Be interrupted where Python 3.11 wraps it: while a class is made."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as error:
        raise RuntimeError("Error calling __set_name__") from error
    return 0


def test_an_interrupt_in_disguise_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module.cli, "main", interrupt_in_disguise)
    before = signal.getsignal(signal.SIGINT)
    ran = call()
    assert (ran.code, ran.talk[:12]) == (130, "Interrupted.")
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module.cli, "main", interrupt_in_disguise)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert call().code == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_progress_is_drawn_only_where_a_person_watches(capfd: pytest.CaptureFixture[str]) -> None:
    with progress("hashing", 10) as advance:
        advance(10)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("is_bytes", "shown"), [(True, b"100%"), (False, b"200/200")])
def test_progress_moves_on(is_bytes: bool, shown: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = on_a_terminal(lambda: draw(200, is_bytes=is_bytes), monkeypatch)
    assert b"hashing" in drawn
    assert shown in drawn
    assert on_a_terminal(lambda: draw(0, is_bytes=is_bytes), monkeypatch) == b""


def draw(total: int, *, is_bytes: bool) -> None:
    with progress("hashing", total, is_bytes=is_bytes) as advance:
        for _ in range(total):
            advance(1)


def on_a_terminal(action: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return what `action` draws on standard error where that is a terminal."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", terminal)
        patch.setenv("TERM", "xterm")
        action()
        terminal.write("end")
    drawn = b""
    while not drawn.endswith(b"end"):
        drawn += os.read(master, 65536)
    os.close(master)
    return drawn.removesuffix(b"end")


def test_lines_are_broken_at_words_where_a_person_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "PASSED   digest  The file's SHA-256 is " + "0" * 64 + ", which this proof is for."
    assert laid_out(text, 9) == text
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout", Terminal())
    assert laid_out(text, 9).splitlines() == [
        "PASSED   digest  The file's SHA-256 is",
        " " * 9 + "0" * 64 + ", which",
        " " * 9 + "this proof is for.",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
