"""The package `toolkit.evals.running`."""
