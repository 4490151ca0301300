"""A file of another tool, opened once: a SQLite database, JSON, JSON lines, CSV or an archive."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from toolkit.errors import InvalidInput

MAX_FILE_BYTES: Final = 2_000_000_000
_SQLITE_MAGIC: Final = b"SQLite format 3\x00"
_LONGEST_FIELD: Final = 100_000_000


class ForeignFile:
    """A file, and its content in the forms in which formats look for theirs.

    Raises:
        InvalidInput: it is missing, a folder or too large.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            what = f"{path} is a folder" if path.is_dir() else f"there is no file {path}"
            raise InvalidInput(what, hint="Check the path.")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidInput(f"{path.name} is larger than {MAX_FILE_BYTES:,} bytes")
        self.path = path

    @cached_property
    def tables(self) -> frozenset[str]:
        """Names of the tables of a SQLite database; empty for another file."""
        with self.path.open("rb") as file:
            if file.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:
                return frozenset()
        with self.reading() as connection:
            rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return frozenset(name for (name,) in rows)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that only reads.

        Raises:
            InvalidInput: the database is damaged or locked.
        """
        connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        except sqlite3.Error as error:
            raise InvalidInput(f"{self.path.name} cannot be read: {error}") from None
        finally:
            connection.close()

    @cached_property
    def document(self) -> Any:
        """The content of a JSON file; None where it is not one."""
        if self.path.suffix.lower() in (".csv", ".jsonl", ".eval", ".db") or self.tables:
            return None
        try:
            return json.loads(self.path.read_bytes())
        except (ValueError, RecursionError):
            return None

    @cached_property
    def rows(self) -> list[Any]:
        """The rows of a CSV file, of JSON lines, or of a JSON list; empty for another file.

        Raises:
            InvalidInput: the file cannot be read as what its name says.
        """
        kind = self.path.suffix.lower()
        try:
            if kind == ".csv":
                return self._read_csv()
            if kind == ".jsonl":
                lines = self.path.read_text("utf-8-sig").split("\n")
                return [json.loads(line) for line in lines if line.strip()]
        except (ValueError, RecursionError, csv.Error) as error:
            raise InvalidInput(f"{self.path.name} cannot be read: {error}") from None
        return self.document if isinstance(self.document, list) else []

    @property
    def first(self) -> Mapping[str, Any]:
        """The first row, whose fields show the format; empty where there is none."""
        return self.rows[0] if self.rows and isinstance(self.rows[0], Mapping) else {}

    def _read_csv(self) -> list[Any]:
        before = csv.field_size_limit(_LONGEST_FIELD)
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                return list(csv.DictReader(file, strict=True))
        finally:
            csv.field_size_limit(before)
