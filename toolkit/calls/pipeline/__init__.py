"""Processors around a call."""
