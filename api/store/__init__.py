"""What the service keeps in the ledger's database: a row a request or range, never one an entry."""
