"""The outbox, with the metadata in PostgreSQL."""

from unit.ledger.work.test_outbox import *  # noqa: F403 - tests and their fixtures

# It drops triggers as SQLite has them.
del test_a_transaction_or_batch_that_vanished_is_damage  # noqa: F821 - it came with the others
