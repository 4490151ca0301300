"""Sources of a provider's key, in their order, and how each is listed.

Keys that expire are among them: `TokenSources` fetches a new token in time, once for all calls
that wait for it.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

from toolkit.errors import InvalidInput, KeyRequired, ToolkitError
from toolkit.keys.index import CURRENT, KeyCheck, KeyEntry
from toolkit.keys.stores import KeyStores
from toolkit.providers.provider import Provider
from toolkit.secret import Secret
from toolkit.settings import read_dotenv

KeySource = Literal["argument", "token", "environment", "keyring", "vault", "dotenv"]

HEADER: Final = "header:"
"""Prefix of the names of secret headers in the stores."""

NEXT: Final = ":next"
"""Suffix of the name of a new key while it is being tried."""


_MAX_KEY: Final = 16 * 1024
_QUOTES: Final = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’"}
_BEARER: Final = "Bearer "
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


def header_key(header: str) -> str:
    """The name under which the secret value of a header is stored."""
    return HEADER + header.lower()


@dataclass(frozen=True, slots=True)
class Place:
    """A source that may have a key; `read` opens it."""

    source: KeySource
    name: str
    read: Callable[[], Secret | None]

    @property
    def label(self) -> str:
        """Description, such as `environment GROQ_API_KEY`."""
        return f"{self.source} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLocation:
    """A source with a key of a provider, as `toolkit keys list` shows it.

    Attributes:
        provider: whose key.
        name: its name, or the variable that holds it.
        source: the kind of source.
        fingerprint: identifies the key without revealing it.
        origin: where it may be sent to.
        in_force: whether this one is used.
        shadowed_by: the source that overrides it, or None.
        note: why it is not used, or "".
        created_at: when it was stored, UTC, ISO; None in the environment.
        last_check: the result of its last check, or None.
    """

    provider: str
    name: str
    source: KeySource
    fingerprint: str
    origin: str
    in_force: bool = False
    shadowed_by: str | None = None
    note: str = ""
    created_at: str | None = None
    last_check: KeyCheck | None = None

    @property
    def label(self) -> str:
        """Description, such as `keyring default`."""
        return f"{self.source} {self.name}"


def find_places(stores: KeyStores, provider: Provider, name: str | None) -> Iterator[Place]:
    """Sources for this provider at its current origin, in order of priority.

    Args:
        stores: the stored keys.
        provider: whose key.
        name: one of several stored keys; None: variables and all stored keys.
    """
    origin = provider.origin
    may_read_variables = name is None and bool(origin) and provider.key_origin == origin
    if may_read_variables:
        yield from find_variables(provider)
    entries = usable(stores.index.names(provider.name, origin), name)
    for entry in sorted(entries, key=lambda entry: entry.store != "keyring"):
        yield Place(entry.store, entry.name, partial(stores.read, entry))
    if may_read_variables:
        yield from find_dotenv(provider)


def find_variables(provider: Provider) -> Iterator[Place]:
    """Variables of the process environment with a key of this provider."""
    return _variables(provider, os.environ, "environment")


def find_dotenv(provider: Provider) -> Iterator[Place]:
    """Variables of `./.env` with a key of this provider."""
    return _variables(provider, read_dotenv(), "dotenv")


def _variables(provider: Provider, values: Mapping[str, str], source: KeySource) -> Iterator[Place]:
    for name in provider.key_env:
        if value := clean_key(values.get(name, "")):
            yield Place(source, name, partial(Secret, value))


def is_bound(provider: Provider) -> bool:
    """Whether the keys of its variables may be sent to its current address."""
    return bool(provider.key_origin) and provider.key_origin == provider.origin


def usable(entries: list[KeyEntry], name: str | None) -> list[KeyEntry]:
    """The entries with this name; without a name all keys, the default first."""
    if name is not None:
        return [entry for entry in entries if entry.name == name]
    return sorted((entry for entry in entries if not _is_aside(entry.name)), key=_rank)


def list_places(stores: KeyStores, tokens: TokenSources, provider: Provider) -> list[KeyLocation]:
    """All sources with a key of this provider, in order of priority; no store is opened."""
    index = stores.index

    def variable(place: Place) -> KeyLocation:
        secret = place.read()
        assert secret is not None
        shown = index.fingerprint(secret)
        return KeyLocation(
            provider=provider.name,
            name=place.name,
            source=place.source,
            fingerprint=shown,
            origin=provider.key_origin or "",
            note="" if is_bound(provider) else f"not confirmed for {provider.origin}",
            last_check=index.find_check(shown),
        )

    def stored(entry: KeyEntry) -> KeyLocation:
        return KeyLocation(
            provider=provider.name,
            name=entry.name,
            source=entry.store,
            fingerprint=entry.fingerprint,
            origin=entry.origin,
            note=_note(entry, provider),
            created_at=entry.created_at,
            last_check=index.find_check(entry.fingerprint),
        )

    entries = [entry for entry in index.entries() if entry.provider == provider.name]
    entries.sort(key=lambda entry: (entry.store != "keyring", _rank(entry)))
    found = [
        *_token_place(stores, tokens, provider),
        *map(variable, find_variables(provider)),
        *map(stored, entries),
        *map(variable, find_dotenv(provider)),
    ]
    return _with_shadows(found)


def _token_place(
    stores: KeyStores, tokens: TokenSources, provider: Provider
) -> Iterator[KeyLocation]:
    if source := tokens.find(provider.name, provider.origin):
        token = source.last()
        yield KeyLocation(
            provider=provider.name,
            name="source",
            source="token",
            fingerprint=stores.index.fingerprint(token) if token else "not fetched yet",
            origin=provider.origin,
        )


def _note(entry: KeyEntry, provider: Provider) -> str:
    if entry.origin != provider.origin:
        return f"stored for {entry.origin}"
    if entry.name.startswith(HEADER):
        return "value of a header"
    if not entry.is_confirmed:
        return "the keyring has not confirmed it"
    return "being tried" if entry.name.endswith(NEXT) else ""


def _is_aside(name: str) -> bool:
    return name.startswith(HEADER) or name.endswith(NEXT)


def _rank(entry: KeyEntry) -> tuple[bool, str, str]:
    return entry.name != CURRENT, entry.created_at, entry.name


def _with_shadows(found: list[KeyLocation]) -> list[KeyLocation]:
    """Mark the first usable source as active, and the other usable ones as overridden by it."""
    first = next((place for place in found if not place.note), None)
    if first is None:
        return found
    return [
        place
        if place.note
        else replace(place, in_force=True)
        if place is first
        else replace(place, shadowed_by=first.label)
        for place in found
    ]


def clean_key(value: str) -> str:
    """Remove white space, quotes and the word `Bearer` around a pasted key."""
    text = value.strip()
    if len(text) > 1 and text[0] in _QUOTES and text[-1] == _QUOTES[text[0]]:
        text = text[1:-1].strip()
    return text[len(_BEARER) :].strip() if text.startswith(_BEARER) else text


def check_key(value: str) -> Secret:
    """Return a valid key, or raise; the message never repeats the text.

    Raises:
        InvalidInput: empty, over 16 KiB, or not visible ASCII.
    """
    if not value:
        raise InvalidInput("the key is empty", hint="Copy it again from the provider's page.")
    if len(value) > _MAX_KEY:
        raise InvalidInput(
            f"the key is too long ({len(value):,} characters)", hint="Copy only the key itself."
        )
    if not _VISIBLE.fullmatch(value):
        what = "spaces or control characters" if value.isascii() else "non-ASCII characters"
        raise InvalidInput(
            f"the key contains {what}", hint="Copy it again without surrounding text."
        )
    return Secret(value)


LEEWAY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token with its expiry.

    Attributes:
        secret: its value.
        expires_at: when it expires, UTC; None: never.
    """

    secret: Secret
    expires_at: datetime | None = None


