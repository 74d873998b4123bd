"""The change of the log's key, with the metadata in PostgreSQL."""

from unit.ledger.work.test_rotation import *  # noqa: F403 - tests and their fixtures
