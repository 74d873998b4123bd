"""Judge RFC 3161 timestamp tokens, the X.509 certificates behind them, and what is said of their
revocation.
"""
