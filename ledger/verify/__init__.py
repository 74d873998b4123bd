"""Verification: a pure function of a digest, a proof, the verifier's trust, and the time."""
