"""The files that `witnesstree demo` seals."""
