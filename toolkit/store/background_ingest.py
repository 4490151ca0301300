"""A background thread that moves the journal into the database when appends pause.

It is one per process, starts with the first append, and never keeps the interpreter alive: what
it leaves behind, the next process moves.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from toolkit.errors import StoreError

_QUIET_S: Final = 0.3
_LONGEST_S: Final = 5.0
_MANY: Final = 2_000
_RETRY_S: Final = 2.0
# A move is short; cutting one off inside DuckDB would abort the whole process.
_EXIT_S: Final = 30.0


class Publisher:
    """Calls `publish` after a pause in appends, after many of them, or after some seconds.

    Args:
        publish: moves the journal; may raise `StoreError`, then it is called again later.
    """

    def __init__(self, publish: Callable[[], object]) -> None:
        self._publish = publish
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._pid = 0
        self._waiting = 0
        self._last_at = 0.0

    def notice(self, count: int = 1) -> None:
        """Rows were appended; cheap enough for the call path."""
        self._waiting += count  # a lost update between threads only delays, the clock catches up
        self._last_at = time.monotonic()
        if self._thread is None or self._pid != os.getpid():
            self._start()
        if not self._wake.is_set():
            self._wake.set()

    def stop(self, wait_s: float = _EXIT_S) -> None:
        """Let a running move end, at most `wait_s` seconds, and start no other."""
        self._stopped.set()
        self._wake.set()
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            atexit.unregister(self.stop)
            thread.join(wait_s)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None and self._pid == os.getpid():
                return
            # pandas wants it, and at exit, where a short program's only move is made, Python
            # does not let it be imported for the first time.
            import concurrent.futures.thread  # noqa: F401

            self._pid = os.getpid()
            self._stopped.clear()
            self._thread = threading.Thread(target=self._run, name="toolkit-store", daemon=True)
            self._thread.start()
            # A daemon thread inside DuckDB must not meet the interpreter's end.
            atexit.register(self.stop)

    def _run(self) -> None:
        while self._wait_for_work():
            self._waiting = 0
            try:
                self._publish()
            except StoreError:
                # The journal keeps everything; the next read reports what is wrong.
                self._stopped.wait(_RETRY_S)
                self._wake.set()

    def _wait_for_work(self) -> bool:
        """Block until it is worth moving; False when stopped."""
        self._wake.wait()
        self._wake.clear()
        began = time.monotonic()
        while not self._stopped.is_set():
            now = time.monotonic()
            quiet_s = now - self._last_at
            if quiet_s >= _QUIET_S or self._waiting >= _MANY or now - began >= _LONGEST_S:
                return True
            self._stopped.wait(_QUIET_S - quiet_s)
        return False
