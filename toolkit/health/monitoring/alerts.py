"""Alerts for incidents that open or close: a log line, and a webhook if one is set."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx

from toolkit.calls.http_client import open_http
from toolkit.errors import ConnectionFailed, ToolkitError
from toolkit.providers.base_url import check_base_url
from toolkit.secret import redact
from toolkit.settings import Settings

Event = Literal["opened", "closed"]

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_DEADLINE_S: Final = 10.0
_log = logging.getLogger("toolkit.health")


def describe(row: Mapping[str, Any], event: Event) -> dict[str, Any]:
    """The content of an alert, without secrets or prompts.

    Returns:
        `event`, columns of the incident, and `text` (the field that chat services show).
    """
    subject = row["model"] or row["provider"]
    if event == "opened":
        text = f"{subject} is {_words(row['state'])}: {row['reason']}"
    else:
        text = f"{subject} works again, after {_lasted(row)} {_words(row['state'])}"
    columns = ("incident_id", "provider", "model", "scope", "state", "reason", "error_code")
    times = {name: _iso(row[name]) for name in ("opened_at", "closed_at")}
    values = {name: row[name] for name in columns}
    return {"event": event, **values, **times, "text": redact(text)}


def log(alert: Mapping[str, Any]) -> None:
    """One line in the log `toolkit.health`."""
    level = logging.WARNING if alert["event"] == "opened" else logging.INFO
    _log.log(level, "incident %s: %s [%s]", alert["event"], alert["text"], alert["scope"])


async def post(settings: Settings, alert: Mapping[str, Any]) -> None:
    """Post one event to the webhook, with the checks of base URLs and without redirects.

    A repeated delivery has the same `Idempotency-Key`.

    Raises:
        ToolkitError: the address is not allowed, there was no answer, or its status was not 2xx;
            the message contains the host only.
    """
    url = settings.health_webhook_url.get_secret_value()
    parts = urlsplit(url)
    local = parts.hostname in _LOOPBACK
    check_base_url(parts._replace(query="", fragment="").geturl(), local)
    headers = {"Idempotency-Key": f"{alert['incident_id']}-{alert['event']}"}
    try:
        async with open_http(settings, local=local) as http:
            answer = await http.post(url, json=dict(alert), headers=headers, timeout=_DEADLINE_S)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise _failed(parts.hostname, type(error).__name__) from None
    except ToolkitError as error:
        raise _failed(parts.hostname, error.cause or error.code) from None
    if not answer.is_success:
        raise _failed(parts.hostname, f"it answered {answer.status_code}")


def _failed(host: str | None, why: str) -> ConnectionFailed:
    return ConnectionFailed(
        f"webhook delivery to {host} failed ({why})",
        hint="It will be retried. Check the setting health_webhook_url.",
    )


def _words(state: str) -> str:
    return {"auth_error": "rejecting its key"}.get(state, state.replace("_", " "))


def _lasted(row: Mapping[str, Any]) -> str:
    minutes = (row["closed_at"] - row["opened_at"]).total_seconds() / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _iso(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()
