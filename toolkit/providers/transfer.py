"""Export and import documents of providers: written, encrypted, and validated when read.

Documents without keys are JSON or TOML; documents with keys are always encrypted with a passphrase.
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
"""Fields of a document; those specific to this machine are excluded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedKey:
    """A key in an encrypted document, bound to its origin."""

    provider: str
    name: str
    origin: str
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The content of a document: unvalidated entries by name, and keys."""

    providers: Mapping[str, Mapping[str, Any]]
    keys: tuple[SharedKey, ...] = ()


def share(provider: Provider) -> dict[str, Any]:
    """The entry of a provider for a document, without key and secret headers."""
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
    data = _document(PLAIN, providers)
    if style == "json":
        return json.dumps(data, indent=2) + "\n"
    import tomlkit

    return tomlkit.dumps(data)


def write_sealed(
    providers: Iterable[Provider],
    keys: Sequence[SharedKey],
    passphrase: Secret,
    n: int = SCRYPT_N,
) -> str:
    """Providers and their keys, encrypted with a passphrase.

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
        data = _parse(raw)
    except InvalidInput:
        return False
    return data.get("format") == SEALED


def read_document(raw: bytes, passphrase: Secret | None = None) -> Document:
    """Read a document; `transfer_service` validates its entries.

    Raises:
        InvalidInput: too large, truncated, from a newer toolkit, in an unknown format or with
            unknown fields, or encrypted and not decrypted by this passphrase.
    """
    data = _parse(raw)
    if data.get("format") == SEALED:
        data = _open(data, passphrase)
    elif "keys" in data:
        _refuse(
            "it contains unencrypted keys", "Keys can only be imported from an encrypted export."
        )
    if data.get("format") != PLAIN:
        _refuse("it is not an export of providers", "Make one with `toolkit providers export`.")
    _require_version(data)
    if unknown := sorted(set(data) - _TOP):
        _refuse(f"it has an unknown field: {short(unknown[0])}")
    providers = data.get("providers")
    if not isinstance(providers, dict) or not all(isinstance(p, dict) for p in providers.values()):
        _refuse("its providers are not tables")
    if len(providers) > _MAX_PROVIDERS:
        _refuse(f"it has more than {_MAX_PROVIDERS:,} providers")
    return Document(providers=providers, keys=_keys(data.get("keys", [])))


def _parse(raw: bytes) -> dict[str, Any]:
    if len(raw) > _MAX_BYTES:
        _refuse(f"it is larger than {_MAX_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse("it is not UTF-8 text")
    is_json = text.lstrip().startswith(("{", "["))
    try:
        data = json.loads(text, parse_constant=_no_constant) if is_json else tomllib.loads(text)
    except json.JSONDecodeError as error:
        _refuse(
            f"it is not valid or is truncated at line {error.lineno}, column {error.colno}",
            "Export it again.",
        )
    except tomllib.TOMLDecodeError as error:
        _refuse(f"it is not valid or is truncated: {error}", "Export it again.")
    except (RecursionError, ValueError):
        _refuse("it is nested too deeply or contains invalid numbers")
    if not isinstance(data, dict):
        _refuse("it is not an export of providers", "Make one with `toolkit providers export`.")
    return data


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _open(data: Mapping[str, Any], passphrase: Secret | None) -> dict[str, Any]:
    _require_version(data)
    if passphrase is None:
        _refuse("it is encrypted", "Enter its passphrase.")
    try:
        key = Lock.read(data["kdf"]).derive(passphrase)
        content = unseal(key, data, (SEALED, VERSION, data["kdf"]))
    except NotOpened:
        _refuse("it cannot be decrypted: the passphrase is wrong, or the file was changed")
    except (KeyError, TypeError, ValueError):
        _refuse("its encryption is in an unknown format")
    return _parse(content)


def _require_version(data: Mapping[str, Any]) -> None:
    version = data.get("version")
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
