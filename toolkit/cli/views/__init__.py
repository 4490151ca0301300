"""The package `toolkit.cli.views`."""
