"""Every failure the toolkit can have, drawn as a tree.

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
├── LocalModelError                  LOCAL_MODEL_FAILED
├── FileLocked                       FILE_LOCKED
├── FileUnsafe                       FILE_UNSAFE
└── InvalidInput                     INVALID_INPUT

Each class says by its attributes who is to blame and whether a retry or another provider
can help; `calls/` reads these and nothing else to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Literal

from toolkit.records import Blame, Call

Retry = Literal["no", "once", "yes"]


class ToolkitError(Exception):
    """The base of every expected failure.

    Attributes:
        code: stable, upper-case name of the failure, one per class.
        message: what happened, in words, without any secret.
        provider: name of the provider, where one is involved.
        model: `provider/model_id`, where one is involved.
        status: HTTP status of the answer, or None where none came.
        retry_after: seconds until another try makes sense, or None.
        request_id: our id of the request that failed.
        blame: whose fault it is; only `provider` and `network` count against health.
        hint: what the user can do.
        cause: finer name of the cause (`dns`, `tls`, `not_api`, ...), or None.
        provider_message: the provider's own words, redacted, or None.
    """

    code: ClassVar[str] = "TOOLKIT_ERROR"
    default_blame: ClassVar[Blame] = "local"
    default_hint: ClassVar[str] = ""

    def __init__(  # noqa: PLR0913 - keyword by keyword, each with a meaning of its own
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
        self.hint = self.default_hint if hint is None else hint
        self.cause = cause
        self.provider_message = provider_message

    def __str__(self) -> str:
        where = f" [{self.model or self.provider}]" if self.model or self.provider else ""
        told = self.message if self.message.endswith((".", "!", "?")) else f"{self.message}."
        return f"{self.code}{where}: {told} {self.hint}".rstrip()

    def as_dict(self) -> dict[str, object]:
        """The failure as plain JSON-ready values, for `--json`, the HTTP API and rows."""
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
    `failover` (the next provider of the chain may be asked).

    Attributes:
        attempts: every attempt of the request so far, first to last (set by policy).
        partial_text: what had already arrived when a stream broke.
    """

    code = "CALL_FAILED"
    retry: ClassVar[Retry] = "no"
    failover: ClassVar[bool] = False

    attempts: Sequence[Call] = ()
    partial_text: str = ""


class KeyRequired(CallError):
    """No key was found where the provider needs one."""

    code = "API_KEY_REQUIRED"
    failover = True
    default_blame: ClassVar[Blame] = "client"
    default_hint = "Set one with `toolkit keys set NAME` or the provider's environment variable."


class AuthenticationFailed(CallError):
    """The provider refused the key (401, or its own words for it)."""

    code = "AUTHENTICATION_FAILED"
    failover = True
    default_blame: ClassVar[Blame] = "client"
    default_hint = "Check the key with `toolkit keys check NAME`; it may be expired or mistyped."


class PermissionDenied(CallError):
    """The key is good but may not do this (403: region, plan, no access to the model)."""

    code = "PERMISSION_DENIED"
    failover = True
    default_blame: ClassVar[Blame] = "client"
    default_hint = "The key works but has no right to this model, region or plan."


class ModelNotFound(CallError):
    """The provider does not serve such a model."""

    code = "MODEL_NOT_FOUND"
    failover = True
    default_blame: ClassVar[Blame] = "client"
    default_hint = "See what the provider serves with `toolkit models list --provider NAME`."


class InvalidRequest(CallError):
    """The provider refused the request as it stands (other 4xx)."""

    code = "CLIENT_ERROR"
    default_blame: ClassVar[Blame] = "client"


class ContextWindowExceeded(InvalidRequest):
    """The input is longer than the model's context window."""

    code = "CONTEXT_WINDOW_EXCEEDED"
    default_hint = "Shorten the input or use a model with a larger context window."


class ContentFiltered(CallError):
    """A safety system refused the request or the answer."""

    code = "CONTENT_FILTERED"
    default_blame: ClassVar[Blame] = "policy"


class RateLimited(CallError):
    """Too many requests (429), or our own pacing would have waited past its limit."""

    code = "RATE_LIMIT_EXCEEDED"
    retry: ClassVar[Retry] = "yes"
    failover = True
    default_blame: ClassVar[Blame] = "policy"
    default_hint = "Wait and try again, or lower `rpm`/`tpm` of the provider."


class QuotaExceeded(CallError):
    """No credit or plan quota is left."""

    code = "QUOTA_EXCEEDED"
    failover = True
    default_blame: ClassVar[Blame] = "policy"
    default_hint = "Add credit or raise the plan's limit at the provider."


class ServerError(CallError):
    """The provider failed by itself (5xx, 529 overloaded)."""

    code = "SERVER_ERROR"
    retry: ClassVar[Retry] = "yes"
    failover = True
    default_blame: ClassVar[Blame] = "provider"


class RequestTimeout(CallError):
    """A deadline passed: connect, first token, between chunks, or in total."""

    code = "TIMEOUT"
    retry: ClassVar[Retry] = "once"
    failover = True
    default_blame: ClassVar[Blame] = "provider"


