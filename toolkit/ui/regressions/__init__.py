"""The Regressions page."""
