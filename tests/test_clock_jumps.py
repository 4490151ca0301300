"""A wall clock that jumps, by hours or months, changes no duration, no limit and no order.

The lease of the monitors, incidents and alerts under a jumping clock: tests/health.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.calls.asking import asking
from tests.pricing.test_budget import DAY, call, make_budgets, request
from tests.servers import MockProvider
from tests.store.rows import call_row, model_row
from toolkit.calls import attempt
from toolkit.calls.transport import receive_timestamps
from toolkit.errors import BudgetExceeded
from toolkit.pricing import budget
from toolkit.records import Call
from toolkit.settings import Settings
from toolkit.store import reservations
from toolkit.store.store import Store

JUMPS = (timedelta(days=70), timedelta(days=-70), timedelta(hours=-1), timedelta(seconds=30))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class WallClock:
    """Stands for the class `datetime` in a module; its time is what a test sets."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self, zone: object) -> datetime:
        return self.at

    def fromtimestamp(self, seconds: float, zone: object) -> datetime:
        return datetime.fromtimestamp(seconds, UTC)


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The clock of budgets."""
    clock = WallClock(NOON)
    monkeypatch.setattr(budget, "datetime", clock)
    monkeypatch.setattr(reservations, "datetime", clock)
    return clock


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=70)])
def test_a_day_to_which_the_clock_returns_has_its_budget_as_it_was(
    tmp_path: Path, wall_clock: WallClock, jump: timedelta
) -> None:
    recorded: list[Call] = []

    def read(cap: budget.Cap, since: datetime | None, until: datetime) -> Decimal:
        counted = [c for c in recorded if since and since <= c.started_at < until]
        return sum((c.cost_usd or Decimal(0) for c in counted), Decimal(0))

    budgets = make_budgets(tmp_path, DAY, spent=read)

    def spend(cost: str) -> None:
        asked = request()
        budgets.before(asked)
        done = call(asked, cost, started_at=wall_clock.at)
        recorded.append(done)
        budgets.ended(asked, [done])

    spend("0.90")
    wall_clock.at += jump
    spend("0.80")
    with pytest.raises(BudgetExceeded):
        spend("0.80")
    wall_clock.at -= jump - timedelta(seconds=5)
    with pytest.raises(BudgetExceeded) as caught:
        spend("0.30")
    assert caught.value.spent_usd == Decimal("0.90")


def test_a_request_keeps_its_reservation_when_the_clock_leaves_its_day(
    tmp_path: Path, wall_clock: WallClock
) -> None:
    budgets = make_budgets(tmp_path, DAY)
    running = request()
    budgets.before(running)
    wall_clock.at -= timedelta(days=1)
    budgets.ended(running, [call(running, "0.90", started_at=wall_clock.at)])
    wall_clock.at = NOON
    with pytest.raises(BudgetExceeded) as caught:
        budgets.before(request())
    assert (caught.value.spent_usd, caught.value.reserved_usd) == (Decimal("0.90"), 0)


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock that jumps at every look, also in the stamps of the network's data."""
    jumps = itertools.cycle(JUMPS)

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + next(jumps)

    def time_ns() -> int:
        return time.time_ns() + int(next(jumps).total_seconds() * 1e9)

    clocks = SimpleNamespace(time_ns=time_ns, monotonic_ns=time.monotonic_ns)
    monkeypatch.setattr(attempt, "datetime", Jumping)
    monkeypatch.setattr(receive_timestamps, "time", clocks)


@pytest.mark.parametrize("stream", [False, True])
def test_no_duration_of_a_call_depends_on_the_wall_clock(jumping: None, stream: bool) -> None:
    async def go() -> tuple[list[Call], float]:
        asked = asking(f"{provider.origin}/v1")
        began = time.monotonic()
        for _ in range(6):
            if stream:
                assert "".join([text async for text in asked.stream()]) == "abc"
            else:
                assert (await asked.complete()).text == "abc"
        took_ms = (time.monotonic() - began) * 1000
        await asked.client.aclose()
        return asked.calls, took_ms

    with MockProvider() as provider:
        if stream:
            provider.enqueue(chunks=["a", "b", "c"], times=6)
        else:
            provider.enqueue(text="abc", times=6)
        calls, took_ms = asyncio.run(go())
    assert [row.status for row in calls] == ["ok"] * 6
    for row in calls:
        assert 0 < row.duration_ms <= took_ms  # type: ignore[operator]
        for measured in (row.ttft_ms, row.ttfo_ms, row.headers_ms, row.connect_ms, row.queue_ms):
            assert measured is None or 0 <= measured <= took_ms
        offsets = row.chunk_offsets_us or ()
        assert sorted(offsets) == list(offsets)
        assert all(0 <= offset <= took_ms * 1000 for offset in offsets)


def test_records_of_a_clock_that_goes_back_are_moved_once_and_in_order() -> None:
    """Ids and times fall; the number of an entry in the journal says what came first."""
    store = Store(Settings())
    store._publisher.notice = lambda count=1: None
    for n, jump in enumerate([*JUMPS, *JUMPS]):
        row = call_row(call_id=f"{9 - n:04d}", started_at=NOON + jump, input_tokens=n)
        store.append("calls", row)
        store.append("models", model_row(display_name=str(n)))
        if n % 3 == 0:
            store.ingest()
    store.ingest()
    assert store.rows("SELECT count(*) AS n, sum(input_tokens)::INT AS s FROM calls") == [
        {"n": 8, "s": sum(range(8))}
    ]
    assert store.rows("SELECT sum(calls)::INT AS n FROM rollup_hourly") == [{"n": 8}]
    assert [row["display_name"] for row in store.rows("SELECT display_name FROM models")] == ["7"]
    assert store.losses() == []
    assert all(check.is_ok for check in store.verify())
    store.close()
