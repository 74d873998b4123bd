"""Fixtures for all tests.

Sockets are off (pyproject.toml); a test that needs one says so with @pytest.mark.enable_socket.
"""

import gc
import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from commandline import end_what_was_started
from hypothesis import HealthCheck, settings
from servers.postgresql import PostgreSQL, postgresql

from witnesstree.cli.language import speak
from witnesstree.ledger.base.catalogue import ENGLISH

# What is started in the background inherits that these are ignored, and so would all that tests
# start: a command is to be interrupted, a server to be ended.
for _number in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(
            _number,
            signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL,
        )

# As the command line has it, which many tests call in this process.
gc.set_threshold(200_000, 20, 20)

settings.register_profile(
    "default",
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

START = datetime(2026, 11, 23, 8, 0, 0, tzinfo=UTC)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the rehearsals what a test that is sampled does not do in every run."""
    seen = Counter[tuple[Path, str]]()
    for item in items:
        marker = item.get_closest_marker("sampled")
        if marker and isinstance(item, pytest.Function):
            test = (item.path, item.originalname)
            if seen[test] % marker.args[0]:
                item.add_marker(pytest.mark.rehearsal)
            seen[test] += 1


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def tick(self, seconds: float = 1) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """A test that makes the command line speak another language does so alone."""
    yield
    speak(ENGLISH)


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    end_what_was_started()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the settings, the home or the trust store of whoever runs it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-configuration"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.getbasetemp() / "no-data"))
    for name in list(os.environ):
        if name.startswith("WITNESSTREE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """A PostgreSQL server for all tests of a process: each takes a schema of its own."""
    with postgresql() as server:
        yield server
