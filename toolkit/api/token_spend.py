"""A token's own cap of spending per UTC day: read from the ledger, held with calls in flight."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from toolkit.api.bearer_tokens import BearerToken
from toolkit.calls.pipeline.processors import BudgetCap
from toolkit.errors import BudgetExceeded
from toolkit.records import Call, ChatRequest

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit

_SPENT_TODAY = """
    SELECT coalesce(sum(cost_usd), 0) AS usd FROM calls
    WHERE origin = 'gateway' AND tags['token'] = ? AND started_at >= ?
"""


class TokenSpent(BudgetExceeded):
    """The token's own cap for the day is reached; tomorrow it may call again."""


class TokenBudgets:
    """A processor that keeps the calls of each token below its cap.

    What was spent is read from the ledger, so no restart forgets it; what a call under way may
    cost is reserved until it is over, so that many at once cannot pass the cap together.
    """

    def __init__(self, toolkit: Toolkit) -> None:
        self._toolkit = toolkit
        self._spent: dict[str, Decimal] = {}
        self._caps: dict[str, BudgetCap] = {}
        toolkit.on_record.append(self._add)

    def look(self, token: BearerToken) -> None:
        """Read what a token has spent today; before each of its calls, in a thread.

        Raises:
            TokenSpent: all that it may.
        """
        if token.usd_per_day is None:
            self._caps.pop(token.name, None)
            return
        cap_usd = Decimal(str(token.usd_per_day))
        spent = self._spent[token.name] = spent_today_usd(self._toolkit, token)
        cap = self._caps.setdefault(token.name, self._make_cap(token.name, cap_usd))
        cap.cap_usd = cap_usd
        if spent >= cap_usd:
            raise _spent(f"token {token.name!r} has spent ${spent:.4f} of ${cap_usd} today")

    def before(self, request: ChatRequest) -> ChatRequest:
        """Reserve what the request may cost; without a known price that is nothing.

        Raises:
            TokenSpent: the token's cap could be passed.
        """
        cap = self._find_cap(request)
        if cap is None:
            return request
        try:
            return cap.before(request)
        except BudgetExceeded as error:
            raise _spent(error.message, request) from None

    def ended(self, request: ChatRequest, attempts: Iterable[Call]) -> None:
        """Give back what was reserved."""
        if (cap := self._find_cap(request)) is not None:
            cap.ended(request, attempts)

    def _find_cap(self, request: ChatRequest) -> BudgetCap | None:
        return self._caps.get(request.tags.get("token", "")) if _is_ours(request) else None

    def _make_cap(self, name: str, cap_usd: Decimal) -> BudgetCap:
        from toolkit.pricing.daily_budget import estimate_usd

        return BudgetCap(
            cap_usd,
            lambda: self._spent[name],
            lambda request: estimate_usd(self._toolkit, request),
            f"the daily budget of token {name!r}",
        )

    def _add(self, call: Call) -> None:
        """A call that was just recorded."""
        name = call.tags.get("token", "")
        if _is_ours(call) and name in self._spent:
            self._spent[name] += call.cost_usd or Decimal(0)


def token_budgets(toolkit: Toolkit) -> TokenBudgets:
    """The toolkit's budgets of tokens, put among its processors on first use."""
    found = next((p for p in toolkit.processors if isinstance(p, TokenBudgets)), None)
    if found is None:
        found = TokenBudgets(toolkit)
        toolkit.processors.append(found)
        if "client" in toolkit.__dict__:  # it was made before the first route
            toolkit.client.pipeline.processors += (found,)
    return found


def spent_today_usd(toolkit: Toolkit, token: BearerToken) -> Decimal:
    """What the token's calls have cost since midnight UTC; unpriced calls count nothing."""
    rows = toolkit.store.rows(_SPENT_TODAY, (token.name, _midnight()))
    return Decimal(str(rows[0]["usd"]))


def _is_ours(about: ChatRequest | Call) -> bool:
    return about.origin == "gateway"


def _spent(message: str, request: ChatRequest | None = None) -> TokenSpent:
    return TokenSpent(
        message,
        request_id=request.request_id if request else None,
        retry_after=(_midnight() + timedelta(days=1) - datetime.now(UTC)).total_seconds(),
        hint="The day ends at midnight UTC.",
    )


def _midnight() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
