"""The package `toolkit.evals.scoring.scoring`."""
