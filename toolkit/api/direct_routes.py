"""Model calls without the web framework's routing and dependencies.

FastAPI took half of the time of a model call through the gateway: it tries one pattern after the
other, solves dependencies and opens exit stacks. Endpoints that read their own body
(`gateway.read_body`) need none of it. They remain routes of FastAPI, for the API's description and
for every other method; a POST to exactly their path goes straight to the endpoint, and its errors
to the same handlers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from toolkit.api.access import require_scope
from toolkit.api.bearer_tokens import BearerToken

Endpoint = Callable[[Request, BearerToken], Awaitable[Any]]

_require_call: Final = require_scope("call")


def find_endpoints(router: APIRouter, first: APIRouter) -> dict[str, Endpoint]:
    """The endpoints of a router that read their own body, by path.

    Args:
        router: the gateway's routes.
        first: routes that precede them; what they replace is left out.
    """
    taken = {route.path for route in first.routes if isinstance(route, APIRoute)}
    return {
        route.path: route.endpoint
        for route in router.routes
        if isinstance(route, APIRoute)
        and "requestBody" in (route.openapi_extra or {})
        and route.path not in taken
    }


class DirectRoutes:
    """Answers a POST to one of the endpoints; hands every other request to FastAPI.

    Args:
        api: the whole application; its exception handlers write the errors.
        endpoints: by path, see `find_endpoints`.
    """

    def __init__(self, api: FastAPI, endpoints: dict[str, Endpoint]) -> None:
        self._api = api
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        endpoint = None
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = self._endpoints.get(scope["path"])
        if endpoint is None:
            await self._api(scope, receive, send)
            return
        scope["app"] = self._api
        request = Request(scope, receive, send)
        bug = None
        try:
            made = await endpoint(request, await _require_call(request))
            response = made if isinstance(made, Response) else JSONResponse(made)
        except Exception as error:  # noqa: BLE001 - every error has its handler
            handler = self._find_handler(error)
            response = await handler(request, error)
            bug = error if handler is self._api.exception_handlers[Exception] else None
        await response(scope, receive, send)
        if bug is not None:
            raise bug  # the server logs it

    def _find_handler(self, error: Exception) -> Callable[[Request, Exception], Any]:
        handlers = self._api.exception_handlers
        kind = next(kind for kind in type(error).__mro__ if kind in handlers)
        found: Callable[[Request, Exception], Any] = handlers[kind]
        return found
