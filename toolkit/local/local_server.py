"""The built-in local model: llama.cpp's own server, in a process of its own, one per home folder.

The first process to start it wins; all others of this home find it. It is alive exactly while it
holds its lock (`files.FileLock`), so that a reused process id is never mistaken for it.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from toolkit.errors import LocalModelError
from toolkit.files import is_locked
from toolkit.local.detached_process import start_detached
from toolkit.local.model_files import BUILTIN_NAME, ModelFile, list_files, require_file
from toolkit.local.server_process import ACTIVE_REQUESTS, ALREADY_RUNNING, read_metrics
from toolkit.local.server_state import (
    RunningServer,
    find_running,
    lock_path,
    log_path,
    state_path,
)
from toolkit.settings import Settings

PREFERRED_PORT: Final = 18135
START_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.05
_ASK_S: Final = 2.0
_MOST_THREADS: Final = 8
_LOG_TAIL_CHARS: Final = 600

# A checkout that is not installed must be found from the home folder, where the server runs.
_PACKAGE_PARENT: Final = Path(__file__).resolve().parents[2]
_BOOT: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from toolkit.local.server_process import main; sys.exit(main())"
)

Progress = Callable[[str], None]


def find_base_url(settings: Settings) -> str | None:
    """The base URL of the running local server, or None when it does not run."""
    running = find_running(settings)
    return running.base_url if running else None


class LocalServer:
    """Starts, finds and stops the local server of one home folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None

    def models(self) -> list[ModelFile]:
        """The model files that it could run, the built-in one first."""
        return list_files(self._settings)

    def status(self) -> RunningServer | None:
        """The server that runs now, or None."""
        return find_running(self._settings)

    def start(
        self,
        model: str | None = None,
        *,
        idle_timeout_s: float | None = None,
        progress: Progress | None = None,
        timeout_s: float = START_TIMEOUT_S,
    ) -> RunningServer:
        """Start the server, or find the one that runs, and wait until it answers.

        Args:
            model: the model file's name; None takes the one that runs, else the built-in one.
            idle_timeout_s: the server ends by itself after so many idle seconds; None: never.
            progress: called with a message about what is going on, a few times a second.
            timeout_s: longest wait for the model to load, seconds.

        Raises:
            LocalModelError: not installed, no such model file, another model runs, or the server
                did not come up; the message has the end of its log.
        """
        running = self.status()
        if running is None:
            running = self._start_new(model or BUILTIN_NAME, idle_timeout_s, progress, timeout_s)
        if model is not None and running.model != model:
            raise LocalModelError(
                f"the local server runs {running.model!r}, not {model!r}",
                provider="local",
                hint=f"`toolkit local stop`, then `toolkit local start --model {model}`.",
            )
        return running

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """End the server and wait until it is gone.

        Returns:
            Whether there was one to end.

        Raises:
            LocalModelError: it is still there after `timeout_s` seconds.
        """
        running = self.status()
        if running is None:
            return False
        _end(running.pid, signal.SIGTERM)
        if not self._wait_until_gone(timeout_s / 2):
            # Windows knows one way to end a process, which SIGTERM already was.
            _end(running.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            if not self._wait_until_gone(timeout_s / 2):
                raise LocalModelError(
                    f"the local server (process {running.pid}) does not stop", provider="local"
                )
        state_path(self._settings).unlink(missing_ok=True)
        self._reap()
        return True

    @property
    def was_started_here(self) -> bool:
        """Whether the server that runs now was started through this object."""
        running = self.status()
        return self._child is not None and running is not None and running.pid == self._child.pid

    def is_busy(self) -> bool:
        """Whether the server is answering a request, or a request waits for it."""
        running = self.status()
        return running is not None and _count_active_requests(running) > 0

    def _start_new(
        self, name: str, idle_timeout_s: float | None, progress: Progress | None, timeout_s: float
    ) -> RunningServer:
        if importlib.util.find_spec("xllamacpp") is None:
            raise LocalModelError(
                "llama.cpp's server is not installed",
                provider="local",
                hint="Install it with `pip install xllamacpp`, a wheel that compiles nothing.",
            )
        file = require_file(self._settings, name)
        self._settings.make_home()
        self._child = child = self._spawn(file, idle_timeout_s)
        begun = time.monotonic()
        while time.monotonic() - begun < timeout_s:
            running = self.status()
            if running is not None:
                return running
            code = child.poll()
            if code is not None and not (code == ALREADY_RUNNING and self._another_is_loading()):
                raise self._did_not_start(f"it exited with code {code}")
            if progress is not None:
                waited_s = time.monotonic() - begun
                progress(f"Loading {file.name} ({file.size_bytes / 1e6:.0f} MB), {waited_s:.1f} s")
            time.sleep(_POLL_S)
        child.kill()
        self._reap()
        raise self._did_not_start(f"it was not ready after {timeout_s:g} s")

    def _spawn(self, file: ModelFile, idle_timeout_s: float | None) -> subprocess.Popen[bytes]:
        settings = self._settings
        command = [sys.executable, "-P", "-c", _BOOT, str(_PACKAGE_PARENT)]
        command += ["--model", str(file.path), "--name", file.name]
        command += ["--port", str(PREFERRED_PORT), "--threads", str(_threads())]
        command += ["--lock", str(lock_path(settings)), "--state", str(state_path(settings))]
        if idle_timeout_s is not None:
            command += ["--idle-timeout-s", str(idle_timeout_s)]
        descriptor = os.open(log_path(settings), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as log:
            return start_detached(command, stdout=log, stderr=log, cwd=settings.home)

    def _another_is_loading(self) -> bool:
        """Whether another process was quicker and is loading the model."""
        return is_locked(lock_path(self._settings))

    def _wait_until_gone(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while is_locked(lock_path(self._settings)):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S / 2)
        return True

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait(STOP_TIMEOUT_S)
            self._child = None

    def _did_not_start(self, why: str) -> LocalModelError:
        path = log_path(self._settings)
        tail = path.read_text("utf-8", errors="replace")[-_LOG_TAIL_CHARS:].strip()
        return LocalModelError(
            f"the local server did not start: {why}",
            provider="local",
            hint=f"Its log is {path}." + (f" It ends: {tail}" if tail else ""),
        )


def _end(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return


def _count_active_requests(running: RunningServer) -> float:
    """Read the server's own metrics; a server without them is taken for busy."""
    connection = http.client.HTTPConnection(running.host, running.port, timeout=_ASK_S)
    try:
        connection.request("GET", "/metrics")
        return sum(read_metrics(connection.getresponse().read().decode(), *ACTIVE_REQUESTS))
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


def _threads() -> int:
    """Threads to compute with: a core stays free for who asks and measures.

    llama.cpp's threads wait for one another after every layer. Where one of them shares its core
    with anything else all of them wait: on two busy cores two threads made 3 tokens/s, one made 20.
    """
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cores = len(allowed(0)) if allowed else (os.cpu_count() or 2)
    return max(1, min(cores - 1, _MOST_THREADS))
