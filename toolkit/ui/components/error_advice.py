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
    "LOCAL_MODEL_FAILED": "the local model could not be started",
    "CASSETTE_MISSING": "no recorded answer",
    "CASSETTE_STALE": "the recording is outdated",
    "CASSETTE_ERROR": "the recording cannot be used",
    "CALL_FAILED": "the call failed",
    "FETCH_MODELS_FAILED": "the list of models could not be read",
    "PROVIDER_ERROR": "the provider cannot be changed",
    "FILE_LOCKED": "a file is in use",
    "FILE_UNSAFE": "a file is not safe to use",
    "TOKEN_FORBIDDEN": "the token may not do this",
    "SCOPE_REQUIRED": "the token may not do this",
    "CLIENT_GONE": "the client closed the connection",
    "APP_FAILED": "the app could not be served",
    "TOOLKIT_ERROR": "it failed",
}
_ANY: Final = "Try again; the app's log has the details."
_ADVICE: Final = {
    "API_KEY_REQUIRED": "Add a key on the page Providers & Keys.",
    "AUTHENTICATION_FAILED": "Replace the key on the page Providers & Keys.",
    "PERMISSION_DENIED": "Check that the account may use this model in its region and plan.",
    "MODEL_NOT_FOUND": "Choose a model on the page Models; sync the list if the model is new.",
    "CLIENT_ERROR": "Change the request as described in the provider's message.",
    "CONTEXT_WINDOW_EXCEEDED": "Shorten the input, or use a model with a larger context window.",
    "CONTENT_FILTERED": "Rephrase the request, or use another model.",
    "RATE_LIMIT_EXCEEDED": "Wait, or set a lower limit in the tab Settings of the provider.",
    "QUOTA_EXCEEDED": "Add credit to the account, or use another provider.",
    "SERVER_ERROR": "Try again later, or use the same model from another provider.",
    "TIMEOUT": "Try again, or raise the time-out in the tab Settings of the provider.",
    "REQUEST_FAILED": "Check the address and the network; the page Health shows when it started.",
    "STREAM_ERROR": "Try again; the part that was received is shown below.",
    "PARSE_ERROR": "Check the base URL: the answer did not come from this API.",
    "BUDGET_EXCEEDED": "Raise the budget on the page Settings, or wait until tomorrow (UTC). Where "
    "no price is known, the setting `budget_unpriced` decides.",
    "CALL_FAILED": "Try again; the page Calls shows what was sent and received.",
    "MAX_RETRIES_EXCEEDED": "Try again later; the page Calls shows each attempt.",
    "NO_PROVIDER": "See the page Health for the providers that are down, and add another one.",
    "FETCH_MODELS_FAILED": "Test the provider on the page Providers & Keys, then list them again.",
    "PROVIDER_NOT_FOUND": "The page Providers & Keys lists the providers, also removed ones.",
    "PROVIDER_EXISTS": "Use another name, or change the provider of that name.",
    "PROVIDER_INVALID": "Correct the field that the message names.",
    "PROVIDER_ERROR": "Correct the field that the message names.",
    "INVALID_INPUT": "Correct the value that the message names.",
    "KEY_STORE_FAILED": "Choose the other place for keys on the page Providers & Keys.",
    "LOCAL_MODEL_FAILED": "Run `toolkit local start` in a terminal to see the server's output.",
    "STORE_LOCKED": "Wait until the other process has finished; the message names it.",
    "STORE_FAILED": "Check that the home folder exists, is writable and has free space.",
    "STORE_CORRUPT": "Run `toolkit store restore` in a terminal to take a backup.",
    "STORE_TOO_NEW": "Install the newer version of the toolkit; the file was not changed.",
    "CASSETTE_MISSING": "Record the case again, from its call on the page Calls.",
    "CASSETTE_STALE": "Record the case again, from its call on the page Calls.",
    "CASSETTE_ERROR": "Record the case again, from its call on the page Calls.",
    "FILE_LOCKED": "Wait until the other process has finished; the message names it.",
    "FILE_UNSAFE": "Give the file to your user alone, as the message describes.",
    "TOKEN_FORBIDDEN": "Use a token that may do this; tokens are made in a terminal.",
    "SCOPE_REQUIRED": "Use a token that may do this; tokens are made in a terminal.",
    "CLIENT_GONE": "Send the request again.",
    "APP_FAILED": "Start the app again; the terminal shows why it ended.",
    "TOOLKIT_ERROR": _ANY,
}


def headline(code: str) -> str:
    """What an error code means, in a few words."""
    return _HEADLINES.get(code, "it failed")


def what_to_do(code: str, row: Mapping[str, Any] | None = None) -> str:
    """What the reader can do; the provider's own waiting time where it gave one."""
    wait_s = (row or {}).get("retry_after_s")
    if wait_s and code != "BUDGET_EXCEEDED":  # no provider requests that
        return f"Wait {float(wait_s):.0f} s, as the provider requests, or use another provider."
    return advice_for(code)


def advice_for(code: str) -> str:
    """What a reader of a page can do about an error of this code."""
    return _ADVICE.get(code, _ANY)
