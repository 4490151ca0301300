"""The package `toolkit.ui.evals`."""
