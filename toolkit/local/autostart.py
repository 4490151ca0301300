"""Starts the built-in model's server on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from toolkit.errors import ModelNotFound
from toolkit.local.local_server import LocalServer
from toolkit.local.server_state import RunningServer

if TYPE_CHECKING:
    from toolkit.settings import Settings

LOCAL: Final = "local"
IDLE_TIMEOUT_S: Final = 300.0
"""A server that was started on demand stops after so long without a request."""


class LocalHost(Protocol):
    """What starting the local server on demand needs."""

    @property
    def settings(self) -> Settings:
        """The settings of the home folder."""

    @property
    def local(self) -> LocalServer:
        """The local server of that home."""


def ensure_local(
    host: LocalHost, progress: Callable[[str], None] | None = None, *, model: str | None = None
) -> RunningServer:
    """Make sure that the local server runs; blocks while the model loads, about a second.

    Args:
        host: the toolkit whose home the server belongs to.
        progress: called with a message about what is going on.
        model: the model file's name; None takes what runs, else the built-in one.

    Raises:
        LocalModelError: it cannot be started here, or runs another model.
    """
    server: LocalServer = host.local
    return server.start(model, idle_timeout_s=IDLE_TIMEOUT_S, progress=progress)


async def prepare_local(host: LocalHost, model: str) -> None:
    """Before a call: start the local server if `model` is `local/...`, without holding up the loop.

    Raises:
        ModelNotFound: the model file does not exist; llama.cpp itself answers for any name.
        LocalModelError: it cannot be started here, or runs another model.
    """
    provider, _, model_id = model.partition("/")
    if provider != LOCAL or not model_id:
        return
    running = host.local.status()
    if running is None or running.model != model_id:
        _require_known(host, model_id)
    if running is None or running.model != model_id:
        await asyncio.to_thread(ensure_local, host, model=model_id)


def _require_known(host: LocalHost, model_id: str) -> None:
    known = [file.name for file in host.local.models()]
    if model_id not in known:
        raise ModelNotFound(
            f"local model {model_id!r} not found; available: {', '.join(known) or 'none'}",
            provider=LOCAL,
            model=f"{LOCAL}/{model_id}",
            hint=f"Put a GGUF file into {host.settings.models_path}.",
        )
