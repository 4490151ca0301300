"""Queries over boards, their panes and votes."""

from __future__ import annotations
