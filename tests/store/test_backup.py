"""A backup is read back before it counts; restoring one keeps the present file."""

from __future__ import annotations

import stat
import sys

import duckdb
import pytest

from tests.store.rows import call_row
from toolkit.errors import StoreCorrupt, StoreError, StoreTooNew
from toolkit.store.store import Store

pytestmark = pytest.mark.slow


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
