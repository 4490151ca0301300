"""Recorded runs of suites, their cases, and flaky cases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from toolkit.store.queries.query import Source
from toolkit.store.queries.regressions import flaky_cases, regression_cases, regression_runs

RUNS_SHOWN: Final = 200


def list_runs(store: Source, limit: int = RUNS_SHOWN) -> list[dict[str, Any]]:
    """Runs, newest first: suite, mode, when, and how many cases have which verdict."""
    return regression_runs(limit).rows(store)


def list_cases(store: Source, run_id: str) -> list[dict[str, Any]]:
    """The verdicts of one run, those that need attention first.

    `expected` and `actual` are the accepted answer and this one (None, text), `checks` and
    `drift` the details of the row.
    """
    return [_case(row) for row in regression_cases(run_id).rows(store)]


def list_flaky(store: Source) -> list[dict[str, Any]]:
    """Cases that were flaky in a live run, the worst first, with their share of passes."""
    return flaky_cases().rows(store)


def _case(row: Mapping[str, Any]) -> dict[str, Any]:
    details = _read(row["details"])
    return {
        **row,
        "expected": _read(row["expected"]).get("shown"),
        "actual": _read(row["actual"]).get("shown"),
        "checks": details.get("checks", []),
        "drift": details.get("drift", []),
    }


def _read(text: str | None) -> dict[str, Any]:
    value = json.loads(text) if text else {}
    return value if isinstance(value, dict) else {}
