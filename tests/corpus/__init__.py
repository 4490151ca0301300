"""Recorded answers of real providers, asked for again through the whole toolkit."""
