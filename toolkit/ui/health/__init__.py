"""The package `toolkit.ui.health`."""
