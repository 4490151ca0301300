"""Statistics: intervals, tests, effect sizes, power, agreement."""
