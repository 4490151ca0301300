"""The package `toolkit.replay.cassettes`."""
