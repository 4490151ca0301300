"""The package `toolkit.health.monitoring`."""
