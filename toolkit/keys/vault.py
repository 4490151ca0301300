"""The encrypted vault: one file with one encrypted box per key, for machines without a keyring.

Format 1, JSON: `v`, `kdf` (scrypt and its salt), `check` (a box that only the right passphrase
opens), `entries` (provider, name, origin and a box each), `sha256` over all of it. Each box is
bound to version, provider, name and origin, so it cannot be moved to another origin.
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
    """The vault of one home folder; it stays unlocked during the lifetime of this object.

    Args:
        path: its file.
        wait_s: longest wait for another process that changes it, seconds.
        ask: prompts for the passphrase; with True, for that of a new vault.
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
        """Whether the vault exists."""
        return os.path.lexists(self.path)

    def ids(self) -> list[Id]:
        """The ids of its entries, without opening it.

        Raises:
            KeyStoreError: the file is damaged, from a newer toolkit, or readable by others.
        """
        return [_id(entry) for entry in self._read()["entries"]] if self.exists else []

    def unlock(self, passphrase: Secret) -> None:
        """Open the vault for this process; a new vault gets this passphrase.

        Raises:
            KeyStoreError: wrong or too short, or as `ids`.
        """
        if self.exists:
            self._open(self._read(), passphrase)
        else:
            self._create(passphrase)

    def can_unlock(self) -> bool:
        """Whether it is open, or the passphrase is available without a prompt."""
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
        document = self._read()
        wanted = (provider, name, origin)
        entry = next((e for e in document["entries"] if _id(e) == wanted), None)
        if entry is None:
            return None
        return _unseal_entry(self._key(document), entry)

    def set(self, provider: str, name: str, origin: str, secret: Secret) -> None:
        """Store a key and read it back.

        Raises:
            KeyStoreError: as `get`, or the file cannot be written; nothing is stored then.
        """
        if not self.exists:
            self._create(self._passphrase(new=True))

        def edit(document: dict[str, Any], key: bytes) -> None:
            wanted = (provider, name, origin)
            document["entries"] = [e for e in document["entries"] if _id(e) != wanted]
            box = seal(key, secret.reveal().encode("utf-8", "surrogatepass"), (VERSION, *wanted))
            document["entries"].append(
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
            document = self._read()
            document["entries"] = [
                e for e in document["entries"] if _id(e) != (provider, name, origin)
            ]
            self._write(document)
        return True

    def change_passphrase(self, new: Secret) -> None:
        """Encrypt all entries again with another passphrase and a new salt.

        Raises:
            KeyStoreError: as `get`; the vault is then unchanged.
        """
        require_passphrase(new)
        with locked(self.path, self._wait_s):
            document = self._read()
            old_key = self._key(document)
            kept = [(_id(e), _unseal_entry(old_key, e)) for e in document["entries"]]
            fresh, key = self._empty(new)
            for wanted, secret in kept:
                box = seal(
                    key, secret.reveal().encode("utf-8", "surrogatepass"), (VERSION, *wanted)
                )
                fresh["entries"].append(
                    dict(zip(("provider", "name", "origin"), wanted, strict=True)) | box
                )
            self._write(fresh)

    # ---- internals ----------------------------------------------------------------------------

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
        key = self._key(self._read())  # may prompt, so before the lock is taken
        with locked(self.path, self._wait_s):
            document = self._read()
            edit(document, self._keys.get(_lock(document).salt, key))
            self._write(document)

    def _key(self, document: dict[str, Any]) -> bytes:
        known = self._keys.get(_lock(document).salt)
        return known if known is not None else self._open(document, self._passphrase())

    def _open(self, document: dict[str, Any], passphrase: Secret) -> bytes:
        lock = _lock(document)
        key = lock.derive(passphrase)
        try:
            unseal(key, document["check"], (VERSION, "check", document["kdf"]))
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
            document = json.loads(raw)
        except (ValueError, RecursionError):
            raise _damaged(self.path, "is truncated or is not a vault", "truncated") from None
        if (
            isinstance(document, dict)
            and isinstance(document.get("v"), int)
            and document["v"] > VERSION
        ):
            raise KeyStoreError(
                f"the vault {self.path} was written by a newer toolkit (format {document['v']})",
                cause="too_new",
                hint="Update the toolkit; the vault is left untouched.",
            )
        if not isinstance(document, dict) or document.pop("sha256", None) != _digest(document):
            raise _damaged(self.path, "is damaged: its checksum does not match", "damaged")
        try:
            _lock(document)
            [_id(entry) for entry in document["entries"]]
        except (KeyError, TypeError, ValueError):
            raise _damaged(self.path, "is in an unknown format", "damaged") from None
        return document

    def _write(self, document: dict[str, Any]) -> None:
        content = json.dumps({**document, "sha256": _digest(document)}, indent=1).encode()
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
    """Read the passphrase from a private file, without one trailing line end.

    Raises:
        KeyStoreError: the file does not exist, is not private, or is not text.
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


def _lock(document: dict[str, Any]) -> Lock:
    return Lock.read(document["kdf"])


def _id(entry: dict[str, Any]) -> Id:
    return entry["provider"], entry["name"], entry["origin"]


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, what: str, cause: str) -> KeyStoreError:
    return KeyStoreError(
        f"the vault {path} {what}",
        cause=cause,
        hint="Restore it from a backup, or move it away and set the keys again.",
    )
