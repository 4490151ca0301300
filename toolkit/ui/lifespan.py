"""What the app does besides drawing pages: warm up, work in the background, serve the API."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from toolkit.api.lazy_routes import build_lazy_routes
from toolkit.background import start_background_tasks
from toolkit.secret import redact
from toolkit.toolkit import current

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

_log = logging.getLogger(__name__)


def find_routes() -> list[BaseRoute]:
    """The routes of the provider API and the gateway, over the present home."""
    return build_lazy_routes(current)


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
    """Keep a page's failure free of keys: the page shows none of it, the log a part."""
    _log.error("a page failed: %s: %s", type(error).__name__, redact(str(error)))
    return None


async def _warm_up() -> None:
    """Load what the first call needs, after the first page and not before it."""
    from toolkit.calls.adapters import warm

    await warm("openai-compatible")
