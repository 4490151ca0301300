"""Which provider is up: state from real calls, probes only to fill silence."""
