"""Reads answer while another process keeps the file, and never fail because of their own."""

from __future__ import annotations

import os
import threading

import pytest

from tests.store.rows import call_row
from toolkit.errors import StoreError, StoreLocked
from toolkit.store.store import Store

# Holds the database file as a database tool would, outside of the toolkit's queue.
KEEPS = """
import duckdb
connection = duckdb.connect(str(settings.store_path))
connection.execute("BEGIN")
connection.execute("INSERT INTO calls (call_id) VALUES ('not committed')")
print("ready", flush=True)
sys.stdin.readline()
"""

# Holds the toolkit's own lock, as a long move or migration does.
WRITES = """
store = Store(settings)
with store._database.writing() as connection:
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def store(settings):
    opened = Store(settings)
    opened._publisher.notice = lambda count=1: None
    yield opened
    opened.close()


@pytest.fixture
def filled(store):
    store.append_many("calls", [call_row(call_id=f"{n}") for n in range(3)])
    store.ingest()
    store.append("calls", call_row(call_id="waiting"))
    return store


def ids(store):
    return {row["call_id"] for row in store.rows("SELECT call_id FROM calls")}


@pytest.mark.parametrize("code", [KEEPS, WRITES])
def test_everything_is_read_while_another_process_keeps_the_file(start, settings, filled, code):
    filled.close()
    filled.ingest()
    filled.append("calls", call_row(call_id="later"))
    holder = start(code)
    assert holder.stdout.readline() == "ready\n", holder.stderr.read()
    wanted = {"0", "1", "2", "waiting", "later"}
    assert ids(filled) == wanted
    assert set(filled.user_frame("SELECT call_id FROM calls")["call_id"]) == wanted
    assert filled.rows("SELECT sum(calls) AS n FROM rollup_hourly") == [{"n": 5}]
    with pytest.raises(StoreLocked, match=str(holder.pid)):
        filled.ingest(wait_s=0.05)
    filled.append("calls", call_row(call_id="meanwhile"))
    assert ids(filled) == wanted | {"meanwhile"}
    holder.stdin.write("\n")
    holder.stdin.flush()
    holder.wait()
    filled.ingest()
    assert ids(filled) == wanted | {"meanwhile"}


def test_a_copy_is_taken_once_and_removed_at_the_end(start, settings, filled):
    filled.close()
    holder = start(KEEPS)
    assert holder.stdout.readline() == "ready\n"
    ids(filled)
    (copy,) = settings.home.glob("*.snapshot-*")
    assert copy.stat().st_mode & 0o077 == 0
    ids(filled)
    assert list(settings.home.glob("*.snapshot-*")) == [copy]
    filled.close()
    assert not list(settings.home.glob("*.snapshot-*"))


def test_a_copy_is_renewed_when_the_file_has_changed(start, settings, filled):
    filled.close()
    filled.ingest()
    first = filled._database._snapshots.take()
    assert filled._database._snapshots.take() == first
    filled.append("calls", call_row(call_id="new"))
    filled.ingest()
    second = filled._database._snapshots.take()
    assert second != first and not first.exists()


def test_a_reader_waits_for_its_own_process(filled):
    held, release = threading.Event(), threading.Event()

    def write():
        with filled._database.writing():
            held.set()
            release.wait(30)

    writer = threading.Thread(target=write)
    writer.start()
    held.wait()
    filled._database.wait_s = 0.05
    timer = threading.Timer(1.5, release.set)
    timer.start()
    assert len(ids(filled)) == 4
    assert release.is_set()
    writer.join()
    timer.join()
    assert not list(filled.settings.home.glob("*.snapshot-*"))


def test_two_stores_of_one_process_do_not_refuse_each_other(settings, filled):
    other = Store(settings)
    other._publisher.notice = lambda count=1: None
    failures: list[Exception] = []
    text = "x" * 2_000_000

    def work(mine: Store) -> None:
        try:
            for _ in range(4):
                mine.append("calls", call_row(output_text=text))
                mine.rows("SELECT count(*) FROM calls")
                mine.ingest(wait_s=60)
                mine.rows("SELECT max(length(output_text)) FROM calls")
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in (filled, other) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert failures == []
    assert len(ids(filled)) == 4 + 16


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs folder permissions")
def test_a_home_that_can_only_be_read_is_read(filled):
    filled.close()
    filled.settings.home.chmod(0o500)
    try:
        assert len(ids(Store(filled.settings))) == 4
    finally:
        filled.settings.home.chmod(0o700)
