"""Encryption with a passphrase: scrypt makes the key, AES-256-GCM seals, everything is bound.

What a box is for stands in its associated data, so that a box which was moved, swapped or
altered does not open.
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
    """A box does not open: another key, or not what was sealed."""


@dataclass(frozen=True, slots=True)
class Lock:
    """How a passphrase becomes a key: scrypt's cost and salt."""

    n: int
    salt: bytes

    @classmethod
    def make(cls, n: int = SCRYPT_N) -> Lock:
        """A lock with a new random salt."""
        return cls(n, os.urandom(_SALT_BYTES))

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Lock:
        """The lock that a file's header describes.

        Raises:
            ValueError: another method, or a cost that would exhaust this machine.
        """
        n = told["n"]
        good = isinstance(n, int) and 2 <= n <= _MAX_N and n & (n - 1) == 0
        if told["name"] != "scrypt" or told["r"] != 8 or told["p"] != 1 or not good:
            raise ValueError("unknown key derivation")
        salt = from_text(told["salt"])
        if len(salt) != _SALT_BYTES:
            raise ValueError("the salt has the wrong length")
        return cls(n, salt)

    def as_dict(self) -> dict[str, Any]:
        """The lock for a file's header."""
        return {"name": "scrypt", "n": self.n, "r": 8, "p": 1, "salt": to_text(self.salt)}

    def derive(self, passphrase: Secret) -> bytes:
        """The 32 bytes that the passphrase stands for."""
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        kdf = Scrypt(salt=self.salt, length=32, n=self.n, r=8, p=1)
        return kdf.derive(passphrase.reveal().encode("utf-8", "surrogatepass"))


def seal(key: bytes, content: bytes, bound_to: Sequence[Any]) -> dict[str, str]:
    """Seal `content`; it opens only with the same key and the same `bound_to`."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    data = AESGCM(key).encrypt(nonce, content, _bytes(bound_to))
    return {"nonce": to_text(nonce), "data": to_text(data)}


def unseal(key: bytes, box: Mapping[str, Any], bound_to: Sequence[Any]) -> bytes:
    """Open what `seal` made.

    Raises:
        NotOpened: another key, another `bound_to`, or altered.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        nonce, data = from_text(box["nonce"]), from_text(box["data"])
        return AESGCM(key).decrypt(nonce, data, _bytes(bound_to))
    except (InvalidTag, ValueError, KeyError, TypeError):
        raise NotOpened from None


def require_passphrase(passphrase: Secret) -> Secret:
    """Return the passphrase, or say why it is too weak to protect anything.

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
        ValueError: it is none.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError):
        raise ValueError("no base64") from None


def _bytes(bound_to: Sequence[Any]) -> bytes:
    return json.dumps(list(bound_to), ensure_ascii=True).encode()
