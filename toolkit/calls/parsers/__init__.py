"""The package `toolkit.calls.parsers`."""
