"""The package `toolkit.calls.policy.runner`."""
