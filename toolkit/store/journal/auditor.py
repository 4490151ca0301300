"""Comparing a journal with what was acknowledged, and the log of what is missing.

`toolkit store verify` and `info` show the log until the user acknowledges it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from toolkit.errors import ToolkitError
from toolkit.files import locked, write_atomic
from toolkit.store.journal.head import JournalHead
from toolkit.store.journal.journal_format import first_of, now_us

_LOG_WAIT_S: Final = 5.0
_MAX_LOSSES: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Acknowledged records that are gone.

    Attributes:
        where: `journal` or `database`.
        journal_id: the journal whose numbers these are.
        first, last: the first and the last lost number.
        count: how many records that is.
        since: when the last record before them was acknowledged, UTC, as far as known.
        until: when the last of them was acknowledged, UTC, as far as known.
        noticed_at: when the loss was noticed, UTC.
        reason: what was found.
    """

    where: str
    journal_id: str
    first: int
    last: int
    count: int
    since: str | None = None
    until: str | None = None
    noticed_at: str
    reason: str

    def __str__(self) -> str:
        span = f"acknowledged after {self.since}" if self.since else "acknowledged"
        span += f", until {self.until}" if self.until else ""
        return (
            f"{self.count:,} records (numbers {self.first} to {self.last}, {span}) are missing: "
            f"{self.reason} (noticed {self.noticed_at})"
        )


class LossLog:
    """The losses of one home folder that were not acknowledged yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Loss]:
        """Return all losses, oldest first; a log that cannot be read is a loss of its own."""
        try:
            return [Loss(**entry) for entry in json.loads(self.path.read_text("utf-8"))]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError):
            reason = f"the log of losses {self.path} is damaged"
            return [new_loss("journal", "", 0, 0, reason=reason)]

    def add(self, loss: Loss) -> bool:
        """Add a loss; False where these numbers are in the log already.

        Raises:
            OSError, FileLocked: the log cannot be written.
        """
        with locked(self.path, _LOG_WAIT_S):
            known = self.read()
            if any(_covers(entry, loss) for entry in known):
                return False
            content = [asdict(entry) for entry in (*known, loss)][-_MAX_LOSSES:]
            write_atomic(self.path, json.dumps(content, indent=1))
            return True

    def clear(self) -> int:
        """Forget all losses; returns how many there were.

        Raises:
            OSError, FileLocked: the log cannot be written.
        """
        with locked(self.path, _LOG_WAIT_S):
            known = self.read()
            self.path.unlink(missing_ok=True)
            return len(known)


def new_loss(  # noqa: PLR0913 - the fields of a loss
    where: str,
    journal_id: str,
    first: int,
    last: int,
    *,
    reason: str,
    count: int | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
) -> Loss:
    """Describe a loss that was noticed now."""
    return Loss(
        where=where,
        journal_id=journal_id,
        first=first,
        last=last,
        count=last - first + 1 if count is None else count,
        since=_moment(since_us),
        until=_moment(until_us),
        noticed_at=_moment(time.time_ns() // 1000) or "",
        reason=reason,
    )


def _covers(known: Loss, new: Loss) -> bool:
    same = known.where == new.where and known.journal_id == new.journal_id
    return same and known.first <= new.first and new.last <= known.last


def _moment(microseconds: int | None) -> str | None:
    if not microseconds:
        return None
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="seconds")


_log = logging.getLogger("toolkit.store")


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the journal holds: entries above `dropped` up to `last`, `present` of them."""

    dropped: int
    last: int
    present: int


