"""The ledger log (RFC 9162) and its notes (C2SP), the statements and opening records in it."""
