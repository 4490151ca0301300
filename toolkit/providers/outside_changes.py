"""Changes of a file that people edit too, which were not made through the toolkit.

`providers.toml` and `settings.toml` may be edited by hand, so a file that differs from what the
toolkit wrote is not an error. But a damaged file can be valid TOML all the same, and would then be
read by half: a provider without its limit, a setting with its default. So a copy of what was last
written or read is kept, and what differs from it is logged once, with the way back.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from toolkit.errors import FileLocked
from toolkit.files import locked, remove_leftovers, write_atomic
from toolkit.providers.naming import close_names
from toolkit.settings import Settings

_BACKUPS: Final = 10
_NAMED: Final = 6
_REPLACED: Final = "-replaced"
_INVALID: Final = "the whole content"
_log = logging.getLogger("toolkit.providers")


class KeptCopy:
    """The copy of one file.

    Args:
        path: the file.
        copy: where the copy is.
        wait_s: longest wait for the lock of the file, seconds.
        way_back: a sentence that says how to restore the former content.
    """

    def __init__(self, path: Path, copy: Path, wait_s: float, way_back: str = "") -> None:
        self.path = path
        self.copy = copy
        self._wait_s = wait_s
        self._way_back = way_back
        self._reported: bytes | None = None

    def report(self) -> None:
        """Log what was changed outside the toolkit, and keep the file as it is now."""
        if self._is_current():
            return
        try:
            # A writer replaces the file first and its copy then; both under this lock.
            with locked(self.path, self._wait_s):
                self.report_locked()
        except (OSError, FileLocked):
            self._tell(_read(self.copy), _read(self.path), None)

    def report_locked(self) -> None:
        """Do the same for a caller that holds the lock of the file."""
        if self._is_current():
            return
        remove_leftovers(self.copy)
        kept, current = _read(self.copy), _read(self.path)
        former = None
        if kept is not None and list(differences(kept, current)):
            former = self._keep_former(kept)
        if current is not None:
            write_atomic(self.copy, current, durable=False)
        else:
            self.copy.unlink(missing_ok=True)
        self._tell(kept, current, former)

    def newest_good(self) -> Path | None:
        """The copy, or what was before the last change where that was made outside; or None."""
        newest = max(self._formers(), default=None)
        is_replaced = newest is not None and newest.stem.endswith(_REPLACED)
        if is_replaced and _read(self.path) == _read(self.copy):
            return newest
        return self.copy if self.copy.exists() else None

    def _is_current(self) -> bool:
        current = _read(self.path)
        return current == _read(self.copy) or (current is not None and current == self._reported)

    def _tell(self, kept: bytes | None, current: bytes | None, former: Path | None) -> None:
        self._reported = current
        if kept is None or not (found := list(differences(kept, current))):
            return
        shown = "; ".join(found[:_NAMED])
        more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        place = f" The former content is in {former}." if former is not None else ""
        way_back = f" {self._way_back}" if self._way_back and former is not None else ""
        _log.warning(
            "%s was changed outside the toolkit: %s%s.%s%s",
            *(self.path, shown, more, place, way_back),
        )

    def _keep_former(self, content: bytes) -> Path:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        name = f"{self.path.stem}-{stamp}{_REPLACED}{self.path.suffix}"
        former = self.copy.with_name(name)
        for left in self.copy.parent.glob(f".{self.path.stem}-*{_REPLACED}{self.path.suffix}.*"):
            left.unlink(missing_ok=True)  # of a process that was killed; the lock is held
        write_atomic(former, content, durable=False)
        for old in sorted(self._formers())[:-_BACKUPS]:
            if old != former:  # the clock was set back
                old.unlink(missing_ok=True)
        return former

    def _formers(self) -> Iterator[Path]:
        return self.copy.parent.glob(f"{self.path.stem}-*{self.path.suffix}")


def differences(kept: bytes, current: bytes | None) -> Iterator[str]:
    """What was added, removed or changed, by name; never the values, which may be secret."""
    if current is None:
        yield "the file is missing"
        return
    before, after = _entries(kept), _entries(current)
    yield from (f"{name} is missing" for name in before if name not in after)
    yield from (f"{name} is new" for name in after if name not in before)
    yield from (
        f"{name} is different"
        for name, value in before.items()
        if name in after and repr(after[name]) != repr(value)
    )


def check_settings_file(settings: Settings) -> None:
    """Log what was changed in `settings.toml`, and what in it is no setting."""
    path = settings.home / "settings.toml"
    given = _tables(_read(path) or b"")
    if _INVALID in given:
        return  # reading the settings has failed with its line and column
    copy = settings.backups_path / "settings.last-read.toml"
    KeptCopy(path, copy, settings.lock_wait_s).report()
    known = set(Settings.model_fields)
    for name in given:
        if name not in known:
            close = close_names(name, known)[:1]
            hint = f"; did you mean {close[0]}?" if close else ""
            _log.warning("%s: %s is not a setting and has no effect%s", path, ascii(name), hint)


def keep_settings_file(settings: Settings) -> None:
    """Keep `settings.toml` as the toolkit has just written it; the caller holds its lock."""
    path, copy = settings.home / "settings.toml", settings.backups_path / "settings.last-read.toml"
    if (content := _read(path)) is not None:
        with suppress(OSError):
            remove_leftovers(copy)
            write_atomic(copy, content)


def _entries(content: bytes) -> dict[str, Any]:
    """Every value by its dotted name."""
    found: dict[str, Any] = {}
    todo: list[tuple[str, Any]] = list(_tables(content).items())
    while todo:
        name, value = todo.pop(0)
        if isinstance(value, Mapping) and value:
            todo[:0] = [(f"{name}.{inner}", below) for inner, below in value.items()]
        else:
            found[name] = value
    return found


def _tables(content: bytes) -> Mapping[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return {_INVALID: content}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
