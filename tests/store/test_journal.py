"""The journal: durable on return, shared by processes, clear when it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from toolkit.errors import StoreError, StoreTooNew
from toolkit.store.journal import Journal
from toolkit.store.journal.journal_format import use_wal


@pytest.fixture
def path(home: Path) -> Path:
    return home / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Journal:
    return Journal(path)


def test_nothing_is_made_before_the_first_append(journal, home):
    assert (journal.last(), journal.count(), journal.read(), journal.identity()) == (0, 0, [], None)
    assert not home.exists()


def test_entries_come_back_in_order(journal):
    for number in range(3):
        journal.append("calls", str(number))
    journal.append_many("probes", ["3", "4"])
    entries = journal.read()
    assert [entry.row for entry in entries] == ["0", "1", "2", "3", "4"]
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.row for entry in journal.read(after=1, upto=4, limit=2)] == ["1", "2"]


def test_a_record_can_be_seen_from_elsewhere_as_soon_as_append_returns(journal, path):
    journal.append("calls", "x")
    assert Journal(path).count() == 1


def test_many_at_once_are_all_or_none(journal, path):
    journal.append("calls", "0")
    with closing(sqlite3.connect(path)) as other:
        other.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON entries WHEN NEW.row = '2' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    with pytest.raises(StoreError, match="refused"):
        journal.append_many("calls", ["1", "2"])
    assert [entry.row for entry in journal.read()] == ["0"]
    journal.append("calls", "3")
    assert [(entry.number, entry.row) for entry in journal.read()] == [(1, "0"), (2, "3")]


def test_numbers_are_never_given_twice_even_when_all_is_dropped(journal):
    journal.append_many("calls", ["1", "2"])
    journal.drop(2)
    journal.append("calls", "3")
    assert [entry.number for entry in journal.read()] == [3]


def test_dropping_leaves_what_came_later(journal):
    journal.append_many("calls", [str(n) for n in range(5_000)])
    journal.drop(4_500)
    assert journal.count() == 500


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_files_are_private_from_the_start(journal, path):
    old = os.umask(0)
    try:
        journal.append("calls", "x")
    finally:
        os.umask(old)
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        assert stat.S_IMODE(path.with_name(name).stat().st_mode) == 0o600


def test_threads_may_append_at_once(journal):
    def work() -> None:
        for _ in range(50):
            journal.append("calls", "x")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.count() == 200


def test_a_journal_that_was_removed_is_made_anew(journal, path):
    journal.append("calls", "x")
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    journal.append("calls", "y")
    assert [entry.row for entry in Journal(path).read()] == ["y"]


def test_each_journal_file_has_an_identity_of_its_own(journal, path, tmp_path):
    journal.append("calls", "x")
    other = Journal(tmp_path / "other.sqlite")
    other.append("calls", "x")
    assert journal.identity() == Journal(path).identity() != other.identity()


def test_a_child_made_by_fork_appends_through_a_connection_of_its_own(journal):
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    journal.append("calls", "parent")
    child = os.fork()
    if child == 0:
        try:
            journal.append("calls", "child")
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    journal.append("calls", "parent again")
    assert [entry.row for entry in journal.read()] == ["parent", "child", "parent again"]


def test_another_process_may_append_while_one_is_in_a_transaction_for_a_moment(journal, path):
    journal.append("calls", "x")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.1, lambda: other.execute("COMMIT"))
    timer.start()
    journal.append("calls", "y")
    timer.join()
    other.close()
    assert journal.count() == 2


def test_a_file_of_another_kind_is_set_aside_and_kept(journal, path, caplog):
    path.parent.mkdir()
    path.write_bytes(b"these are no tables" * 100)
    journal.append("calls", "x")
    assert [entry.row for entry in journal.read()] == ["x"]
    (kept,) = path.parent.glob("journal.sqlite.damaged-*")
    assert kept.read_bytes() == b"these are no tables" * 100
    assert "The journal was damaged and is kept as" in caplog.text
    assert "how many is not known" in str(journal.audit()[0])


def test_a_journal_of_a_newer_version_is_refused_untouched(journal, path):
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    for use in (lambda: journal.append("calls", "x"), journal.count):
        with pytest.raises(StoreTooNew, match="newer version"):
            use()
    assert path.read_bytes() == before


def test_a_home_that_is_a_file_is_told_in_words(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        Journal(tmp_path / "home" / "journal.sqlite").append("calls", "x")


def test_the_integrity_check_is_quiet_about_a_sound_journal(journal):
    journal.append("calls", "x")
    assert journal.check() == []


def test_a_file_that_several_processes_make_at_once_is_waited_for(tmp_path):
    """SQLite itself does not wait when a file is switched to WAL."""
    path = tmp_path / "new.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(0.1, other.execute, ["COMMIT"])
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                connection.execute("PRAGMA journal_mode=WAL")
            release.start()
            use_wal(connection, wait_s=60)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        release.join()
