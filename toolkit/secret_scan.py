"""Proves that no key is where none may be: in the home folder, the store's rows, any given file.

Known keys are looked for in every written form (`SecretMatcher`), and besides whatever has the
shape of a key.
A finding names the file and the place, never the value.
"""

from __future__ import annotations

import gzip
import json
import mmap
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.errors import InvalidInput
from toolkit.secret import KEY_PATTERNS, Secret, SecretMatcher

if TYPE_CHECKING:
    from toolkit.settings import Settings
    from toolkit.store.store import Store
    from toolkit.toolkit import Toolkit

Content = bytes | mmap.mmap

# What other programs own; a repository's objects are compressed and its files stand beside them.
_SKIPPED_FOLDERS: Final = frozenset({".git", ".venv", "node_modules", "__pycache__", "models"})
_MIN_SECRET_CHARS: Final = 6
_BATCH_ROWS: Final = 20_000
_WINDOW_BYTES: Final = 16 * 1024 * 1024
_OVERLAP_BYTES: Final = 64 * 1024  # more than the longest form of any key
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
    """Known keys in every form, and shapes of keys."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._known = SecretMatcher((s.reveal() for s in secrets), min_chars=_MIN_SECRET_CHARS)
        self._shapes = [
            (name, re.compile(pattern.pattern.encode(), pattern.flags & re.IGNORECASE))
            for name, pattern in KEY_PATTERNS
        ]

    def __call__(self, content: Content) -> Iterator[tuple[int, str]]:
        """Offsets and what is there; a known key is not reported again as a shape."""
        seen: list[tuple[int, int]] = []
        for begin, end in self._known_spans(content):
            seen.append((begin, end))
            yield begin, "known key"
        for name, pattern in self._shapes:
            for match in pattern.finditer(content):
                begin, end = match.span()
                if any(begin < b and a < end for a, b in seen) or _PLACEHOLDER.match(match[0]):
                    continue
                seen.append((begin, end))
                yield begin, f"shape of a key ({name})"

    def _known_spans(self, content: Content) -> Iterator[tuple[int, int]]:
        """In windows that overlap: a file may be larger than the memory."""
        last_end = -1
        for start in range(0, len(content), _WINDOW_BYTES):
            window = bytes(content[start : start + _WINDOW_BYTES + _OVERLAP_BYTES])
            for begin, end in self._known.spans(window):
                if start + begin >= last_end and begin < _WINDOW_BYTES:
                    last_end = start + end
                    yield start + begin, last_end


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
                sql = f'SELECT * FROM "{table}" LIMIT {_BATCH_ROWS} OFFSET {begin}'  # noqa: S608 - the toolkit's own table names
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
    """Values as JSON; the matcher knows how a key is written in it."""
    return json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "surrogatepass")
