"""The package `toolkit.calls.transport`."""
