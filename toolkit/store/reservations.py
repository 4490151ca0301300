"""What requests in progress may cost, shared by all processes of a home folder.

A small SQLite file in WAL mode: every reservation and every charge since the database of calls
was last read. Amounts are whole units of 10^-12 USD, so sums are exact. A reservation stays until
it is settled; one of a process that was killed counts until its period ends, because its
request may have been billed.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Final

from toolkit.errors import StoreError
from toolkit.store.journal.journal_format import use_wal

_UNIT: Final = Decimal("1e-12")
_LARGEST: Final = 2**62
_BUSY_S: Final = 20.0
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS caps (
        cap TEXT NOT NULL, period TEXT NOT NULL, base INTEGER NOT NULL, until INTEGER NOT NULL,
        PRIMARY KEY (cap, period)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS reservations (
        request_id TEXT NOT NULL, cap TEXT NOT NULL, period TEXT NOT NULL,
        amount INTEGER NOT NULL, reserved_at INTEGER NOT NULL, pid INTEGER NOT NULL,
        PRIMARY KEY (cap, period, request_id)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS charges (
        cap TEXT NOT NULL, period TEXT NOT NULL, call_id TEXT NOT NULL, amount INTEGER NOT NULL,
        started_at INTEGER NOT NULL, is_assumed INTEGER NOT NULL,
        PRIMARY KEY (cap, period, call_id)) WITHOUT ROWID;
"""
_STATE: Final = """
    SELECT (SELECT base FROM caps WHERE cap = :cap AND period = :period),
           (SELECT coalesce(sum(amount), 0) FROM charges WHERE cap = :cap AND period = :period),
           (SELECT coalesce(sum(amount), 0) FROM reservations
            WHERE cap = :cap AND period = :period AND request_id <> :besides),
           (SELECT count(*) FROM reservations
            WHERE cap = :cap AND period = :period AND request_id <> :besides)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What one request asks of one cap."""

    cap: str
    period: str
    limit_usd: Decimal
    amount_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CapState:
    """What counts against a cap in a period.

    Attributes:
        spent_usd: what calls that are over have cost.
        reserved_usd: the most that the requests in progress may cost.
        requests: how many of those there are.
    """

    spent_usd: Decimal
    reserved_usd: Decimal
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """What one attempt has cost under one cap; assumed where the provider did not say."""

    cap: str
    period: str
    call_id: str
    started_at: datetime
    amount_usd: Decimal
    is_assumed: bool = False


class Reservations:
    """The reservations of one home folder; safe in threads, processes and after a fork.

    Args:
        path: the SQLite file; it is made when it is first needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened_by = 0

    def reserve(self, request_id: str, holds: Sequence[Hold]) -> tuple[Hold, CapState] | None:
        """Reserve under all caps or under none; this replaces what the request has reserved before.

        Returns:
            None; or the cap that has too little left, with its state.

        Raises:
            StoreError: the file cannot be written; nothing may be sent then.
        """
        with self._writing() as connection:
            for hold in holds:
                state = _state(connection, hold.cap, hold.period, besides=request_id)
                if state.spent_usd + state.reserved_usd + hold.amount_usd > hold.limit_usd:
                    return hold, state
            now = _micros(datetime.now(UTC))
            connection.executemany(
                "INSERT OR REPLACE INTO reservations VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (request_id, hold.cap, hold.period, _units(hold.amount_usd), now, os.getpid())
                    for hold in holds
                ],
            )
        return None

    def settle(self, request_id: str, caps: Sequence[str], charges: Sequence[Charged]) -> None:
        """Replace a request's reservations by what it has cost.

        Raises:
            StoreError: the file cannot be written; the reservation then stays.
        """
        with self._writing() as connection:
            connection.executemany(
                "DELETE FROM reservations WHERE request_id = ? AND cap = ?",
                [(request_id, cap) for cap in caps],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO charges VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(one.cap, one.period, one.call_id, _units(one.amount_usd)),
                        *(_micros(one.started_at), int(one.is_assumed)),
                    )
                    for one in charges
                ],
            )

    def read(self, cap: str, period: str) -> CapState:
        """Return what counts against a cap.

        Raises:
            StoreError: the file cannot be read.
        """
        with self._writing() as connection:
            return _state(connection, cap, period)

    def next_base(self, cap: str, period: str) -> datetime:
        """Return the moment before which every call of this cap is over and recorded.

        A call starts after its request was reserved and is recorded before it is settled, so
        nothing that is in progress can have started before the oldest reservation.
        """
        with self._writing() as connection:
            row = connection.execute(
                "SELECT min(reserved_at) FROM reservations WHERE cap = ? AND period = ?",
                (cap, period),
            ).fetchone()
        now = datetime.now(UTC)
        return now if row[0] is None else min(now, _moment(row[0]))

    def set_base(self, cap: str, period: str, spent_usd: Decimal, until: datetime) -> None:
        """Count the calls in the database before `until`, and forget the charges in it."""
        moment = _micros(until)
        with self._writing() as connection:
            row = connection.execute(
                "SELECT until FROM caps WHERE cap = ? AND period = ?", (cap, period)
            ).fetchone()
            if row is not None and row[0] >= moment:
                return  # another process has read further
            connection.execute(
                "INSERT OR REPLACE INTO caps VALUES (?, ?, ?, ?)",
                (cap, period, _units(spent_usd), moment),
            )
            connection.execute(
                "DELETE FROM charges WHERE cap = ? AND period = ? AND started_at < ?"
                " AND NOT is_assumed",
                (cap, period, moment),
            )

    def forget_before(self, periods: Mapping[str, str]) -> None:
        """Drop what belongs to earlier periods than the present one of each cap."""
        with self._writing() as connection:
            for table in ("caps", "reservations", "charges"):
                connection.executemany(
                    f"DELETE FROM {table} WHERE cap = ? AND period < ?",  # noqa: S608 - fixed names
                    list(periods.items()),
                )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None and self._opened_by == os.getpid():
                self._connection.close()
            self._connection = None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                connection = self._open()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:  # Ctrl+C must not leave the transaction open
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError) as error:
                raise StoreError(
                    f"the budget file {self._path.name} cannot be used: {error}",
                    hint="Free disk space or close the process that holds it. Without it no "
                    "budget can be kept, so nothing was sent.",
                ) from None

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._opened_by == os.getpid():
            return self._connection
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only where there is none: closing a file of its own would drop SQLite's locks on it.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        use_wal(connection, _BUSY_S)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        self._connection, self._opened_by = connection, os.getpid()
        return connection


def _state(connection: sqlite3.Connection, cap: str, period: str, *, besides: str = "") -> CapState:
    """What counts against a cap, without what the request `besides` has reserved."""
    base, charged, reserved, requests = connection.execute(
        _STATE, {"cap": cap, "period": period, "besides": besides}
    ).fetchone()
    return CapState(
        spent_usd=((base or 0) + charged) * _UNIT,
        reserved_usd=reserved * _UNIT,
        requests=requests,
    )


def _units(usd: Decimal) -> int:
    """Whole units of 10^-12 USD, rounded up: a cap may be kept too tightly, never too loosely."""
    units = int((usd / _UNIT).to_integral_value(rounding=ROUND_CEILING))
    return max(-_LARGEST, min(units, _LARGEST))


def _micros(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1_000_000, UTC)
