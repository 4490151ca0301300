"""A run in the background: how far it is, told to any thread, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, Final

from toolkit.calls.sync import Portal
from toolkit.errors import ToolkitError
from toolkit.evals.eval_run import EvalRun
from toolkit.evals.running.plan import Progress

_BEGIN_S: Final = 60.0


class RunningEval:
    """One run on the portal's loop; nobody has to wait for it.

    Attributes:
        run_id: its id; its row of `eval_runs` is there from the beginning.
        progress: how far it is; None before it has begun.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.progress: Progress | None = None
        self._has_begun = threading.Event()
        self._ended = threading.Event()
        self._future: Future[EvalRun] | None = None

    def begin(self, portal: Portal, work: Callable[[], Coroutine[Any, Any, EvalRun]]) -> None:
        """Start the work and wait until its row is kept.

        Raises:
            ToolkitError: it failed before it had begun.
        """

        async def whole() -> EvalRun:
            try:
                return await work()
            finally:
                self._ended.set()
                self._has_begun.set()

        self._future = portal.start(whole())
        self._has_begun.wait(_BEGIN_S)
        if self.progress is None and self._ended.is_set():
            self._future.result()

    def note(self, progress: Progress) -> None:
        """Told by the run."""
        self.progress = progress
        self._has_begun.set()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, however it ended; its row says how."""
        return self._ended.is_set()

    @property
    def failure(self) -> ToolkitError | None:
        """What ended it before its time, a full disk for example; None for a cap or a person."""
        if not self.is_over or self._future is None:
            return None
        try:
            self._future.result()
        except ToolkitError as error:
            return error
        except CancelledError:
            return None
        return None

    def stop(self) -> None:
        """Stop it; what is under way is given up, what is done is kept."""
        if self._future is not None:
            self._future.cancel()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is over; False when the time runs out first."""
        return self._ended.wait(timeout_s)
