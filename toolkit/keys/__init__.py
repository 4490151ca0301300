"""The package `toolkit.keys`."""
