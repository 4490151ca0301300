"""A snapshot of states in memory for failover, renewed in the background while it is used."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from toolkit.errors import ToolkitError
from toolkit.health.analysis.state import Health

FRESH_S: Final = 5.0
BELIEVED_FOR: Final = timedelta(minutes=10)
"""Maximum age of a state: without a monitor, only a call shows a recovery."""

_AVOIDED: Final = frozenset({"down", "auth_error"})
_log = logging.getLogger(__name__)


class HealthSnapshot:
    """Decides which providers are tried last.

    Args:
        read: reads the states by provider; runs in a thread, at most every `FRESH_S` seconds and
            only while chains are built.
    """

    def __init__(self, read: Callable[[], Mapping[str, Health]]) -> None:
        self._read = read
        self._states: Mapping[str, Health] = {}
        self._read_at: float | None = None
        self._lock = threading.Lock()
        self._reader: threading.Thread | None = None

    def worst_last(self, models: Sequence[str]) -> list[str]:
        """Return the models, those of providers that are down or reject the key last.

        None is removed, and the order is otherwise kept.
        """
        self._renew()
        states, now = self._states, datetime.now(UTC)

        def is_avoided(model: str) -> bool:
            health = states.get(model.partition("/")[0])
            if health is None or health.state not in _AVOIDED or health.last_at is None:
                return False
            return now - health.last_at <= BELIEVED_FOR

        return sorted(models, key=is_avoided)

    def learn(self, states: Mapping[str, Health]) -> None:
        """Use a snapshot from elsewhere."""
        self._states, self._read_at = dict(states), time.monotonic()

    def wait(self, timeout_s: float) -> None:
        """Wait for a renewal in progress."""
        reader = self._reader
        if reader is not None:
            reader.join(timeout_s)

    def _renew(self) -> None:
        if self._read_at is not None and time.monotonic() - self._read_at < FRESH_S:
            return
        with self._lock:
            if self._reader is not None and self._reader.is_alive():
                return
            self._reader = threading.Thread(
                target=self._read_once, name="toolkit-snapshot", daemon=True
            )
            self._reader.start()

    def _read_once(self) -> None:
        try:
            self.learn(self._read())
        except ToolkitError as error:
            self._read_at = time.monotonic()  # keep the old snapshot and retry later
            _log.debug("provider states could not be read: %s", error.message)
