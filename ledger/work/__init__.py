"""What a ledger does: seals, looks up, has batches stamped and anchored, renews, changes its key,
and checks itself.
"""
