"""What a failure of the journal means, and what to do about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from toolkit.errors import StoreCorrupt, StoreError, StoreLocked, StoreTooNew

BUSY_S: Final = 5.0
# A short read is a file that was cut; an I/O error of the disk has other names.
_DAMAGE: Final = (
    "SQLITE_NOTADB",
    "SQLITE_CORRUPT",
    "SQLITE_IOERR_SHORT_READ",
    "SQLITE_IOERR_CORRUPTFS",
    "SQLITE_IOERR_DATA",
)


def too_new(path: Path) -> StoreTooNew:
    """The error for a journal of a newer format."""
    return StoreTooNew(
        f"the journal {path} was written by a newer version of the toolkit",
        hint="Update the toolkit; the file was left untouched.",
    )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raise a failure of the journal as an error that says what it means and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(error, path) from None
    except OSError as error:
        raise StoreError(
            f"the journal {path} cannot be used: {error.strerror or error}",
            hint="Check that the home folder exists, is writable and has free space "
            "(TOOLKIT_HOME names another one).",
        ) from None


def _explain(error: sqlite3.Error, path: Path) -> StoreError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_BUSY") or name.startswith("SQLITE_LOCKED"):
        return StoreLocked(
            f"the journal {path} was busy for {BUSY_S:.0f} s",
            hint="Another process keeps writing to it; try again.",
        )
    if name.startswith(_DAMAGE):
        return StoreCorrupt(
            f"the journal {path} is damaged: {error}",
            hint="It is set aside and a new one is made when the folder can be written. What was "
            "ingested before is safe; `toolkit store verify` shows what is missing.",
        )
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return StoreError(
            f"the journal {path} could not be written: {error}",
            hint="The disk is probably full: free some space. The answer itself is not affected.",
            cause="disk",
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return StoreError(
            f"the journal {path} is not writable: {error}",
            hint="Make the home folder writable, or name another one by TOOLKIT_HOME.",
            cause="read_only",
        )
    return StoreError(f"the journal {path} failed: {error}")
