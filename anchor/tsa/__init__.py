"""RFC 3161 authorities."""
