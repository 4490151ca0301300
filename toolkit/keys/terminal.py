"""Prompt for a secret at the terminal, if there is one and the process is not a server."""

from __future__ import annotations

import sys
from getpass import getpass

from toolkit.errors import InvalidInput, KeyStoreError
from toolkit.secret import Secret

_SERVERS = ("streamlit.runtime", "uvicorn.server")
_MAX_CHARS = 1_000_000


def ask_passphrase(new: bool) -> Secret:
    """Prompt for the vault's passphrase; a new one is entered twice.

    Raises:
        KeyStoreError: there is no terminal, or the process is a server, which must not wait.
        InvalidInput: the two are different.
    """
    if not _is_there() or any(name in sys.modules for name in _SERVERS):
        raise KeyStoreError(
            "the vault is new and needs a passphrase" if new else "the vault is locked",
            cause="vault_locked",
            hint="Set TOOLKIT_VAULT_PASSPHRASE_FILE to a file (0600) that holds the passphrase, "
            "or "
            "use a terminal; in Python: `tk.keys.unlock_vault(passphrase)`.",
        )
    passphrase = getpass("New passphrase of the vault: " if new else "Vault passphrase: ")
    if new and getpass("Once more: ") != passphrase:
        raise InvalidInput("the two passphrases are different", hint="Nothing was stored.")
    return Secret(passphrase)


def read_secret(prompt: str) -> str:
    """Read a secret from the terminal without echo, or from standard input if that is a pipe.

    One line end at the end of a pipe is not part of it.

    Raises:
        InvalidInput: the input has more than a million characters.
    """
    if _is_there():
        return getpass(prompt)
    text = sys.stdin.read(_MAX_CHARS + 1)
    if len(text) > _MAX_CHARS:
        raise InvalidInput("the text on standard input is too long for a key")
    return text.removesuffix("\n").removesuffix("\r")


def _is_there() -> bool:
    return bool(sys.stdin) and sys.stdin.isatty() and bool(sys.stderr) and sys.stderr.isatty()
