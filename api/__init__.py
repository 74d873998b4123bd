"""The HTTP service and its web pages (not built yet)."""
