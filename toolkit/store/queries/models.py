"""Queries over the catalog: models, their changes and their list prices."""

from __future__ import annotations
