"""What the app does besides drawing pages: warm up, tend the home, serve the API, close up."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from toolkit.background import start_background_tasks
from toolkit.secret import redact
from toolkit.toolkit import current

_log = logging.getLogger(__name__)


def find_routes() -> list[Any]:
    """The API's routes, or none where the API room is not there."""
    if importlib.util.find_spec("toolkit.api.http_app") is None:
        return []
    build = getattr(importlib.import_module("toolkit.api.http_app"), "build_routes", None)
    return list(build(current())) if build is not None else []


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
    """Load the call path in the background; watch over health and listings while the app runs."""
    toolkit = current()
    toolkit.portal.start(_warm_up())
    start_background_tasks(toolkit, "app")
    try:
        yield {}
    finally:
        await asyncio.to_thread(toolkit.close)


def on_script_error(error: Exception) -> bool | None:
    """Keep what a page's failure says free of keys: the page shows none of it, the log a part."""
    _log.error("a page failed: %s: %s", type(error).__name__, redact(str(error)))
    return None


async def _warm_up() -> None:
    from toolkit.calls.adapters import warm

    await warm("openai-compatible")
