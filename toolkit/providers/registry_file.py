"""`providers.toml`: cached reads, edits that keep comments; an invalid file is never changed."""

from __future__ import annotations

import logging
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from toolkit.errors import InvalidProvider, ProviderError
from toolkit.files import locked, remove_leftovers, write_atomic
from toolkit.providers.entry import FIELDS
from toolkit.providers.outside_changes import KeptCopy
from toolkit.settings import Settings

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

T = TypeVar("T")

VERSION: Final = 1
_MAX_BYTES: Final = 4 * 1024 * 1024
_BACKUPS: Final = 10
_HEADER: Final = (
    "# The providers of the LLM Provider Toolkit. Edit it freely: comments survive.\n"
    "# No key belongs here: keys are kept in the key store.\n"
    f"version = {VERSION}\n"
)
_WHERE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")

_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Content:
    """The content of the file.

    Attributes:
        providers: entries by name.
        default: name of the default provider, or None.
        aliases: names of failover chains -> models.
        plugins: settings of plugins, by provider name.
        ignored: what the file has besides, which has no effect.
    """

    providers: Mapping[str, Mapping[str, Any]]
    default: str | None
    aliases: Mapping[str, tuple[str, ...]]
    plugins: Mapping[str, Mapping[str, Any]]
    ignored: tuple[str, ...] = ()


_EMPTY: Final = Content({}, None, {}, {})
_log = logging.getLogger("toolkit.providers")


class RegistryFile:
    """The file of one home folder; reading is cached until the file changes."""

    def __init__(self, settings: Settings) -> None:
        self.path: Path = settings.registry_path
        self._backups = settings.backups_path
        self._wait_s = settings.lock_wait_s
        self._kept = KeptCopy(
            self.path,
            self.last_good_path,
            settings.lock_wait_s,
            "`toolkit providers restore --last-good` restores it.",
        )
        self._cached: tuple[_Stamp, Content] | None = None

    @property
    def last_good_path(self) -> Path:
        """The copy made after every change."""
        return self._backups / "providers.last-good.toml"

    def stamp(self) -> _Stamp:
        """A stamp that changes with the file; None without a file."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def read(self) -> Content:
        """The current content; empty without a file.

        Raises:
            InvalidProvider: it cannot be read; the message names line and column
                (`cause` is `broken_file`, `too_new` or `unreadable`).
        """
        stamp = self.stamp()
        if self._cached is None or self._cached[0] != stamp:
            content = _EMPTY if stamp is None else self._content(self._text())
            self._cached = (stamp, content)
            self._kept.report()
            for name in content.ignored:
                _log.warning("%s: %s has no effect", self.path, name)
        return self._cached[1]

    def change(self, edit: Callable[[TOMLDocument, Content], T]) -> T:
        """Change the file under its lock: read, `edit`, write atomically, keep a copy.

        Raises:
            InvalidProvider: the file cannot be read; it is not changed.
            ProviderError: the lock is held or the disk cannot be written; nothing was saved.
        """
        import tomlkit

        try:
            with locked(self.path, self._wait_s):
                remove_leftovers(self.last_good_path)
                text = self._text() if self.path.exists() else ""
                content = self._content(text) if text else _EMPTY
                self._kept.report_locked()
                document = tomlkit.parse(text or _HEADER)
                result = edit(document, content)
                written = tomlkit.dumps(document)
                self._content(written)  # do not write what cannot be read back
                if written != text:
                    self._replace(text, written)
        except OSError as error:
            raise ProviderError(
                f"{self.path} cannot be written ({error.strerror or error})",
                cause="not_written",
                hint="Check the permissions of the home folder and the free disk space.",
            ) from None
        self._cached = None
        return result

    def recover(self) -> Path:
        """Restore the last valid copy; the present file is kept under another name.

        Where the file is valid but was changed outside the toolkit, its content before that change
        is restored.

        Returns:
            The path of the file as it was.

        Raises:
            ProviderError: there is no copy.
        """
        former = self._kept.newest_good()
        if former is None:
            raise ProviderError(
                f"there is no valid copy of {self.path.name}",
                hint="Correct the file by hand, or move it away and start with an empty one.",
            )
        good = former.read_bytes()
        with locked(self.path, self._wait_s):
            aside = self.path.with_name(f"{self.path.name}.broken-{_now_text()}")
            if self.path.exists():
                self.path.rename(aside)
            write_atomic(self.path, good)
            write_atomic(self.last_good_path, good)
        self._cached = None
        return aside

    def _text(self) -> str:
        try:
            raw = self.path.read_bytes()
        except OSError as error:
            raise self._broken("unreadable", f"cannot be read ({error.strerror})") from None
        if len(raw) > _MAX_BYTES:
            raise self._broken("broken_file", f"is larger than {_MAX_BYTES:,} bytes")
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            column = error.start - raw.rfind(b"\n", 0, error.start)
            raise self._broken(
                "broken_file", f"is not UTF-8 at line {line}, column {column}"
            ) from None

    def _content(self, text: str) -> Content:
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise self._broken(
                "broken_file", f"is not valid TOML {_where(str(error), text)}"
            ) from None
        except RecursionError:
            raise self._broken("broken_file", "is nested too deeply") from None
        version = data.get("version", VERSION)
        if not isinstance(version, int) or version > VERSION:
            raise InvalidProvider(
                f"{self.path.name} is of version {version!r}, this toolkit knows {VERSION}",
                cause="too_new",
                hint="Update the toolkit; the file is left untouched.",
            )
        providers = data.get("providers", {})
        if not isinstance(providers, dict) or not all(
            isinstance(p, dict) for p in providers.values()
        ):
            raise self._broken(
                "broken_file", "contains something other than tables under [providers]"
            )
        return Content(
            providers, _default(data), _aliases(data), _plugins(data), tuple(_ignored(data))
        )

    def _broken(self, cause: str, what: str) -> InvalidProvider:
        offer = (
            "Correct it by hand, or restore the last valid copy with "
            "`toolkit providers restore --last-good`."
            if self.last_good_path.exists()
            else "Correct it by hand."
        )
        return InvalidProvider(
            f"{self.path} {what}", cause=cause, hint=f"{offer} Nothing was changed."
        )

    def _replace(self, before: str, after: str) -> None:
        if before:
            write_atomic(self._backups / f"providers-{_now_text()}.toml", before.encode())
            for old in sorted(self._backups.glob("providers-*.toml"))[:-_BACKUPS]:
                old.unlink(missing_ok=True)
            for leftover in self._backups.glob(".providers-*.toml.*"):  # left by a killed process
                leftover.unlink(missing_ok=True)
        write_atomic(self.path, after.encode())
        write_atomic(self.last_good_path, after.encode())


def _where(words: str, text: str) -> str:
    """`at line 3, column 5: what is wrong`, from the parser's message."""
    found = _WHERE.search(words)
    line, column = (found.group(1), found.group(2)) if found and found.group(1) else (None, None)
    if line is None:
        lines = text.splitlines() or [""]
        line, column = str(len(lines)), str(len(lines[-1]) + 1)
    return f"at line {line}, column {column}: {_WHERE.sub('', words)}"


