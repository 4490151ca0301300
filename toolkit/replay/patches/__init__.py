"""Patches of HTTP libraries that record and replay their traffic."""