class Auditor:
    """Compares one journal with its head.

    Args:
        path: the journal, for messages.
        head: what was acknowledged.
        losses: where losses are recorded.
    """

    def __init__(self, path: Path, head: JournalHead, losses: LossLog) -> None:
        self.path = path
        self._head = head
        self._losses = losses

    def audit(self, connection: sqlite3.Connection, journal_id: str) -> None:
        """Compare what is here with the head, report what is missing, and bring the head up."""
        # In this order: an entry is committed before the head counts it.
        head = self._head.read()
        numbers = self._numbers(connection, head.dropped if head else None)
        if head is None:
            if self._head.is_damaged:
                _log.warning("%s is damaged and was made again", self._head.path)
            self._head.drop(journal_id, numbers.dropped)
            self._head.advance(journal_id, numbers.last, now_us())
            return
        if head.journal_id != journal_id:
            if head.last > head.dropped:
                reason = f"the journal they were in was removed or replaced ({self.path})"
                span = (head.dropped + 1, head.last)
                self.add(
                    new_loss(
                        "journal", head.journal_id, *span, reason=reason, until_us=head.acked_us
                    )
                )
            self._head.drop(journal_id, numbers.dropped)
            return
        self._report_missing(
            connection, journal_id, head.dropped, max(head.last, numbers.last), head.acked_us
        )
        self._head.advance(journal_id, numbers.last, now_us())
        if numbers.last < head.last:
            # Numbers of lost entries are not given out again: the loss would no longer show.
            connection.execute("DELETE FROM sqlite_sequence WHERE name = 'entries'")
            connection.execute("INSERT INTO sqlite_sequence VALUES ('entries', ?)", (head.last,))

    def report_database_loss(self, mark: int) -> bool:
        """Record that the database lacks entries that it had; False where nothing is missing.

        Args:
            mark: the last entry of this journal that the database has.
        """
        head = self._head.read()
        if head is None or head.dropped <= mark:
            return False
        reason = "the database file was removed, replaced by an older one, or damaged"
        self.add(new_loss("database", head.journal_id, mark + 1, head.dropped, reason=reason))
        return True

    def report(
        self,
        journal_id: str,
        first: int,
        last: int,
        reason: str,
        since_us: int | None = None,
        until_us: int | None = None,
    ) -> None:
        """Record that the journal lacks the entries from `first` to `last`."""
        self.add(
            new_loss(
                "journal",
                journal_id,
                first,
                last,
                reason=reason,
                since_us=since_us,
                until_us=until_us,
            )
        )

    def add(self, loss: Loss) -> None:
        """Record a loss and warn of it, unless it is known already."""
        try:
            if not self._losses.add(loss):
                return
        except (OSError, ToolkitError) as error:
            _log.warning("%s could not be written: %s", self._losses.path, error)
        _log.warning("Records were lost: %s. Run `toolkit store verify`.", loss)

    def _numbers(self, connection: sqlite3.Connection, dropped: int | None) -> Numbers:
        first, newest, present = connection.execute(
            "SELECT min(entry), max(entry), count(*) FROM entries"
        ).fetchone()
        given = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'")
        last = max(newest or 0, first_of(given.fetchone()) or 0)
        if dropped is None:
            dropped = first - 1 if first else last
        return Numbers(dropped, last, present)

    def _report_missing(
        self,
        connection: sqlite3.Connection,
        journal_id: str,
        dropped: int,
        last: int,
        acked_us: int,
    ) -> None:
        span = {"dropped": dropped, "last": last}
        # Distinct numbers: a damaged page can list one entry twice in place of another.
        present = connection.execute(
            "SELECT count(DISTINCT entry) FROM ("
            "SELECT entry FROM entries WHERE entry > :dropped AND entry <= :last UNION ALL "
            "SELECT entry FROM damaged WHERE entry > :dropped AND entry <= :last)",
            span,
        ).fetchone()[0]
        if present == last - dropped:
            return
        found = connection.execute(
            "SELECT entry, acked_us FROM entries WHERE entry > :dropped AND entry <= :last "
            "UNION SELECT entry, NULL FROM damaged WHERE entry > :dropped AND entry <= :last "
            "ORDER BY entry",
            span,
        ).fetchall()
        before, before_us = dropped, None
        for number, at_us in [*found, (last + 1, acked_us)]:
            # Another process may have dropped entries meanwhile: those are in the database.
            now = self._head.read()
            first = max(before + 1, now.dropped + 1 if now else 0)
            if number > first:
                self.report(
                    journal_id,
                    first,
                    number - 1,
                    f"the journal {self.path} or its WAL was damaged or cut",
                    before_us,
                    at_us,
                )
            before, before_us = number, at_us
