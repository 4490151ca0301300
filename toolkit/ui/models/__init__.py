"""The package `toolkit.ui.models`."""
