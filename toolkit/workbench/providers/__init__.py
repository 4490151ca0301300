"""Providers and their keys: add, test, find, exchange."""
