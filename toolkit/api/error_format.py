"""The one shape of every error that the HTTP API answers, OpenAI's, with our codes in it."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from starlette.responses import JSONResponse

from toolkit import errors
from toolkit.api.access import Forbidden
from toolkit.api.token_spend import TokenSpent
from toolkit.records import Blame


class ClientGone(errors.ToolkitError):
    """Whoever asked does not wait any more; the answer reaches nobody."""

    code = "CLIENT_GONE"
    default_blame: ClassVar[Blame] = "client"


# Most specific first: the first class that matches gives the HTTP status. A key that a provider
# refuses is not the caller's 401, and 424 is not retried by clients as a 5xx would be.
_STATUS: Final[tuple[tuple[type[errors.ToolkitError], int], ...]] = (
    (Forbidden, 403),
    (ClientGone, 499),
    (TokenSpent, 429),
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
    (errors.StoreLocked, 503),
    (errors.KeyStoreError, 503),
    (errors.InvalidInput, 400),
    (errors.ToolkitError, 500),
)


def status_of(error: errors.ToolkitError) -> int:
    """The HTTP status that tells a client best what happened."""
    last = getattr(error, "last_error", None)
    if isinstance(error, errors.RetriesExhausted) and isinstance(last, errors.ToolkitError):
        return status_of(last)
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def error_body(
    message: str,
    code: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    **details: Any,
) -> dict[str, Any]:
    """`{"error": {"message", "type", "code", "param", ...}}`."""
    return {"error": {"message": message, "type": kind, "code": code, "param": param, **details}}


def body_of(error: errors.ToolkitError) -> dict[str, Any]:
    """The error as the API tells it; it holds no secret because no error does."""
    kind = "invalid_request_error" if status_of(error) < 500 else "api_error"
    details = {
        "provider": error.provider,
        "hint": error.hint or None,
        "request_id": error.request_id,
        "provider_message": error.provider_message,
    }
    return error_body(error.message, error.code, kind=kind, **details)


def respond(error: errors.ToolkitError) -> JSONResponse:
    """The answer to a request that failed with one of our errors."""
    headers = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    return JSONResponse(body_of(error), status_of(error), headers)


def refuse(status: int, code: str, message: str, **headers: str) -> JSONResponse:
    """The answer to a request that did not get as far as a route."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse(error_body(message, code), status, named)
