"""The ledger on disk: metadata in SQLite, batches and their trees as files."""
