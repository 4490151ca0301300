"""The HTTP API put together: routes behind the guard, for the app and for `toolkit serve`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from toolkit import __version__
from toolkit.api import APP_PREFIXES
from toolkit.api.access import require_scope
from toolkit.api.bearer_tokens import BearerToken, BearerTokens
from toolkit.api.formats.chat_format import ChatBody, ChatFormat
from toolkit.api.formats.error_format import error_body, error_format, respond
from toolkit.api.formats.model_request import ModelRequest
from toolkit.api.formats.unsupported_parameters import UnsupportedPolicy
from toolkit.api.gateway import build_gateway, check_body
from toolkit.api.guard import OPEN_PATHS, Guard
from toolkit.api.management.provider_routes import build_management
from toolkit.api.metrics import Metrics, build_metrics
from toolkit.api.model_calls import ModelCalls
from toolkit.api.openapi import add_reference
from toolkit.api.token_limits import Limits
from toolkit.calls.otel.tracing import Tracing
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.extensions import load_extensions
from toolkit.records import Reply

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit


# Request parsers: routes of the gateway that take bodies of another form than OpenAI's.
#
# A parser turns a foreign body into OpenAI's chat form and nothing more. From there the request
# goes the way of every other: the same allow list, the same token, budget, failover and ledger, so
# that a parser cannot open what the gateway keeps shut.


_PATH: Final = re.compile(r"/v1/[a-z0-9][a-z0-9_-]{0,62}(?:/[a-z0-9][a-z0-9_-]{0,62}){0,3}")
_OWN: Final = frozenset({"/v1/models", "/v1/chat/completions", "/v1/embeddings"})


class RequestParser(Protocol):
    """What a package announces in the entry point group `toolkit.request_parsers`.

    Attributes:
        path: where it listens, below `/v1/`.
    """

    path: str

    def parse(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body in the form of `POST /v1/chat/completions`; raise ValueError to refuse it."""

    def answer(self, reply: Reply) -> Mapping[str, Any]:
        """The reply in the parser's own form. A parser may go without it: then it is OpenAI's."""


def build_parsers(calls: ModelCalls) -> APIRouter:
    """A route for each request parser that the settings name.

    Raises:
        InvalidInput: one of them does not load, or its path is not its own.
    """
    router = APIRouter(tags=["gateway"])
    used = set(_OWN)
    names = calls.toolkit.settings.request_parsers
    for name, parser in load_extensions("request_parsers", names).items():
        path = str(getattr(parser, "path", ""))
        if not _PATH.fullmatch(path) or path in used:
            raise InvalidInput(
                f"the request parser {name!a} has no path of its own below /v1/",
                hint="Its `path` must be like `/v1/some-name`, and no other route may have it.",
            )
        used.add(path)
        _add_route(router, calls, name, parser)
    return router


def _add_route(router: APIRouter, calls: ModelCalls, name: str, parser: RequestParser) -> None:
    may_call = Depends(require_scope("call"))

    @router.post(parser.path, summary=f"Chat in the form of {name}", response_model=None)
    async def parsed(
        body: dict[str, Any], http: Request, token: BearerToken = may_call
    ) -> Response:
        chat = _run(name, "read the request", lambda: dict(parser.parse(body)))
        request = check_body(ChatBody, chat).to_request()
        return await calls.answer(request, http, token, _ParsedFormat(name, parser, request))


class _ParsedFormat(ChatFormat):
    """OpenAI's form, with whole answers in the parser's own where it has one."""

    def __init__(self, name: str, parser: RequestParser, request: ModelRequest) -> None:
        super().__init__(request)
        self._name, self._answer = name, getattr(parser, "answer", None)

    def whole(self, reply: Reply) -> dict[str, Any]:
        answer = self._answer
        if answer is None:
            return super().whole(reply)
        return _run(self._name, "write the answer", lambda: dict(answer(reply)))


