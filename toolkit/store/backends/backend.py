"""What a store does with its database: the same for a file, a server and DuckLake."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store.journal import Journal
from toolkit.store.migrate import OnStep

if TYPE_CHECKING:
    from toolkit.store.database import Database
    from toolkit.store.ingest import IngestReport
    from toolkit.store.reader import LockedDownReader, Reader
    from toolkit.store.store_info import Check, StoreInfo


class Backend(Protocol):
    """The database behind the journal of one home."""

    def ingest(self, wait_s: float | None = None) -> IngestReport:
        """Move what the journal holds into the database, exactly once by id."""

    def reading(self, wait_s: float | None = None) -> AbstractContextManager[Reader]:
        """A view for the toolkit's own queries, which includes what the journal holds."""

    def reading_locked_down(self) -> AbstractContextManager[LockedDownReader]:
        """A view for a user's SQL."""

    def read_info(self) -> StoreInfo:
        """The store in numbers."""

    def verify(self) -> list[Check]:
        """Run every check."""

    def delete_demo(self) -> int:
        """Delete the calls of the demo; returns how many there were."""

    def back_up(self, path: Path) -> Path:
        """Write a checked copy of the store to a DuckDB file."""

    def restore(self, path: Path) -> None:
        """Replace the database by a backup."""

    def close(self) -> None:
        """Let go of the database."""


class FileBackend:
    """One DuckDB file; see `database`.

    Args:
        journal: the journal in front of it.
        database: the file.
        reading: opens the view that counts rows for `read_info`.
        on_step: called with the name of each step of ingesting.
    """

    def __init__(
        self,
        journal: Journal,
        database: Database,
        reading: Callable[[], AbstractContextManager[Reader]],
        on_step: OnStep,
    ) -> None:
        self._journal = journal
        self._database = database
        self._reading = reading
        self._on_step = on_step

    def ingest(self, wait_s: float | None = None) -> IngestReport:
        """Move batches while this process has the file alone."""
        from toolkit.store.ingest import ingest

        return ingest(self._journal, self._database, self._on_step, wait_s)

    def reading(self, wait_s: float | None = None) -> AbstractContextManager[Reader]:
        """Open the file, or a copy of it, with the journal laid over it."""
        from toolkit.store.reader import reading

        return reading(self._journal, self._database, wait_s)

    def reading_locked_down(self) -> AbstractContextManager[LockedDownReader]:
        """The same without access to files, network and settings."""
        from toolkit.store.reader import reading_locked_down

        return reading_locked_down(self._journal, self._database)

    def read_info(self) -> StoreInfo:
        """Paths, sizes, rows by table, what waits in the journal, who holds the file."""
        from toolkit.store.store_info import read_info

        database = self._database
        return read_info(
            self._journal, database.path, self._reading, holder_pid=database.turns.holder()
        )

    def verify(self) -> list[Check]:
        """Check the journal and the file."""
        from toolkit.store.store_info import verify

        return verify(self._journal, self._database.reading)

    def delete_demo(self) -> int:
        """Delete rows with `source = 'demo'`."""
        self.ingest()
        with self._database.writing() as connection:
            found = connection.execute("DELETE FROM calls WHERE source = 'demo'").fetchone()
        return int(found[0]) if found else 0

    def back_up(self, path: Path) -> Path:
        """Copy the file, journal included, and compare."""
        from toolkit.store.backup import back_up

        return back_up(self._database, self._journal, path)

    def restore(self, path: Path) -> None:
        """Replace the file by a backup; the present one is kept as `.bak`."""
        from toolkit.store.backup import restore

        restore(self._database, self._journal, path)

    def close(self) -> None:
        """Stop the reading engine."""
        self._database.close()


def open_shared(settings: Settings, journal: Journal, on_step: OnStep) -> Backend:
    """The shared database that `settings.store` names; opening it touches nothing.

    Raises:
        StoreError: the URL is of no known form, or an extension is missing.
    """
    if settings.store.startswith("quack:"):
        from toolkit.store.backends.quack_backend import QuackBackend

        return QuackBackend(settings, journal)
    if settings.store.startswith("ducklake:postgres:"):
        from toolkit.store.backends.lake_backend import LakeBackend

        return LakeBackend(settings, journal, on_step)
    raise StoreError(
        f"store URLs that begin with {settings.store.split(':')[0]}: are not supported",
        hint=SUPPORTED,
    )


SUPPORTED: Final = (
    "Use the path of a DuckDB file, quack:HOST:PORT or ducklake:postgres:..., or leave "
    "TOOLKIT_STORE empty; see docs/sharing.md."
)
"""The forms of a store URL, for the hint of an error."""
