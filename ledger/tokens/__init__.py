"""Judge RFC 3161 tokens, the X.509 certificates behind them, and what is said of revocation."""
