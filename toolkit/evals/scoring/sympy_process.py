"""Symbolic equality, decided by sympy in a process of its own.

sympy may take minutes or gigabytes over a short expression, and cannot be interrupted. So it runs
in a worker that is killed when a comparison takes too long, and started again for the next. Where
the system can, the worker's processor time is limited: on a busy machine a short comparison waits
long, which says nothing about it. Waiting has a limit too, a larger one.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from subprocess import DEVNULL, PIPE, Popen
from typing import Final

from toolkit.errors import InvalidInput
from toolkit.evals.bounded import TookTooLong, call_bounded

_START_S: Final = 120.0
_WAITS_PER_SECOND: Final = 12.0 if hasattr(signal, "setitimer") else 1.0
"""How much longer than its limit a comparison may wait for a processor."""


class _Worker:
    """One worker process; a comparison at a time."""

    def __init__(self) -> None:
        self._process: Popen[str] | None = None
        self._lock = threading.Lock()

    def compare(self, answer: str, targets: Sequence[str], timeout_s: float) -> bool:
        """Whether the answer equals one of the targets."""
        with self._lock:
            process = self._running()
            timer = threading.Timer(timeout_s * _WAITS_PER_SECOND, process.kill)
            timer.start()
            try:
                asked = {"answer": answer, "targets": list(targets), "cpu_s": timeout_s}
                request = json.dumps(asked)
                found = json.loads(self._exchange(process, request) or "{}")
            except (OSError, ValueError):
                found = {}
            finally:
                timer.cancel()
        if "equal" not in found:
            self._drop(process)
            reason = found.get("error", f"took longer than {timeout_s:g} s")
            raise TookTooLong(f"comparing {answer[:80]!r} {reason}")
        return bool(found["equal"])

    def _running(self) -> Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._process = Popen(
            [sys.executable, "-m", "toolkit.evals.scoring.sympy_worker"],
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            text=True,
            encoding="utf-8",
        )
        timer = threading.Timer(_START_S, self._process.kill)
        timer.start()
        try:
            ready = self._process.stdout.readline() if self._process.stdout else ""
        finally:
            timer.cancel()
        if ready.strip() != "ready":
            raise RuntimeError("the process that compares formulas did not start")
        return self._process

    @staticmethod
    def _exchange(process: Popen[str], request: str) -> str:
        if process.stdin is None or process.stdout is None:
            return ""
        process.stdin.write(request + "\n")
        process.stdin.flush()
        return process.stdout.readline()

    def _drop(self, process: Popen[str]) -> None:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue
        self._process = None


_worker = _Worker()


def require_sympy() -> None:
    """Refuse before a run what would fail at its first answer.

    Raises:
        InvalidInput: sympy is not installed.
    """
    if find_spec("sympy") is None:
        raise InvalidInput(
            "the scorer 'math' needs sympy",
            hint="Install it: pip install 'llm-provider-toolkit[eval]'.",
        )


async def are_equal(answer: str, targets: Sequence[str], *, timeout_s: float) -> bool:
    """Whether a formula equals one of the targets.

    Raises:
        TookTooLong: the comparison did not end in time, or within its memory.
    """
    plain = "".join(answer.split())
    if any(plain == "".join(target.split()) for target in targets):
        return True
    # One worker serves all; waiting for it is not part of a comparison's own time.
    return bool(await call_bounded(_worker.compare, answer, targets, timeout_s, timeout_s=600.0))


async def stop() -> None:
    """End the worker; the next comparison starts another."""
    if _worker._process is not None:
        await asyncio.to_thread(_worker._drop, _worker._process)
