"""The encrypted vault: keys on machines without a keyring, one sealed box per key, in one file.

Format 1, JSON: `v`, `kdf` (scrypt and its salt), `check` (a box that only the right passphrase
opens), `entries` (provider, name, origin and a box each), `sha256` over all of it. Each box is
bound to version, provider, name and origin: moved to another origin it does not open.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from toolkit.errors import KeyStoreError
from toolkit.files import locked, write_atomic
from toolkit.keys.encryption import (
    SCRYPT_N,
    Lock,
    NotOpened,
    require_passphrase,
    seal,
    unseal,
)
from toolkit.keys.index import read_key_file
from toolkit.keys.terminal import ask_passphrase
from toolkit.secret import Secret

VERSION: Final = 1
PASSPHRASE_FILE: Final = "TOOLKIT_VAULT_PASSPHRASE_FILE"  # noqa: S105 - a variable's name

Id = tuple[str, str, str]
"""Provider, name of the key, origin."""


class Vault:
    """The vault of one home folder; it stays unlocked for as long as this object lives.

    Args:
        path: its file.
        wait_s: longest wait for another process that changes it, seconds.
        ask: asks a person for the passphrase (of a new vault, if told so).
        n: scrypt's cost for a new vault.
    """

    def __init__(
        self,
        path: Path,
        *,
        wait_s: float = 10.0,
        ask: Callable[[bool], Secret] = ask_passphrase,
        n: int = SCRYPT_N,
    ) -> None:
        self.path = path
        self.ask = ask
        self._wait_s = wait_s
        self._n = n
        self._keys: dict[bytes, bytes] = {}

    @property
    def exists(self) -> bool:
        """Whether there is a vault."""
        return os.path.lexists(self.path)

    def ids(self) -> list[Id]:
        """What it holds, without opening it.

        Raises:
            KeyStoreError: the file is damaged, from a newer toolkit, or not yours alone.
        """
        return [_id(entry) for entry in self._read()["entries"]] if self.exists else []

    def unlock(self, passphrase: Secret) -> None:
        """Open the vault (a new one takes this passphrase) for this process.

        Raises:
            KeyStoreError: wrong or too short, or as `ids`.
        """
        if self.exists:
            self._open(self._read(), passphrase)
        else:
            self._create(passphrase)

    def can_unlock(self) -> bool:
        """Whether it is open, or a passphrase can be had without asking a person."""
        if not self.exists:
            return False
        lock = _lock(self._read())
        return lock.salt in self._keys or PASSPHRASE_FILE in os.environ

    def get(self, provider: str, name: str, origin: str) -> Secret | None:
        """The key, or None.

        Raises:
            KeyStoreError: locked, wrong passphrase, altered, or as `ids`.
        """
        if not self.exists:
            return None
        told = self._read()
        wanted = (provider, name, origin)
        entry = next((e for e in told["entries"] if _id(e) == wanted), None)
        if entry is None:
            return None
        return _unseal_entry(self._key(told), entry)

    def set(self, provider: str, name: str, origin: str, secret: Secret) -> None:
        """Store a key and read it back.

        Raises:
            KeyStoreError: as `get`, or the file cannot be written; nothing is half-stored.
        """
        if not self.exists:
            self._create(self._passphrase(new=True))

        def edit(told: dict[str, Any], key: bytes) -> None:
            wanted = (provider, name, origin)
            told["entries"] = [e for e in told["entries"] if _id(e) != wanted]
            box = seal(key, secret.reveal().encode("utf-8", "surrogatepass"), (VERSION, *wanted))
            told["entries"].append(
                {"provider": provider, "name": name, "origin": origin, **box},
            )

        self._change(edit)

    def remove(self, provider: str, name: str, origin: str) -> bool:
        """Delete a key; False when there was none. The passphrase is not needed.

        Raises:
            KeyStoreError: as `ids`.
        """
        if (provider, name, origin) not in self.ids():
            return False
        with locked(self.path, self._wait_s):
            told = self._read()
            told["entries"] = [e for e in told["entries"] if _id(e) != (provider, name, origin)]
            self._write(told)
        return True

    def change_passphrase(self, new: Secret) -> None:
        """Seal everything anew under another passphrase and a new salt.

        Raises:
            KeyStoreError: as `get`; the vault is then as it was.
        """
        require_passphrase(new)
        with locked(self.path, self._wait_s):
            told = self._read()
            old_key = self._key(told)
            kept = [(_id(e), _unseal_entry(old_key, e)) for e in told["entries"]]
            fresh, key = self._empty(new)
            for wanted, secret in kept:
                box = seal(
                    key, secret.reveal().encode("utf-8", "surrogatepass"), (VERSION, *wanted)
                )
                fresh["entries"].append(
                    dict(zip(("provider", "name", "origin"), wanted, strict=True)) | box
                )
            self._write(fresh)

    # ---- how ----------------------------------------------------------------------------------

    def _create(self, passphrase: Secret) -> None:
        with locked(self.path, self._wait_s):
            if self.exists:
                self._open(self._read(), passphrase)
                return
            self._write(self._empty(passphrase)[0])

    def _empty(self, passphrase: Secret) -> tuple[dict[str, Any], bytes]:
        lock = Lock.make(self._n)
        key = lock.derive(require_passphrase(passphrase))
        self._keys[lock.salt] = key
        header = lock.as_dict()
        check = seal(key, b"vault", (VERSION, "check", header))
        return {"v": VERSION, "kdf": header, "check": check, "entries": []}, key

    def _change(self, edit: Callable[[dict[str, Any], bytes], None]) -> None:
        key = self._key(self._read())  # asks a person before the lock is held
        with locked(self.path, self._wait_s):
            told = self._read()
            edit(told, self._keys.get(_lock(told).salt, key))
            self._write(told)

    def _key(self, told: dict[str, Any]) -> bytes:
        known = self._keys.get(_lock(told).salt)
        return known if known is not None else self._open(told, self._passphrase())

    def _open(self, told: dict[str, Any], passphrase: Secret) -> bytes:
        lock = _lock(told)
        key = lock.derive(passphrase)
        try:
            unseal(key, told["check"], (VERSION, "check", told["kdf"]))
        except NotOpened:
            raise KeyStoreError(
                "the vault's passphrase is wrong",
                cause="wrong_passphrase",
                hint="Try again. A forgotten passphrase cannot be recovered.",
            ) from None
        self._keys[lock.salt] = key
        return key

    def _passphrase(self, *, new: bool = False) -> Secret:
        if path := os.environ.get(PASSPHRASE_FILE):
            return read_passphrase(Path(path))
        return self.ask(new)

    def _read(self) -> dict[str, Any]:
        try:
            raw = read_key_file(self.path)
        except FileNotFoundError:
            raise KeyStoreError(f"there is no vault at {self.path}", cause="no_vault") from None
        try:
            told = json.loads(raw)
        except (ValueError, RecursionError):
            raise _damaged(self.path, "is truncated or is not a vault", "truncated") from None
        if isinstance(told, dict) and isinstance(told.get("v"), int) and told["v"] > VERSION:
            raise KeyStoreError(
                f"the vault {self.path} was written by a newer toolkit (format {told['v']})",
                cause="too_new",
                hint="Update the toolkit; the vault is left untouched.",
            )
        if not isinstance(told, dict) or told.pop("sha256", None) != _digest(told):
            raise _damaged(self.path, "is damaged: its checksum does not match", "damaged")
        try:
            _lock(told)
            [_id(entry) for entry in told["entries"]]
        except (KeyError, TypeError, ValueError):
            raise _damaged(self.path, "is in an unknown format", "damaged") from None
        return told

    def _write(self, told: dict[str, Any]) -> None:
        content = json.dumps({**told, "sha256": _digest(told)}, indent=1).encode()
        try:
            write_atomic(self.path, content)
        except OSError as error:
            raise KeyStoreError(
                f"the vault {self.path} cannot be written ({error.strerror or error})",
                cause="not_written",
                hint="Check the folder's permissions and the free disk space; nothing was changed.",
            ) from None


def _unseal_entry(key: bytes, entry: dict[str, Any]) -> Secret:
    try:
        content = unseal(key, entry, (VERSION, *_id(entry)))
    except NotOpened:
        raise KeyStoreError(
            f"the vault's key of {entry['provider']} was changed or moved and cannot be decrypted",
            cause="altered",
            hint=f"Set it again with `toolkit keys set {entry['provider']} --store vault`.",
        ) from None
    return Secret(content.decode("utf-8", "surrogatepass"))


def read_passphrase(path: Path) -> Secret:
    """The passphrase in a file of yours alone; one line end is not part of it.

    Raises:
        KeyStoreError: the file is not there, not private, or no text.
    """
    try:
        text = read_key_file(path, limit_bytes=4096).decode("utf-8")
    except FileNotFoundError:
        raise KeyStoreError(
            f"{PASSPHRASE_FILE} names {path}, which does not exist", cause="no_passphrase_file"
        ) from None
    except UnicodeDecodeError:
        raise KeyStoreError(f"{path} is not UTF-8 text", cause="no_passphrase_file") from None
    return Secret(text.removesuffix("\n").removesuffix("\r"))


def _lock(told: dict[str, Any]) -> Lock:
    return Lock.read(told["kdf"])


def _id(entry: dict[str, Any]) -> Id:
    return entry["provider"], entry["name"], entry["origin"]


def _digest(told: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, what: str, cause: str) -> KeyStoreError:
    return KeyStoreError(
        f"the vault {path} {what}",
        cause=cause,
        hint="Restore it from a backup, or move it away and set the keys again.",
    )
