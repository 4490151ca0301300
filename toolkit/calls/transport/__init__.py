"""The guarded transport: connections, timestamps, bounds, deadlines, proxies."""
