"""What an error code means to a reader, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_HEADLINES: Final = {
    "API_KEY_REQUIRED": "no key",
    "AUTHENTICATION_FAILED": "the key was refused",
    "PERMISSION_DENIED": "not allowed",
    "MODEL_NOT_FOUND": "no such model",
    "CLIENT_ERROR": "the request was refused",
    "CONTEXT_WINDOW_EXCEEDED": "the input is too long",
    "CONTENT_FILTERED": "refused by a safety system",
    "RATE_LIMIT_EXCEEDED": "too many requests",
    "QUOTA_EXCEEDED": "no credit left",
    "SERVER_ERROR": "the provider failed",
    "TIMEOUT": "no answer in time",
    "REQUEST_FAILED": "no connection",
    "STREAM_ERROR": "the answer was cut short",
    "PARSE_ERROR": "the answer could not be read",
    "MAX_RETRIES_EXCEEDED": "every try failed",
    "NO_PROVIDER": "no provider available",
    "BUDGET_EXCEEDED": "over the budget",
    "PROVIDER_NOT_FOUND": "no such provider",
    "PROVIDER_EXISTS": "the name is taken",
    "PROVIDER_INVALID": "the provider cannot be saved",
    "INVALID_INPUT": "invalid input",
    "STORE_LOCKED": "the database is in use",
    "STORE_FAILED": "the database could not be read",
    "STORE_CORRUPT": "the database is damaged",
    "STORE_TOO_NEW": "the database is from a newer version",
    "KEY_STORE_FAILED": "the key could not be kept",
    "LOCAL_MODEL": "the local model could not be started",
    "CASSETTE_MISSING": "no recorded answer",
    "CASSETTE_STALE": "the recording is too old",
}
_ADVICE: Final = {
    "API_KEY_REQUIRED": "Add a key on the page Providers & Keys.",
    "AUTHENTICATION_FAILED": "Replace the key on the page Providers & Keys.",
    "PERMISSION_DENIED": "Check that the account may use this model in its region and plan.",
    "MODEL_NOT_FOUND": "Choose a model of the page Models; list them again if it is new.",
    "CLIENT_ERROR": "Change the request as the provider's message says.",
    "CONTEXT_WINDOW_EXCEEDED": "Shorten the input, or ask a model with a larger context window.",
    "CONTENT_FILTERED": "Rephrase the request, or ask another model.",
    "RATE_LIMIT_EXCEEDED": "Wait a little, set a limit for this provider, or name a fallback.",
    "QUOTA_EXCEEDED": "Add credit to the account, or ask another provider.",
    "SERVER_ERROR": "Ask again later, or ask the same model at another provider.",
    "TIMEOUT": "Ask again, or raise the time limits on the page Settings.",
    "REQUEST_FAILED": "Check the address and the network; the page Health shows since when.",
    "STREAM_ERROR": "Ask again; what had arrived is kept below.",
    "PARSE_ERROR": "Check the base URL: something other than this API answered there.",
    "BUDGET_EXCEEDED": "Raise the budget on the page Settings, or wait until tomorrow (UTC).",
}


def headline(code: str) -> str:
    """What an error code means, in a few words."""
    return _HEADLINES.get(code, "it failed")


def what_to_do(code: str, row: Mapping[str, Any] | None = None) -> str:
    """What the reader can do; the provider's own waiting time where it gave one."""
    wait_s = (row or {}).get("retry_after_s")
    if wait_s:
        return f"Wait {float(wait_s):.0f} s, as the provider asks, or ask another provider."
    return _ADVICE.get(code, "Ask again; the log of the app has more.")
