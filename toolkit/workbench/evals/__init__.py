"""Evaluations: the order, the run, what was done earlier, and what it would cost."""
