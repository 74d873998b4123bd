"""Hash trees of batches (RFC 4998, 4.2), and the cores that do the bulk work."""
