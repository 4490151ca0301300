"""The package `toolkit.calls.pipeline.pipeline`."""
