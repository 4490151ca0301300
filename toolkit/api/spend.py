"""A token's own cap of spending per UTC day, read from the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from toolkit.api.tokens import Token
from toolkit.errors import BudgetExceeded

if TYPE_CHECKING:
    from toolkit.workbench.bench import Workbench

_SPENT_TODAY = """
    SELECT coalesce(sum(cost_usd), 0) AS usd FROM calls
    WHERE origin = 'gateway' AND tags['token'] = ? AND started_at >= ?
"""


class TokenSpent(BudgetExceeded):
    """The token's own cap for the day is reached; tomorrow it may call again."""


def spent_today_usd(bench: Workbench, token: Token) -> Decimal:
    """What the token's calls have cost since midnight UTC; unpriced calls count nothing."""
    midnight = _midnight()
    rows = bench.store.rows(_SPENT_TODAY, (token.name, midnight))
    return Decimal(str(rows[0]["usd"]))


def require_budget(bench: Workbench, token: Token) -> None:
    """Refuse when the token has used up its day; the ledger remembers over every restart.

    Raises:
        TokenSpent: it has.
    """
    if token.usd_per_day is None:
        return
    spent = spent_today_usd(bench, token)
    if spent >= Decimal(str(token.usd_per_day)):
        raise TokenSpent(
            f"token {token.name!r} has spent ${spent:.4f} of ${token.usd_per_day} today",
            retry_after=(_midnight() + timedelta(days=1) - datetime.now(UTC)).total_seconds(),
            hint="The day ends at midnight UTC.",
        )


def _midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
