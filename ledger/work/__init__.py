"""What a ledger does: seals, finds, has roots stamped and anchored, renews, and checks itself."""
