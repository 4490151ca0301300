"""The state of the local server's process, for all others: one small file in the home folder.

Only the server writes it, once it answers; it is believed only while the server's lock is held.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from toolkit.files import is_locked, write_atomic
from toolkit.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """The local server that runs now.

    Attributes:
        pid: its process.
        started_at: when it began to answer, UTC.
        host, port: where it listens.
        model: the model's id, without `local/`.
        path: the model's file.
        slots: how many answers it writes at the same time; more wait in its queue.
        context_tokens: context window of each slot.
        threads: threads it computes with.
        idle_timeout_s: it ends by itself after so many idle seconds; None: never.
    """

    pid: int
    started_at: datetime
    host: str
    port: int
    model: str
    path: str
    slots: int
    context_tokens: int
    threads: int
    idle_timeout_s: float | None = None

    @property
    def base_url(self) -> str:
        """The OpenAI-compatible base URL."""
        return f"http://{self.host}:{self.port}/v1"


def state_path(settings: Settings) -> Path:
    """The file that holds the running server's state."""
    return settings.home / "local-server.json"


def lock_path(settings: Settings) -> Path:
    """The file that the running server keeps locked."""
    return settings.home / "local-server.lock"


def log_path(settings: Settings) -> Path:
    """The server's log."""
    return settings.home / "local-server.log"


def find_running(settings: Settings) -> RunningServer | None:
    """The server that runs and answers now, or None; what a dead one left behind is ignored."""
    try:
        state = json.loads(state_path(settings).read_text("utf-8"))
        state["started_at"] = datetime.fromisoformat(state["started_at"])
        running = RunningServer(**state)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return running if is_locked(lock_path(settings)) else None


def write_state(path: Path, running: RunningServer) -> None:
    """Write the state whole or not at all, readable by its owner only."""
    state = {**asdict(running), "started_at": running.started_at.isoformat()}
    write_atomic(path, json.dumps(state, indent=2), durable=False)
