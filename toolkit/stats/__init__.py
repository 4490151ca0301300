"""The package `toolkit.stats`."""
