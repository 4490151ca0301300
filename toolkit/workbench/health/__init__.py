"""Health of providers: evidence, states, incidents, probes, and the monitor that runs them."""
