"""The management routes under `/api`: providers, keys, models, health and calls."""
