"""Sealing, with the metadata in PostgreSQL."""

from unit.ledger.test_sealing import *  # noqa: F403 - tests and their fixtures
