"""Every error of the toolkit, as a tree. Codes are stable.

ToolkitError
├── CallError                        one call to a provider failed
│   ├── KeyRequired                  API_KEY_REQUIRED
│   ├── AuthenticationFailed         AUTHENTICATION_FAILED
│   ├── PermissionDenied             PERMISSION_DENIED
│   ├── ModelNotFound                MODEL_NOT_FOUND
│   ├── InvalidRequest               CLIENT_ERROR
│   │   └── ContextWindowExceeded    CONTEXT_WINDOW_EXCEEDED
│   ├── ContentFiltered              CONTENT_FILTERED
│   ├── RateLimited                  RATE_LIMIT_EXCEEDED
│   ├── QuotaExceeded                QUOTA_EXCEEDED
│   ├── ServerError                  SERVER_ERROR
│   ├── RequestTimeout               TIMEOUT
│   ├── ConnectionFailed             REQUEST_FAILED
│   ├── StreamInterrupted            STREAM_ERROR
│   ├── MalformedResponse            PARSE_ERROR
│   ├── RetriesExhausted             MAX_RETRIES_EXCEEDED
│   ├── NoProviderAvailable          NO_PROVIDER
│   └── BudgetExceeded               BUDGET_EXCEEDED
├── CatalogSyncFailed                FETCH_MODELS_FAILED
├── ProviderError
│   ├── ProviderExists               PROVIDER_EXISTS
│   ├── ProviderNotFound             PROVIDER_NOT_FOUND
│   └── InvalidProvider              PROVIDER_INVALID
├── KeyStoreError                    KEY_STORE_FAILED
├── StoreError                       STORE_FAILED
│   ├── StoreLocked                  STORE_LOCKED
│   ├── StoreCorrupt                 STORE_CORRUPT
│   └── StoreTooNew                  STORE_TOO_NEW
├── CassetteError
│   ├── CassetteMissing              CASSETTE_MISSING
│   └── CassetteStale                CASSETTE_STALE
├── Forbidden                        TOKEN_FORBIDDEN
│   └── ScopeMissing                 SCOPE_REQUIRED
├── ClientGone                       CLIENT_GONE
├── AppFailed                        APP_FAILED
├── LocalModelError                  LOCAL_MODEL_FAILED
├── FileLocked                       FILE_LOCKED
├── FileUnsafe                       FILE_UNSAFE
└── InvalidInput                     INVALID_INPUT

The bases have codes too, for errors that are not of a subclass: CALL_FAILED,
PROVIDER_ERROR, CASSETTE_ERROR, TOOLKIT_ERROR. The attributes of a class say who is to blame and
whether a retry or another provider can help; `calls/` decides by these alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Final, Literal

from toolkit.display import ErrorView
from toolkit.records import Blame, Call

Retry = Literal["no", "once", "yes"]

# What a default hint leaves out of a command where no provider is known.
_PROVIDER_ARGUMENT: Final = re.compile(r"( --[a-z]+)? \{provider\}")


class ToolkitError(ErrorView, Exception):
    """The base of every expected error.

    Attributes:
        code: stable, upper-case name of the error, one per class.
        message: what happened, without any secret.
        provider: name of the provider, where one is involved.
        model: `provider/model_id`, where one is involved.
        status: HTTP status of the response, or None where there was none.
        retry_after: seconds until another attempt makes sense, or None.
        request_id: id of the failed request.
        blame: whose fault it is; only `provider` and `network` count against health.
        hint: what the user can do.
        cause: finer name of the cause (`dns`, `tls`, `not_api`, ...), or None.
        provider_message: the provider's own message, redacted, or None.
    """

    code: ClassVar[str] = "TOOLKIT_ERROR"
    default_blame: ClassVar[Blame] = "local"
    default_hint: ClassVar[str] = ""

    def __init__(  # noqa: PLR0913 - all by keyword
        self,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        blame: Blame | None = None,
        hint: str | None = None,
        cause: str | None = None,
        provider_message: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.model = model
        self.status = status
        self.retry_after = retry_after
        self.request_id = request_id
        self.blame: Blame = blame or self.default_blame
        self._hint = hint
        self.cause = cause
        self.provider_message = provider_message

    @property
    def hint(self) -> str:
        """What the user can do, with the shell's commands; the default one names the provider."""
        if self._hint is not None:
            return self._hint
        if self.provider:
            return self.default_hint.replace("{provider}", self.provider)
        return _PROVIDER_ARGUMENT.sub("", self.default_hint)

    @hint.setter
    def hint(self, text: str) -> None:
        self._hint = text

    def __str__(self) -> str:
        where = f" [{self.model or self.provider}]" if self.model or self.provider else ""
        message = self.message if self.message.endswith((".", "!", "?")) else f"{self.message}."
        return f"{self.code}{where}: {message} {self.hint}".rstrip()

    def as_dict(self) -> dict[str, object]:
        """The error as plain JSON-ready values, for `--json`, the HTTP API and rows."""
        return {
            "code": self.code,
            "message": self.message,
            "provider": self.provider,
            "model": self.model,
            "status": self.status,
            "retry_after": self.retry_after,
            "request_id": self.request_id,
            "blame": self.blame,
            "hint": self.hint,
            "cause": self.cause,
            "provider_message": self.provider_message,
        }