def _run(name: str, doing: str, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Let the parser work; what it raises becomes an error of ours, without its inner message."""
    try:
        return act()
    except ToolkitError:
        raise
    except Exception as error:  # noqa: BLE001 - foreign code
        raise InvalidInput(
            f"the request parser {name!a} could not {doing} ({type(error).__name__})"
        ) from None


_DESCRIPTION = """\
Provider management and an OpenAI-compatible gateway. Every request needs a bearer token of this
server (`toolkit serve token create NAME`). Keys can be written and are never returned. Errors have
OpenAI's shape, `{"error": {"message", "type", "code", "param"}}`, with this toolkit's codes."""


def build_api(
    toolkit: Toolkit, calls: ModelCalls, metrics: Metrics, lifespan: Any = None
) -> FastAPI:
    """All routes as one FastAPI application, without the guard; `metrics` counts its calls."""
    toolkit.on_record.append(metrics.observe_call)
    api = FastAPI(
        lifespan=lifespan,
        title="LLM Provider Toolkit",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    parsers, gateway = build_parsers(calls), build_gateway(calls)
    api.include_router(build_management(toolkit), prefix="/api")
    api.include_router(parsers)  # first: one may replace an endpoint of ours
    api.include_router(gateway)
    api.state.endpoints = _find_endpoints(gateway, parsers)
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
    api.add_exception_handler(Exception, _answer_bug)
    return api


def build_routes(
    toolkit: Toolkit, *, hosts: Collection[str] = (), origins: Collection[str] = ()
) -> list[BaseRoute]:
    """The routes that the app mounts beside its pages, guarded."""
    metrics = Metrics()
    api = build_api(toolkit, ModelCalls(toolkit), metrics)
    guarded = _guarded(api, toolkit, metrics, hosts, origins)
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
    calls = ModelCalls(toolkit, on_unsupported=on_unsupported)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await calls.aclose()
        await toolkit.client.aclose()

    metrics = Metrics()
    api = build_api(toolkit, calls, metrics, lifespan)
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
        _ContinuedTrace(_DirectRoutes(api, api.state.endpoints), toolkit.tracing),
        tokens=BearerTokens(toolkit.settings.token_path),
        limits=Limits(),
        hosts={"localhost", "127.0.0.1", "::1", *hosts},
        origins=origins,
        open_paths=OPEN_PATHS | without_token,
        count=metrics.count_response,
    )


# Model calls without the web framework's routing and dependencies.
#
# FastAPI took half of the time of a model call through the gateway: it tries one pattern after the
# other, solves dependencies and opens exit stacks. Endpoints that read their own body
# (`gateway.read_body`) need none of it. They remain routes of FastAPI, for the API's description
# and for every other method; a POST to exactly their path goes straight to the endpoint, and its
# errors to the same handlers.

_Endpoint = Callable[[Request, BearerToken], Awaitable[Any]]
_require_call: Final = require_scope("call")


def _find_endpoints(router: APIRouter, first: APIRouter) -> dict[str, _Endpoint]:
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


class _DirectRoutes:
    """Answers a POST to one of the endpoints; hands every other request to FastAPI.

    Args:
        api: the whole application; its exception handlers write the errors.
        endpoints: by path, see `_find_endpoints`.
    """

    def __init__(self, api: FastAPI, endpoints: Mapping[str, _Endpoint]) -> None:
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


class _ContinuedTrace:
    """Makes a client's calls part of the trace that its request names (`traceparent`)."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._tracing.continued(Headers(scope=scope)):
            await self._app(scope, receive, send)


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
    parts = [part for part in first["loc"] if part not in ("body", "query", "path")]
    message = first["msg"]
    # What may be of several types has one error for each, with the type in its path.
    types = {e["loc"][:2] for e in error.errors() if e["loc"][:1] == first["loc"][:1]}
    if len(types) > 1 and all(len(path) > 1 and isinstance(path[1], str) for path in types):
        parts, message = parts[:1], "its type, length or range is not one that is accepted"
    elif first["type"] == "model_type" and not parts:
        message = "it must be a JSON object"
    where = ".".join(map(str, parts))
    message = f"{where or 'body'}: {message}"
    form = error_format(request.scope["path"])
    return JSONResponse(
        error_body(message, "CLIENT_ERROR", 422, form=form, param=where or None), 422
    )


async def _answer_bug(request: Request, error: Exception) -> JSONResponse:
    """An error that was not expected, in the client's format; the log has its traceback."""
    message = f"the server failed unexpectedly ({type(error).__name__}); its log says where"
    form = error_format(request.scope["path"])
    return JSONResponse(error_body(message, "TOOLKIT_ERROR", 500, form=form), 500)


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
