"""The monitor: probes providers without recent calls and updates incidents.

One `tick` renews the lease, updates the list of providers, starts due probes and updates incidents.
`schedule.py` decides when to probe; clock, random numbers and the probe are parameters, so that
tests can simulate a day in seconds. `MonitorControl` starts and stops the monitor of this process.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, wait
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import ToolkitError
from toolkit.health.analysis.offline import has_route
from toolkit.health.analysis.outages import SEVERITY
from toolkit.health.analysis.state import Health
from toolkit.health.evidence import utc_now
from toolkit.health.monitoring.incident_tracker import IncidentTracker
from toolkit.health.monitoring.lease import LEASE_S, Lease, read_holder
from toolkit.health.monitoring.probe_budget import Spending
from toolkit.health.monitoring.schedule import (
    Clock,
    Finding,
    Intervals,
    Pace,
    Schedule,
    SystemClock,
)
from toolkit.health.probe_rows import judge_rows
from toolkit.health.probe_runner import Row, probe_listing, summarise
from toolkit.secret import redact
from toolkit.store.queries.health_evidence import conclusive_calls

if TYPE_CHECKING:
    from pathlib import Path

    from toolkit.health.health_host import HealthHost
    from toolkit.health.monitoring.lease import Lease
    from toolkit.providers.provider import Provider

Probe = Callable[["HealthHost", "Provider", datetime], Awaitable[Row]]

ENOUGH_CALLS: Final = 10
PASSIVE_WINDOW: Final = timedelta(minutes=15)
_NEAR_S: Final = 60.0
_MOST_TOLD: Final = 50
_OFFLINE: Final = {
    "blame": "local",
    "error_code": "REQUEST_FAILED",
    "error_cause": "offline",
    "error_message": "this machine is offline: no provider could be reached",
}

_log = logging.getLogger("toolkit.health")


async def probe_quietly(host: HealthHost, provider: Provider, at: datetime) -> Row:
    """The default probe: the free listing."""
    return await probe_listing(host, provider, at, is_manual=False)


class Monitor:
    """Monitors the providers of one toolkit while it holds the lease.

    Args:
        host: the owner of the providers.
        lease: the lease.
        clock, rng: clock and random numbers.
        probe: probes one provider and returns the row of `probes`.
        route: whether the system has a route to the internet.
        cadence: its intervals.
    """

    def __init__(
        self,
        host: HealthHost,
        lease: Lease,
        *,
        clock: Clock | None = None,
        rng: Callable[[], float] = random.random,
        probe: Probe = probe_quietly,
        route: Callable[[], bool] = has_route,
        cadence: Intervals | None = None,
    ) -> None:
        self.lease = lease
        self.is_offline: bool = False
        self.is_holder: bool = False
        self._host, self._clock, self._rng = host, clock or SystemClock(), rng
        self._probe_one, self._route, self._cadence = probe, route, cadence or Intervals()
        self.schedule: Schedule = Schedule(Pace(interval_s=host.settings.health_interval_s), rng)
        self._spending = Spending(host)
        self._book = IncidentTracker(host)
        self._providers: dict[str, Provider] = {}
        self._states: dict[str, Health] = {}
        self._calls: dict[str, int] = {}
        self._flights: set[asyncio.Task[None]] = set()
        self._due: dict[str, float] = {}
        self._answered: dict[str, float] = {}
        self._is_stopped = False
        self._nudged = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reported: dict[str, str] = {}

    # ---- running ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run until `stop`, then release the lease."""
        self._loop = asyncio.get_running_loop()
        try:
            while not self._is_stopped:
                await self._rest(await self.tick())
        finally:
            for flight in self._flights:
                flight.cancel()
            with suppress(OSError):
                self.lease.release()

    def stop(self) -> None:
        """End `run` soon; may be called from any thread."""
        self._is_stopped = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._nudged.set)

    async def idle(self) -> None:
        """Wait until no probe is in flight."""
        while self._flights:
            await asyncio.wait(set(self._flights))

    async def tick(self) -> float:
        """Do what is due; return the time to wait, seconds."""
        now_s = self._clock.monotonic()
        if self._is_time("lease", now_s, self.lease.length_s / 3):
            await self._try("the lease", self._hold(now_s))
        if self.is_holder:
            if self._is_time("follow", now_s, self._cadence.follow_s):
                await self._try("the registry", self._follow(now_s))
            await self._start_due(now_s)
            if self._is_time("book", now_s, self._cadence.book_s):
                await self._try("the database", self._keep_books(now_s))
        return self._find_rest(self._clock.monotonic())

    async def _rest(self, wait_s: float) -> None:
        """Wait until the next probe is due or one has finished."""
        resting = asyncio.ensure_future(self._clock.sleep(wait_s))
        nudged = asyncio.ensure_future(self._nudged.wait())
        try:
            await asyncio.wait({resting, nudged}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            resting.cancel()
            nudged.cancel()
        self._nudged.clear()

    def _is_time(self, what: str, now_s: float, every_s: float) -> bool:
        if now_s < self._due.get(what, now_s):
            return False
        self._due[what] = now_s + every_s
        return True

    def _find_rest(self, now_s: float) -> float:
        looks = ["lease"]
        if self.is_holder:
            looks += ["follow", "book", *(["lookout"] if self.is_offline else [])]
        moments = [self._due[look] for look in looks if look in self._due]
        wake_at = self.schedule.wake_at() if self.is_holder else None
        if wake_at is not None:
            moments.append(wake_at)
        bounds = self._cadence
        return max(bounds.shortest_s, min(min(moments) - now_s, bounds.longest_s))

    async def _try(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Continue if the database or the home folder cannot be used; log it once."""
        try:
            await work
        except (ToolkitError, OSError) as error:
            words = redact(getattr(error, "message", None) or str(error))
            if self._reported.get(what) != words:
                _log.warning("the health monitor continues without %s: %s", what, words)
            self._reported[what] = words
        else:
            if self._reported.pop(what, None) is not None:
                _log.info("the health monitor can use %s again", what)

    # ---- providers and calls ------------------------------------------------------------------

    async def _hold(self, now_s: float) -> None:
        now = self._clock.now()
        due = sorted(self.schedule.next_times().items(), key=lambda item: item[1])[:_MOST_TOLD]
        next_at = {name: now + timedelta(seconds=at_s - now_s) for name, at_s in due}
        was_holder, self.is_holder = self.is_holder, False
        self.is_holder = await asyncio.to_thread(
            self.lease.hold, now, next_at=next_at, is_offline=self.is_offline
        )
        if self.is_holder and not was_holder:
            self._due = {"lease": self._due["lease"]}
            self._states, self.is_offline = {}, False

    async def _follow(self, now_s: float) -> None:
        """Update the providers to probe; the built-in server is started by calls only."""
        health, now = self._host.health, self._clock.now()
        watched, paused = await asyncio.to_thread(
            lambda: (health.evidence.watched(), health.pauses.read(now))
        )
        is_built_in = self._host.providers.registry.is_built_in
        self._providers = {
            name: provider
            for name, provider in watched.providers.items()
            if not is_built_in(name) and name not in paused and provider.base_url
        }
        self.schedule.follow({n: p.origin for n, p in self._providers.items()}, now_s)

    async def _start_due(self, now_s: float) -> None:
        local = {name for name, provider in self._providers.items() if provider.is_local}
        names = self.schedule.take_due(now_s, only=local if self.is_offline else None)
        if names and self._is_time("passive", now_s, self._cadence.passive_s):
            await self._try("recent calls", self._count_calls())
        for name in names:
            if self._calls.get(name, 0) >= ENOUGH_CALLS:
                self.schedule.skip(name, now_s)
            else:
                self._launch(self._watch(name))
        if self.is_offline and self._is_time("lookout", now_s, self._cadence.lookout_s):
            self._launch(self._look_out())

    async def _count_calls(self) -> None:
        now = self._clock.now()
        self._calls = {}
        query = conclusive_calls(now - PASSIVE_WINDOW, now)
        rows = await asyncio.to_thread(query.rows, self._host.store)
        self._calls = {row["provider"]: row["n"] for row in rows}

    async def _keep_books(self, now_s: float) -> None:
        now = self._clock.now()
        states, incidents = await asyncio.to_thread(self._book.update, now)
        self._states = states
        took_s = self._clock.monotonic() - now_s
        self._due["book"] += 20 * took_s  # spend at most 5 % of the time on reading
        await self._book.notify(incidents, now, now_s)

    # ---- one probe ----------------------------------------------------------------------------

    def _launch(self, work: Coroutine[Any, Any, None]) -> None:
        flight = asyncio.ensure_future(self._try("a probe", work))
        self._flights.add(flight)
        flight.add_done_callback(self._landed)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        self._nudged.set()
        if not flight.cancelled() and (error := flight.exception()) is not None:
            _log.error(
                "a probe failed unexpectedly: %s: %s", type(error).__name__, redact(str(error))
            )

    async def _watch(self, name: str) -> None:
        """Probe one provider, record it, and always schedule the next probe."""
        provider = self._providers[name]
        finding: Finding = "unsettled"
        retry_after_s: float | None = None
        try:
            row = await self._probe_one(self._host, provider, self._clock.now())
            retry_after_s = row.get("retry_after_s")
            if self._is_lost(provider, row) and await self._finds_offline(provider):
                row |= _OFFLINE
                self._go_offline()
            finding = await self._record(provider, [row])
            if row["status"] == "ok":
                paid = await self._spending.ask(provider, self._clock.now())
                finding = await self._record(provider, paid) if paid else finding
        finally:
            self.schedule.done(name, self._clock.monotonic(), finding, retry_after_s)

    async def _record(self, provider: Provider, rows: list[Row]) -> Finding:
        before = self._states.get(provider.name, Health())
        after = judge_rows(rows, before, self._host.settings)
        self._states[provider.name] = after
        if (before.state in SEVERITY) != (after.state in SEVERITY):
            self._due["book"] = self._clock.monotonic()
        await asyncio.to_thread(self._host.store.append_many, "probes", rows)
        return _find(after, rows)

    # ---- this machine -------------------------------------------------------------------------

    def _is_lost(self, provider: Provider, row: Row) -> bool:
        """Whether no remote answer arrived; an answer is remembered for other probes."""
        if provider.is_local:
            return False
        if row["status"] == "error" and row.get("blame") == "network":
            return True
        self._answered[provider.origin] = self._clock.monotonic()
        return False

    async def _finds_offline(self, lost: Provider) -> bool:
        """Whether this machine is offline: no route, or an unrelated provider fails, too."""
        if self.is_offline or not await asyncio.to_thread(self._route):
            return True
        now_s = self._clock.monotonic()
        near = [at_s for origin, at_s in self._answered.items() if origin != lost.origin]
        if any(now_s - at_s <= _NEAR_S for at_s in near):
            return False
        others = self._remote_but(lost.origin)
        if not others:
            return False
        other = others[int(self._rng() * len(others))]
        row = await self._probe_one(self._host, other, self._clock.now())
        is_lost = self._is_lost(other, row)
        await self._record(other, [row | _OFFLINE if is_lost else row])
        return is_lost

    def _go_offline(self) -> None:
        if not self.is_offline:
            _log.warning("this machine is offline: providers are not probed until it is back")
        self.is_offline = True
        self._due["lookout"] = self._clock.monotonic() + self._cadence.lookout_s

    async def _look_out(self) -> None:
        """Probe one provider to find out whether this machine is online again."""
        others = self._remote_but("")
        if not others:
            self.is_offline = False
            return
        other = others[int(self._rng() * len(others))]
        row = await self._probe_one(self._host, other, self._clock.now())
        is_lost = self._is_lost(other, row)
        await self._record(other, [row | _OFFLINE if is_lost else row])
        if not is_lost:
            _log.info("this machine is back online")
            self.is_offline = False
            self._due.pop("lookout", None)
            self.schedule.restart(self._clock.monotonic())

    def _remote_but(self, origin: str) -> list[Provider]:
        return [p for p in self._providers.values() if not p.is_local and p.origin != origin]


def _find(after: Health, rows: list[Row]) -> Finding:
    """What the result means for the time of the next probe."""
    outcome = summarise(rows)["outcome"]
    if outcome in ("auth", "limited"):
        return "trouble"
    if outcome == "bad":
        return "trouble" if after.state == "down" else "unsettled"
    return "unsettled" if after.state == "down" else "fine"


_STOP_WAIT_S: Final = 5.0


class MonitorControl:
    """Starts and stops the monitor of one toolkit."""

    def __init__(self, host: HealthHost) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._running: Future[None] | None = None
        self.monitor: Monitor | None = None

    def start(self, what: str, *, lease_s: float = LEASE_S) -> None:
        """Run the monitor, unless it already runs or `health_interval_s` is 0.

        Args:
            what: what starts it (`app`, `serve`, `watch`), shown to other processes.
            lease_s: duration of its lease without renewal, seconds.
        """

        if self._host.settings.health_interval_s <= 0:
            return
        with self._lock:
            if self._running is not None and not self._running.done():
                return
            self._host.settings.make_home()
            self.monitor = Monitor(self._host, Lease(self._path, what, lease_s))
            self._running = self._host.portal.start(self.monitor.run())
            self._running.add_done_callback(_tell_end)

    def stop(self) -> None:
        """Stop it and release the lease."""
        with self._lock:
            running, self._running = self._running, None
        if running is None or self.monitor is None:
            return
        self.monitor.stop()
        wait([running], _STOP_WAIT_S)

    def status(self) -> dict[str, Any]:
        """Which process probes, and when.

        Returns:
            `running`: `here`, `elsewhere` or `nowhere`; `what`, `pid`, `host`, `since` and
            `renewed_at` of that process (None if there is none); `is_offline`: this machine seems
            offline; `interval_s`; `next_at`: when each provider is due, UTC, by name; `paused`:
            names of paused providers.
        """
        holder = read_holder(self._path)
        if holder is not None and not holder.is_valid(utc_now()):
            holder = None
        mine = self.monitor is not None and self.monitor.lease.is_mine(holder)
        return {
            "running": "nowhere" if holder is None else "here" if mine else "elsewhere",
            "what": holder and holder.what,
            "pid": holder and holder.pid,
            "host": holder and holder.host,
            "since": holder and holder.since,
            "renewed_at": holder and holder.renewed_at,
            "is_offline": bool(holder and holder.is_offline),
            "interval_s": self._host.settings.health_interval_s,
            "next_at": dict(holder.next_at) if holder else {},
            "paused": sorted(self._host.health.pauses.read(utc_now())),
        }

    @property
    def _path(self) -> Path:
        return self._host.settings.home / "health-lease.json"


def _tell_end(running: Future[None]) -> None:
    """Log an unexpected end of the monitor."""
    if not running.cancelled() and (error := running.exception()) is not None:
        _log.error(
            "the health monitor stopped unexpectedly: %s: %s",
            type(error).__name__,
            redact(str(error)),
        )
