"""The local server's own process, started by `LocalServer`.

It holds the lock, loads the model into llama.cpp's server, writes the state, and stays until it
is asked to end or has been idle for its idle time-out.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from toolkit.files import FileLock
from toolkit.local.server_state import RunningServer, write_state

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
    parser = argparse.ArgumentParser(prog="toolkit.local.server_process")
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
