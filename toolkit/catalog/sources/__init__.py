"""The package `toolkit.catalog.sources`."""
