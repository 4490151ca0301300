"""The package `toolkit.health.analysis`."""
