"""Providers as a document that can be shared: written, sealed, read with suspicion, compared.

Without keys it is plain JSON or TOML. With keys it exists only sealed with a passphrase.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NoReturn

from toolkit.errors import InvalidInput
from toolkit.keys.encryption import SCRYPT_N, Lock, NotOpened, require_passphrase, seal, unseal
from toolkit.providers.naming import short
from toolkit.providers.provider import Provider, public_headers
from toolkit.secret import Secret

Format = Literal["json", "toml"]

VERSION: Final = 1
PLAIN: Final = "toolkit-providers"
SEALED: Final = "toolkit-providers-sealed"
_MAX_BYTES: Final = 4 * 1024 * 1024
_MAX_PROVIDERS: Final = 1000
_TOP: Final = frozenset({"format", "version", "exported_at", "providers", "keys"})

SHARED: Final = (
    "display_name", "type", "base_url", "default_model", "headers", "secret_headers", "params",
    "timeout_s", "max_retries", "rpm", "tpm", "auto_sync", "is_active", "is_local", "needs_key",
    "key_env", "key_url",
)  # fmt: skip
"""Fields that go into a document; what is of this machine alone stays here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedKey:
    """A key in a sealed document, bound to the origin it was stored for."""

    provider: str
    name: str
    origin: str
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a document holds: entries by name, not yet judged, and keys."""

    providers: Mapping[str, Mapping[str, Any]]
    keys: tuple[SharedKey, ...] = ()


def share(provider: Provider) -> dict[str, Any]:
    """A provider's entry as it goes into a document: no key, no secret header."""
    values = {field: getattr(provider, field) for field in SHARED}
    headers = public_headers(provider.headers)
    values["headers"] = {n: v for n, v in headers.items() if n not in provider.secret_headers}
    values["params"] = dict(provider.params)
    return {
        field: list(value) if isinstance(value, tuple) else value
        for field, value in values.items()
        if value not in (None, (), {}, "")
    }


def write_plain(providers: Iterable[Provider], style: Format = "json") -> str:
    """Providers as JSON or TOML, without keys."""
    told = _document(PLAIN, providers)
    if style == "json":
        return json.dumps(told, indent=2) + "\n"
    import tomlkit

    return tomlkit.dumps(told)


def write_sealed(
    providers: Iterable[Provider],
    keys: Sequence[SharedKey],
    passphrase: Secret,
    n: int = SCRYPT_N,
) -> str:
    """Providers and their keys, sealed with a passphrase.

    Raises:
        KeyStoreError: the passphrase is too short.
    """
    lock = Lock.make(n)
    header = {"format": SEALED, "version": VERSION, "kdf": lock.as_dict()}
    inner = _document(PLAIN, providers) | {
        "keys": [
            {"provider": k.provider, "name": k.name, "origin": k.origin, "key": k.secret.reveal()}
            for k in keys
        ]
    }
    key = lock.derive(require_passphrase(passphrase))
    box = seal(key, json.dumps(inner).encode(), (SEALED, VERSION, header["kdf"]))
    return json.dumps(header | box, indent=2) + "\n"


def _document(kind: str, providers: Iterable[Provider]) -> dict[str, Any]:
    return {
        "format": kind,
        "version": VERSION,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "providers": {provider.name: share(provider) for provider in providers},
    }


def is_sealed(raw: bytes) -> bool:
    """Whether a document needs a passphrase."""
    try:
        told = _parse(raw)
    except InvalidInput:
        return False
    return told.get("format") == SEALED


def read_document(raw: bytes, passphrase: Secret | None = None) -> Document:
    """Read a document; its entries are not judged yet (`transfer_service` does).

    Raises:
        InvalidInput: too large, cut short, from a newer toolkit, of unknown form or with unknown
            fields, sealed without a passphrase, or sealed with another one or altered.
    """
    told = _parse(raw)
    if told.get("format") == SEALED:
        told = _open(told, passphrase)
    elif "keys" in told:
        _refuse(
            "it contains unencrypted keys", "Keys can only be imported from an encrypted export."
        )
    if told.get("format") != PLAIN:
        _refuse("it is not an export of providers", "Make one with `toolkit providers export`.")
    _require_version(told)
    if unknown := sorted(set(told) - _TOP):
        _refuse(f"it has an unknown field: {short(unknown[0])}")
    providers = told.get("providers")
    if not isinstance(providers, dict) or not all(isinstance(p, dict) for p in providers.values()):
        _refuse("its providers are not tables")
    if len(providers) > _MAX_PROVIDERS:
        _refuse(f"it has more than {_MAX_PROVIDERS:,} providers")
    return Document(providers=providers, keys=_keys(told.get("keys", [])))


def _parse(raw: bytes) -> dict[str, Any]:
    if len(raw) > _MAX_BYTES:
        _refuse(f"it is larger than {_MAX_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse("it is not UTF-8 text")
    is_json = text.lstrip().startswith(("{", "["))
    try:
        told = json.loads(text, parse_constant=_no_constant) if is_json else tomllib.loads(text)
    except json.JSONDecodeError as error:
        _refuse(
            f"it is not valid or is truncated at line {error.lineno}, column {error.colno}",
            "Export it again.",
        )
    except tomllib.TOMLDecodeError as error:
        _refuse(f"it is not valid or is truncated: {error}", "Export it again.")
    except (RecursionError, ValueError):
        _refuse("it is nested too deeply or contains invalid numbers")
    if not isinstance(told, dict):
        _refuse("it is not an export of providers", "Make one with `toolkit providers export`.")
    return told


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _open(told: Mapping[str, Any], passphrase: Secret | None) -> dict[str, Any]:
    _require_version(told)
    if passphrase is None:
        _refuse("it is encrypted", "Enter its passphrase.")
    try:
        key = Lock.read(told["kdf"]).derive(passphrase)
        content = unseal(key, told, (SEALED, VERSION, told["kdf"]))
    except NotOpened:
        _refuse("it cannot be decrypted: the passphrase is wrong, or the file was changed")
    except (KeyError, TypeError, ValueError):
        _refuse("its encryption is in an unknown format")
    return _parse(content)


def _require_version(told: Mapping[str, Any]) -> None:
    version = told.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        _refuse("it has no version")
    if version > VERSION:
        _refuse(f"it was written by a newer toolkit (version {version})", "Update the toolkit.")


def _keys(rows: Any) -> tuple[SharedKey, ...]:
    try:
        return tuple(
            SharedKey(
                provider=str(row["provider"]),
                name=str(row["name"]),
                origin=str(row["origin"]),
                secret=Secret(str(row["key"])),
            )
            for row in rows
        )
    except (KeyError, TypeError):
        _refuse("its keys are in an unknown format")


def _refuse(what: str, hint: str = "Nothing was imported.") -> NoReturn:
    raise InvalidInput(f"the document cannot be imported: {what}", cause="import", hint=hint)
