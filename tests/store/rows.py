"""Rows as the rooms above append them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from uuid_utils import uuid7

from toolkit.records import Call


def call_row(**changes: Any) -> dict[str, Any]:
    """The row of one plausible successful call, with `changes`."""
    values: dict[str, Any] = {
        "call_id": str(uuid7()),
        "request_id": str(uuid7()),
        "attempt": 1,
        "attempt_kind": "first",
        "origin": "api",
        "started_at": datetime(2026, 11, 20, 10, 30, tzinfo=UTC),
        "seq": 1,
        "provider": "acme",
        "model": "m1",
        "status": "ok",
    }
    return Call(**{**values, **changes}).as_row()


def model_row(**changes: Any) -> dict[str, Any]:
    """The row of one model, with `changes`."""
    return {"provider": "acme", "model_id": "m1", "model": "acme/m1", **changes}
