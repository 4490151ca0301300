"""Eight writing processes on each kind of store, whatever goes wrong: none lost, none doubled.

A writer reports each record after it was acknowledged. In the end the journals are moved, and the
database must hold every acknowledged record once, in the tables and in the roll-ups.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest

from tests.preloaded import Program, start_program
from tests.store.shared_stores import (
    PATIENCE_S,
    LakeService,
    QuackService,
    find_postgres,
    wait_until,
)
from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store.store import Store

WRITERS = 8
ROWS = 60
CHUNK = 20

WRITER = """
import sys
from contextlib import suppress
from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store.store import Store
from tests.store.rows import call_row
name, rows, chunk = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = Store(Settings())
store._publisher.notice = lambda count=1: None
for first in range(0, rows, chunk):
    numbers = range(first, first + chunk)
    store.append_many("calls", [call_row(origin=name, input_tokens=n) for n in numbers])
    print(first + chunk, flush=True)
    with suppress(StoreError):
        store.ingest()
store.close()
"""

# A process that dies in the middle of a transaction over the file.
HOLDER = """
import time
from toolkit.settings import Settings
from toolkit.store.store import Store
with Store(Settings(lock_wait_s=60))._database.writing() as connection:
    connection.execute("BEGIN")
    connection.execute("DELETE FROM calls")
    print("holds", flush=True)
    time.sleep(600)
"""


class Kind(Protocol):
    """A kind of store in the matrix."""

    def settings(self, name: str) -> Settings:
        """The settings of the home in which a writer runs."""

    def kill_server(self) -> None:
        """Kill what holds the database, and start it again."""

    def maintain(self, store: Store) -> None:
        """Do what keeps the store in order."""


class FileKind:
    """All writers in one home."""

    def __init__(self, folder: Path) -> None:
        self._home = folder / "home"

    def settings(self, name: str) -> Settings:
        return Settings(home=self._home)

    def kill_server(self) -> None:
        holder = start_program(HOLDER, env={**os.environ, "TOOLKIT_HOME": str(self._home)})
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
        holder.communicate()

    def maintain(self, store: Store) -> None:
        store.backup(self._home / "backups" / "during.duckdb")


class QuackKind:
    """A home for each writer, one server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.service = QuackService(folder / "server")
        self.service.home.mkdir(exist_ok=True)
        self.service.start()

    def settings(self, name: str) -> Settings:
        return self.service.settings(self._folder / name)

    def kill_server(self) -> None:
        self.service.kill()
        self.service.start()

    def maintain(self, store: Store) -> None:
        own = Store(Settings(home=self.service.home))
        own.backup(self._folder / "backups" / "during.duckdb")
        own.close()


class LakeKind:
    """A home for each writer, one PostgreSQL, files in one folder."""

    def __init__(self, folder: Path, service: LakeService) -> None:
        self._folder = folder
        self._service = service
        database = f"m{os.getpid()}_{abs(hash(str(folder)))}"
        self._url = service.new_database(database)

    def settings(self, name: str) -> Settings:
        files = str(self._folder / "files")
        return self._service.settings(self._folder / name, store=self._url, store_files=files)

    def kill_server(self) -> None:
        self._service.kill()
        self._service.start()

    def maintain(self, store: Store) -> None:
        store.maintain(keep_days=0)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeService]:
    service = LakeService(tmp_path_factory.mktemp("files"))
    try:
        service.create()
        yield service
    finally:
        service.remove()


@pytest.fixture(params=["file", "server", "lake"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    if request.param == "file":
        yield FileKind(tmp_path)
        return
    pytest.importorskip("duckdb_extension_quack", reason="the extra `shared` is not installed")
    if request.param == "server":
        server = QuackKind(tmp_path)
        yield server
        server.service.stop()
        return
    if find_postgres() is None:
        pytest.skip("PostgreSQL's initdb is not installed")
    yield LakeKind(tmp_path, request.getfixturevalue("postgres"))


class Writers:
    """Eight processes that write, and what each has acknowledged."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.acknowledged: dict[str, int] = {}
        self._running: dict[str, Program] = {}
        for number in range(WRITERS):
            name = f"w{number}"
            settings = kind.settings(name)
            own = {
                "TOOLKIT_HOME": str(settings.home),
                "TOOLKIT_STORE": settings.store,
                "TOOLKIT_STORE_FILES": settings.store_files,
                "TOOLKIT_STORE_TOKEN": settings.store_token.get_secret_value(),
            }
            self._running[name] = start_program(
                WRITER, name, str(ROWS), str(CHUNK), env={**os.environ, **own}
            )
        for name in self._running:
            self.read_one(name)

    def read_one(self, name: str) -> None:
        """Wait for the next acknowledgement of a writer."""
        output = self._running[name].stdout
        assert output is not None
        self.acknowledged[name] = int(output.readline())

    def kill(self, name: str) -> None:
        self._running[name].kill()

    def finish(self) -> None:
        """Wait until all have ended, and read what they have acknowledged."""
        for name, process in self._running.items():
            out, err = process.communicate(timeout=4 * PATIENCE_S)
            print(err)  # shown where the test fails
            numbers = [int(line) for line in out.split() if line.isdigit()]
            self.acknowledged[name] = max([self.acknowledged[name], *numbers])

    def require_all_once(self) -> None:
        """Move what waits and compare the database with what was acknowledged."""
        for name in self._running:
            store = Store(self._kind.settings(name))
            wait_until(lambda store=store: _is_moved(store), f"{name} could not be moved")
            rows = store.rows(
                "SELECT origin, count(*) AS n, count(DISTINCT input_tokens) AS different, "
                "(SELECT sum(calls)::INT FROM rollup_hourly r WHERE r.origin = c.origin) AS rolled "
                "FROM calls c GROUP BY origin"
            )
            store.close()
        found = {row["origin"]: row for row in rows}
        assert set(found) == set(self.acknowledged)
        for name, acknowledged in self.acknowledged.items():
            row = found[name]
            assert row["n"] == row["different"] == row["rolled"], row
            assert acknowledged <= row["n"] <= acknowledged + CHUNK, (row, acknowledged)


def _is_moved(store: Store) -> bool:
    with suppress(StoreError):
        store.ingest()
    return store._journal.count() == 0


def _watch(kind: Kind) -> None:
    """Read like a dashboard: what was once seen stays."""
    store, seen = Store(kind.settings("w0")), 0
    for _ in range(5):
        (row,) = store.rows("SELECT count(*) AS n FROM calls WHERE status = 'ok'")
        assert row["n"] >= seen
        seen = row["n"]
        store.frame("SELECT hour_at, sum(calls) FROM rollup_hourly GROUP BY ALL ORDER BY 1")
    store.close()


def _maintain(kind: Kind) -> None:
    store = Store(kind.settings("w1"))
    kind.maintain(store)
    store.close()


MEANWHILE: dict[str, Callable[[Kind, Writers], object]] = {
    "nothing": lambda kind, writers: None,
    "killed writers": lambda kind, writers: [writers.kill(f"w{n}") for n in (1, 4, 6)],
    "killed server": lambda kind, writers: kind.kill_server(),
    "maintenance": lambda kind, writers: _maintain(kind),
    "dashboard": lambda kind, writers: _watch(kind),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_eight_writers_lose_and_double_nothing(kind: Kind, meanwhile: str) -> None:
    writers = Writers(kind)
    MEANWHILE[meanwhile](kind, writers)
    writers.finish()
    writers.require_all_once()
