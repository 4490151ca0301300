"""The Load tests page."""
