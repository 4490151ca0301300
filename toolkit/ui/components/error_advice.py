"""What an error code means to a reader, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_HEADLINES: Final = {
    "API_KEY_REQUIRED": "no key",
    "AUTHENTICATION_FAILED": "the API key was rejected",
    "PERMISSION_DENIED": "not allowed",
    "MODEL_NOT_FOUND": "model not found",
    "CLIENT_ERROR": "the request was rejected",
    "CONTEXT_WINDOW_EXCEEDED": "the input is too long",
    "CONTENT_FILTERED": "blocked by a safety filter",
    "RATE_LIMIT_EXCEEDED": "too many requests",
    "QUOTA_EXCEEDED": "no credit or quota left",
    "SERVER_ERROR": "the provider returned a server error",
    "TIMEOUT": "the request timed out",
    "REQUEST_FAILED": "the connection failed",
    "STREAM_ERROR": "the answer was cut short",
    "PARSE_ERROR": "the answer could not be read",
    "MAX_RETRIES_EXCEEDED": "all attempts failed",
    "NO_PROVIDER": "no provider available",
    "BUDGET_EXCEEDED": "over the budget",
    "PROVIDER_NOT_FOUND": "provider not found",
    "PROVIDER_EXISTS": "the name is taken",
    "PROVIDER_INVALID": "the provider cannot be saved",
    "INVALID_INPUT": "invalid input",
    "STORE_LOCKED": "the database is in use",
    "STORE_FAILED": "the database could not be read",
    "STORE_CORRUPT": "the database is damaged",
    "STORE_TOO_NEW": "the database is from a newer version",
    "KEY_STORE_FAILED": "the key could not be stored",
    "LOCAL_MODEL": "the local model could not be started",
    "CASSETTE_MISSING": "no recorded answer",
    "CASSETTE_STALE": "the recording is outdated",
}
_ADVICE: Final = {
    "API_KEY_REQUIRED": "Add a key on the page Providers & Keys.",
    "AUTHENTICATION_FAILED": "Replace the key on the page Providers & Keys.",
    "PERMISSION_DENIED": "Check that the account may use this model in its region and plan.",
    "MODEL_NOT_FOUND": "Choose a model on the page Models; sync the list if the model is new.",
    "CLIENT_ERROR": "Change the request as described in the provider's message.",
    "CONTEXT_WINDOW_EXCEEDED": "Shorten the input, or use a model with a larger context window.",
    "CONTENT_FILTERED": "Rephrase the request, or use another model.",
    "RATE_LIMIT_EXCEEDED": "Wait a moment, set a rate limit for this provider, or add a fallback.",
    "QUOTA_EXCEEDED": "Add credit to the account, or use another provider.",
    "SERVER_ERROR": "Try again later, or use the same model from another provider.",
    "TIMEOUT": "Try again, or increase the time-outs on the page Settings.",
    "REQUEST_FAILED": "Check the address and the network; the page Health shows when it started.",
    "STREAM_ERROR": "Try again; the part that was received is shown below.",
    "PARSE_ERROR": "Check the base URL: the answer did not come from this API.",
    "BUDGET_EXCEEDED": "Raise the budget on the page Settings, or wait until tomorrow (UTC).",
}


def headline(code: str) -> str:
    """What an error code means, in a few words."""
    return _HEADLINES.get(code, "it failed")


def what_to_do(code: str, row: Mapping[str, Any] | None = None) -> str:
    """What the reader can do; the provider's own waiting time where it gave one."""
    wait_s = (row or {}).get("retry_after_s")
    if wait_s:
        return f"Wait {float(wait_s):.0f} s, as the provider requests, or use another provider."
    return _ADVICE.get(code, "Try again; see the app's log for details.")
