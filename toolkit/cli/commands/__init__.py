"""The package `toolkit.cli.commands`."""