class CallError(ToolkitError):
    """One call to a provider failed.

    Class attributes say what policy may do: `retry` (again at the same provider),
    `failover` (the next provider of the chain may be tried).

    Attributes:
        attempts: every attempt of the request so far, first to last (set by policy).
        partial_text: the text that had arrived when a stream broke.
    """

    code: ClassVar[str] = "CALL_FAILED"
    retry: ClassVar[Retry] = "no"
    failover: ClassVar[bool] = False

    attempts: Sequence[Call] = ()
    partial_text: str = ""


class KeyRequired(CallError):
    """No key was found where the provider needs one."""

    code: ClassVar[str] = "API_KEY_REQUIRED"
    failover: ClassVar[bool] = True
    default_blame: ClassVar[Blame] = "client"
    default_hint: ClassVar[str] = "Set a key for this provider, or use its environment variable."


class AuthenticationFailed(CallError):
    """The provider rejected the key (401, or another status with such a message)."""

    code: ClassVar[str] = "AUTHENTICATION_FAILED"
    failover: ClassVar[bool] = True
    default_blame: ClassVar[Blame] = "client"
    default_hint: ClassVar[str] = (
        "Check the key with `toolkit keys check {provider}`; it may be expired or mistyped."
    )


class PermissionDenied(CallError):
    """The key is valid but not allowed to do this (403: region, plan, no access to the model)."""

    code: ClassVar[str] = "PERMISSION_DENIED"
    failover: ClassVar[bool] = True
    default_blame: ClassVar[Blame] = "client"
    default_hint: ClassVar[str] = "The key works but has no right to this model, region or plan."


class ModelNotFound(CallError):
    """The provider does not serve the model."""

    code: ClassVar[str] = "MODEL_NOT_FOUND"
    failover: ClassVar[bool] = True
    default_blame: ClassVar[Blame] = "client"
    default_hint: ClassVar[str] = (
        "See what the provider serves with `toolkit models list --provider {provider}`."
    )


class InvalidRequest(CallError):
    """The provider rejected the request (any other 4xx)."""

    code: ClassVar[str] = "CLIENT_ERROR"
    default_blame: ClassVar[Blame] = "client"


class ContextWindowExceeded(InvalidRequest):
    """The input is longer than the model's context window."""

    code: ClassVar[str] = "CONTEXT_WINDOW_EXCEEDED"
    default_hint: ClassVar[str] = "Shorten the input or use a model with a larger context window."


class ContentFiltered(CallError):
    """A safety system blocked the request or the answer."""

    code: ClassVar[str] = "CONTENT_FILTERED"
    default_blame: ClassVar[Blame] = "policy"


class RateLimited(CallError):
    """Too many requests (429), or the client-side rate limit would have waited too long."""

    code: ClassVar[str] = "RATE_LIMIT_EXCEEDED"
    retry: ClassVar[Retry] = "yes"
    failover: ClassVar[bool] = True
    default_blame: ClassVar[Blame] = "policy"
    default_hint: ClassVar[str] = "Wait and try again, or lower `rpm`/`tpm` of the provider."


