"""`witnesstree demo`: the whole way of a few files, in a home that is thrown away."""

from __future__ import annotations

import shutil
import wave
from array import array
from contextlib import chdir
from importlib.resources import as_file, files
from math import pi, sin
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from witnesstree.cli.help import Command
from witnesstree.cli.language import phrase
from witnesstree.cli.options import say

if TYPE_CHECKING:
    from witnesstree.ledger.base.report import Report

EXAMPLES = ("photo.jpg", "contract.pdf", "chat.json", "page.html")
RATE = 48_000
"""Samples a second, of 2 bytes each."""
RECORDING = 50_000_000
"""Bytes of sound in the recording."""


@click.command("demo", cls=Command)
@click.pass_context
def demo_command(ctx: click.Context) -> None:
    """Seal example files, verify each, then alter one byte and see it found.

    Example:
        witnesstree demo
    """
    from witnesstree.cli.seal import seal_command
    from witnesstree.ledger.base.report import Verdict

    with TemporaryDirectory(prefix="witnesstree-demo-") as temporary:
        home, folder = Path(temporary) / "home", Path(temporary) / "evidence"
        evidence = _make_evidence(folder)
        _make_home(home)
        click.echo(err=True)
        say("demo-sealing", count=len(evidence))
        with chdir(folder):
            seal_command.main(
                ["--home", str(home), *(file.name for file in evidence)], standalone_mode=False
            )
        click.echo(err=True)
        say("demo-verifying")
        verdicts = [_show(file.name, _verify(file, file, home)) for file in evidence]
        click.echo(err=True)
        say("demo-altering")
        contract = folder / "contract.pdf"
        verdicts.append(
            _show(
                phrase("demo-altered", name="contract.pdf"),
                _verify(_altered(contract), contract, home),
            )
        )
    as_it_should = [Verdict.VERIFIED] * len(evidence) + [Verdict.FAILED]
    click.echo(err=True)
    if verdicts != as_it_should:
        say("demo-wrong")
        ctx.exit(1)
    say("demo-right", count=len(evidence))


def _make_home(home: Path) -> None:
    from witnesstree.anchor.wiring import make_home, new_origin

    say("demo-home")
    make_home(home, new_origin())


def _make_evidence(folder: Path) -> list[Path]:
    folder.mkdir()
    for name in EXAMPLES:
        with as_file(files("witnesstree.examples") / name) as example:
            shutil.copyfile(example, folder / name)
    recording = folder / "recording.wav"
    say("demo-recording", size=RECORDING // 10**6)
    _record(recording)
    return [*(folder / name for name in EXAMPLES), recording]


def _record(path: Path) -> None:
    """Write a tone as a WAV file."""
    second = array(
        "h", (round(8_000 * sin(2 * pi * 440 * i / RATE)) for i in range(RATE))
    ).tobytes()
    with wave.open(str(path), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(RATE)
        for written in range(0, RECORDING, len(second)):
            recording.writeframes(second[: RECORDING - written])


def _altered(file: Path) -> Path:
    """Return a copy of the file with one bit flipped in its middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    copy = file.with_name(f"altered-{file.name}")
    copy.write_bytes(content)
    return copy


def _verify(file: Path, sealed: Path, home: Path) -> Report:
    from witnesstree.anchor.trust import home_trust
    from witnesstree.anchor.wiring import clock
    from witnesstree.ledger.base.digest import digest_file
    from witnesstree.ledger.proof.proof import parse_proof
    from witnesstree.ledger.store.home import open_home
    from witnesstree.ledger.trust import Trust
    from witnesstree.ledger.verify.verify import verify

    content = sealed.with_name(sealed.name + ".proof.json").read_bytes()
    trust = home_trust(open_home(home), parse_proof(content)) or Trust()
    return verify(digest_file(file).digest, content, trust, clock())


def _show(name: str, report: Report) -> object:
    from witnesstree.cli.verdict import verdict_line

    click.echo(verdict_line(report, f"{name:22} "))
    return report.verdict
