"""How much one token may ask: requests per minute and at once, and US dollars per day.

Requests are counted in memory, per process; what was spent is read from the calls.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from toolkit.api.bearer_tokens import BearerToken
from toolkit.pricing.budget import Budgets, Cap

_WINDOW_S = 60.0


@dataclass
class _Use:
    started_at: deque[float] = field(default_factory=deque)
    open: int = 0


class Limits:
    """Counts the requests of every token; used from one event loop only."""

    def __init__(self, *, total: int = 512, clock: Callable[[], float] = time.monotonic) -> None:
        self._uses: dict[str, _Use] = {}
        self._total = total
        self._open = 0
        self._clock = clock

    def enter(self, token: BearerToken) -> float | None:
        """Admit a request (None), or say after how many seconds another try makes sense."""
        now = self._clock()
        use = self._uses.setdefault(token.name, _Use())
        while use.started_at and use.started_at[0] <= now - _WINDOW_S:
            use.started_at.popleft()
        if len(use.started_at) >= token.requests_per_minute:
            return use.started_at[0] + _WINDOW_S - now
        if use.open >= token.concurrency or self._open >= self._total:
            return 1.0
        use.started_at.append(now)
        use.open += 1
        self._open += 1
        return None

    def leave(self, token: BearerToken) -> None:
        """Say that an admitted request has ended."""
        self._uses[token.name].open -= 1
        self._open -= 1


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