class QuotaExceeded(CallError):
    """No credit or plan quota is left."""

    code: ClassVar[str] = "QUOTA_EXCEEDED"
    failover: ClassVar[bool] = True
    default_blame: ClassVar[Blame] = "policy"
    default_hint: ClassVar[str] = "Add credit or raise the plan's limit at the provider."


class ServerError(CallError):
    """The provider failed (5xx, 529 overloaded, an error in the middle of an answer)."""

    code: ClassVar[str] = "SERVER_ERROR"
    retry: ClassVar[Retry] = "yes"
    failover: ClassVar[bool] = True
    default_blame: ClassVar[Blame] = "provider"


class RequestTimeout(CallError):
    """A deadline passed: connect, first token, between chunks, or in total."""

    code: ClassVar[str] = "TIMEOUT"
    retry: ClassVar[Retry] = "once"
    failover: ClassVar[bool] = True
    default_blame: ClassVar[Blame] = "provider"


class ConnectionFailed(CallError):
    """No usable connection: DNS, refused, TLS, reset, or a redirect (never followed)."""

    code: ClassVar[str] = "REQUEST_FAILED"
    retry: ClassVar[Retry] = "yes"
    failover: ClassVar[bool] = True
    default_blame: ClassVar[Blame] = "network"
    default_hint: ClassVar[str] = "Check the base URL, and that the server is running."


class StreamInterrupted(CallError):
    """The stream broke or ended early; `partial_text` holds what had arrived."""

    code: ClassVar[str] = "STREAM_ERROR"
    retry: ClassVar[Retry] = "yes"
    default_blame: ClassVar[Blame] = "provider"


class MalformedResponse(CallError):
    """The response is not an answer of this API: not JSON, HTML, no choices, broken, too large."""

    code: ClassVar[str] = "PARSE_ERROR"
    retry: ClassVar[Retry] = "once"
    failover: ClassVar[bool] = True
    default_blame: ClassVar[Blame] = "provider"


class RetriesExhausted(CallError):
    """Every allowed attempt failed; `last_error` is the last error, `attempts` are all rows."""

    code: ClassVar[str] = "MAX_RETRIES_EXCEEDED"
    default_blame: ClassVar[Blame] = "provider"
    last_error: CallError | None = None


class NoProviderAvailable(CallError):
    """The whole failover chain failed or is cooling down."""

    code: ClassVar[str] = "NO_PROVIDER"
    default_blame: ClassVar[Blame] = "provider"
    last_error: CallError | None = None


class BudgetExceeded(CallError):
    """A budget that the user set has too little left for the request, or for the rest of it.

    Attributes:
        cap: key of the budget (`day`, `provider:openai`, `token:alice`, ...).
        cap_usd: the budget, USD.
        spent_usd: what was spent of it.
        reserved_usd: the most that requests in progress may still cost.
        needed_usd: the most that this request may cost, as far as prices are known.
        unpriced: what the request may use and has no known price; such a request is refused
            whatever is left (`price` means the whole model).
        free_at: when the budget resets, UTC; None: it does not.
    """

    code: ClassVar[str] = "BUDGET_EXCEEDED"
    default_blame: ClassVar[Blame] = "policy"
    cap: str = ""
    cap_usd: Decimal = Decimal(0)
    spent_usd: Decimal = Decimal(0)
    reserved_usd: Decimal = Decimal(0)
    needed_usd: Decimal = Decimal(0)
    unpriced: tuple[str, ...] = ()
    free_at: datetime | None = None

    @property
    def waits_for_others(self) -> bool:
        """Whether the request would fit once the requests in progress are over and free."""
        if self.unpriced:
            return False
        return self.reserved_usd > 0 and self.spent_usd + self.needed_usd <= self.cap_usd

    def as_dict(self) -> dict[str, object]:
        """The failure as plain JSON-ready values, with the budget's own figures."""
        return {
            **super().as_dict(),
            "cap": self.cap,
            "cap_usd": f"{self.cap_usd:f}",
            "spent_usd": f"{self.spent_usd:f}",
            "reserved_usd": f"{self.reserved_usd:f}",
            "needed_usd": f"{self.needed_usd:f}",
            "unpriced": list(self.unpriced),
            "free_at": self.free_at.isoformat() if self.free_at else None,
        }


