"""Load tests: requests by a schedule to one model, and the figures of every step."""
