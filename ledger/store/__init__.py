"""The ledger on disk: metadata in a database, batches and their trees as files."""
