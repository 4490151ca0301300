"""The provider API: providers, their models, health and calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

if TYPE_CHECKING:
    from toolkit.workbench.bench import Workbench


def build_management(bench: Workbench) -> APIRouter:
    """The routes under `/api`."""
    return APIRouter(tags=["providers"])
