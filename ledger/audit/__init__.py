"""Follow a published log from outside, and judge what it shows."""
