"""IPFS stores."""
