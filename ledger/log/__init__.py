"""The ledger log (RFC 9162), signed notes and checkpoints (C2SP), and the statements and opening
records in it.
"""
