"""Providers: the registry, base URLs, connection tests and plugins."""
