"""The package `toolkit.ui.compare`."""
