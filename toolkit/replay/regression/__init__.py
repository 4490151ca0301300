"""The package `toolkit.replay.regression.suite_run`."""
