"""The proof file, and the other forms of a proof: bulk proofs, evidence records, manifests."""
