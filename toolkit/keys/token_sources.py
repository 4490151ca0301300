"""Keys that expire: a new token is fetched in time, once for all waiting calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from toolkit.errors import KeyRequired, ToolkitError
from toolkit.secret import Secret

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
    """

    def __init__(
        self,
        name: str,
        fetch: FetchToken,
        *,
        leeway_s: float = LEEWAY_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._fetch = fetch
        self._leeway_s = leeway_s
        self._now = now
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
        ends = token.expires_at
        return float("inf") if ends is None else ends.timestamp() - self._now()

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
