"""Prove a contract's slot from a block header, and facts about known chains."""
