"""Queries over verdicts of regression suites."""

from __future__ import annotations
