"""Whom we ask: authorities, chains, IPFS; settings and wiring."""
