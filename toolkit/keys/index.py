"""The index of stored keys: names, origins and fingerprints, never a value.

Neither the OS keyring nor a locked vault can list its content, so the home folder has this list,
`keys.json`. Only keys listed here are read from a keyring.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from toolkit.errors import FileUnsafe, KeyStoreError
from toolkit.files import locked, read_private, write_atomic
from toolkit.secret import Secret
from toolkit.settings import Settings

StoreName = Literal["keyring", "vault"]
T = TypeVar("T")

CURRENT: Final = "default"
"""Default name of a provider's key."""

_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """One stored key, without its value.

    Attributes:
        provider, name: the provider, and the name of the key.
        origin: the only origin it may be sent to.
        store: where the value is.
        fingerprint: see `fingerprint`.
        created_at: when it was stored, UTC, ISO.
        is_confirmed: whether its store is known to have it. False if the keyring did not answer
            while it was written; the next read confirms it or removes the entry.
    """

    provider: str
    name: str
    origin: str
    store: StoreName
    fingerprint: str
    created_at: str
    is_confirmed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCheck:
    """Result of the last check of a key: the answer, the reason, and when (UTC, ISO)."""

    answer: str
    reason: str
    at: str


class KeyIndex:
    """The list of one home folder; reading is cached until the file changes."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.home / "keys.json"
        self._salt_path = settings.home / "fingerprint.key"
        self._wait_s = settings.lock_wait_s
        self._cached: tuple[tuple[int, int, int] | None, dict[str, Any]] | None = None

    def entries(self) -> list[KeyEntry]:
        """Every stored key."""
        return [KeyEntry(**row) for row in self._read()["keys"]]

    def names(self, provider: str, origin: str) -> list[KeyEntry]:
        """The provider's keys that may be sent to `origin`."""
        return [e for e in self.entries() if e.provider == provider and e.origin == origin]

    def foreign(self, provider: str, origin: str) -> list[KeyEntry]:
        """The provider's keys that belong to another origin than `origin`."""
        return [e for e in self.entries() if e.provider == provider and e.origin != origin]

    def put(self, entry: KeyEntry) -> None:
        """Add an entry, or replace the one of the same provider, name, origin and store.

        Raises:
            KeyStoreError: the index cannot be written.
        """

        def edit(document: dict[str, Any]) -> None:
            document["keys"] = [
                row for row in document["keys"] if _identity(row) != _identity(asdict(entry))
            ]
            document["keys"].append(asdict(entry))

        self._change(edit)

    def drop(self, entry: KeyEntry) -> None:
        """Remove an entry."""

        def edit(document: dict[str, Any]) -> None:
            document["keys"] = [
                row for row in document["keys"] if _identity(row) != _identity(asdict(entry))
            ]

        self._change(edit)

    def note_check(self, fingerprint: str, answer: str, reason: str) -> None:
        """Store the result of a check."""
        check = KeyCheck(
            answer=answer, reason=reason, at=datetime.now(UTC).isoformat("T", "seconds")
        )
        self._change(lambda document: document["checks"].__setitem__(fingerprint, asdict(check)))

    def find_check(self, fingerprint: str) -> KeyCheck | None:
        """The result of the last check of a key, or None."""
        row = self._read()["checks"].get(fingerprint)
        return KeyCheck(**row) if row else None

    def fingerprint(self, secret: Secret) -> str:
        """Identify a key without revealing it.

        The last four characters if it has 20 or more, and eight hexadecimal digits of
        HMAC-SHA256 under a random key of this home folder: `…3f2a#9c01ab42`.
        """
        value = secret.reveal().encode("utf-8", "surrogatepass")
        return f"{secret.hint}#{hmac.new(self._salt(), value, hashlib.sha256).hexdigest()[:8]}"

    def _salt(self) -> bytes:
        try:
            salt = read_key_file(self._salt_path, limit_bytes=64)
        except FileNotFoundError:
            with locked(self._salt_path, self._wait_s):
                if not self._salt_path.exists():
                    write_atomic(self._salt_path, secrets.token_bytes(32))
            salt = read_key_file(self._salt_path, limit_bytes=64)
        return salt

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> dict[str, Any]:
        stamp = self._stamp()
        if self._cached is None or self._cached[0] != stamp:
            self._cached = (stamp, _load(self._path) if stamp else {"keys": [], "checks": {}})
        return self._cached[1]

    def _change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        try:
            with locked(self._path, self._wait_s):
                document = _load(self._path) if self._path.exists() else {"keys": [], "checks": {}}
                edit(document)
                write_atomic(
                    self._path, json.dumps({"version": _VERSION, **document}, indent=1).encode()
                )
        except OSError as error:
            raise KeyStoreError(
                f"{self._path} cannot be written ({error.strerror or error})", cause="not_written"
            ) from None
        self._cached = None


def read_key_file(path: Path, *, limit_bytes: int = 16 * 1024 * 1024) -> bytes:
    """Read a private file of the key store.

    Raises:
        KeyStoreError: other users can read it, or it is not a regular file of this user.
        FileNotFoundError: it does not exist.
    """
    try:
        return read_private(path, limit_bytes=limit_bytes)
    except FileUnsafe as error:
        raise KeyStoreError(error.message, cause=error.cause, hint=error.hint) from None


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
        if document["version"] > _VERSION:
            raise KeyStoreError(
                f"{path} was written by a newer toolkit",
                cause="too_new",
                hint="Update the toolkit; the file is left untouched.",
            )
        known = {field.name for field in fields(KeyEntry)}  # older files have more
        keys = [
            asdict(KeyEntry(**{name: value for name, value in row.items() if name in known}))
            for row in document["keys"]
        ]
        checks = {str(name): asdict(KeyCheck(**row)) for name, row in document["checks"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyStoreError(
            f"{path} is damaged: the list of stored keys cannot be read",
            cause="damaged",
            hint="Move it away and set the keys again; their values are not in it.",
        ) from None
    return {"keys": keys, "checks": checks}


def _identity(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["provider"], row["name"], row["origin"], row["store"]
