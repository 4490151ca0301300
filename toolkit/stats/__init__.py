"""Statistics: intervals, tests, effect sizes, power, agreement. Used by evals, replay and health."""
