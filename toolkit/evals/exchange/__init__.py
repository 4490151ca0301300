"""Runs as files: exports that come back unchanged, and logs of other tools read as runs."""
