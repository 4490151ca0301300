"""Provider health: states from real calls, and probes where there are none."""
