"""The daily cap of spending, over the ledger."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from toolkit.calls.pipeline.processors import BudgetCap
from toolkit.pricing.receipts import build_receipt
from toolkit.pricing.token_estimate import estimate_output_tokens, estimate_request_tokens
from toolkit.records import Call, ChatRequest, Usage

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit

_READ_EVERY_S: Final = 30.0
_SPENT = (
    "SELECT coalesce(sum(cost_usd), 0) AS usd FROM calls WHERE source = 'live' AND started_at >= ?"
)


class DaySpending:
    """What this home has spent since midnight UTC: read now and then, added up in between."""

    def __init__(self, toolkit: Toolkit) -> None:
        self._toolkit = toolkit
        self._usd = Decimal(0)
        self._read_at: float | None = None
        self._day = datetime.now(UTC).date()

    def usd(self) -> Decimal:
        """USD since midnight UTC."""
        now, today = time.monotonic(), datetime.now(UTC).date()
        if self._read_at is None or today != self._day or now - self._read_at > _READ_EVERY_S:
            midnight = datetime.combine(today, datetime.min.time(), UTC)
            self._usd = Decimal(str(self._toolkit.store.rows(_SPENT, [midnight])[0]["usd"]))
            self._read_at, self._day = now, today
        return self._usd

    def add(self, call: Call) -> None:
        """A call that was just recorded."""
        self._usd += call.cost_usd or Decimal(0)


def daily_budget(toolkit: Toolkit, cap_usd: float) -> BudgetCap:
    """A processor that keeps all calls of a UTC day below `cap_usd`."""
    spending = DaySpending(toolkit)
    toolkit.on_record.append(spending.add)

    return BudgetCap(
        Decimal(str(cap_usd)), spending.usd, lambda request: estimate_usd(toolkit, request)
    )


def estimate_usd(toolkit: Toolkit, request: ChatRequest) -> Decimal | None:
    """The most that a request may cost its first model, USD; None where it has no price."""
    provider, model_id = toolkit.resolver.resolve(request.model)
    prices = toolkit.prices.prices_for(provider, model_id, datetime.now(UTC))
    total = estimate_request_tokens(request)
    answered = estimate_output_tokens(request.params) if request.operation == "chat" else 0
    usage = Usage(input_tokens=total - answered, output_tokens=answered, source="estimated")
    return build_receipt(usage, prices.in_force).cost_usd
