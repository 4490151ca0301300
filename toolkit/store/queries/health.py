"""Queries over probes, incidents and the calls that speak for a provider's health."""

from __future__ import annotations
