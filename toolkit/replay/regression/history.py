"""What the ledger holds about suites: runs, their cases, and the cases that waver."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from toolkit.replay.regression.case_attempt import Ledger

RUNS_SHOWN: Final = 200

_RUNS: Final = """
SELECT run_id, any_value(suite) AS suite, any_value(mode) AS mode, min(judged_at) AS judged_at,
  count(*) AS cases,
  count(*) FILTER (WHERE verdict = 'regressed') AS regressed,
  count(*) FILTER (WHERE verdict = 'error') AS error,
  count(*) FILTER (WHERE verdict = 'fixed') AS fixed,
  count(*) FILTER (WHERE verdict = 'flaky') AS flaky,
  count(*) FILTER (WHERE verdict = 'new') AS new,
  count(*) FILTER (WHERE verdict = 'pass') AS pass
FROM regressions GROUP BY run_id ORDER BY judged_at DESC, run_id DESC LIMIT ?
"""

_CASES: Final = """
SELECT case_name, model, verdict, passes, repeats, difference, duration_ms, call_id,
  CAST(expected AS VARCHAR) AS expected, CAST(actual AS VARCHAR) AS actual,
  CAST(details AS VARCHAR) AS details
FROM regressions WHERE run_id = ?
ORDER BY list_position(['regressed', 'error', 'fixed', 'flaky', 'new', 'pass'], verdict),
  case_name, model
"""

_FLAKY: Final = """
SELECT suite, case_name, model, mode, count(*) AS runs,
  count(*) FILTER (WHERE verdict = 'flaky') AS flaky_runs,
  sum(passes) AS passes, sum(repeats) AS answers
FROM regressions WHERE mode = 'live'
GROUP BY suite, case_name, model, mode
HAVING count(*) FILTER (WHERE verdict = 'flaky') > 0
ORDER BY flaky_runs DESC, suite, case_name
"""


def list_runs(ledger: Ledger, limit: int = RUNS_SHOWN) -> list[dict[str, Any]]:
    """Runs, newest first: suite, mode, when, and how many cases have which verdict."""
    return ledger.rows(_RUNS, (limit,))


def list_cases(ledger: Ledger, run_id: str) -> list[dict[str, Any]]:
    """The verdicts of one run, those that need a look first.

    `expected` and `actual` are the accepted answer and this one (None, text), `checks` and
    `drift` what the row tells in detail.
    """
    return [_case(row) for row in ledger.rows(_CASES, (run_id,))]


def list_flaky(ledger: Ledger) -> list[dict[str, Any]]:
    """Cases that were flaky in a live run, the worst first, with their share of passes."""
    return ledger.rows(_FLAKY)


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
