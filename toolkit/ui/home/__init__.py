"""The package `toolkit.ui.home`."""
