"""The package `toolkit.calls.adapters`."""
