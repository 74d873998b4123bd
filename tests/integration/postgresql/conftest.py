"""Everything in this folder is a suite from elsewhere, run once more with the metadata in
PostgreSQL."""

from pathlib import Path

import pytest
from fakes import FakeWorld
from servers.postgresql import PostgreSQL

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.real("postgres"))


@pytest.fixture(autouse=True)
def _on_postgresql(postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FakeWorld, "new_database", staticmethod(lambda: postgres.url(postgres.new_schema()))
    )
