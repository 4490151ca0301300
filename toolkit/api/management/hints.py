"""Hints of errors for callers of the HTTP API: shell commands become requests and body fields.

Errors are written once, with the shell command that helps, because the same error reaches a
terminal, a notebook and an HTTP client. What an HTTP client cannot follow is replaced here;
`tests/api/test_hints.py` walks every command that the package's hints mention.
"""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = r"(?P<name>[a-z0-9][a-z0-9-]*)"

# The first pattern that fits a command between backticks says which request does the same.
_COMMANDS: Final[tuple[tuple[str, str], ...]] = (
    (f"toolkit keys set {_NAME}.*--no-check", "PUT {keys} with check: false"),
    (f"toolkit keys set {_NAME}.*--store vault", "PUT {keys} with store: vault"),
    (f"toolkit keys set {_NAME}", "PUT {keys}"),
    (f"toolkit keys remove {_NAME}", "DELETE {keys}"),
    (f"toolkit keys check {_NAME}", "POST {keys}/check"),
    (f"toolkit keys rotate {_NAME}.*--call", "POST {keys}/rotate with call: true"),
    (f"toolkit keys rotate {_NAME}", "POST {keys}/rotate"),
    ("toolkit keys check", "POST /api/providers/{{name}}/keys/check"),
    (f"toolkit keys list {_NAME}", "GET {keys}"),
    ("toolkit keys list", "GET /api/keys"),
    (f"toolkit providers test {_NAME}.*--call", "POST /api/providers/test with call: true"),
    (f"toolkit providers test {_NAME}.*--model", "POST /api/providers/test with default_model"),
    (f"toolkit providers test {_NAME}", "POST /api/providers/test"),
    (f"toolkit providers add {_NAME} --url", "POST /api/providers with base_url"),
    ("toolkit providers add", "POST /api/providers"),
    (f"toolkit providers restore {_NAME}", "POST {provider}/restore"),
    (f"toolkit providers enable {_NAME}", "PUT {provider} with is_active: true"),
    (f"toolkit providers default {_NAME}", "PUT {provider} with is_default: true"),
    ("toolkit providers default", "PUT /api/providers/{{name}} with is_default: true"),
    (f"toolkit providers update {_NAME}.*--header", "PUT {provider} with header_changes"),
    (f"toolkit providers update {_NAME}.*--key-env", "PUT {provider} with key_env"),
    (f"toolkit providers update {_NAME}.*--default-model", "PUT {provider} with default_model"),
    (f"toolkit providers update {_NAME}.*--url", "PUT {provider} with base_url"),
    (f"toolkit providers update {_NAME}", "PUT {provider}"),
    ("toolkit providers export", "POST /api/providers/export"),
    ("toolkit providers list", "GET /api/providers"),
    ("toolkit providers presets", "GET /api/presets"),
    ("toolkit models sync", "POST /api/providers/sync-all"),
    (f"toolkit models list --provider {_NAME}", "GET {provider}/models"),
    ("toolkit models list", "GET /api/models"),
    (f"toolkit models enable {_NAME}/", "PUT {provider}/models/{{model_id}}/enable"),
    ("toolkit calls list", "GET /api/calls"),
)
_OPTIONS: Final = {
    "--no-test": "test: false",
    "--no-check": "check: false",
    "--local": "local: true",
    "--call": "call: true",
    "--skip-refused": "skip_refused: true",
    "--url": "base_url",
    "--model": "default_model",
    "--header": "header_changes",
    "--store vault": "store: vault",
}
_QUOTED: Final = re.compile(r"`([^`]+)`")


def http_hint(hint: str | None) -> str | None:
    """A hint as a caller of the HTTP API can follow it; None where there is none."""
    if not hint:
        return None
    text = hint.replace(" (in Python `test=False`)", "").replace(" (in Python `check=False`)", "")
    return _QUOTED.sub(_translate, text)


def find_request(command: str) -> str | None:
    """The request that does what a shell command does, or None where only the shell can."""
    for pattern, request in _COMMANDS:
        if match := re.match(pattern, command):
            provider = f"/api/providers/{match.groupdict().get('name')}"
            return request.format(provider=provider, keys=f"{provider}/keys")
    return None


def _translate(match: re.Match[str]) -> str:
    quoted = match.group(1)
    if quoted in _OPTIONS:
        return f"`{_OPTIONS[quoted]}` in the body"
    request = find_request(quoted)
    return match.group(0) if request is None else f"`{request}`"
