"""Queries over verdicts of regression suites, and over what a verdict is compared with."""

from __future__ import annotations

from toolkit.store.queries.query import Query


def regression_runs(limit: int) -> Query:
    """Runs of suites, newest first, with the number of cases by verdict."""
    return Query(
        """
        SELECT run_id, any_value(suite) AS suite, any_value(mode) AS mode,
          min(judged_at) AS judged_at,
          count(*) AS cases,
          count(*) FILTER (WHERE verdict = 'regressed') AS regressed,
          count(*) FILTER (WHERE verdict = 'error') AS error,
          count(*) FILTER (WHERE verdict = 'fixed') AS fixed,
          count(*) FILTER (WHERE verdict = 'flaky') AS flaky,
          count(*) FILTER (WHERE verdict = 'new') AS new,
          count(*) FILTER (WHERE verdict = 'pass') AS pass
        FROM regressions GROUP BY run_id ORDER BY judged_at DESC, run_id DESC LIMIT ?
        """,
        (limit,),
    )


def regression_cases(run_id: str) -> Query:
    """The verdicts of one run, those that need attention first."""
    return Query(
        """
        SELECT case_name, model, verdict, passes, repeats, difference, duration_ms, call_id,
          CAST(expected AS VARCHAR) AS expected, CAST(actual AS VARCHAR) AS actual,
          CAST(details AS VARCHAR) AS details
        FROM regressions WHERE run_id = ?
        ORDER BY list_position(['regressed', 'error', 'fixed', 'flaky', 'new', 'pass'], verdict),
          case_name, model
        """,
        (run_id,),
    )


def flaky_cases() -> Query:
    """Cases that were flaky in a live run, the worst first."""
    return Query(
        """
        SELECT suite, case_name, model, mode, count(*) AS runs,
          count(*) FILTER (WHERE verdict = 'flaky') AS flaky_runs,
          sum(passes) AS passes, sum(repeats) AS answers
        FROM regressions WHERE mode = 'live'
        GROUP BY suite, case_name, model, mode
        HAVING count(*) FILTER (WHERE verdict = 'flaky') > 0
        ORDER BY flaky_runs DESC, suite, case_name
        """
    )


def model_changes_since(model: str, since: str) -> Query:
    """Changes of a model in the catalog after a moment (ISO text), oldest first."""
    return Query(
        """
        SELECT kind, field, old, new, changed_at FROM model_changes
        WHERE model = ? AND changed_at > CAST(? AS TIMESTAMPTZ) ORDER BY changed_at
        """,
        (model, since),
    )


def recorded_call(call_id: str) -> Query:
    """Every column of one call."""
    return Query("SELECT * FROM calls WHERE call_id = ?", (call_id,))
