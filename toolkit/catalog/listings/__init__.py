"""The package `toolkit.catalog.listings`."""
