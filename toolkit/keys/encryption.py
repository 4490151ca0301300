"""Encryption with a passphrase: scrypt derives the key, AES-256-GCM encrypts.

The purpose of each box is its associated data, so a box that was moved, swapped or changed cannot
be decrypted.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from toolkit.errors import KeyStoreError
from toolkit.secret import Secret

SCRYPT_N: Final = 2**17
"""Cost of one guess at a passphrase: 128 MiB and about half a second."""

MIN_PASSPHRASE: Final = 8
_MAX_N: Final = 2**20
_NONCE_BYTES: Final = 12
_SALT_BYTES: Final = 16


class NotOpened(Exception):
    """A box cannot be decrypted: wrong key, or changed content."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Parameters of the key derivation: scrypt's cost and salt."""

    n: int
    salt: bytes

    @classmethod
    def make(cls, n: int = SCRYPT_N) -> Lock:
        """A lock with a new random salt."""
        return cls(n, os.urandom(_SALT_BYTES))

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Lock:
        """Read the key derivation from the header of a file.

        Raises:
            ValueError: an unknown method, or a cost that would exhaust this machine.
        """
        n = fields["n"]
        good = isinstance(n, int) and 2 <= n <= _MAX_N and n & (n - 1) == 0
        if fields["name"] != "scrypt" or fields["r"] != 8 or fields["p"] != 1 or not good:
            raise ValueError("unknown key derivation")
        salt = from_text(fields["salt"])
        if len(salt) != _SALT_BYTES:
            raise ValueError("the salt has the wrong length")
        return cls(n, salt)

    def as_dict(self) -> dict[str, Any]:
        """The values for the header of a file."""
        return {"name": "scrypt", "n": self.n, "r": 8, "p": 1, "salt": to_text(self.salt)}

    def derive(self, passphrase: Secret) -> bytes:
        """Derive the 32-byte key from the passphrase."""
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        kdf = Scrypt(salt=self.salt, length=32, n=self.n, r=8, p=1)
        return kdf.derive(passphrase.reveal().encode("utf-8", "surrogatepass"))


def seal(key: bytes, content: bytes, bound_to: Sequence[Any]) -> dict[str, str]:
    """Encrypt `content`; decryption needs the same key and the same `bound_to`."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    data = AESGCM(key).encrypt(nonce, content, _bytes(bound_to))
    return {"nonce": to_text(nonce), "data": to_text(data)}


def unseal(key: bytes, box: Mapping[str, Any], bound_to: Sequence[Any]) -> bytes:
    """Decrypt the result of `seal`.

    Raises:
        NotOpened: wrong key, another `bound_to`, or changed content.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        nonce, data = from_text(box["nonce"]), from_text(box["data"])
        return AESGCM(key).decrypt(nonce, data, _bytes(bound_to))
    except (InvalidTag, ValueError, KeyError, TypeError):
        raise NotOpened from None


def require_passphrase(passphrase: Secret) -> Secret:
    """Return the passphrase, or raise if it is too weak.

    Raises:
        KeyStoreError: fewer than eight characters.
    """
    if len(passphrase.reveal()) < MIN_PASSPHRASE:
        raise KeyStoreError(
            f"a passphrase must have at least {MIN_PASSPHRASE} characters",
            cause="weak_passphrase",
            hint="Several random words are easy to remember and hard to guess.",
        )
    return passphrase


def to_text(content: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(content).decode()


def from_text(text: str) -> bytes:
    """Base64 as bytes.

    Raises:
        ValueError: the text is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError):
        raise ValueError("no base64") from None


def _bytes(bound_to: Sequence[Any]) -> bytes:
    return json.dumps(list(bound_to), ensure_ascii=True).encode()
