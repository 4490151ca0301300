"""The store of a home whose records go into a DuckLake that many hosts share."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from toolkit.errors import StoreError, StoreLocked
from toolkit.settings import Settings
from toolkit.store import rollup, staging
from toolkit.store.backends.lake import MAINTENANCE_LOCK, WRITE_LOCK, Lake
from toolkit.store.fair_lock import FairFileLock
from toolkit.store.ingest import PREFIX, IngestReport, move_loaded, read_mark
from toolkit.store.journal import Journal
from toolkit.store.migrate import OnStep
from toolkit.store.reader import LockedDownReader, Reader, bound_functions, reading
from toolkit.store.store_info import Check, StoreInfo, read_info, verify

_BATCH_ROWS: Final = 5_000
_BATCH_BYTES: Final = 8 * 1024 * 1024
# A commit of many hosts waits for its turn; the journal holds the records meanwhile.
_COMMIT_WAIT_S: Final = 60.0
_TRIES: Final = 6
_RETRY_S: Final = (0.05, 0.5)
_RETRIED: Final = frozenset({"conflict", "away", "duckdb"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceReport:
    """What one run of the maintenance did.

    Attributes:
        flushed: tables whose rows were written from PostgreSQL to files.
        merged: files that were written in place of several small ones.
        expired: old snapshots that can no longer be read.
        deleted: files that no snapshot needs any more.
        duration_ms: the whole run.
    """

    flushed: int
    merged: int
    expired: int
    deleted: int
    duration_ms: float


class LakeBackend:
    """A DuckLake with its catalog in PostgreSQL.

    Args:
        settings: names it.
        journal: the journal of this home for it.
        on_step: called with the name of each step of ingesting.
    """

    def __init__(self, settings: Settings, journal: Journal, on_step: OnStep) -> None:
        self._settings = settings
        self._journal = journal
        self._on_step = on_step
        self._lake = Lake(settings)
        self._locked_down = Lake(settings, is_locked_down=True)
        self._turns = FairFileLock(
            journal.path.with_name(f"{journal.path.name}.queue"), f"the journal {journal.path}"
        )

    def ingest(self, wait_s: float | None = None) -> IngestReport:
        """Commit what the journal holds, in batches, each with its mark.

        A commit whose outcome is not known is tried again; the mark says whether it was made.

        Raises:
            StoreLocked: another process of this home moves the journal, or the lake was busy.
            StoreError: the lake cannot be used; the journal keeps the rows.
        """
        began, last = time.perf_counter(), self._journal.last()
        if last == 0:
            return IngestReport(rows={})
        wait_s = self._settings.lock_wait_s if wait_s is None else wait_s
        rows: Counter[str] = Counter()
        with self._turns.turn("w", wait_s):
            self._retried(lambda: self._move(last, rows))
        return IngestReport(
            entries=sum(rows.values()),
            rows=dict(rows),
            duration_ms=(time.perf_counter() - began) * 1000,
        )

    def _retried(self, work: Callable[[], None]) -> None:
        for number in range(1, _TRIES + 1):
            try:
                work()
            except StoreError as error:
                if error.cause not in _RETRIED or number == _TRIES:
                    raise
                self._lake.forget()
                time.sleep(random.uniform(*_RETRY_S) * number)  # noqa: S311 - spreads the tries
            else:
                return

    def _move(self, last: int, rows: Counter[str]) -> None:
        journal_id = self._journal.identity()
        if journal_id is None:
            return
        with (
            self._lake.holding(WRITE_LOCK, _COMMIT_WAIT_S),
            self._lake.connected() as connection,
        ):
            structures = staging.read_structures(connection, "ledger")
            mark = read_mark(connection, journal_id, "ledger.main")
            self._journal.report_database_loss(mark)
            while entries := self._journal.read(
                after=mark, upto=last, limit=_BATCH_ROWS, limit_bytes=_BATCH_BYTES
            ):
                load = partial(staging.load, connection, entries, structures, PREFIX)
                mark = entries[-1].number
                moved = move_loaded(
                    connection, load, journal_id, mark, self._on_step, is_additive=True
                )
                rows.update(moved)
                self._journal.quarantine()
                self._journal.drop(mark)
            self._journal.drop(mark)

    @contextmanager
    def reading(self, wait_s: float | None = None) -> Iterator[Reader]:
        """Open one snapshot with the journal laid over it."""
        with ExitStack() as stack:
            try:
                reader = stack.enter_context(reading(self._journal, self._lake, wait_s))
            except StoreError as error:
                if error.cause not in _RETRIED:
                    raise
                self._lake.forget()  # PostgreSQL was started again, or is away
                reader = stack.enter_context(reading(self._journal, self._lake, wait_s))
            yield reader

    @contextmanager
    def reading_locked_down(self) -> Iterator[LockedDownReader]:
        """The lake alone, for a user's SQL, after the journal was moved."""
        self.ingest()
        with self._locked_down.connected() as connection:
            bound_functions(connection)
            yield LockedDownReader(connection)

    def read_info(self) -> StoreInfo:
        """The store in numbers; a lake that cannot be reached is the error in it."""
        return read_info(self._journal, Path(self._lake.name), self.reading, holder_pid=None)

    def verify(self) -> list[Check]:
        """Check the journal here and the tables of the lake."""
        return verify(self._journal, self._lake.reading)

    def delete_demo(self) -> int:
        """Delete rows with `source = 'demo'`."""
        self.ingest()
        with (
            self._lake.holding(WRITE_LOCK, _COMMIT_WAIT_S),
            self._lake.connected() as connection,
        ):
            found = connection.execute("DELETE FROM calls WHERE source = 'demo'").fetchone()
        return int(found[0]) if found else 0

    def back_up(self, path: Path) -> Path:
        """Refused: what a backup of a lake is, its two parts know better."""
        raise StoreError(
            "a DuckLake is backed up with its PostgreSQL database and its files",
            hint="Use pg_dump and a copy of the files, in this order; see docs/sharing.md.",
            cause="not_allowed",
        )

    def restore(self, path: Path) -> None:
        """Refused, for the same reason."""
        raise StoreError(
            "a DuckLake is restored with its PostgreSQL database and its files",
            hint="Use pg_restore and the copy of the files; see docs/sharing.md.",
            cause="not_allowed",
        )

    def maintain(self, keep_days: float) -> MaintenanceReport | None:
        """Flush, sum up, merge, expire and clean; None while another host does it.

        Args:
            keep_days: snapshots, and files that only they need, are kept so long.

        Raises:
            StoreError: the lake cannot be used.
        """
        began = time.perf_counter()
        try:
            with self._lake.holding(MAINTENANCE_LOCK, 0.0):
                counts = [self._run_step(step) for step in _steps(keep_days)]
                self._sum_up()
        except StoreLocked:
            return None
        flushed, merged, expired, deleted = counts
        return MaintenanceReport(
            flushed=flushed,
            merged=merged,
            expired=expired,
            deleted=deleted,
            duration_ms=(time.perf_counter() - began) * 1000,
        )

    def _run_step(self, sql: str) -> int:
        """One step, while no writer commits: a writer waits a moment, it does not fail."""
        with (
            self._lake.holding(WRITE_LOCK, _COMMIT_WAIT_S),
            self._lake.connected() as connection,
        ):
            return len(connection.execute(sql).fetchall())

    def _sum_up(self) -> None:
        """Replace the rows that writers have added to roll-ups and marks by their sums."""
        with (
            self._lake.holding(WRITE_LOCK, _COMMIT_WAIT_S),
            self._lake.connected() as connection,
        ):
            connection.execute("BEGIN")
            rollup.merge_all(connection)
            connection.execute(
                "CREATE OR REPLACE TEMP TABLE newest AS SELECT journal_id, "
                "max(high_water) AS high_water, max(moved_at) AS moved_at "
                "FROM journal_marks GROUP BY ALL"
            )
            connection.execute("DELETE FROM journal_marks")
            connection.execute("INSERT INTO journal_marks BY NAME SELECT * FROM newest")
            connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the lake."""
        self._lake.forget()
        self._locked_down.forget()


def _steps(keep_days: float) -> tuple[str, ...]:
    older = f"older_than => now() - INTERVAL '{keep_days * 86400:.0f} seconds'"
    return (
        "CALL ducklake_flush_inlined_data('ledger')",
        "CALL ducklake_merge_adjacent_files('ledger')",
        f"CALL ducklake_expire_snapshots('ledger', {older})",
        f"CALL ducklake_cleanup_old_files('ledger', {older})",
    )
