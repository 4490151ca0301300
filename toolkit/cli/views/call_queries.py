"""What `toolkit calls` asks the store: fixed SQL, values always bound."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from toolkit.cli.duration import find_span
from toolkit.errors import InvalidInput

if TYPE_CHECKING:
    from toolkit.store.store import Store

MIN_FOR_P95: Final = 20
_JSON_COLUMNS: Final = ("params", "messages", "tool_calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls; None means all.

    Attributes:
        provider: name of the provider.
        model: `provider/model_id`, or a model id of any provider.
        status: `ok`, `error` or `cancelled`.
        origin: what made the call.
        since: not older than this, UTC.
        is_live_only: leave out what came from cassettes and caches, and health probes unless
            `origin` names them.
    """

    provider: str | None = None
    model: str | None = None
    status: str | None = None
    origin: str | None = None
    since: datetime | None = None
    is_live_only: bool = False

    def where(self) -> tuple[str, list[Any]]:
        """The condition with placeholders, and its values."""
        parts, values = ["TRUE"], []
        for column in ("provider", "status", "origin"):
            if (value := getattr(self, column)) is not None:
                parts.append(f"{column} = ?")
                values.append(value)
        if self.model is not None:
            parts.append("(model = ? OR model = provider || '/' || ?)")
            values += [self.model, self.model]
        if self.since is not None:
            parts.append("started_at >= ?")
            values.append(self.since)
        if self.is_live_only:
            parts.append("source = 'live'")
            if self.origin is None:
                parts.append("origin IS DISTINCT FROM 'health'")
        return " AND ".join(parts), values


def read_since(text: str | None, now: datetime | None = None) -> datetime | None:
    """`30min`, `6h`, `7d`, `2w` before now, or an ISO date or time (UTC when it names no zone).

    Raises:
        InvalidInput: it is neither.
    """
    if text is None:
        return None
    if (span := find_span(text)) is not None:
        return (now or datetime.now(UTC)) - span
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is no time", hint="Write 30min, 6h, 7d, or a date like 2026-11-21."
        ) from None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def list_calls(store: Store, which: CallFilter, limit: int) -> list[dict[str, Any]]:
    """The newest calls first, every column."""
    where, values = which.where()
    sql = f"SELECT * FROM calls WHERE {where} ORDER BY started_at DESC, seq DESC LIMIT ?"  # noqa: S608 - columns of a fixed list, values bound
    return [_parsed(row) for row in store.rows(sql, [*values, limit])]


def find_calls(store: Store, part: str) -> list[dict[str, Any]]:
    """Calls whose id, or whose request's id, is `part` or begins or ends with it; at most ten."""
    sql = """
        SELECT * FROM calls
        WHERE starts_with(call_id, ?) OR suffix(call_id, ?) OR request_id = ?
        ORDER BY started_at, seq LIMIT 10
    """
    return [_parsed(row) for row in store.rows(sql, [part, part, part])]


def _parsed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its JSON columns as what they hold."""
    held = {name: json.loads(row[name]) for name in _JSON_COLUMNS if isinstance(row[name], str)}
    return {**row, **held}


def call_statistics(store: Store, which: CallFilter) -> list[dict[str, Any]]:
    """One row per model, the most used first; percentiles are exact and only over good answers.

    `ttft_p95_ms` is NULL below `MIN_FOR_P95` answers: the maximum stands beside it.
    """
    where, values = which.where()
    sql = f"""
        SELECT model,
               count(*) AS calls,
               count(*) FILTER (status = 'ok') AS answers,
               count(*) FILTER (status = 'error') AS errors,
               count(*) FILTER (status = 'cancelled') AS cancelled,
               quantile_cont(ttft_ms, 0.5) FILTER (status = 'ok') AS ttft_p50_ms,
               CASE WHEN count(ttft_ms) FILTER (status = 'ok') >= {MIN_FOR_P95}
                    THEN quantile_cont(ttft_ms, 0.95) FILTER (status = 'ok') END AS ttft_p95_ms,
               max(ttft_ms) FILTER (status = 'ok') AS ttft_max_ms,
               quantile_cont(tpot_ms, 0.5) FILTER (status = 'ok') AS tpot_p50_ms,
               quantile_cont(output_tps, 0.5) FILTER (status = 'ok') AS output_tps_p50,
               sum(input_tokens)::BIGINT AS input_tokens,
               sum(output_tokens)::BIGINT AS output_tokens,
               sum(cost_usd) AS cost_usd,
               count(*) FILTER (status = 'ok' AND cost_usd IS NULL) AS unpriced,
               max(started_at) AS last_at
        FROM calls WHERE {where}
        GROUP BY model ORDER BY calls DESC, model
    """  # noqa: S608 - columns of a fixed list, values bound
    return store.rows(sql, values)


def pane_figures(store: Store, board_ids: list[str]) -> list[dict[str, Any]]:
    """What the store holds of these boards, one row per pane position."""
    marks = ", ".join("?" for _ in board_ids)
    sql = f"""
        SELECT p.position,
               any_value(p.model) AS model,
               any_value(p.params) AS params,
               count(*) AS asked,
               count(*) FILTER (p.state = 'done') AS answers,
               count(*) FILTER (p.state = 'failed') AS errors,
               count(*) FILTER (p.state = 'stopped') AS stopped,
               quantile_cont(c.ttft_ms, 0.5) FILTER (c.status = 'ok') AS ttft_p50_ms,
               quantile_cont(c.tpot_ms, 0.5) FILTER (c.status = 'ok') AS tpot_p50_ms,
               quantile_cont(c.output_tps, 0.5) FILTER (c.status = 'ok') AS output_tps_p50,
               sum(c.input_tokens)::BIGINT AS input_tokens,
               sum(c.output_tokens)::BIGINT AS output_tokens,
               sum(c.cost_usd) AS cost_usd,
               count(*) FILTER (c.status = 'ok' AND c.cost_usd IS NULL) AS unpriced
        FROM panes p LEFT JOIN calls c ON c.call_id = p.call_id
        WHERE p.board_id IN ({marks})
        GROUP BY p.position ORDER BY p.position
    """  # noqa: S608 - placeholders only
    return store.rows(sql, board_ids)


def count_rows(store: Store, board_ids: list[str]) -> dict[str, int]:
    """How many rows of `calls`, `boards` and `panes` these boards left."""
    marks = ", ".join("?" for _ in board_ids)
    sql = f"""
        SELECT (SELECT count(*) FROM calls WHERE origin_id IN ({marks})) AS calls,
               (SELECT count(*) FROM boards WHERE board_id IN ({marks})) AS boards,
               (SELECT count(*) FROM panes WHERE board_id IN ({marks})) AS panes
    """  # noqa: S608 - placeholders only
    return {name: int(n) for name, n in store.rows(sql, board_ids * 3)[0].items()}
