"""The package `toolkit.ui.calls`."""
