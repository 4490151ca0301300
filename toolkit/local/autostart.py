"""Starts the built-in model's server on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from toolkit.errors import ModelNotFound
from toolkit.local.local_server import LocalServer
from toolkit.local.server_state import RunningServer

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit

LOCAL: Final = "local"
IDLE_TIMEOUT_S: Final = 300.0
"""A server that was started on demand stops after so long without a request."""


def ensure_local(
    toolkit: Toolkit, progress: Callable[[str], None] | None = None, *, model: str | None = None
) -> RunningServer:
    """Make sure that the local server runs; blocks while the model loads, about a second.

    Args:
        toolkit: the toolkit whose home the server belongs to.
        progress: called with a message about what is going on.
        model: the model file's name; None takes what runs, else the built-in one.

    Raises:
        LocalModelError: it cannot be started here, or runs another model.
    """
    server: LocalServer = toolkit.local
    return server.start(model, idle_timeout_s=IDLE_TIMEOUT_S, progress=progress)


def is_resting(toolkit: Toolkit, provider: str) -> bool:
    """Whether a provider is the built-in server while it is not needed: that is not an outage."""
    return provider == LOCAL and toolkit.local.status() is None


async def prepare_local(toolkit: Toolkit, model: str) -> None:
    """Before a call: start the local server if `model` is `local/...`, without holding up the loop.

    Raises:
        ModelNotFound: the model file does not exist; llama.cpp itself answers for any name.
        LocalModelError: it cannot be started here, or runs another model.
    """
    provider, _, model_id = model.partition("/")
    if provider != LOCAL or not model_id:
        return
    running = toolkit.local.status()
    if running is None or running.model != model_id:
        _require_known(toolkit, model_id)
    if running is None or running.model != model_id:
        await asyncio.to_thread(ensure_local, toolkit, model=model_id)


def _require_known(toolkit: Toolkit, model_id: str) -> None:
    known = [file.name for file in toolkit.local.models()]
    if model_id not in known:
        raise ModelNotFound(
            f"local model {model_id!r} not found; available: {', '.join(known) or 'none'}",
            provider=LOCAL,
            model=f"{LOCAL}/{model_id}",
            hint=f"Put a GGUF file into {toolkit.settings.models_path}.",
        )
