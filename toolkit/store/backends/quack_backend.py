"""The store of a home whose records go to the server of a shared database.

The journal stays in the home. A batch is one row of the server's table `shared.incoming`; the
server moves it into its tables in one transaction with the journal's mark, and only when this mark
is read back do the entries leave the journal. A batch that is sent twice, because the server or
this process died in between, is recognized by the mark.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from toolkit.errors import StoreError, StoreLocked
from toolkit.settings import Settings
from toolkit.store.backends.address import QuackAddress, find_token
from toolkit.store.backends.quack_client import QuackClient, engine
from toolkit.store.fair_lock import FairFileLock
from toolkit.store.ingest import IngestReport
from toolkit.store.journal import Journal
from toolkit.store.reader import LockedDownReader, Reader, too_slow
from toolkit.store.store_info import Check, StoreInfo, read_info, verify
from toolkit.store.user_sql.query_growth import GrowingQueryError

if TYPE_CHECKING:
    import duckdb

_BATCH_ROWS: Final = 5_000
_BATCH_BYTES: Final = 4 * 1024 * 1024
# How long a batch may take on a busy server before this home says that it waits.
_CONFIRM_S: Final = 30.0
_POLL_S: Final = (0.01, 0.02, 0.05, 0.1)


class QuackBackend:
    """A server at `quack:HOST:PORT`.

    Args:
        settings: names the server and its token.
        journal: the journal of this home for that server.
    """

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self._settings = settings
        self._journal = journal
        self._address = QuackAddress.parse(settings.store)
        self._turns = FairFileLock(
            journal.path.with_name(f"{journal.path.name}.queue"), f"the journal {journal.path}"
        )

    @cached_property
    def _client(self) -> QuackClient:
        return QuackClient(self._address, find_token(self._settings))

    def ingest(self, wait_s: float | None = None) -> IngestReport:
        """Send what the journal holds, and wait until the server has moved it.

        Raises:
            StoreLocked: another process of this home is sending, or the server is too busy.
            StoreError: the server cannot be used; the journal keeps the rows.
        """
        began, last = time.perf_counter(), self._journal.last()
        if last == 0:
            return IngestReport(rows={})
        wait_s = self._settings.lock_wait_s if wait_s is None else wait_s
        client = self._client
        with self._turns.turn("w", wait_s):
            journal_id = self._journal.identity()
            if journal_id is None:
                return IngestReport(rows={})
            mark = self._read_mark(client, journal_id)
            settled = self._journal.count() - self._journal.count(after=mark)
            self._journal.report_database_loss(mark)
            rows = self._send(client, journal_id, mark, last)
        return IngestReport(
            entries=sum(rows.values()),
            rows=dict(rows),
            settled=settled,
            duration_ms=(time.perf_counter() - began) * 1000,
        )

    def _send(self, client: QuackClient, journal_id: str, mark: int, last: int) -> Counter[str]:
        rows: Counter[str] = Counter()
        while entries := self._journal.read(
            after=mark, upto=last, limit=_BATCH_ROWS, limit_bytes=_BATCH_BYTES
        ):
            client.send(str(uuid7()), journal_id, entries)
            mark = entries[-1].number
            self._wait_for(client, journal_id, mark)
            rows.update(entry.target for entry in entries)
            self._journal.quarantine()
            self._journal.drop(mark)
        if not rows:  # what a process that died had sent and not dropped
            self._journal.drop(mark)
        return rows

    def _wait_for(self, client: QuackClient, journal_id: str, mark: int) -> None:
        deadline, tries = time.monotonic() + _CONFIRM_S, 0
        while self._read_mark(client, journal_id) < mark:
            if time.monotonic() >= deadline:
                raise StoreLocked(
                    f"the shared database {self._address.uri} did not take a batch within "
                    f"{_CONFIRM_S:.0f} s",
                    hint="The records stay in the journal and are sent again. Check the load of "
                    "the server and the messages of `toolkit store serve`.",
                )
            time.sleep(_POLL_S[min(tries, len(_POLL_S) - 1)])
            tries += 1

    @staticmethod
    def _read_mark(client: QuackClient, journal_id: str) -> int:
        found = client.run(
            "SELECT coalesce(max(high_water), 0) FROM journal_marks WHERE journal_id = ?",
            [journal_id],
        ).fetchone()
        return int(found[0]) if found else 0

    @contextmanager
    def reading(self, wait_s: float | None = None) -> Iterator[Reader]:
        """Send what waits, then query the server; each query sees its newest state."""
        self.ingest(wait_s)
        yield Reader(_local(), self._client.run)

    @contextmanager
    def reading_locked_down(self) -> Iterator[LockedDownReader]:
        """The same for a user's SQL; files and network are closed on the server."""
        self.ingest()

        def run(
            sql: str, values: Sequence[Any] | Mapping[str, Any], timeout_s: float
        ) -> duckdb.DuckDBPyConnection:
            return _within(timeout_s, lambda: self._client.run(sql, values))

        try:
            yield LockedDownReader(_local(), run)
        except GrowingQueryError as error:
            raise StoreError(
                f"{error} may take any amount of the memory of the server that you share",
                hint="Select the rows with plain functions, and do the last step on the frame.",
                cause="not_allowed",
            ) from None

    def read_info(self) -> StoreInfo:
        """The store in numbers; a server that does not answer is the error in it."""
        return read_info(self._journal, Path(self._address.uri), self.reading, holder_pid=None)

    def verify(self) -> list[Check]:
        """Check the journal here and the tables on the server."""

        @contextmanager
        def reading() -> Iterator[Any]:
            yield _Remote(self._client)

        return verify(self._journal, reading)

    def delete_demo(self) -> int:
        """Refused: a client cannot delete."""
        raise StoreError(
            "the calls of the demo cannot be removed from a shared database by a client",
            hint="Stop the server and remove them in its home.",
            cause="not_allowed",
        )

    def back_up(self, path: Path) -> Path:
        """Refused: the server's home has the file."""
        raise StoreError(
            "a shared database cannot be backed up from a client",
            hint="Run `toolkit store backup` in the home of the server.",
            cause="not_allowed",
        )

    def restore(self, path: Path) -> None:
        """Refused: a client cannot replace the tables of others."""
        raise StoreError(
            "a shared database cannot be replaced by a backup from a client",
            hint="Stop the server, restore in its home, and start it again.",
            cause="not_allowed",
        )

    def close(self) -> None:
        """Leave the server."""
        if "_client" in self.__dict__:
            self._client.close()


class _Remote:
    """The server as something that executes statements, for the checks."""

    def __init__(self, client: QuackClient) -> None:
        self._client = client

    def execute(self, sql: str, params: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        return self._client.run(sql, params)


def _local() -> duckdb.DuckDBPyConnection:
    """An engine of this process, for parsing; statements run on the server."""
    return engine().cursor()


def _within(
    timeout_s: float, run: Callable[[], duckdb.DuckDBPyConnection]
) -> duckdb.DuckDBPyConnection:
    """Wait at most `timeout_s` seconds for a server, which cannot be interrupted.

    Raises:
        StoreError: it took too long.
    """
    answer: Future[duckdb.DuckDBPyConnection] = Future()

    def work() -> None:
        try:
            answer.set_result(run())
        except Exception as error:  # noqa: BLE001 - raised by the thread that waits
            answer.set_exception(error)

    threading.Thread(target=work, name="toolkit-shared-query", daemon=True).start()
    try:
        return answer.result(timeout_s)
    except TimeoutError:
        raise too_slow() from None
