"""The Spend page."""
