"""Proves that no key is where none may be: in the home folder, the store's rows, any given file.

Known keys are looked for in every written form, and beside them whatever has the shape of a key.
A finding names the file and the place, never the value.
"""

from __future__ import annotations

import base64
import gzip
import json
import mmap
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import InvalidInput
from toolkit.secret import KEY_PATTERNS, Secret, encodings

if TYPE_CHECKING:
    from toolkit.settings import Settings
    from toolkit.store.store import Store
    from toolkit.toolkit import Toolkit

Content = bytes | mmap.mmap

# What other programs own; a repository's objects are compressed and its files stand beside them.
_SKIPPED_FOLDERS: Final = frozenset({".git", ".venv", "node_modules", "__pycache__", "models"})
_MIN_SECRET_CHARS: Final = 6
_BATCH_ROWS: Final = 20_000
_PLACEHOLDER: Final = re.compile(rb"(?i)\W*(redacted|\*{3,}|your[-_ ]|example)|[$<{\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place where a key, or something of its shape, stands.

    Attributes:
        path: the file.
        offset: byte in the file (of its uncompressed content); None for a row of the store.
        place: table and id of the row, for a row of the store.
        what: `known key`, or `shape of a key (openai)`.
    """

    path: str
    offset: int | None
    place: str | None
    what: str


@dataclass(slots=True, kw_only=True)
class ScanReport:
    """What was looked at, and what was found.

    Attributes:
        known_keys: how many known keys were looked for.
        files: how many files were read.
        size_bytes: how much that was.
        rows: how many rows of the store were read.
        findings: every place, in the order of the search.
        unread: files that could not be read, with the reason.
    """

    known_keys: int
    files: int = 0
    size_bytes: int = 0
    rows: int = 0
    findings: list[Finding] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found and nothing was left unread."""
        return not self.findings and not self.unread


def scan(toolkit: Toolkit, paths: Sequence[Path] = ()) -> ScanReport:
    """Search the home folder, the store's rows and `paths` (files, or folders with all in them).

    Raises:
        InvalidInput: a path does not exist.
        StoreError: the store cannot be read.
    """
    for path in paths:
        if not path.exists():
            raise InvalidInput(f"there is no {path}")
    secrets = [s for s in toolkit.keys.known_secrets() if len(s.reveal()) >= _MIN_SECRET_CHARS]
    report = ScanReport(known_keys=len(secrets))
    search = _Search(secrets)
    if toolkit.settings.store_path.exists() or toolkit.settings.journal_path.exists():
        _scan_rows(toolkit.store, toolkit.settings, search, report)
    for path in _files((toolkit.settings.home, *paths)):
        _scan_file(path, search, report)
    return report


class _Search:
    """Known keys in every form, and shapes of keys, as compiled patterns over bytes."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        forms = sorted(
            {form for s in secrets for form in _forms(s.reveal())}, key=len, reverse=True
        )
        known = b"|".join(re.escape(form) for form in forms)
        self._known = re.compile(known) if forms else None
        self._shapes = [
            (name, re.compile(pattern.pattern.encode(), pattern.flags & re.IGNORECASE))
            for name, pattern in KEY_PATTERNS
        ]

    def __call__(self, content: Content) -> Iterator[tuple[int, str]]:
        """Offsets and what stands there; a known key is not told again as a shape."""
        told: list[tuple[int, int]] = []
        for match in self._known.finditer(content) if self._known else ():
            told.append(match.span())
            yield match.start(), "known key"
        for name, pattern in self._shapes:
            for match in pattern.finditer(content):
                begin, end = match.span()
                if any(begin < b and a < end for a, b in told) or _PLACEHOLDER.match(match[0]):
                    continue
                told.append((begin, end))
                yield begin, f"shape of a key ({name})"


def _forms(value: str) -> set[bytes]:
    """Every form of a key: as `secret.encodings` writes it, inside base64, and in UTF-16."""
    raw = value.encode("utf-8", "surrogatepass")
    forms = {form.encode("utf-8", "surrogatepass") for form in encodings(value)}
    forms.add(value.encode("utf-16-le", "surrogatepass"))
    # JSON of writers that leave letters beyond ASCII as they are.
    forms.add(json.dumps(value, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass"))
    # Base64 of a longer text (`user:key`): what the key's own bytes alone decide, at each of the
    # three places where it can begin within a group.
    for lead in range(3):
        whole = base64.b64encode(bytes(lead) + raw).rstrip(b"=")
        first = -(-lead * 8 // 6)
        last = (lead + len(raw)) * 8 // 6
        core = whole[first:last]
        forms |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in forms if len(form) >= _MIN_SECRET_CHARS}


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            hidden = _SKIPPED_FOLDERS & set(file.relative_to(path).parts[:-1])
            if file.is_file() and not hidden and file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _scan_file(path: Path, search: _Search, report: ScanReport) -> None:
    try:
        report.size_bytes += path.stat().st_size
        for content in _contents(path):
            report.findings += [
                Finding(path=str(path), offset=offset, place=None, what=what)
                for offset, what in search(content)
            ]
        report.files += 1
    except (OSError, EOFError, ValueError) as error:
        report.unread.append(f"{path}: {error}")


def _contents(path: Path) -> Iterator[Content]:
    """The file as it lies on the disk, and unpacked where it is packed."""
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        yield whole
    if path.suffix == ".gz":
        yield gzip.decompress(path.read_bytes())
    elif path.suffix == ".parquet":
        import pandas as pd

        yield _as_text(pd.read_parquet(path).to_dict("records"))


def _scan_rows(store: Store, settings: Settings, search: _Search, report: ScanReport) -> None:
    """The store packs its columns: its rows are read as rows, what waits in the journal too."""
    from toolkit.store.tables import TABLES

    with store.reading() as reader:
        for table in TABLES:
            for begin in range(0, 2**62, _BATCH_ROWS):
                sql = f'SELECT * FROM "{table}" LIMIT {_BATCH_ROWS} OFFSET {begin}'  # noqa: S608 - the house's own table names
                rows = reader.rows(sql)
                for row in rows:
                    found = {what for _, what in search(_as_text(row))}
                    place = f"{table} {next(iter(row.values()))}"
                    report.findings += [
                        Finding(path=str(settings.store_path), offset=None, place=place, what=what)
                        for what in sorted(found)
                    ]
                report.rows += len(rows)
                if len(rows) < _BATCH_ROWS:
                    break


def _as_text(value: Any) -> bytes:
    """Values as JSON; `_forms` knows how a key is written in it."""
    return json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "surrogatepass")
