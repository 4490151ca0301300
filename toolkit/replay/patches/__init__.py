"""Patches that put an open cassette between the HTTP libraries and the network."""
