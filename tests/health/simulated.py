"""A monitor under a simulated clock, and a provider on a real socket that follows the clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

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


class ListingServer:
    """Answers every GET by `respond()`, and keeps count of all that it was asked."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        asked = self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(("GET", self.path))
                status, body, headers = outer.respond()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def do_POST(self) -> None:
                asked.append(("POST", self.path))
                self.send_error(500)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        Thread(target=self.http.serve_forever, daemon=True).start()


@contextmanager
def listing_server(respond: Respond) -> Iterator[ListingServer]:
    """A server for the length of a block."""
    server = ListingServer(respond)
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()


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
