"""A backup is read back before it counts; restoring one keeps the present file."""

from __future__ import annotations

import os
import stat
import sys

import duckdb
import pytest

from tests.store.rows import call_row
from toolkit.errors import StoreCorrupt, StoreError, StoreTooNew
from toolkit.store import backup as backup_module
from toolkit.store.store import Store


@pytest.fixture
def filled(store):
    store.append_many("calls", [call_row(call_id=str(n)) for n in range(5)])
    return store


def ids(store):
    return [row["call_id"] for row in store.rows("SELECT call_id FROM calls ORDER BY 1")]


def test_a_backup_holds_what_was_still_in_the_journal(filled, tmp_path):
    path = filled.backup(tmp_path / "copies" / "one.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (5,)
        assert connection.execute("SELECT sum(calls) FROM rollup_hourly").fetchone() == (5,)
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["one.duckdb"]


def test_restoring_brings_back_that_state_and_keeps_the_present_one(filled, settings, tmp_path):
    path = filled.backup(tmp_path / "one.duckdb")
    filled.append("calls", call_row(call_id="later"))
    filled.ingest()
    filled.restore(path)
    assert ids(filled) == list("01234")
    kept = settings.store_path.with_name(settings.store_path.name + ".bak")
    with duckdb.connect(str(kept), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (6,)
    filled.append("calls", call_row(call_id="after"))
    filled.ingest()
    assert ids(filled) == [*"01234", "after"]


def test_a_backup_can_be_restored_on_an_empty_machine(filled, tmp_path):
    path = filled.backup(tmp_path / "one.duckdb")
    elsewhere = Store(filled.settings.model_copy(update={"home": tmp_path / "elsewhere"}))
    elsewhere.restore(path)
    assert ids(elsewhere) == list("01234")
    elsewhere.close()


def test_a_damaged_file_can_be_replaced_by_a_backup(filled, settings, tmp_path):
    path = filled.backup(tmp_path / "one.duckdb")
    settings.store_path.write_bytes(b"broken" * 1000)
    with pytest.raises(StoreCorrupt):
        filled.rows("SELECT 1")
    filled.restore(path)
    assert ids(filled) == list("01234")


def spoiled(path, how):
    if how == "missing":
        path.unlink()
    elif how == "text":
        path.write_bytes(b"not a database" * 1000)
    else:
        with duckdb.connect(str(path)) as connection:
            connection.execute(how)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("missing", StoreError),
        ("text", StoreCorrupt),
        ("UPDATE schema_version SET version = 99", StoreTooNew),
        ("DROP TABLE schema_version", StoreError),
    ],
)
def test_what_cannot_be_restored_changes_nothing(filled, tmp_path, how, error):
    path = filled.backup(tmp_path / "one.duckdb")
    spoiled(path, how)
    with pytest.raises(error):
        filled.restore(path)
    assert ids(filled) == list("01234")


def test_a_backup_to_nowhere_is_told_in_words(filled, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="could not be written"):
        filled.backup(tmp_path / "file" / "one.duckdb")


# Appends without a pause; its own background thread ingests.
WRITES = """
store = Store(settings)
number = 0
while True:
    store.append("calls", call_row(call_id=f"{sys.argv[2]}-{number:06d}", output_text="x" * 2000))
    os.write(1, f"{sys.argv[2]}-{number:06d}\\n".encode())
    number += 1
"""


def test_a_backup_while_others_write_has_all_that_was_acknowledged(start, store, tmp_path):
    writers = [start(WRITES, name) for name in "ab"]
    before = [writer.stdout.readline().strip() for writer in writers for _ in range(20)]
    path = store.backup(tmp_path / "copy.duckdb")
    for writer in writers:
        writer.kill()
    with duckdb.connect(str(path), read_only=True) as connection:
        found = [row[0] for row in connection.execute("SELECT call_id FROM calls").fetchall()]
        (rolled,) = connection.execute("SELECT sum(calls) FROM rollup_hourly").fetchone()
    assert set(before) <= set(found)
    assert len(found) == len(set(found)) == rolled


def test_a_restore_while_others_write_keeps_what_waits(start, store, tmp_path):
    store.append("calls", call_row(call_id="saved"))
    path = store.backup(tmp_path / "copy.duckdb")
    writer = start(WRITES, "a")
    for _ in range(20):
        writer.stdout.readline()
    store.restore(path)
    after = [writer.stdout.readline().strip() for _ in range(5)]
    writer.kill()
    writer.wait()
    store.ingest()
    found = ids(store)
    assert "saved" in found and set(after[1:]) <= set(found)
    assert store.audit() == [], "what the user replaced was not lost"
    assert all(check.is_ok for check in store.verify()), store.verify()


def test_a_copy_that_differs_is_not_put_in_place(filled, settings, tmp_path, monkeypatch):
    path = filled.backup(tmp_path / "one.duckdb")
    filled.ingest()
    before = settings.store_path.read_bytes()
    copied = backup_module._copy_file

    def spoil(source, target):
        copied(source, target)
        with duckdb.connect(str(target)) as connection:
            connection.execute("UPDATE calls SET input_tokens = 7 WHERE call_id = '3'")

    monkeypatch.setattr(backup_module, "_copy_file", spoil)
    with pytest.raises(StoreCorrupt, match="calls"):
        filled.restore(path)
    assert settings.store_path.read_bytes() == before


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_backup_replaces_nothing_that_is_no_file(store, tmp_path, kind):
    target = tmp_path / "target"
    target.mkdir() if kind == "folder" else os.mkfifo(target)
    with pytest.raises(StoreError, match="not a regular file"):
        store.backup(target)
    assert target.is_dir() if kind == "folder" else target.is_fifo()
