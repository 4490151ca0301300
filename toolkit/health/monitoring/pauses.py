"""Paused providers, stored in a small file in the home folder."""

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
    """A pause of one provider.

    Attributes:
        since: when it began, UTC.
        until: when it ends, UTC; None: when it is resumed.
        why: the given reason, or "".
    """

    since: datetime
    until: datetime | None = None
    why: str = ""

    @property
    def words(self) -> str:
        """Describe it in a sentence, without its start."""
        until = "" if self.until is None else f" until {self.until:%Y-%m-%d %H:%M} UTC"
        return f"paused by you{until}" + (f": {self.why}" if self.why else "")

    def holds(self, now: datetime) -> bool:
        """Whether it has not ended."""
        return self.until is None or now < self.until


class Pauses:
    """The paused providers; read again each time, because other processes change the file."""

    def __init__(self, home: Path) -> None:
        self._path = home / "health-paused.json"

    def read(self, now: datetime) -> dict[str, Pause]:
        """The pauses at a given time, by provider; an unreadable file counts as empty."""
        try:
            values = json.loads(read_private(self._path))
            pauses = {str(name): _from_json(value) for name, value in values.items()}
        except (OSError, FileUnsafe, ValueError, TypeError, AttributeError, KeyError):
            return {}
        return {name: pause for name, pause in pauses.items() if pause.holds(now)}

    def pause(self, name: str, pause: Pause) -> None:
        """Pause a provider; if it is paused already, only the end and the reason change.

        Raises:
            FileLocked: another process has the file locked.
            OSError: the home cannot be written.
        """

        def edit(paused: dict[str, Pause]) -> None:
            since = paused.get(name, pause).since
            paused[name] = Pause(since=since, until=pause.until, why=pause.why)

        self._change(edit, pause.since)

    def resume(self, name: str, now: datetime) -> None:
        """Remove a pause. Errors as `pause`."""
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
