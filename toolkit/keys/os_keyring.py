"""The keyring of the operating system: known backends only, with a short time-out.

A keyring may hang (an invisible desktop prompt, a dead D-Bus), silently store nothing (the null
backend), or be a plain-text file that a package installed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from platformdirs import user_data_path

from toolkit.errors import KeyStoreError
from toolkit.secret import Secret
from toolkit.settings import Settings

T = TypeVar("T")

CHOICES: Final = (
    "On a machine without a keyring use an environment variable, a `.env` file (0600) in the "
    "project, or the encrypted vault (`--store vault`)."
)

_KNOWN: Final = (
    "keyring.backends.macOS",
    "keyring.backends.Windows",
    "keyring.backends.SecretService",
    "keyring.backends.libsecret",
    "keyring.backends.kwallet",
)
_trusted: set[type] = set()


def trust_backend(kind: type) -> None:
    """Accept a backend of your own (tests, a company's keyring) beside the known ones."""
    _trusted.add(kind)


class OSKeyring:
    """The keyring as one home folder uses it.

    After one call that timed out, this process does not try again and raises `KeyStoreError` at
    once.
    """

    def __init__(self, settings: Settings) -> None:
        self.service: str = _service_of(settings)
        self._timeout_s = settings.keyring_timeout_s
        self._hung = False
        self.was_asked: bool = False
        """Whether the last call reached the keyring."""

    def backend_name(self) -> str:
        """The name of the backend in use.

        Raises:
            KeyStoreError: no usable backend.
        """
        backend = self._ask(self._require_backend)
        return str(getattr(backend, "name", type(backend).__name__))

    def get(self, username: str) -> Secret | None:
        """The stored value, or None.

        Raises:
            KeyStoreError: no usable keyring, locked, or no answer in time.
        """
        value = self._ask(lambda: self._require_backend().get_password(self.service, username))
        return Secret(value) if value else None

    def set(self, username: str, secret: Secret) -> None:
        """Store a value and read it back.

        Raises:
            KeyStoreError: as `get`, or the stored value could not be read back.
        """

        def store() -> Any:
            backend = self._require_backend()
            backend.set_password(self.service, username, secret.reveal())
            return backend.get_password(self.service, username)

        if self._ask(store) != secret.reveal():
            raise KeyStoreError(
                "the keyring accepted the key but does not return it",
                cause="keyring_forgot",
                hint=CHOICES,
            )

    def remove(self, username: str) -> bool:
        """Delete a value; False when there was none.

        Raises:
            KeyStoreError: as `get`.
        """
        from keyring.errors import PasswordDeleteError

        def delete() -> bool:
            try:
                self._require_backend().delete_password(self.service, username)
            except PasswordDeleteError:
                return False
            return True

        return self._ask(delete)

    def _require_backend(self) -> Any:
        import keyring
        from keyring.backends.chainer import ChainerBackend

        backend = keyring.get_keyring()
        if isinstance(backend, ChainerBackend):
            usable = [b for b in backend.backends if _is_known(b)]
            if usable:
                return usable[0]
        if _is_known(backend):
            return backend
        module = type(backend).__module__
        if module in ("keyring.backends.fail", "keyring.backends.null"):
            raise KeyStoreError("this machine has no keyring", cause="no_keyring", hint=CHOICES)
        raise KeyStoreError(
            f"the keyring backend {module}.{type(backend).__name__} is not known to be safe",
            cause="unknown_backend",
            hint=CHOICES,
        )

    def _ask(self, question: Callable[[], T]) -> T:
        """Run one keyring call in a thread of its own, with a time-out."""
        self.was_asked = not self._hung
        if self._hung:
            raise self._no_answer()
        answers: list[T] = []
        failures: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(question())
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
                failures.append(error)

        thread = threading.Thread(target=run, name="toolkit-keyring", daemon=True)
        thread.start()
        thread.join(self._timeout_s)
        if thread.is_alive():
            self._hung = True
            raise self._no_answer()
        if failures:
            raise _translate(failures[0]) from None
        return answers[0]

    def _no_answer(self) -> KeyStoreError:
        return KeyStoreError(
            f"the keyring did not answer within {self._timeout_s:g} s",
            cause="keyring_timeout",
            hint=f"It may be waiting for a password prompt on the desktop. {CHOICES}",
        )


def _is_known(backend: object) -> bool:
    kind = type(backend)
    return kind.__module__ in _KNOWN or kind in _trusted


def _translate(error: BaseException) -> BaseException:
    """Translate errors of keyring and its backends to `KeyStoreError`."""
    from keyring.errors import KeyringLocked, NoKeyringError

    if isinstance(error, KeyStoreError) or not isinstance(error, Exception):
        return error
    if isinstance(error, KeyringLocked):
        return KeyStoreError(
            "the keyring is locked",
            cause="keyring_locked",
            hint=f"Unlock it on the desktop. {CHOICES}",
        )
    if isinstance(error, NoKeyringError):
        return KeyStoreError("this machine has no keyring", cause="no_keyring", hint=CHOICES)
    return KeyStoreError(
        f"the keyring failed ({type(error).__name__})", cause="keyring_failed", hint=CHOICES
    )


def _service_of(settings: Settings) -> str:
    """The default home has the plain name; other homes have their own, so that keys do not mix."""
    name = "llm-provider-toolkit"
    if settings.home == user_data_path("toolkit").absolute():
        return name
    digest = hashlib.sha256(str(settings.home).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{name}-{digest[:12]}"
