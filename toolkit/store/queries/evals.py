"""Queries over datasets, eval runs and their samples."""

from __future__ import annotations
