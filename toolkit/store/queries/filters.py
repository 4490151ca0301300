"""Which calls: the one filter, and the one meaning of "live user calls"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from toolkit.errors import InvalidInput
from toolkit.store.tables import TABLES

LIVE: Final = "source = 'live'"
"""Calls that really went to a provider: not recorded traffic that was replayed, not a cache."""

NO_MEASUREMENT: Final = "origin IS DISTINCT FROM 'health' AND origin IS DISTINCT FROM 'load_test'"
"""Calls that were not made in order to measure a provider.

A load test drives a server into overload on purpose: its latencies and errors say nothing about
what users of the provider meet.
"""

USER_CALLS: Final = f"{LIVE} AND {NO_MEASUREMENT}"
"""Live user calls: what people and their programs sent, without health probes and load tests.

Counts, latencies and error rates are over these. Sums of money are over `LIVE`: a probe costs.
"""

ROLLUP_USER_CALLS: Final = "origin <> 'health' AND origin <> 'load_test'"
"""The same in the roll-up tables, which hold live calls only and no NULL in their keys."""

GOOD: Final = "status = 'ok'"
"""A call that was answered."""

COUNTS_AGAINST_PROVIDER: Final = (
    "status = 'error' AND coalesce(blame, '') IN ('provider', 'network')"
    " AND coalesce(error_code, '')"
    " NOT IN ('AUTHENTICATION_FAILED', 'RATE_LIMIT_EXCEEDED', 'QUOTA_EXCEEDED')"
)
"""A call that counts against a provider's health, as `toolkit.health` judges a row."""

_TEXT: Final = (
    "(contains(lower(coalesce(output_text, '')), lower(?))"
    " OR contains(lower(coalesce(CAST(messages AS VARCHAR), '')), lower(?))"
    " OR contains(lower(coalesce(error_message, '')), lower(?))"
    " OR request_id = ? OR call_id = ?)"
)
_MODEL: Final = "(list_contains(?, model) OR list_contains(?, substr(model, length(provider) + 2)))"
_TAG: Final = "list_has_any(?, list_transform(map_entries(tags), e -> e.key || '=' || e.value))"

Values = str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls; None means all. The filter of pages, commands and the API.

    Attributes:
        provider: name of the provider; here and below, a tuple matches any of its values.
        model: `provider/model_id`, or a model id of any provider.
        status: `ok`, `error` or `cancelled`.
        origin: what made the call.
        origin_id: the board, eval run, ... that the call belongs to.
        source: `live`, `record`, `replay`, `cache` or `demo`.
        error_code: code of the error.
        tag: `key=value`, a tag that the call carries.
        since: the oldest moment, or how long ago; inclusive.
        until: the end, exclusive.
        text: occurs in the prompt, the answer or an error message, or is a call's or request's id.
        is_user_only: only live user calls; probes or load tests too where `origin` names them.
    """

    provider: Values = None
    model: Values = None
    status: Values = None
    origin: Values = None
    origin_id: str | None = None
    source: Values = None
    error_code: Values = None
    tag: Values = None
    since: datetime | timedelta | None = None
    until: datetime | None = None
    text: str | None = None
    is_user_only: bool = False

    def where(self, now: datetime | None = None) -> tuple[str, tuple[Any, ...]]:
        """Return the condition over `calls` with placeholders, and the values it binds."""
        terms: list[str] = []
        values: list[Any] = []
        for column in ("provider", "status", "origin", "origin_id", "source", "error_code"):
            value: Values = getattr(self, column)
            if value is not None and value != ():
                is_one = isinstance(value, str)
                terms.append(f"{column} = ?" if is_one else f"list_contains(?, {column})")
                values.append(value if is_one else list(value))
        if self.model:
            terms.append(_MODEL)
            values += [_listed(self.model)] * 2
        if self.tag:
            terms.append(_TAG)
            values.append(_listed(self.tag))
        if self.since is not None:
            terms.append("started_at >= ?")
            values.append(_moment(self.since, now))
        if self.until is not None:
            terms.append("started_at < ?")
            values.append(self.until)
        if self.text:
            terms.append(_TEXT)
            values += [self.text] * _TEXT.count("?")
        if self.is_user_only:
            terms.append(USER_CALLS if self.origin is None else LIVE)
        return " AND ".join(terms) or "true", tuple(values)

    @property
    def label(self) -> str:
        """What is selected, for the title of a chart; without the time span."""
        named = [_joined(self.model or self.provider) or "all models"]
        chosen = (self.origin, self.source, self.status, self.error_code, self.tag)
        named += [_joined(value) for value in chosen if value]
        if self.origin_id:
            named.append(f"one {_joined(self.origin) or 'board'}")
        if self.text:
            named.append(f"“{self.text}”")
        return ", ".join(named)


def _listed(value: str | tuple[str, ...]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _joined(value: Values) -> str:
    return value if isinstance(value, str) else ", ".join(value or ())


def columns_where(table: str, filters: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A condition over the columns of any table and the values it binds (`true` for none).

    Args:
        table: name of the table.
        filters: by column: a value that it equals, None where it must be unknown, or a list,
            tuple or set of values of which it is one.

    Raises:
        InvalidInput: unknown table or column.
    """
    if table not in TABLES:
        raise InvalidInput(f"unknown table: {table!r}")
    terms: list[str] = []
    values: list[Any] = []
    for name, value in filters.items():
        if name not in TABLES[table].columns:
            raise InvalidInput(
                f"{table} has no column {name!r}",
                hint=f"Columns are {', '.join(TABLES[table].columns)}.",
            )
        if value is None:
            terms.append(f"{name} IS NULL")
        elif isinstance(value, list | tuple | set | frozenset):
            terms.append(f"list_contains(?, {name})" if value else "false")
            values += [list(value)] if value else []
        else:
            terms.append(f"{name} = ?")
            values.append(value)
    return " AND ".join(terms) or "true", values


def _moment(since: datetime | timedelta, now: datetime | None) -> datetime:
    return since if isinstance(since, datetime) else (now or datetime.now(UTC)) - since
