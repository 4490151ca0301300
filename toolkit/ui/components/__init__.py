"""The package `toolkit.ui.components`."""
