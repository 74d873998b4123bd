"""Effects that fail, with the metadata in PostgreSQL."""

from faults.test_effects import *  # noqa: F403 - tests and their fixtures

# It opens the file itself; test_metadata.py has the same for both databases.
del test_a_database_that_is_locked_gives_no_receipt  # noqa: F821 - it came with the others
# What the disk refuses is the batches' files, which are the same everywhere; refused commits are
# among the crashes, and in test_postgresql.py.
del test_a_disk_that_refuses_any_durable_step  # noqa: F821 - it came with the others
