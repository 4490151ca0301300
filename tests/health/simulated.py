"""A monitor under a simulated clock, and a provider on a real socket that follows the clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.servers.threaded import QuietHandler, ThreadedServer
from toolkit.health.monitoring.lease import Lease
from toolkit.health.monitoring.monitor import Monitor
from toolkit.health.monitoring.schedule import Intervals
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit

START = datetime(2026, 3, 2, tzinfo=UTC)
LISTING = json.dumps({"object": "list", "data": [{"id": "small"}]})
SLOW_LOOKS = Intervals(follow_s=3600, passive_s=60, book_s=1800, lookout_s=60, longest_s=900)

Respond = Callable[[], tuple[int, str, dict[str, str]]]


class SimulatedClock:
    """Time that only passes when somebody says so; UTC may jump, the monotonic clock may not."""

    def __init__(self) -> None:
        self.t = 0.0
        self.utc_offset = timedelta(0)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.t) + self.utc_offset

    def monotonic(self) -> float:
        return self.t

    async def sleep(self, seconds: float) -> None:
        self.t += seconds


class ListingServer(ThreadedServer):
    """Answers every GET by `respond()`, and keeps count of all that it was asked."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        asked = self.asked = []
        outer = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                asked.append(("GET", self.path))
                status, body, headers = outer.respond()
                self.answer(body.encode(), status, headers)

            def do_POST(self) -> None:
                asked.append(("POST", self.path))
                self.send_error(500)

        super().__init__(Handler)

    @property
    def url(self) -> str:
        return f"{self.origin}/v1"


@contextmanager
def listing_server(respond: Respond) -> Iterator[ListingServer]:
    """A server for the length of a block."""
    with ListingServer(respond) as server:
        yield server


def good() -> tuple[int, str, dict[str, str]]:
    """A listing as it should be."""
    return 200, LISTING, {}


def new_toolkit(**settings: Any) -> Toolkit:
    """A toolkit on the test's home, with settings of its own."""
    toolkit = Toolkit(settings=Settings(**settings))
    toolkit.settings.make_home()
    return toolkit


def new_monitor(toolkit: Toolkit, clock: SimulatedClock, **more: Any) -> Monitor:
    """A monitor that holds its lease for hours and looks around as seldom as may be."""
    lease = Lease(toolkit.settings.home / "health-lease.json", "test", 86_400.0)
    more = {"cadence": SLOW_LOOKS, "rng": lambda: 0.5, "route": lambda: True} | more
    return Monitor(toolkit, lease, clock=clock, **more)


async def play(
    monitor: Monitor,
    clock: SimulatedClock,
    seconds: float,
    on_tick: Callable[[], None] = lambda: None,
) -> None:
    """Let so many simulated seconds pass; what is in flight lands before time goes on."""
    until = clock.t + seconds
    while clock.t < until:
        rest_s = await monitor.tick()
        if monitor._flights:
            await monitor.idle()
            rest_s = await monitor.tick()
            await monitor.idle()
        on_tick()
        clock.t = min(clock.t + rest_s, until)
