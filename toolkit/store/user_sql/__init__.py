"""A user's own SQL: which queries may grow, and the process in which those run."""
