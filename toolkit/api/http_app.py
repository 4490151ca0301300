"""The HTTP API put together: routes behind the guard, for the app and for `toolkit serve`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount, compile_path

from toolkit import __version__
from toolkit.api import APP_PREFIXES
from toolkit.api.bearer_tokens import BearerTokens
from toolkit.api.formats.error_format import error_body, error_format, respond
from toolkit.api.formats.model_request import UnsupportedPolicy
from toolkit.api.gateway import build_gateway
from toolkit.api.guard import OPEN_PATHS, Guard
from toolkit.api.management.provider_routes import build_management
from toolkit.api.metrics import Metrics, build_metrics
from toolkit.api.model_calls import ModelCalls
from toolkit.api.openapi import add_reference
from toolkit.api.request_parsers import build_parsers
from toolkit.api.token_limits import Limits
from toolkit.errors import ToolkitError

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit

_DESCRIPTION = """\
Provider management and an OpenAI-compatible gateway. Every request needs a bearer token of this
server (`toolkit serve token create NAME`). Keys can be written and are never returned. Errors have
OpenAI's shape, `{"error": {"message", "type", "code", "param"}}`, with this toolkit's codes."""


def build_api(
    toolkit: Toolkit,
    metrics: Metrics,
    lifespan: Any = None,
    *,
    on_unsupported: UnsupportedPolicy = "neutral",
) -> FastAPI:
    """All routes as one FastAPI application, without the guard; `metrics` counts its calls."""
    toolkit.on_record.append(metrics.observe_call)
    calls = ModelCalls(toolkit, on_unsupported=on_unsupported)
    api = FastAPI(
        lifespan=lifespan,
        title="LLM Provider Toolkit",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    api.include_router(build_management(toolkit), prefix="/api")
    api.include_router(build_parsers(calls))  # first: one may replace an endpoint of ours
    api.include_router(build_gateway(calls))
    api.include_router(
        build_metrics(
            metrics,
            lambda: toolkit.client.breaker_states(),
            lambda: toolkit.client.ledger.lost,
            is_open=toolkit.settings.metrics_open,
        )
    )
    add_reference(api)
    api.add_exception_handler(ToolkitError, _answer_toolkit_error)
    api.add_exception_handler(RequestValidationError, _answer_invalid)
    api.add_exception_handler(HTTPException, _answer_http_error)
    return api


def build_routes(
    toolkit: Toolkit, *, hosts: Collection[str] = (), origins: Collection[str] = ()
) -> list[BaseRoute]:
    """The routes that the app mounts beside its pages, guarded."""
    metrics = Metrics()
    guarded = _guarded(build_api(toolkit, metrics), toolkit, metrics, hosts, origins)
    return [Mount(prefix, _WholePath(guarded)) for prefix in APP_PREFIXES]


def build_app(
    toolkit: Toolkit,
    *,
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
    on_unsupported: UnsupportedPolicy = "neutral",
) -> Guard:
    """The API alone, as `toolkit serve` runs it.

    The guard is outermost: what it refuses costs no more than the refusal.

    Args:
        toolkit: the toolkit that is served.
        hosts: Host names that are answered beside this machine's.
        origins: origins of web pages and desktop clients that may send requests.
        on_unsupported: policy for parameters that a provider does not take.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await toolkit.client.aclose()

    metrics = Metrics()
    api = build_api(toolkit, metrics, lifespan, on_unsupported=on_unsupported)
    return _guarded(api, toolkit, metrics, hosts, origins)


def _guarded(
    api: FastAPI,
    toolkit: Toolkit,
    metrics: Metrics,
    hosts: Collection[str],
    origins: Collection[str],
) -> Guard:
    without_token = {"/metrics"} if toolkit.settings.metrics_open else set()
    return Guard(
        api,
        tokens=BearerTokens(toolkit.settings.token_path),
        limits=Limits(),
        hosts={"localhost", "127.0.0.1", "::1", *hosts},
        origins=origins,
        open_paths=OPEN_PATHS | without_token,
        count=metrics.count_response,
    )


class _WholePath:
    """Hands a mounted application the whole path again, so that one application serves both."""

    def __init__(self, app: Guard) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app({**scope, "root_path": ""}, receive, send)


async def _answer_toolkit_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ToolkitError)
    return respond(error, error_format(request.scope["path"]))


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    message = f"{where or 'body'}: {first['msg']}"
    form = error_format(request.scope["path"])
    return JSONResponse(
        error_body(message, "CLIENT_ERROR", 422, form=form, param=where or None), 422
    )


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405 and (methods := _methods_at(request)):
        headers["Allow"] = ", ".join(methods)  # the router names those of one route only
    status, path = error.status_code, request.scope["path"]
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(status, "CLIENT_ERROR")
    message = str(error.detail)
    if status == 404:
        message = f"{request.method} {path} does not exist here. {_what_exists(request)}"
    body = error_body(message, code, status, form=error_format(path))
    return JSONResponse(body, status, headers)


def _what_exists(request: Request) -> str:
    """The routes of the same kind as a path that does not exist."""
    paths: dict[str, Any] = request.app.openapi()["paths"]
    is_gateway = not request.scope["path"].startswith("/api/")
    known = [path for path in paths if path.startswith("/v1/") == is_gateway]
    more = "/api/openapi.json describes all" if is_gateway else "/api/openapi.json has the details"
    return f"There is {', '.join(sorted(known))}; {more}."


def _methods_at(request: Request) -> list[str]:
    """Every method that is documented for the request's path."""
    path: str = request.scope["path"]
    paths: dict[str, Any] = request.app.openapi()["paths"]
    fitting = (
        [paths[path]]
        if path in paths
        else [at for template, at in paths.items() if compile_path(template)[0].match(path)]
    )
    return sorted({method.upper() for operations in fitting for method in operations})
