"""What the app does besides drawing pages: warm up, work in the background, serve the API.

The API is loaded by the first request for it. Importing fastapi and the gateway was measured at
0.5 s of a core, two thirds of what the app needs before its first page; most people who open the
app never call its API.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.routing import BaseRoute, Mount, Route

from toolkit.api import APP_PREFIXES
from toolkit.background import start_background_tasks
from toolkit.secret import redact
from toolkit.toolkit import Toolkit, current

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


def build_lazy_routes(find_toolkit: Callable[[], Toolkit]) -> list[BaseRoute]:
    """The same routes as `build_routes`, built when one of them is first requested."""

    @cache
    def build() -> Mapping[str, Any]:
        from toolkit.api.http_app import build_routes

        return {
            route.path: route.app
            for route in build_routes(find_toolkit())
            if isinstance(route, Mount)
        }

    routes: list[BaseRoute] = []
    for prefix in APP_PREFIXES:
        app = _Lazy(prefix, build)
        # A mount alone does not answer at the prefix itself, as `/completions` without `/v1`.
        routes += [Route(prefix, app), Mount(prefix, app)]
    return routes


class _Lazy:
    def __init__(self, prefix: str, build: Callable[[], Mapping[str, Any]]) -> None:
        self._prefix, self._build = prefix, build

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        apps = await asyncio.to_thread(self._build)
        await apps[self._prefix](scope, receive, send)
