"""Sealing, with the metadata in PostgreSQL."""

from unit.ledger.work.test_sealing import *  # noqa: F403 - tests and their fixtures

# It makes a home for each of many examples, and is about what goes into the files.
del test_no_two_runs_share_a_pair  # noqa: F821 - it came with the others
