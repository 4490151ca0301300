"""What was spent: exact sums by any grouping, what could not be priced, and a forecast."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING, Final, Literal

from toolkit.errors import InvalidInput
from toolkit.pricing.budget import Cap
from toolkit.pricing.cost_estimate import AnswerLengths
from toolkit.store.queries.spend import ANSWER_LENGTHS, GROUPS, spend_by, spent_under

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.store.store import Store

SpendKey = Literal["provider", "model", "tag", "day", "token", "origin"]

COLUMNS: Final = (
    "calls", "cost_usd", "reported_usd", "computed_usd", "unpriced_calls", "partial_calls",
    "mismatched_calls", "input_tokens", "output_tokens",
)  # fmt: skip

_ENOUGH_DAYS: Final = 3
_INTERVAL: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What this month will have cost at its end, from the days before today.

    Attributes:
        month: its first day.
        spent_usd: so far, today included.
        low_usd, expected_usd, high_usd: for the whole month, with an interval of 80 %; None
            with fewer than three whole days to go by.
        days: how many whole days the forecast is made from.
    """

    month: date
    spent_usd: Decimal
    low_usd: Decimal | None
    expected_usd: Decimal | None
    high_usd: Decimal | None
    days: int


def read_spend(
    store: Store,
    by: Sequence[SpendKey] | SpendKey = ("provider", "model"),
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pd.DataFrame:
    """Return what live calls have cost, one row per group.

    Args:
        store: the database of calls.
        by: `provider`, `model`, `day` (UTC), `origin`, `token` (of the gateway), or `tag`: one
            row for each `key=value`; a call with two tags is in both rows, so their sums
            overlap.
        since, until: calls sent in this span; None: no bound.

    Returns:
        The keys, then `calls`; `cost_usd`: exact sum (`Decimal`) of the reported figures and,
        where none was reported, of the computed ones; both apart; `unpriced_calls`: answered
        and without any cost, so they are missing in the sum; `partial_calls`: something they
        used has no price; `mismatched_calls`: reported and computed differ by more than 1 %.

    Raises:
        InvalidInput: unknown grouping.
        StoreError: the database cannot be read.
    """
    from toolkit.pricing.spend_table import SpendTable

    keys = [by] if isinstance(by, str) else list(dict.fromkeys(by))
    for key in keys:
        if key != "tag" and key not in GROUPS:
            raise InvalidInput(
                f"spend cannot be grouped by {key!r}",
                hint=f"Group by {', '.join((*GROUPS, 'tag'))}.",
            )
    if not keys:
        raise InvalidInput("spend needs at least one grouping", hint='Use by=["provider"].')
    rows = store.rows(*spend_by(keys, since, until))
    return SpendTable(rows, columns=[*keys, *COLUMNS])


def read_spent(store: Store, cap: Cap, since: datetime | None, until: datetime) -> Decimal:
    """Return what the calls that count against a cap have cost in a span.

    Raises:
        StoreError: the database cannot be read.
    """
    values: list[object] = [since, until]
    values += cap.name.split("=", 1) if cap.kind == "tag" else [cap.name] if cap.name else []
    rows = store.rows(spent_under(cap.kind), values)
    return Decimal(str(rows[0]["usd"]))


def read_answer_lengths(store: Store, model: str) -> AnswerLengths:
    """Return how long the recorded answers of a model were; health checks are left out.

    Raises:
        StoreError: the database cannot be read.
    """
    (row,) = store.rows(ANSWER_LENGTHS, [model])
    if not row["n"]:
        return AnswerLengths()
    low, expected, high = row["lengths"]
    return AnswerLengths(count=row["n"], low=low, expected=expected, high=high)


def forecast_month(store: Store, now: datetime | None = None) -> Forecast:
    """Forecast what this calendar month (UTC) will have cost at its end.

    The whole days of the last four weeks, days without calls included, are taken for those to come:
    their mean times the days left, with the interval of a sum of independent days.

    Raises:
        StoreError: the database cannot be read.
    """
    now = now or datetime.now(UTC)
    today = now.date()
    month = today.replace(day=1)
    first = min(month, today - timedelta(days=28))
    frame = read_spend(store, "day", since=datetime.combine(first, datetime.min.time(), UTC))
    by_day = {_as_date(day): usd for day, usd in zip(frame["day"], frame["cost_usd"], strict=True)}
    spent = sum((usd for day, usd in by_day.items() if day >= month), Decimal(0))
    known = [day for day in by_day if day < today]
    start = max(min(known, default=today), today - timedelta(days=28))
    days = [start + timedelta(days=n) for n in range((today - start).days)]
    if len(days) < _ENOUGH_DAYS:
        return Forecast(
            month=month, spent_usd=spent, low_usd=None, expected_usd=None, high_usd=None,
            days=len(days),
        )  # fmt: skip
    amounts = [float(by_day.get(day, 0)) for day in days]
    length = calendar.monthrange(today.year, today.month)[1]
    left = length - today.day + (1 - (now.hour * 60 + now.minute) / 1440)
    expected = fmean(amounts) * left
    # The mean itself is only known from these days, hence the second term.
    spread = stdev(amounts) * (left + left**2 / len(days)) ** 0.5
    reach = NormalDist().inv_cdf(0.5 + _INTERVAL / 2) * spread
    return Forecast(
        month=month,
        spent_usd=spent,
        low_usd=spent + _cents(max(expected - reach, 0)),
        expected_usd=spent + _cents(expected),
        high_usd=spent + _cents(expected + reach),
        days=len(days),
    )


def _as_date(value: object) -> date:
    return value.date() if isinstance(value, datetime) else date.fromisoformat(str(value)[:10])


def _cents(usd: float) -> Decimal:
    return Decimal(f"{usd:.6f}")
