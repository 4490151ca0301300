"""Headers of a provider: validation, secret values, and a mapping that never prints them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from toolkit.errors import InvalidProvider, KeyRequired
from toolkit.providers.naming import short
from toolkit.secret import Secret, find_key_patterns

FindHeader = Callable[[str], Secret | None]

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_MAX_HEADERS: Final = 32
_MAX_VALUE: Final = 4096

# Headers set by the transport or by the key handling; an entry may not set them.
_OURS: Final = frozenset(
    {
        "accept-encoding", "authorization", "connection", "content-encoding", "content-length",
        "content-type", "cookie", "expect", "forwarded", "host", "keep-alive",
        "proxy-authenticate", "proxy-authorization", "proxy-connection", "set-cookie", "te",
        "trailer", "transfer-encoding", "upgrade", "via",
    }
)  # fmt: skip
_KEY_HEADERS: Final = frozenset({"x-api-key", "x-goog-api-key", "api-key"})
_SECRET_NAME: Final = re.compile(
    r"(?i)(?:^|[-_])(?:key|apikey|token|secret|password|passwd|credential|signature|session)s?$"
)


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Validate headers and return them.

    Raises:
        InvalidProvider: more than 32, an invalid or reserved name, a duplicate, a value with line
            breaks, control or non-ASCII characters, or over 4 KB.
    """
    if not isinstance(headers, Mapping):
        raise InvalidProvider("headers must be pairs of a name and a value", cause="header")
    if len(headers) > _MAX_HEADERS:
        raise InvalidProvider(f"more than {_MAX_HEADERS} headers", cause="header")
    seen: set[str] = set()
    for name, value in headers.items():
        check_header_name(name)
        check_header_value(name, value)
        if name.lower() in seen:
            raise InvalidProvider(f"the header {name} is given twice", cause="header")
        seen.add(name.lower())
    return dict(headers)


def check_header_name(name: str) -> str:
    """Validate the name of a header that an entry may set.

    Raises:
        InvalidProvider: not a valid name, or a reserved header.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidProvider(f"{short(name)} is not a valid header name", cause="header")
    if name.lower() in _OURS:
        raise InvalidProvider(
            f"the header {name} is set by the toolkit itself",
            cause="header",
            hint="Keys belong in the key store: leave this header out and set the provider's key.",
        )
    if name.lower() in _KEY_HEADERS:
        raise InvalidProvider(
            f"the header {name} carries the provider's key",
            cause="header",
            hint="Leave it out and set the provider's key; the type determines the header.",
        )
    return name


def check_header_value(name: str, value: str) -> str:
    """Validate the value of a header; messages never contain it.

    Raises:
        InvalidProvider: not a string, over 4 KB, or not visible ASCII.
    """
    if not isinstance(value, str):
        raise InvalidProvider(f"the value of {name} is not a string", cause="header")
    if len(value) > _MAX_VALUE:
        raise InvalidProvider(f"the value of {name} is longer than {_MAX_VALUE}", cause="header")
    if not _VALUE.fullmatch(value):
        raise InvalidProvider(
            f"the value of {name} is empty or contains characters other than visible ASCII",
            cause="header",
        )
    return value


def is_secret(name: str, value: str) -> bool:
    """Whether the value of a header must be stored like a key, by its name or its form."""
    return bool(_SECRET_NAME.search(name)) or bool(find_key_patterns(value))


class Headers(Mapping[str, str]):
    """A provider's headers; secret values are looked up when read, and never printed.

    Args:
        plain: headers with values that may be shown.
        secret_names: headers whose values are in the key store.
        find: returns the value of a secret header, or None.
    """

    __slots__ = ("_find", "_plain", "_secret_names")

    def __init__(
        self, plain: Mapping[str, str], secret_names: tuple[str, ...], find: FindHeader
    ) -> None:
        self._plain = dict(plain)
        self._secret_names = secret_names
        self._find = find

    def __getitem__(self, name: str) -> str:
        if name not in self._secret_names:
            return self._plain[name]
        value = self._find(name)
        if value is None:
            raise KeyRequired(
                f"the value of the header {name} is not in the key store",
                cause="no_header",
                hint=f"Set the header {name} again, with its value.",
            )
        return value.reveal()

    def __iter__(self) -> Iterator[str]:
        return iter((*self._plain, *self._secret_names))

    def __len__(self) -> int:
        return len(self._plain) + len(self._secret_names)

    def public(self) -> dict[str, str]:
        """The headers for display: `…` instead of secret values."""
        return {**self._plain, **dict.fromkeys(self._secret_names, "…")}

    def __repr__(self) -> str:
        return f"Headers({self.public()})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self.public() == other.public()
        return isinstance(other, Mapping) and self.public() == dict(other)

    __hash__ = None  # type: ignore[assignment]
