"""Queries over what calls cost, and over the prices that were applied."""

from __future__ import annotations
