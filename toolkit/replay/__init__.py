"""Recorded traffic: cassettes, the replay server, suites and verdicts."""
