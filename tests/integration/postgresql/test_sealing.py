"""Sealing, with the metadata in PostgreSQL."""

from unit.ledger.work.test_sealing import *  # noqa: F403 - tests and their fixtures