FetchToken = Callable[[], AccessToken | Secret | str]


class TokenSource:
    """One provider's source of tokens, with the current token.

    In the last `leeway_s` seconds of a token it is still used while a new one is fetched in the
    background. A call waits only if there is no valid token.

    Args:
        name: of the provider, for messages.
        fetch: gets a new token; it may block, and never runs twice at the same time.
        leeway_s: how long before its expiry a token is replaced, seconds.
        now: the clock.
        steady: a clock that is never set back: a token that ends in an hour is not used for weeks
            where the other one is.
    """

    def __init__(
        self,
        name: str,
        fetch: FetchToken,
        *,
        leeway_s: float = LEEWAY_S,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._fetch = fetch
        self._leeway_s = leeway_s
        self._now, self._steady = now, steady
        self._fetched_at = (now(), steady())
        self._token: AccessToken | None = None
        self._lock = threading.Lock()  # held while fetching
        self._renewing = threading.Event()

    def get(self) -> Secret:
        """The current token; fetches one if needed.

        Raises:
            KeyRequired: there is none, and none could be fetched.
        """
        token = self._token
        if token is None or self._left_s(token) <= 0:
            return self._fetch_or_wait().secret
        if self._left_s(token) <= self._leeway_s and not self._renewing.is_set():
            self._renewing.set()
            threading.Thread(target=self._renew, name="toolkit-token", daemon=True).start()
        return token.secret

    def forget(self) -> None:
        """Drop the token (the provider refused it): the next call fetches a new one."""
        self._token = None

    def last(self) -> Secret | None:
        """The current token without fetching one, or None."""
        return None if self._token is None else self._token.secret

    def _left_s(self, token: AccessToken) -> float:
        wall_s, steady_s = self._fetched_at
        now = max(self._now(), wall_s + self._steady() - steady_s)
        return float("inf") if token.expires_at is None else token.expires_at.timestamp() - now

    def _fetch_or_wait(self) -> AccessToken:
        with self._lock:
            if self._token is None or self._left_s(self._token) <= 0:
                self._token = self._ask()
            return self._token

    def _renew(self) -> None:
        try:
            with self._lock:
                token = self._token
                if token is None or self._left_s(token) <= self._leeway_s:
                    self._token = self._ask()
        except KeyRequired:
            pass  # the current token stays in use; after its expiry a call reports the error
        finally:
            self._renewing.clear()

    def _ask(self) -> AccessToken:
        try:
            got = self._fetch()
        except ToolkitError:
            raise
        except Exception as error:  # noqa: BLE001 - the source is foreign code
            raise KeyRequired(
                f"the token source of {self._name} failed ({type(error).__name__})",
                provider=self._name,
                cause="token_source",
                hint="Check the plugin that supplies the token.",
            ) from None
        token = (
            got
            if isinstance(got, AccessToken)
            else AccessToken(Secret(got) if isinstance(got, str) else got)
        )
        self._fetched_at = (self._now(), self._steady())
        if not token.secret or self._left_s(token) <= 0:
            raise KeyRequired(
                f"the token source of {self._name} returned an expired token",
                provider=self._name,
                cause="token_source",
            )
        return token


class TokenSources:
    """The token sources of one process, by provider, each bound to the origin it is for."""

    def __init__(self) -> None:
        self._sources: dict[tuple[str, str | None], TokenSource] = {}

    def register(self, provider: str, origin: str | None, source: TokenSource) -> None:
        """Use `source` for the tokens of this provider.

        Args:
            provider: its name.
            origin: the only origin they may go to; None where the same plugin also says where
                the provider is.
            source: the source.
        """
        self._sources[provider, origin] = source

    def find(self, provider: str, origin: str) -> TokenSource | None:
        """The source of this provider at this origin, or None."""
        exact = self._sources.get((provider, origin))
        return exact or self._sources.get((provider, None))

    def known(self) -> list[Secret]:
        """Current tokens, for redaction."""
        return [token for source in self._sources.values() if (token := source.last())]


def expires_in(seconds: float) -> datetime:
    """The moment `seconds` from now, UTC, as OAuth's `expires_in` means it."""
    return datetime.fromtimestamp(time.time() + seconds, UTC)
