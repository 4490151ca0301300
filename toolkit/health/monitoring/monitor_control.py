"""Starts and stops the monitor of this process, and reports which process has the lease."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Final

from toolkit.health.evidence import utc_now
from toolkit.health.monitoring.lease import LEASE_S, Lease, read_holder
from toolkit.secret import redact

if TYPE_CHECKING:
    from pathlib import Path

    from toolkit.health.health_host import HealthHost
    from toolkit.health.monitoring.monitor import Monitor

_STOP_WAIT_S: Final = 5.0
_log = logging.getLogger("toolkit.health")


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
        from toolkit.health.monitoring.monitor import Monitor

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
