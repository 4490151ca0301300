"""Providers that a person does not want probed, remembered in a small file of the home."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from toolkit.errors import KeyStoreError
from toolkit.providers.private_file import locked, read_secret_file, write_private

if TYPE_CHECKING:
    from pathlib import Path

_LOCK_WAIT_S: Final = 5.0


class Pauses:
    """Who is paused, and since when; read anew each time, for other processes change it too."""

    def __init__(self, home: Path) -> None:
        self._path = home / "health-paused.json"

    def read(self) -> dict[str, datetime]:
        """When each paused provider was paused, UTC; a file that cannot be read pauses nobody."""
        try:
            values = json.loads(read_secret_file(self._path))
            return {str(name): datetime.fromisoformat(at) for name, at in values.items()}
        except (OSError, KeyStoreError, ValueError, TypeError, AttributeError):
            return {}

    def pause(self, name: str, now: datetime) -> None:
        """Pause a provider; one that is paused stays so since it was.

        Raises:
            ProviderError: another process keeps the file.
            OSError: the home cannot be written.
        """
        self._change(lambda paused: paused.setdefault(name, now))

    def resume(self, name: str) -> None:
        """Take a pause back. Errors as `pause`."""
        self._change(lambda paused: paused.pop(name, None))

    def _change(self, edit: Callable[[dict[str, datetime]], object]) -> None:
        with locked(self._path, _LOCK_WAIT_S):
            paused = self.read()
            edit(paused)
            text = json.dumps({name: at.isoformat() for name, at in paused.items()})
            write_private(self._path, text.encode())
