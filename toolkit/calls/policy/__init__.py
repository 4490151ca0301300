"""Rate limits, retries, circuit breakers and failover: which provider is called, and how often."""
