"""The proof file and the other forms that carry a proof: all proofs of a batch, evidence records,
containers, manifests.
"""
