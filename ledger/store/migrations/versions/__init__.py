"""One module a version, each with what changed; none is altered once it was released."""
