"""anchor/clock.py, against a real chrony and against servers that say odd things."""

import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from commandline import call
from conftest import START
from real import require_real

from witnesstree.anchor import clock
from witnesstree.anchor.clock import Comparison, Reading, ask, compare, fault_of, keep, kept
from witnesstree.anchor.wiring import open_ledger
from witnesstree.ledger.base.errors import BadAnswer, Unreachable
from witnesstree.ledger.base.message import message

pytestmark = pytest.mark.enable_socket
EPOCH = 2_208_988_800


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def chrony(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = require_real("chronyd")
    folder, port = tmp_path_factory.mktemp("chrony"), free_port()
    lines = (
        f"port {port}",
        "bindaddress 127.0.0.1",
        "local stratum 8",
        "allow 127.0.0.1",
        "cmdport 0",
        "bindcmdaddress /",
        f"pidfile {folder}/pid",
    )
    (folder / "chrony.conf").write_text("\n".join(lines) + "\n")
    # -x: it never touches the clock of this machine.
    argv = [program, "-x", "-d", "-u", "root", "-f", str(folder / "chrony.conf")]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 20
            while True:
                try:
                    ask(f"127.0.0.1:{port}", patience=0.5)
                    break
                except (Unreachable, BadAnswer):
                    assert time.monotonic() < end
                    time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


Answer = Callable[[bytes], bytes]


def answer(
    question: bytes,
    *,
    head: int = 4 << 3 | 4,
    stratum: int = 2,
    ahead: float = 0.0,
    backwards: float = 0.0,
    origin: bytes | None = None,
) -> bytes:
    """Answer as a server does whose clock is `ahead`."""

    def stamp(at: float) -> bytes:
        return struct.pack("!II", int(at + EPOCH) % 2**32, int(at % 1 * 2**32))

    now = time.time() + ahead
    return b"".join(
        (
            struct.pack("!BBbb3I", head, stratum, 0, 0, 0, 0, 0),
            stamp(now),
            question[40:48] if origin is None else origin,
            stamp(now),
            stamp(now - backwards),
        )
    )


@contextmanager
def serving(reply: Answer) -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)

        def serve() -> None:
            question, asker = server.recvfrom(1024)
            server.sendto(reply(question), asker)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_a_real_server_agrees_with_itself(chrony: str) -> None:
    found = ask(chrony)
    assert abs(found.offset) < 0.5
    assert 0 <= found.round_trip < 0.5


@pytest.mark.parametrize("ahead", [100.0, -100.0])
def test_how_far_the_clock_is_off(ahead: float) -> None:
    with serving(lambda question: answer(question, ahead=ahead)) as source:
        assert abs(ask(source).offset - ahead) < 1


@pytest.mark.parametrize(
    "reply",
    [
        lambda _: b"short",
        lambda question: answer(question, head=4 << 3 | 3),
        lambda question: answer(question, head=3 << 6 | 4 << 3 | 4),
        lambda question: answer(question, stratum=0),
        lambda question: answer(question, stratum=16),
        lambda question: answer(question, origin=bytes(8)),
        lambda question: answer(question, backwards=5.0),
    ],
)
def test_what_must_not_be_used(reply: Answer) -> None:
    with serving(reply) as source, pytest.raises(BadAnswer):
        ask(source)


def test_a_server_that_is_silent() -> None:
    with pytest.raises(Unreachable):
        ask(f"127.0.0.1:{free_port()}", patience=0.2)
    with pytest.raises(Unreachable):
        ask("no-such-host.invalid", patience=0.2)


def test_the_median_counts_and_faults_are_kept(tmp_path: Path) -> None:
    fault = message("time-server-wrong", source="d")
    readings = (Reading("a", 1.0, 0.1), Reading("b", 2.0, 0.1), Reading("c", 900.0, 0.1))
    comparison = Comparison(START, (*readings, Reading("d", fault=fault)))
    assert comparison.offset == 2.0
    keep(tmp_path, comparison)
    assert kept(tmp_path) == comparison
    assert comparison.is_valid(START + timedelta(minutes=59))
    assert not comparison.is_valid(START + timedelta(minutes=61))
    assert not comparison.is_valid(START - timedelta(seconds=1))
    assert fault_of(comparison, timedelta(seconds=5)) is None
    assert fault_of(comparison, timedelta(seconds=1)) == message("clock-is-off", seconds=2.0)
    none = Comparison(START, (Reading("d", fault=fault),))
    assert none.offset is None
    assert not none.is_valid(START)
    assert fault_of(none, timedelta(seconds=1)) == message("clock-not-compared")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"at":1}', b'{"at":"2026-11-23T08:00:00Z","readings":[1]}']
)
def test_what_is_kept_is_not_believed(tmp_path: Path, content: bytes) -> None:
    assert kept(tmp_path) is None
    (tmp_path / clock.FILE).write_bytes(content)
    assert kept(tmp_path) is None


def test_the_worker_compares_and_raises_an_alarm(chrony: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert call("init", "--home", home).code == 0
    (home / "settings.toml").write_text(f'clock_sources = ["{chrony}"]\n')
    assert call("worker", "--once", "--home", home).code == 0
    found = kept(home)
    assert found
    assert found.offset is not None
    assert alarms(home) == []
    shutil.copyfile(home / clock.FILE, tmp_path / "before")
    assert call("worker", "--once", "--home", home).code == 0
    assert (home / clock.FILE).read_bytes() == (tmp_path / "before").read_bytes(), "not so soon"
    (home / clock.FILE).unlink()
    with serving(lambda question: answer(question, ahead=1000.0)) as source:
        (home / "settings.toml").write_text(f'clock_sources = ["{source}"]\n')
        assert call("worker", "--once", "--home", home).code == 0
    assert alarms(home) == ["clock-is-off"]
    (home / clock.FILE).unlink()
    (home / "settings.toml").write_text(f'clock_sources = ["{chrony}"]\n')
    assert call("worker", "--once", "--home", home).code == 0
    assert alarms(home) == []


def alarms(home: Path) -> list[str]:
    with open_ledger(home) as ledger, ledger.metadata.read() as transaction:
        return [alarm.text.code for alarm in transaction.alarms()]


def test_several_are_asked() -> None:
    with serving(answer) as source:
        found = compare([source, f"127.0.0.1:{free_port()}"], lambda: START)
    assert [reading.fault is None for reading in found.readings] == [True, False]
