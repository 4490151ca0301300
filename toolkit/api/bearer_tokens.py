"""Who may use the HTTP API: bearer tokens, of which only hashes are stored.

A token is shown once, when it is made. The file is 0600, written whole and then swapped in; a
file that cannot be read admits no request.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal, get_args

from toolkit.errors import InvalidInput, KeyStoreError
from toolkit.files import write_atomic
from toolkit.secret import Secret

Scope = Literal["manage", "call", "read"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
FIRST_TOKEN: Final = "first"  # noqa: S105 - the name of a token, not a token


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerToken:
    """One token as it is stored.

    Attributes:
        name: unique name, stored with each call the token makes.
        digest: SHA-256 of the token's text, hex.
        scopes: `manage` providers, `call` models, `read` the database.
        models: patterns of `provider/model_id` it may call (`*` for all).
        usd_per_day: most it may spend per UTC day, USD; None: no cap of its own.
        requests_per_minute: most requests in any 60 s.
        concurrency: most requests at once.
        created_at: ISO time, UTC.
        on_unsupported: what becomes of a parameter that a provider does not take, where the
            request does not say; None: the gateway's policy.
        cache_ttl_s: how long answers are kept for exact repetitions, seconds; None: the setting.
    """

    name: str
    digest: str
    scopes: tuple[Scope, ...] = SCOPES
    models: tuple[str, ...] = ("*",)
    usd_per_day: float | None = None
    requests_per_minute: int = 6000
    concurrency: int = 256
    created_at: str = ""
    on_unsupported: Literal["error", "drop", "neutral"] | None = None
    cache_ttl_s: float | None = None

    def may_call(self, model: str) -> bool:
        """Whether `model` (`provider/model_id` or an alias) is among its models."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)


def hash_token(text: str) -> str:
    """SHA-256 of a token's text, hex. Tokens hold 256 random bits, so no slow hash is needed."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class BearerTokens:
    """The tokens of one home folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] | None = None
        self._read: tuple[BearerToken, ...] = ()

    def create(  # noqa: PLR0913 - one argument for each property of a token
        self,
        name: str,
        *,
        scopes: Iterable[str] = SCOPES,
        models: Iterable[str] = ("*",),
        usd_per_day: float | None = None,
        requests_per_minute: int = 6000,
        concurrency: int = 256,
        on_unsupported: Literal["error", "drop", "neutral"] | None = None,
        cache_ttl_s: float | None = None,
    ) -> Secret:
        """Make a token and return its text, which is stored nowhere.

        Raises:
            InvalidInput: the name is taken or empty, or a scope is unknown.
        """
        tokens = self.list()
        if not name or name in {token.name for token in tokens}:
            raise InvalidInput(f"a token needs a new name; {name!r} is taken or empty")
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown:
            raise InvalidInput(f"unknown scope {unknown[0]!r}", hint=f"One of {', '.join(SCOPES)}.")
        text = f"tk_{secrets.token_urlsafe(32)}"
        token = BearerToken(
            name=name,
            digest=hash_token(text),
            scopes=tuple(s for s in SCOPES if s in set(scopes)),
            models=tuple(models),
            usd_per_day=usd_per_day,
            requests_per_minute=requests_per_minute,
            concurrency=concurrency,
            on_unsupported=on_unsupported,
            cache_ttl_s=cache_ttl_s,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._write([*tokens, token])
        return Secret(text)

    def ensure_first(self) -> Secret | None:
        """Make the first token when there is none; None when there are tokens already."""
        return None if self.list() else self.create(FIRST_TOKEN)

    def list(self) -> list[BearerToken]:
        """All tokens, oldest first.

        Raises:
            KeyStoreError: the file cannot be read; then no request is admitted.
        """
        try:
            found = self.path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
            if seen == self._seen:  # every request asks; only a changed file is read again
                return list(self._read)
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KeyStoreError(f"the token file cannot be read: {error.strerror}") from None
        self._seen = None
        try:
            self._read = tuple(_read_token(entry) for entry in json.loads(text)["tokens"])
            self._seen = seen
            return list(self._read)
        except (ValueError, KeyError, TypeError):
            raise KeyStoreError(
                "the token file is damaged; no request is admitted",
                hint=f"Move {self.path.name} away and make new tokens with `toolkit serve token`.",
            ) from None

    def revoke(self, name: str) -> None:
        """Remove a token for good.

        Raises:
            InvalidInput: there is none of that name.
        """
        tokens = self.list()
        kept = [token for token in tokens if token.name != name]
        if len(kept) == len(tokens):
            raise InvalidInput(f"there is no token named {name!r}")
        self._write(kept)

    def find(self, text: str) -> BearerToken | None:
        """The token with this text, or None. Every stored hash is compared, in constant time."""
        digest = hash_token(text)
        found = None
        for token in self.list():
            if hmac.compare_digest(digest, token.digest):
                found = token
        return found

    def _write(self, tokens: Iterable[BearerToken]) -> None:
        document = {"version": 1, "tokens": [asdict(token) for token in tokens]}
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(self.path, json.dumps(document, indent=1).encode(), durable=True)
        except OSError as error:
            raise KeyStoreError(
                f"the tokens {self.path} cannot be written ({error.strerror or error})",
                cause="not_written",
                hint="Check the folder's permissions and the free disk space; nothing was changed.",
            ) from None


def _read_token(entry: dict[str, Any]) -> BearerToken:
    values = {**entry, "scopes": tuple(entry["scopes"]), "models": tuple(entry["models"])}
    return BearerToken(**values)
