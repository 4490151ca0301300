"""A call, from question to record; read `client` first."""
