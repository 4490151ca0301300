"""Entries that a person saved under a name, in a JSON file of the home folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolkit.errors import InvalidInput
from toolkit.files import locked, write_atomic
from toolkit.settings import Settings

MAX_NAME: Final = 60
MAX_ENTRIES: Final = 100
_MAX_BYTES: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class NamedEntries:
    """One such file.

    Attributes:
        file: its name in the home folder.
        noun: what an entry is called in messages.
    """

    file: str
    noun: str

    def read(self, settings: Settings) -> dict[str, object]:
        """The entries by name, in the order of their names; none where the file is damaged."""
        try:
            document = json.loads((settings.home / self.file).read_bytes()[:_MAX_BYTES])
        except (OSError, ValueError):
            return {}
        if not isinstance(document, Mapping):
            return {}
        return {str(name): value for name, value in sorted(document.items())}

    def save(self, settings: Settings, name: str, value: object | None) -> None:
        """Save an entry under a name, or delete it where `value` is None.

        Raises:
            InvalidInput: the name is empty or too long, or there are too many entries.
            FileLocked: another process is saving.
        """
        name = " ".join(name.split())
        if not name or len(name) > MAX_NAME:
            raise InvalidInput(f"the name of a {self.noun} has 1 to {MAX_NAME} characters")
        path: Path = settings.home / self.file
        with locked(path, settings.lock_wait_s):
            entries = self.read(settings)
            if value is None:
                entries.pop(name, None)
            else:
                entries[name] = value
            if len(entries) > MAX_ENTRIES:
                raise InvalidInput(
                    f"there are {MAX_ENTRIES} {self.noun}s already", hint="Delete one first."
                )
            write_atomic(path, json.dumps(entries, indent=1, ensure_ascii=False))
