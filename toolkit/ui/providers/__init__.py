"""The package `toolkit.ui.providers`."""
