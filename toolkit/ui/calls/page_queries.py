"""What the Calls page reads: each question once, as SQL that runs and as SQL to show.

A filter's values are always bound when it runs; the text shown under a chart has them quoted,
so that it can be pasted anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from toolkit.store.queries import Query

SPANS: Final[Mapping[str, timedelta]] = {
    "last hour": timedelta(hours=1),
    "last 24 hours": timedelta(days=1),
    "last 7 days": timedelta(days=7),
    "last 30 days": timedelta(days=30),
}
EVER: Final = "all time"
STATUSES: Final = ("ok", "error", "cancelled")
REQUESTS_SHOWN: Final = 200
_ATTEMPTS_READ: Final = 10 * REQUESTS_SHOWN  # so many attempts hold the requests that are shown
_LONGEST_REQUEST: Final = "1 day"  # between the first attempt and the last
MANY_CALLS: Final = 200_000
USUAL_SPAN: Final = "last 24 hours"
SAMPLE_SHOWN: Final = 20_000
_LAST_OF_REQUEST: Final = (
    *("provider", "model", "origin", "source", "status", "error_code"),
    *("ttft_ms", "output_tps", "input_tokens", "output_tokens"),
)
_BUCKETS_S: Final = (10, 60, 300, 900, 3_600, 21_600, 86_400, 604_800)
_BUCKETS_WANTED: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """What the Calls page shows; None means all.

    Attributes:
        provider, model, status, origin: equality by column.
        span: a key of `SPANS`.
        text: occurs in the prompt, the answer, an error message, or is an id.
        board: id of the board the calls belong to.
    """

    provider: str | None = None
    model: str | None = None
    status: str | None = None
    origin: str | None = None
    span: str | None = None
    text: str | None = None
    board: str | None = None

    def where(self, now: datetime | None = None) -> tuple[str, tuple[Any, ...]]:
        """The condition over `calls`, and the values it binds."""
        terms: list[str] = []
        values: list[Any] = []
        for column in ("provider", "model", "status", "origin"):
            value = getattr(self, column)
            if value is not None:
                terms.append(f"{column} = ?")
                values.append(value)
        if self.board is not None:
            terms.append("origin_id = ?")
            values.append(self.board)
        if self.span is not None:
            terms.append("started_at >= ?")
            values.append((now or datetime.now(UTC)) - SPANS[self.span])
        if self.text:
            terms.append(_TEXT_TERM)
            values += [self.text] * _TEXT_TERM.count("?")
        return " AND ".join(terms) or "true", tuple(values)

    @property
    def words(self) -> str:
        """What is shown, in words, for the title of a chart."""
        named = [self.model or self.provider or "all models"]
        named += [value for value in (self.origin, self.status) if value]
        if self.board:
            named.append("one board")
        if self.text:
            named.append(f"“{self.text}”")
        return ", ".join([*named, self.span or EVER])


_TEXT_TERM: Final = (
    "(contains(lower(coalesce(output_text, '')), lower(?))"
    " OR contains(lower(coalesce(CAST(messages AS VARCHAR), '')), lower(?))"
    " OR contains(lower(coalesce(error_message, '')), lower(?))"
    " OR request_id = ? OR call_id = ?)"
)


def requests(chosen: CallFilter) -> Query:
    """One row per request, newest first: its last attempt, and what all attempts cost together."""
    where, values = chosen.where()
    last = ", ".join(f"last({column} ORDER BY attempt) AS {column}" for column in _LAST_OF_REQUEST)
    return Query(
        f"WITH shown AS (\n  FROM calls SELECT request_id, started_at WHERE {where}\n"
        f"  ORDER BY started_at DESC LIMIT {_ATTEMPTS_READ}\n)\n"
        f"SELECT request_id, min(started_at) AS started_at, count(*) AS attempts, {last},\n"
        "  sum(duration_ms) AS duration_ms, sum(cost_usd) AS cost_usd\n"
        "FROM calls\nWHERE request_id IN (FROM shown SELECT request_id)\n"
        "  AND started_at >= "
        f"(FROM shown SELECT min(started_at) - INTERVAL '{_LONGEST_REQUEST}')\n"
        f"GROUP BY request_id\nORDER BY started_at DESC, request_id DESC\nLIMIT {REQUESTS_SHOWN}",
        values,
    )


def summary(chosen: CallFilter) -> Query:
    """Counts, spend and errors of what is shown."""
    where, values = chosen.where()
    return Query(
        "SELECT count(*) AS attempts, count(DISTINCT request_id) AS requests,\n"
        "  count(*) FILTER (status = 'error') AS errors,\n"
        "  count(*) FILTER (status = 'cancelled') AS cancelled,\n"
        "  sum(cost_usd) AS cost_usd,\n"
        "  count(*) FILTER (status = 'ok' AND cost_usd IS NULL) AS unpriced,\n"
        "  sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,\n"
        "  min(started_at) AS first_at, max(started_at) AS last_at\n"
        f"FROM calls\nWHERE source = 'live' AND {where}",
        values,
    )


def attempts_of(request_id: str) -> Query:
    """Every attempt of one request, first attempt first."""
    return Query("SELECT * FROM calls WHERE request_id = ? ORDER BY attempt, seq", (request_id,))


def latencies(chosen: CallFilter, column: str = "ttft_ms") -> Query:
    """The newest known values of a duration with their model, for a distribution."""
    where, values = chosen.where()
    name = _checked(column)
    return Query(
        f"SELECT model, {name}\nFROM calls\n"
        f"WHERE source = 'live' AND {name} IS NOT NULL AND {_asked(chosen)} AND {where}\n"
        f"ORDER BY started_at DESC LIMIT {SAMPLE_SHOWN}",
        values,
    )


def percentiles(chosen: CallFilter, bucket_s: int, column: str = "ttft_ms") -> Query:
    """p50, p95 and maximum of a duration by time; a time without calls has no row."""
    where, values = chosen.where()
    name = _checked(column)
    return Query(
        f"SELECT time_bucket(INTERVAL '{bucket_s:d} seconds', started_at) AS bucket_at,\n"
        f"  {bucket_s:d} AS bucket_s, count(*) AS n,\n"
        f"  quantile_cont({name}, 0.5) AS p50_ms, quantile_cont({name}, 0.95) AS p95_ms,\n"
        f"  max({name}) AS max_ms\nFROM calls\n"
        f"WHERE source = 'live' AND {name} IS NOT NULL AND {_asked(chosen)} AND {where}\n"
        "GROUP BY 1\nORDER BY 1",
        values,
    )


def errors(chosen: CallFilter, bucket_s: int) -> Query:
    """Failed attempts by time and error class."""
    where, values = chosen.where()
    return Query(
        f"SELECT time_bucket(INTERVAL '{bucket_s:d} seconds', started_at) AS bucket_at,\n"
        f"  {bucket_s:d} AS bucket_s, coalesce(error_code, 'unknown') AS error_code,\n"
        f"  count(*) AS n\nFROM calls\n"
        f"WHERE source = 'live' AND status = 'error' AND {_asked(chosen)} AND {where}\n"
        "GROUP BY 1, 2, 3\nORDER BY 1, 3",
        values,
    )


def _asked(chosen: CallFilter) -> str:
    """Health probes are in no statistics but their own."""
    return "true" if chosen.origin is not None else "origin IS DISTINCT FROM 'health'"


def how_many() -> Query:
    """All calls, counted without reading one."""
    return Query("SELECT count(*) AS n FROM calls")


def choices(column: str) -> Query:
    """The values a filter can take."""
    name = _checked(column)
    return Query(f"SELECT DISTINCT {name} AS value FROM calls ORDER BY 1")  # noqa: S608 - a checked name


def bucket_of(first_at: datetime | None, last_at: datetime | None) -> int:
    """The width of a time bucket, seconds, that gives at most about sixty of them."""
    if first_at is None or last_at is None:
        return 3_600
    wanted_s = (last_at - first_at).total_seconds() / _BUCKETS_WANTED
    return next((width for width in _BUCKETS_S if width >= wanted_s), _BUCKETS_S[-1])


_COLUMNS: Final = frozenset(
    {"provider", "model", "origin", "ttft_ms", "ttfo_ms", "tpot_ms", "duration_ms"}
)


def _checked(column: str) -> str:
    """A column's name may stand in SQL only when it is one of ours."""
    if column not in _COLUMNS:
        raise ValueError(f"no such column: {column!r}")
    return column