def _default(data: Mapping[str, Any]) -> str | None:
    table = data.get("defaults", {})
    name = table.get("provider") if isinstance(table, dict) else None
    return name if isinstance(name, str) else None


def _aliases(data: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    table = data.get("aliases", {})
    if not isinstance(table, dict):
        return {}
    return {
        name: tuple(models)
        for name, models in table.items()
        if isinstance(models, list) and models and all(isinstance(m, str) for m in models)
    }


def _plugins(data: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    table = data.get("plugins", {})
    if not isinstance(table, dict):
        return {}
    return {name: settings for name, settings in table.items() if isinstance(settings, dict)}


def _ignored(data: Mapping[str, Any]) -> Iterator[str]:
    """What is in the file and not read: misspelt or damaged names, and values of a wrong type."""
    known = {"version", "providers", "defaults", "aliases", "plugins"}
    yield from (ascii(name) for name in data if name not in known)
    for name, entry in data.get("providers", {}).items():
        yield from (f"providers.{name}: {field!a}" for field in entry if field not in FIELDS)
    defaults = data.get("defaults", {})
    if not isinstance(defaults, dict) or not isinstance(defaults.get("provider", ""), str):
        yield "defaults"
    read: Mapping[str, Mapping[str, object]] = {
        "aliases": _aliases(data),
        "plugins": _plugins(data),
    }
    for table, content in read.items():
        given = data.get(table, {})
        if not isinstance(given, dict):
            yield table
            continue
        yield from (f"{table}.{name}" for name in given if name not in content)


def _now_text() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
