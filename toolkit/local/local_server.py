"""The built-in local model: llama.cpp's own server, in a process of its own, one per home folder.

The first process to start it wins; all others of this home find it. It is alive exactly while it
holds its lock (`files.FileLock`), so that a reused process id is never mistaken for it.
`main` is that process: it loads the model into llama.cpp's server, writes the state, and stays
until it is asked to end or has been idle for its idle time-out.
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from toolkit.errors import LocalModelError
from toolkit.files import FileLock, is_locked
from toolkit.local.detached_process import start_detached
from toolkit.local.model_files import BUILTIN_NAME, ModelFile, list_files, require_file
from toolkit.local.server_state import (
    RunningServer,
    find_running,
    lock_path,
    log_path,
    state_path,
    write_state,
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
    "from toolkit.local.local_server import main; sys.exit(main())"
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


ALREADY_RUNNING: Final = 3
HOST: Final = "127.0.0.1"

# Four panes at once is what one machine is asked for; each gets an equal part of the context.
SLOTS: Final = 4
CONTEXT_TOKENS: Final = 2048
_PROMPT_CACHE_MIB: Final = 256
_LOOK_EVERY_S: Final = 1.0

ACTIVE_REQUESTS: Final = ("requests_processing", "requests_deferred")
_WORK_DONE: Final = ("prompt_tokens_total", "prompt_tokens_cached_total", "tokens_predicted_total")


def main() -> int:
    """Serve until ended; the exit code is `ALREADY_RUNNING` when another process serves."""
    options = _options()
    # Held until the process ends; one that merely looks holds it for an instant, hence the wait.
    if not FileLock(options.lock).acquire(1.0):
        return ALREADY_RUNNING
    options.state.unlink(missing_ok=True)
    server = _load(options)
    port = int(str(server.listening_address).rsplit(":", 1)[1])
    write_state(
        options.state,
        RunningServer(
            pid=os.getpid(),
            started_at=datetime.now(UTC),
            host=HOST,
            port=port,
            model=options.name,
            path=str(options.model),
            slots=SLOTS,
            context_tokens=CONTEXT_TOKENS,
            threads=options.threads,
            idle_timeout_s=options.idle_timeout_s,
        ),
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _stay(server, options.idle_timeout_s)
    finally:
        options.state.unlink(missing_ok=True)
        sys.stdout.flush()
        # The server's threads hold no data worth a slow farewell; the lock goes with the process.
        os._exit(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="toolkit.local.local_server")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--idle-timeout-s", type=float, default=None)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    return parser.parse_args()


def _load(options: argparse.Namespace) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(options.model)
    params.model_alias = {options.name}
    params.hostnames = [HOST]
    params.port = options.port if _is_free(options.port) else 0
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT_TOKENS
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.cpuparams.poll = params.cpuparams_batch.poll = 0  # no busy waiting: cores are shared
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.endpoint_metrics = True
    # Its own web page is not ours to serve, and no web page elsewhere may ask it.
    params.ui = False
    params.cors_origins = f"http://{HOST}"
    params.cors_origins_explicit = True
    params.offline = True
    return xllamacpp.Server(params)


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def _stay(server: Any, idle_timeout_s: float | None) -> None:
    """Return after `idle_timeout_s` seconds without a request; never when that is None."""
    seen: list[float] = []
    idle_since = time.monotonic()
    while True:
        time.sleep(_LOOK_EVERY_S)
        if idle_timeout_s is None:
            continue
        text = str(server.handle_metrics())
        now = read_metrics(text, *_WORK_DONE)
        if now != seen or any(read_metrics(text, *ACTIVE_REQUESTS)):
            seen, idle_since = now, time.monotonic()
        elif time.monotonic() - idle_since >= idle_timeout_s:
            return


def read_metrics(text: str, *names: str) -> list[float]:
    """The values of these metrics of llama.cpp, in their order; 0 for one that is missing."""
    values = dict(re.findall(r"^llamacpp:(\w+) (\S+)$", text, flags=re.MULTILINE))
    return [float(values.get(name, 0)) for name in names]


if __name__ == "__main__":
    sys.exit(main())
