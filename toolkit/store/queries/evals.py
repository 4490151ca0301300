"""Queries over datasets, eval runs and their samples."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.store.store import Store

Row = dict[str, Any]

_RUNS: Final = "SELECT * FROM eval_runs ORDER BY started_at DESC, run_id DESC LIMIT ?"
_RUNS_NAMED: Final = """
    SELECT * FROM eval_runs WHERE name = ? OR starts_with(run_id, ?) ORDER BY started_at DESC"""
_DONE: Final = """
    SELECT run_id, count(DISTINCT (model, variant, sample_id, epoch)) AS done FROM eval_samples
    WHERE list_contains(?, run_id) AND status <> 'skipped' GROUP BY run_id"""
# A few rows with long lists: 100,000 rows one by one would take longer to hand over than to find.
_ANSWERED: Final = """
    SELECT model, variant, epoch, list(sample_id) AS sample_ids
    FROM (
        SELECT model, variant, epoch, sample_id FROM eval_samples
        WHERE run_id = ? GROUP BY ALL
        HAVING bool_or(scorer IS NOT NULL OR status = 'ok')
            OR (? AND arg_max(status, scored_at) = 'error'))
    GROUP BY ALL"""
_ANSWERS: Final = """
    SELECT e.*, c.tool_calls, c.finish_reason
    FROM eval_samples e LEFT JOIN calls c ON c.call_id = e.call_id
    WHERE list_contains(?, e.run_id) AND (e.scorer IS NOT NULL OR e.status = 'ok')
    QUALIFY row_number() OVER (
        PARTITION BY e.model, e.variant, e.sample_id, e.epoch ORDER BY e.scored_at DESC) = 1"""
_SCORES: Final = """
    SELECT model, variant, sample_id, epoch, scorer, score, is_pass, status, error_code, scored_at
    FROM eval_samples WHERE run_id = ?"""
_FIRST_ANSWERS: Final = """
    SELECT model, messages, params, output_text, call_id, request_id, input_tokens, output_tokens,
           usage_source, finish_reason, ttft_ms, duration_ms
    FROM calls
    WHERE status = 'ok' AND source = 'live' AND operation = 'chat' AND origin = 'eval'
      AND output_text IS NOT NULL AND messages IS NOT NULL AND list_contains(?, model)
    QUALIFY row_number() OVER (PARTITION BY model, messages, params ORDER BY started_at) = 1"""
# Every call of a sample carries its id, variant and repeat as tags; older runs have one call.
_SAMPLE_CALLS: Final = """
    SELECT call_id, started_at, model, status, error_message, messages, output_text, tool_calls,
           finish_reason, duration_ms, cost_usd, tags['scorer'] AS scorer
    FROM calls
    WHERE (origin_id = ? AND tags['sample_id'] = ? AND tags['variant'] = ? AND tags['epoch'] = ?)
       OR list_contains(?, call_id)
    ORDER BY started_at, seq"""


def list_runs(store: Store, limit: int | None = None) -> pd.DataFrame:
    """The runs, newest first."""
    return store.frame(_RUNS, [2**62 if limit is None else limit])


def count_done(store: Store, run_ids: Sequence[str]) -> dict[str, int]:
    """How many answers each of these runs has, failed calls counted."""
    rows = store.rows(_DONE, [list(run_ids)]) if run_ids else []
    return {row["run_id"]: int(row["done"]) for row in rows}


def run_rows(store: Store, limit: int) -> list[Row]:
    """The same as plain rows."""
    return store.rows(_RUNS, [limit])


def find_runs(store: Store, name_or_id: str) -> list[Row]:
    """Runs of this name, or whose id begins so, newest first."""
    return store.rows(_RUNS_NAMED, [name_or_id, name_or_id])


def find_run_name(store: Store, run_id: str) -> str | None:
    """The name of the run with this id, or None."""
    rows = store.rows("SELECT name FROM eval_runs WHERE run_id = ? LIMIT 1", [run_id])
    return str(rows[0]["name"]) if rows else None


def runs_of_dataset(store: Store, digest: str) -> list[Row]:
    """Id and configuration of the finished runs over a dataset."""
    query = """
        SELECT run_id, config FROM eval_runs WHERE dataset_sha256 = ? AND status <> 'running'"""
    return store.rows(query, [digest])


def sample_rows(store: Store, run_id: str) -> list[Row]:
    """All rows of a run."""
    return store.rows("SELECT * FROM eval_samples WHERE run_id = ?", [run_id])


def score_rows(store: Store, run_id: str) -> list[Row]:
    """The columns of a run's rows that its summary is made of."""
    return store.rows(_SCORES, [run_id])


def answered_samples(store: Store, run_id: str, *, with_errors: bool) -> list[Row]:
    """Model, variant, repeat and `sample_ids` of what a run has asked; what a cap left out is not.

    With `with_errors`, calls that failed count, too.
    """
    return store.rows(_ANSWERED, [run_id, with_errors])


def stored_answers(store: Store, run_ids: Sequence[str]) -> list[Row]:
    """The newest answer to each sample of these runs, with its call's tool calls."""
    return store.rows(_ANSWERS, [list(run_ids)])


def first_answers(store: Store, models: Sequence[str]) -> list[Row]:
    """The first recorded answer of these models to each request of an eval."""
    return store.rows(_FIRST_ANSWERS, [list(models)]) if models else []


def spent_usd(store: Store, run_id: str) -> Decimal:
    """What the calls of a run have cost so far."""
    query = "SELECT coalesce(sum(cost_usd), 0) AS usd FROM calls WHERE origin_id = ?"
    return Decimal(str(store.rows(query, [run_id])[0]["usd"]))


def sample_calls(
    store: Store,
    run_id: str,
    *,
    sample_id: str,
    variant: str,
    epoch: int,
    call_ids: Sequence[str],
) -> list[Row]:
    """The calls made for one sample, oldest first; `call_ids` are known to belong to it."""
    values = [run_id, sample_id, variant, str(epoch), list(call_ids)]
    return store.rows(_SAMPLE_CALLS, values)
