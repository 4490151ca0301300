"""The package `toolkit.evals.results`."""
