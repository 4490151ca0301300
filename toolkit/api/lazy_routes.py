"""The API's routes for the app, loaded by their first request.

Importing fastapi and the gateway was measured at 0.5 s of a core, two thirds of what the app
needs before its first page; most people who open the app never call its API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from starlette.routing import BaseRoute, Mount, Route

from toolkit.api import APP_PREFIXES
from toolkit.toolkit import Toolkit


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
