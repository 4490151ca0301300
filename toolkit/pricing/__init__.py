"""The package `toolkit.pricing`."""