class ConnectionFailed(CallError):
    """No usable connection: DNS, refused, TLS, reset, or a redirect that is never followed."""

    code = "REQUEST_FAILED"
    retry: ClassVar[Retry] = "yes"
    failover = True
    default_blame: ClassVar[Blame] = "network"
    default_hint = "Check the base URL, and that the server runs."


class StreamInterrupted(CallError):
    """The stream was cut or ended without a finish; `partial_text` holds what came."""

    code = "STREAM_ERROR"
    retry: ClassVar[Retry] = "yes"
    default_blame: ClassVar[Blame] = "provider"


class MalformedResponse(CallError):
    """What came was no answer of this API: no JSON, HTML, no choices, broken SSE, too large."""

    code = "PARSE_ERROR"
    retry: ClassVar[Retry] = "once"
    failover = True
    default_blame: ClassVar[Blame] = "provider"


class RetriesExhausted(CallError):
    """Every allowed try failed; `last_error` is the last one's, `attempts` are all rows."""

    code = "MAX_RETRIES_EXCEEDED"
    default_blame: ClassVar[Blame] = "provider"
    last_error: CallError | None = None


class NoProviderAvailable(CallError):
    """The whole failover chain failed or is cooling down."""

    code = "NO_PROVIDER"
    default_blame: ClassVar[Blame] = "provider"
    last_error: CallError | None = None


class BudgetExceeded(CallError):
    """A budget that the user set has too little left for the request, or for the rest of it.

    Attributes:
        cap: key of the budget (`day`, `provider:openai`, `token:alice`, ...).
        cap_usd: the budget, USD.
        spent_usd: what was spent of it.
        reserved_usd: the most that requests in progress may still cost.
        needed_usd: the most that this request may cost.
        free_at: when the budget resets, UTC; None: it does not.
    """

    code = "BUDGET_EXCEEDED"
    default_blame: ClassVar[Blame] = "policy"
    cap: str = ""
    cap_usd: Decimal = Decimal(0)
    spent_usd: Decimal = Decimal(0)
    reserved_usd: Decimal = Decimal(0)
    needed_usd: Decimal = Decimal(0)
    free_at: datetime | None = None

    @property
    def waits_for_others(self) -> bool:
        """Whether the request would fit once the requests in progress are over and free."""
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
            "free_at": self.free_at.isoformat() if self.free_at else None,
        }


class CatalogSyncFailed(ToolkitError):
    """A provider's model listing could not be read; its known models stay as they were."""

    code = "FETCH_MODELS_FAILED"
    default_blame: ClassVar[Blame] = "provider"


class ProviderError(ToolkitError):
    """The registry of providers refused something."""

    code = "PROVIDER_ERROR"
    default_blame: ClassVar[Blame] = "client"


class ProviderExists(ProviderError):
    """A provider of that name is already there."""

    code = "PROVIDER_EXISTS"


class ProviderNotFound(ProviderError):
    """No provider of that name."""

    code = "PROVIDER_NOT_FOUND"
    default_hint = "List them with `toolkit providers list`."


class InvalidProvider(ProviderError):
    """A provider's name, address, headers or limits are not acceptable."""

    code = "PROVIDER_INVALID"


class KeyStoreError(ToolkitError):
    """A key could not be read from or written to its store (keyring or vault)."""

    code = "KEY_STORE_FAILED"


class StoreError(ToolkitError):
    """The store could not do what was asked."""

    code = "STORE_FAILED"


class StoreLocked(StoreError):
    """Another process holds the store; the message names it."""

    code = "STORE_LOCKED"


class StoreCorrupt(StoreError):
    """The store's file is damaged."""

    code = "STORE_CORRUPT"


class StoreTooNew(StoreError):
    """The store was written by a newer version and is left untouched."""

    code = "STORE_TOO_NEW"


class CassetteError(ToolkitError):
    """A cassette cannot be used."""

    code = "CASSETTE_ERROR"
    default_blame: ClassVar[Blame] = "client"


class CassetteMissing(CassetteError):
    """Replay has no such cassette, or the cassette has no such request."""

    code = "CASSETTE_MISSING"


class CassetteStale(CassetteError):
    """The cassette is half-written, empty or edited so that it cannot be trusted."""

    code = "CASSETTE_STALE"


class LocalModelError(ToolkitError):
    """The built-in local model could not be started or stopped."""

    code = "LOCAL_MODEL_FAILED"


class FileLocked(ToolkitError):
    """Another process keeps a file of the home folder locked; the message names it."""

    code = "FILE_LOCKED"


class FileUnsafe(ToolkitError):
    """A file that holds secrets is a link, is readable by others, or is too large."""

    code = "FILE_UNSAFE"


class InvalidInput(ToolkitError):
    """An argument, option or file is not acceptable; the message says which and why."""

    code = "INVALID_INPUT"
    default_blame: ClassVar[Blame] = "client"
