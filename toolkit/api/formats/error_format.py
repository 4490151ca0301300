"""Errors of the HTTP API, in the form that the client of each endpoint knows.

OpenAI's on the gateway, with OpenAI's `type` and `code` where it has them and this toolkit's
code beside; Anthropic's on `/v1/messages`; Ollama's on its endpoints; and this toolkit's own
codes on the provider API.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from starlette.responses import JSONResponse

from toolkit import errors
from toolkit.api.management.hints import http_hint

ErrorFormat = Literal["toolkit", "openai", "anthropic", "ollama"]


class FieldRefused(errors.InvalidInput):
    """A field of a request is not the client's to set.

    Attributes:
        param: its name.
    """

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


class NotFound(errors.InvalidInput):
    """Something that a path names does not exist, or is not the caller's."""

    code: ClassVar[str] = "NOT_FOUND"


# Most specific first: the first class that matches gives the HTTP status. A key that a provider
# refuses is not the caller's 401, and 424 is not retried by clients as a 5xx would be.
_STATUS: Final[tuple[tuple[type[errors.ToolkitError], int], ...]] = (
    (errors.Forbidden, 403),
    (errors.ClientGone, 499),
    (errors.KeyRequired, 424),
    (errors.AuthenticationFailed, 424),
    (errors.PermissionDenied, 424),
    (errors.ModelNotFound, 404),
    (errors.InvalidRequest, 400),
    (errors.ContentFiltered, 400),
    (errors.RateLimited, 429),
    (errors.QuotaExceeded, 402),
    (errors.BudgetExceeded, 402),
    (errors.RequestTimeout, 504),
    (errors.NoProviderAvailable, 503),
    (errors.CallError, 502),
    (errors.CatalogSyncFailed, 502),
    (errors.ProviderExists, 409),
    (errors.ProviderNotFound, 404),
    (errors.InvalidProvider, 422),
    (FieldRefused, 422),
    (NotFound, 404),
    (errors.StoreLocked, 503),
    (errors.KeyStoreError, 503),
    (errors.InvalidInput, 400),
    (errors.ToolkitError, 500),
)

OPENAI_TYPES: Final[dict[int, str]] = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "server_error",
    503: "server_error",
    504: "server_error",
}
# Clients look for these: they shorten a prompt, wait, or choose another model by them.
_OPENAI_CODES: Final = {
    "TOKEN_REQUIRED": "invalid_api_key",
    "RATE_LIMIT_EXCEEDED": "rate_limit_exceeded",
    "MODEL_NOT_FOUND": "model_not_found",
    "CONTEXT_WINDOW_EXCEEDED": "context_length_exceeded",
    "CONTENT_FILTERED": "content_filter",
    "QUOTA_EXCEEDED": "insufficient_quota",
}
ANTHROPIC_TYPES: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_OLLAMA_PATHS: Final = frozenset(
    f"/api/{name}" for name in ("chat", "generate", "tags", "show", "version", "ps", "embed")
)


def error_format(path: str) -> ErrorFormat:
    """The form of errors at a path."""
    if path.startswith(("/v1/messages", "/messages")):
        return "anthropic"
    if path in _OLLAMA_PATHS:
        return "ollama"
    return "toolkit" if path.startswith("/api/") else "openai"


def status_of(error: errors.ToolkitError) -> int:
    """The HTTP status that describes the failure best."""
    last = getattr(error, "last_error", None)
    if isinstance(error, errors.RetriesExhausted) and isinstance(last, errors.ToolkitError):
        return status_of(last)
    is_own = isinstance(error, errors.BudgetExceeded) and error.cap.startswith("token:")
    if is_own and error.retry_after is not None:
        return 429  # the caller's own budget: it may call again when that resets
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def error_body(
    message: str,
    code: str,
    status: int = 400,
    *,
    form: ErrorFormat = "toolkit",
    param: str | None = None,
    **details: Any,
) -> dict[str, Any]:
    """An error's body in one of the forms; `details` are members beside the standard ones."""
    if form == "ollama":
        return {"error": message, "code": code, **_given(details)}
    if form == "anthropic":
        kind = ANTHROPIC_TYPES.get(status, _by_class(status, "api_error"))
        inner = {"type": kind, "message": message, "code": code, **_given(details)}
        return {"type": "error", "error": inner, "request_id": details.get("request_id")}
    if form == "openai":
        kind = OPENAI_TYPES.get(status, _by_class(status, "server_error"))
        details = {"toolkit_code": code, **details}
        code = _OPENAI_CODES.get(code, code)
    else:
        kind = _by_class(status, "api_error")
    return {"error": {"message": message, "type": kind, "code": code, "param": param, **details}}


def _by_class(status: int, of_servers: str) -> str:
    return "invalid_request_error" if status < 500 else of_servers


def _given(details: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in details.items() if value is not None}


def body_of(error: errors.ToolkitError, form: ErrorFormat = "toolkit") -> dict[str, Any]:
    """The error's body; it holds no secret because no error does."""
    code = error.code
    last = getattr(error, "last_error", None)
    if form != "toolkit" and isinstance(last, errors.ToolkitError):
        code = last.code  # a client acts on what happened, not on how often it was tried
    message = error.message
    if form in ("anthropic", "ollama") and error.hint:  # their clients show nothing else
        message = f"{message.rstrip('.')}. {http_hint(error.hint)}"
    return error_body(
        message,
        code,
        status_of(error),
        form=form,
        param=getattr(error, "param", None),
        provider=error.provider,
        hint=http_hint(error.hint),
        request_id=error.request_id,
        provider_message=error.provider_message,
        **_budget_of(error),
    )


def _budget_of(error: errors.ToolkitError) -> dict[str, Any]:
    """The figures of the budget that refused a request."""
    if not isinstance(error, errors.BudgetExceeded):
        return {}
    figures = error.as_dict()
    names = ("cap", "cap_usd", "spent_usd", "reserved_usd", "needed_usd", "unpriced", "free_at")
    return {"budget": {name: figures[name] for name in names}}


def respond(error: errors.ToolkitError, form: ErrorFormat = "toolkit") -> JSONResponse:
    """The response to a request that failed with one of our errors."""
    headers = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    return JSONResponse(body_of(error, form), status_of(error), headers)


def refuse(
    status: int, code: str, message: str, form: ErrorFormat = "toolkit", **headers: str
) -> JSONResponse:
    """The response to a request that did not get as far as a route."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse(error_body(message, code, status, form=form), status, named)
