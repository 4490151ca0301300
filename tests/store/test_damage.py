"""Damage to real files is noticed: whatever was acknowledged is there, or is reported missing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from tests.preloaded import start_program
from tests.store.conftest import PREAMBLE
from tests.store.rows import call_row
from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store.store import Store

STORED, WAITING = 60, 90

# Ingests some rows, acknowledges more, and is killed while they all wait in the journal.
FILL = """
store = Store(settings)
store._publisher.notice = lambda count=1: None
stored, waiting = int(sys.argv[2]), int(sys.argv[3])
rows = [call_row(call_id=f"s{n:04d}", output_text="x" * 300) for n in range(stored)]
store.append_many("calls", rows)
store.ingest()
for n in range(waiting):
    store.append("calls", call_row(call_id=f"w{n:04d}", output_text="y" * 300))
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A home as a killed process leaves it."""
    home = tmp_path_factory.mktemp("base") / "home"
    process = start_program(PREAMBLE + FILL, str(home), str(STORED), str(WAITING))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process.stdin.close()
    return home


@pytest.fixture
def damaged(base, tmp_path):
    """Copy the home, damage one file of the copy, and open it."""
    opened = []

    def begin(name: str, damage) -> Store:
        home = tmp_path / f"home{len(opened)}"
        shutil.copytree(base, home)
        damage(home / name)
        store = Store(Settings(home=home, lock_wait_s=5))
        store._publisher.notice = lambda count=1: None
        opened.append(store)
        return store

    yield begin
    for store in opened:
        store.close()


def verdict(store: Store) -> str:
    """`intact`, `reported` or `silent`, after what a user would do: read, go on, look."""
    wanted = {f"s{n:04d}" for n in range(STORED)} | {f"w{n:04d}" for n in range(WAITING)}
    try:
        store.append("calls", call_row(call_id="new"))
        store.ingest()
        found = {row["call_id"] for row in store.rows("SELECT call_id FROM calls")}
        checks = store.verify()
    except StoreError:
        return "reported"
    missing = wanted - found
    assert "new" in found
    losses = [check for check in checks if not check.is_ok]
    if losses:
        reported = sum(loss.count for loss in store.losses())
        assert reported >= len(missing) or any(loss.last == 0 for loss in store.losses()), checks
        return "reported"
    return "silent" if missing else "intact"


def flip(chance: random.Random):
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)

    return damage


def cut(chance: random.Random):
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(chance.randrange(path.stat().st_size))

    return damage


def checkpointed(damage):
    """The same damage to a journal whose WAL was folded into it."""

    def begin(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damage(path)

    return begin


@pytest.mark.parametrize("how", [flip, cut])
@pytest.mark.parametrize("name", ["journal.sqlite-wal", "journal.sqlite", "toolkit.duckdb"])
def test_no_damage_is_silent(damaged, name, how):
    chance = random.Random(f"{name} {how.__name__}")
    seen = set()
    for _ in range(12):
        damage = how(chance)
        seen.add(
            verdict(damaged(name, checkpointed(damage) if name == "journal.sqlite" else damage))
        )
    assert "silent" not in seen
    assert name != "journal.sqlite-wal" or "reported" in seen


def test_a_cut_wal_is_reported_with_how_much_and_since_when(damaged, caplog):
    def halve(path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)

    store = damaged("journal.sqlite-wal", halve)
    store.append("calls", call_row(call_id="new"))
    (loss,) = store.losses()
    there = len(store.rows("SELECT 1 FROM calls WHERE call_id LIKE 'w%'"))
    assert 0 < there < WAITING
    assert loss.count == WAITING - there
    assert (loss.first, loss.last) == (STORED + there + 1, STORED + WAITING)
    assert loss.since is not None and loss.until is not None and loss.since <= loss.until
    assert f"{loss.count} records" in caplog.text
    (check,) = [check for check in store.verify() if not check.is_ok]
    assert check.name == "losses" and str(loss.count) in check.detail
    assert store.info().losses == [loss]
    store.ingest()
    new = store.rows("SELECT 1 FROM calls WHERE call_id = 'new'")
    assert len(new) == 1, "numbers of lost entries must not be given out again"
    assert store.forget_losses() == 1
    assert all(check.is_ok for check in store.verify())


def test_a_flipped_row_is_set_aside_and_the_rest_is_ingested(damaged):
    def spoil(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(
                "UPDATE entries SET row = replace(row, 'yyy', 'yzy') WHERE entry = ?", (STORED + 5,)
            )

    store = damaged("journal.sqlite", spoil)
    assert store.ingest().entries == WAITING - 1
    (loss,) = store.losses()
    assert (loss.first, loss.last, loss.count) == (STORED + 5, STORED + 5, 1)
    with closing(sqlite3.connect(store.settings.journal_path)) as connection:
        kept = connection.execute("SELECT entry, row FROM damaged").fetchall()
    assert len(kept) == 1 and "yzy" in kept[0][1]
    assert store.audit() == [loss]


@pytest.mark.parametrize("back", [1, 5, 8])
def test_an_entry_that_only_a_reader_misses_is_reported_before_more_is_dropped(damaged, back):
    """The header of a record is damaged: it still counts as an entry and cannot be read."""

    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[content.index(b'calls{"call_id":"w0050"') - back] ^= 2
        path.write_bytes(content)

    store = damaged("journal.sqlite", checkpointed(spoil))
    store.append("calls", call_row(call_id="new"))
    store.ingest()
    rows = {row["call_id"] for row in store.rows("SELECT call_id FROM calls WHERE call_id > 'n'")}
    assert "w0050" not in rows and len(rows) == STORED + WAITING
    (loss,) = store.losses()
    assert (loss.first, loss.last, loss.count) == (STORED + 51, STORED + 51, 1)


def test_a_removed_journal_is_reported(damaged):
    def remove(path: Path) -> None:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    store = damaged("journal.sqlite", remove)
    store.append("calls", call_row(call_id="new"))
    (loss,) = store.losses()
    assert loss.count == WAITING and "removed or replaced" in loss.reason
    store.ingest()
    assert len(store.rows("SELECT 1 FROM calls")) == STORED + 1


def test_a_removed_database_is_reported(damaged):
    store = damaged("toolkit.duckdb", Path.unlink)
    store.ingest()
    (loss,) = store.losses()
    assert loss.where == "database" and loss.count == STORED
    assert len(store.rows("SELECT 1 FROM calls")) == WAITING
    store.append("calls", call_row())
    store.ingest()
    assert store.losses() == [loss], "it is reported once"


def test_an_older_copy_of_the_database_is_reported(damaged, tmp_path):
    store = damaged("toolkit.duckdb", lambda path: shutil.copy2(path, tmp_path / "old"))
    store.ingest()
    shutil.copy2(tmp_path / "old", store.settings.store_path)
    store.append("calls", call_row())
    store.ingest()
    (loss,) = store.losses()
    assert loss.where == "database" and loss.count == WAITING


def test_a_lost_head_is_made_again(damaged):
    store = damaged("journal.sqlite.head", lambda path: path.write_bytes(b"\0" * 256))
    (check,) = [check for check in store.verify() if not check.is_ok]
    assert "losses cannot be noticed" in check.detail
    store.append("calls", call_row())
    assert all(check.is_ok for check in store.verify())
    store.ingest()
    assert len(store.rows("SELECT 1 FROM calls")) == STORED + WAITING + 1


def test_half_a_write_of_the_head_leaves_the_copy_before(damaged):
    def tear(path: Path) -> None:
        content = bytearray(path.read_bytes())
        newer = STORED + WAITING
        content[0 if newer % 2 == 0 else 128] ^= 0xFF
        content[0 if newer % 2 else 128] ^= 0
        path.write_bytes(content)

    store = damaged("journal.sqlite.head", tear)
    store.append("calls", call_row())
    assert store.losses() == []


def test_a_journal_that_is_no_longer_a_database_is_salvaged(damaged):
    def overwrite(path: Path) -> None:
        with path.open("r+b") as file:
            file.write(os.urandom(60))

    store = damaged("journal.sqlite", checkpointed(overwrite))
    store.append("calls", call_row(call_id="new"))
    store.ingest()
    rows = store.rows("SELECT call_id FROM calls")
    (loss,) = store.losses()
    assert loss.count == STORED + WAITING + 1 - len(rows)
    assert list(store.settings.home.glob("journal.sqlite.damaged-*"))


def test_a_journal_of_the_first_version_is_opened(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    row = '{"call_id":"old","request_id":"r","started_at":"2026-11-20T10:30:00+00:00"}'
    with closing(sqlite3.connect(home / "journal.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE journal (journal_id TEXT NOT NULL)")
        connection.execute(
            "CREATE TABLE entries (entry INTEGER PRIMARY KEY AUTOINCREMENT, "
            "target TEXT NOT NULL, row TEXT NOT NULL)"
        )
        connection.execute("INSERT INTO journal VALUES ('ab')")
        for _ in range(3):
            connection.execute("INSERT INTO entries (target, row) VALUES ('calls', ?)", (row,))
        connection.execute("PRAGMA user_version=1")
    store = Store(Settings(home=home))
    store._publisher.notice = lambda count=1: None
    assert store.rows("SELECT call_id FROM calls") == [{"call_id": "old"}]
    store.append("calls", call_row(call_id="new"))
    assert store.ingest().entries == 4
    assert store.losses() == []
    assert all(check.is_ok for check in store.verify())
    store.close()
    with duckdb.connect(str(home / "toolkit.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (2,)
