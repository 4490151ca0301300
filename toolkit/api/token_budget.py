"""The daily budget of one bearer token of the gateway."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from toolkit.api.bearer_tokens import BearerToken
from toolkit.pricing.budget import Budgets, Cap


async def check_budget(budgets: Budgets, token: BearerToken) -> None:
    """Put a token's budget in force for the call that follows, as it is set now.

    Raises:
        BudgetExceeded: it is used up already.
        StoreError: what was spent cannot be read.
    """
    if token.usd_per_day is None:
        budgets.remove(f"token:{token.name}")
        return
    cap = Cap(kind="token", name=token.name, limit_usd=Decimal(str(token.usd_per_day)))
    budgets.set(cap)
    await asyncio.to_thread(budgets.require_left, cap)