class CatalogSyncFailed(ToolkitError):
    """A provider's model listing could not be read; its known models stay as they were."""

    code: ClassVar[str] = "FETCH_MODELS_FAILED"
    default_blame: ClassVar[Blame] = "provider"


class ProviderError(ToolkitError):
    """A change of the provider registry was rejected."""

    code: ClassVar[str] = "PROVIDER_ERROR"
    default_blame: ClassVar[Blame] = "client"


class ProviderExists(ProviderError):
    """A provider with this name already exists."""

    code: ClassVar[str] = "PROVIDER_EXISTS"


class ProviderNotFound(ProviderError):
    """There is no provider with this name."""

    code: ClassVar[str] = "PROVIDER_NOT_FOUND"
    default_hint: ClassVar[str] = "List them with `toolkit providers list`."


class InvalidProvider(ProviderError):
    """A provider's name, address, headers or limits are not valid."""

    code: ClassVar[str] = "PROVIDER_INVALID"


class KeyStoreError(ToolkitError):
    """A key could not be read from or written to its store (keyring or vault)."""

    code: ClassVar[str] = "KEY_STORE_FAILED"


class StoreError(ToolkitError):
    """A store operation failed."""

    code: ClassVar[str] = "STORE_FAILED"


class StoreLocked(StoreError):
    """Another process holds the store; the message names it."""

    code: ClassVar[str] = "STORE_LOCKED"


class StoreCorrupt(StoreError):
    """The store's file is damaged."""

    code: ClassVar[str] = "STORE_CORRUPT"


class StoreTooNew(StoreError):
    """The store was written by a newer version of the toolkit and is left untouched."""

    code: ClassVar[str] = "STORE_TOO_NEW"


class CassetteError(ToolkitError):
    """A cassette cannot be used."""

    code: ClassVar[str] = "CASSETTE_ERROR"
    default_blame: ClassVar[Blame] = "client"


class CassetteMissing(CassetteError):
    """Replay has no such cassette, or the cassette has no such request."""

    code: ClassVar[str] = "CASSETTE_MISSING"


class CassetteStale(CassetteError):
    """The cassette is incomplete, empty or was edited, so that it cannot be trusted."""

    code: ClassVar[str] = "CASSETTE_STALE"


class Forbidden(ToolkitError):
    """A bearer token of the gateway is valid but not allowed to do this."""

    code: ClassVar[str] = "TOKEN_FORBIDDEN"
    default_blame: ClassVar[Blame] = "client"


class ScopeMissing(Forbidden):
    """A bearer token lacks the scope that the route needs."""

    code: ClassVar[str] = "SCOPE_REQUIRED"


class ClientGone(ToolkitError):
    """A client of the gateway closed its connection before the answer was ready."""

    code: ClassVar[str] = "CLIENT_GONE"
    default_blame: ClassVar[Blame] = "client"


class AppFailed(ToolkitError):
    """The app could not be served."""

    code: ClassVar[str] = "APP_FAILED"


class LocalModelError(ToolkitError):
    """The built-in local model could not be started or stopped."""

    code: ClassVar[str] = "LOCAL_MODEL_FAILED"


class FileLocked(ToolkitError):
    """Another process keeps a file of the home folder locked; the message names it."""

    code: ClassVar[str] = "FILE_LOCKED"


class FileUnsafe(ToolkitError):
    """A file that holds secrets is a link, is readable by others, or is too large."""

    code: ClassVar[str] = "FILE_UNSAFE"


class InvalidInput(ToolkitError):
    """An argument, option or file is not valid; the message says which and why."""

    code: ClassVar[str] = "INVALID_INPUT"
    default_blame: ClassVar[Blame] = "client"
