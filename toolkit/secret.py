"""`Secret`: a value that never prints; keys are passed around wrapped in it.

`redact` removes known secret values and anything that looks like a key from text that
came from outside (a provider's error body, an exception) before it is shown or stored.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Final, NoReturn
from urllib.parse import quote, quote_plus

REDACTED: Final = "[redacted]"

# Known shapes of keys; names are what `toolkit scan` reports.
KEY_PATTERNS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("anthropic", re.compile(r"sk-ant-[A-Za-z0-9_\-]{16,}")),
    ("openrouter", re.compile(r"sk-or-(?:v1-)?[A-Za-z0-9]{16,}")),
    ("openai", re.compile(r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_\-]{16,}")),
    ("google", re.compile(r"AIza[0-9A-Za-z_\-]{30,}")),
    ("groq", re.compile(r"gsk_[A-Za-z0-9]{20,}")),
    ("xai", re.compile(r"xai-[A-Za-z0-9]{20,}")),
    ("perplexity", re.compile(r"pplx-[A-Za-z0-9]{20,}")),
    ("fireworks", re.compile(r"fw_[A-Za-z0-9]{20,}")),
    ("huggingface", re.compile(r"hf_[A-Za-z0-9]{20,}")),
    ("aws", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("bearer", re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/\-]{16,}=*")),
    ("query", re.compile(r"(?i)(?<=[?&](?:key|sig)=)[^&\s\"']{8,}")),
    ("query", re.compile(r"(?i)(?<=[?&](?:api_key|api-key)=)[^&\s\"']{8,}")),
    ("query", re.compile(r"(?i)(?<=[?&]access_token=)[^&\s\"']{8,}")),
    ("userinfo", re.compile(r"(?i)(?<=://)[^/\s:@\"']{1,128}:[^/\s@\"']{1,256}(?=@)")),
)

# A provider's "Incorrect API key provided: abc***xyz" repeats part of the key.
_ECHO: Final = re.compile(r"(?i)(api[ _-]?key(?: provided)?\s*[:=]\s*[\"']?)[^\s\"',.}]{6,}")

_FINGERPRINT_MIN_LENGTH: Final = 20
_MIN_REDACTABLE: Final = 6


_revealed: Final[dict[str, None]] = {}


def revealed_values() -> tuple[str, ...]:
    """Every secret value that was revealed in this process, oldest first; never show it."""
    return tuple(_revealed)


class Secret:
    """A secret text. It has no readable `repr`, `str`, format, pickle or JSON form.

    Call `reveal` at the one place where the value leaves for its own origin.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the plain value (`str`)."""
        # Whatever left once may come back in an answer: `secret_forms` keeps it out of rows.
        if self._value not in _revealed:
            _revealed[self._value] = None
        return self._value

    @property
    def hint(self) -> str:
        """The last four characters as `…3f2a` when there are 20 or more, else `…`."""
        return f"…{self._value[-4:]}" if len(self._value) >= _FINGERPRINT_MIN_LENGTH else "…"

    def __repr__(self) -> str:
        return f"Secret({self.hint})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied into another process")


def encodings(value: str) -> tuple[str, ...]:
    """All written forms of `value`: raw, URL-encoded, JSON-escaped and base64 (longest first)."""
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
    forms |= {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    return tuple(sorted((form for form in forms if form), key=len, reverse=True))


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """Return `text` with every known secret (in any encoding) and every key-like part removed."""
    for secret in secrets:
        value = secret.reveal()
        if len(value) < _MIN_REDACTABLE:
            continue
        for form in encodings(value):
            text = text.replace(form, REDACTED)
    for _, pattern in KEY_PATTERNS:
        text = pattern.sub(REDACTED, text)
    return _ECHO.sub(rf"\1{REDACTED}", text)


def find_key_patterns(text: str) -> list[str]:
    """Names of the key shapes that occur in `text` (empty when it is clean)."""
    return sorted({name for name, pattern in KEY_PATTERNS if pattern.search(text)})
