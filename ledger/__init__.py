"""What is true: computes, and keeps; never talks to a network."""
