"""Providers that a person does not want probed, remembered in a small file of the home."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import FileUnsafe
from toolkit.files import locked, read_private, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

_LOCK_WAIT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Why somebody is not probed.

    Attributes:
        since: when it began, UTC.
        until: when it ends by itself, UTC; None: when a person ends it.
        why: the person's words, or nothing.
    """

    since: datetime
    until: datetime | None = None
    why: str = ""

    @property
    def words(self) -> str:
        """All of it in a sentence, without its begin."""
        until = "" if self.until is None else f" until {self.until:%Y-%m-%d %H:%M} UTC"
        return f"paused by you{until}" + (f": {self.why}" if self.why else "")

    def holds(self, now: datetime) -> bool:
        """Whether it has not ended by itself."""
        return self.until is None or now < self.until


class Pauses:
    """Who is paused, and since when; read anew each time, for other processes change it too."""

    def __init__(self, home: Path) -> None:
        self._path = home / "health-paused.json"

    def read(self, now: datetime) -> dict[str, Pause]:
        """The pauses that hold at a moment, by provider; an unreadable file pauses nobody."""
        try:
            values = json.loads(read_private(self._path))
            pauses = {str(name): _from_json(value) for name, value in values.items()}
        except (OSError, FileUnsafe, ValueError, TypeError, AttributeError, KeyError):
            return {}
        return {name: pause for name, pause in pauses.items() if pause.holds(now)}

    def pause(self, name: str, pause: Pause) -> None:
        """Pause a provider; one that is paused stays so since it was, with the new end and words.

        Raises:
            FileLocked: another process keeps the file locked.
            OSError: the home cannot be written.
        """

        def edit(paused: dict[str, Pause]) -> None:
            since = paused.get(name, pause).since
            paused[name] = Pause(since=since, until=pause.until, why=pause.why)

        self._change(edit, pause.since)

    def resume(self, name: str, now: datetime) -> None:
        """Take a pause back. Errors as `pause`."""
        self._change(lambda paused: paused.pop(name, None), now)

    def _change(self, edit: Callable[[dict[str, Pause]], object], now: datetime) -> None:
        with locked(self._path, _LOCK_WAIT_S):
            paused = self.read(now)
            edit(paused)
            text = json.dumps({name: _to_json(pause) for name, pause in paused.items()})
            write_atomic(self._path, text.encode())


def _to_json(pause: Pause) -> dict[str, str | None]:
    until = None if pause.until is None else pause.until.isoformat()
    return {"since": pause.since.isoformat(), "until": until, "why": pause.why}


def _from_json(value: Mapping[str, Any]) -> Pause:
    until = value.get("until")
    return Pause(
        since=datetime.fromisoformat(value["since"]),
        until=None if until is None else datetime.fromisoformat(until),
        why=str(value.get("why") or ""),
    )
