"""Migrations go forward on a copy; newer and damaged files are refused and left as they are."""

from __future__ import annotations

import hashlib
import stat
import sys

import duckdb
import pytest

from tests.store.rows import call_row
from toolkit.errors import StoreCorrupt, StoreTooNew
from toolkit.store import migrate
from toolkit.store.store import Store

NEWEST = migrate.latest_version()
NEXT = NEWEST + 1
ADDITION = (NEXT, "ALTER TABLE calls ADD COLUMN colour VARCHAR; CREATE TABLE extras (x INTEGER);")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def with_one_more_migration(monkeypatch):
    longer = (*migrate.migrations(), ADDITION)
    monkeypatch.setattr(migrate, "migrations", lambda: longer)


def make_file(settings):
    store = Store(settings)
    store.append("calls", call_row())
    store.ingest()
    store.close()
    return settings.store_path


def versions(path):
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute("SELECT version FROM schema_version").fetchall()


def test_numbers_are_1_2_3_without_a_gap():
    assert [number for number, _ in migrate.migrations()] == list(
        range(1, migrate.latest_version() + 1)
    )


def test_a_new_file_has_the_latest_schema_and_is_private(settings):
    path = make_file(settings)
    assert versions(path) == [(migrate.latest_version(),)]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_file_can_be_read_by_duckdb_1_5(settings):
    path = make_file(settings)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{path}' AS f (READ_ONLY)")
        found = connection.execute(
            "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'f'"
        ).fetchone()
    assert found is not None and found[0].startswith("v1.5.0")


def test_opening_again_changes_nothing(settings):
    path = make_file(settings)
    before = digest(path)
    again = Store(settings)
    assert len(again.rows("SELECT * FROM calls")) == 1
    assert again.ingest().entries == 0
    again.close()
    assert digest(path) == before


def test_an_older_file_is_upgraded_and_kept_beside_as_bak(settings, request):
    path = make_file(settings)
    before = digest(path)
    request.getfixturevalue("with_one_more_migration")
    store = Store(settings)
    store.append("calls", call_row())
    store.ingest()
    assert store.rows("SELECT count(*) AS n, count(colour) AS coloured FROM calls") == [
        {"n": 2, "coloured": 0}
    ]
    store.close()
    assert versions(path) == [(NEXT,)]
    assert digest(path.with_name(path.name + ".bak")) == before


def test_an_older_file_is_upgraded_by_a_mere_read(settings, request):
    make_file(settings)
    request.getfixturevalue("with_one_more_migration")
    store = Store(settings)
    assert store.rows("SELECT count(colour) AS n FROM calls") == [{"n": 0}]
    store.close()


@pytest.mark.parametrize("step", ["migrate:copied", "migrate:applied", "migrate:replaced"])
def test_a_crash_while_upgrading_leaves_the_old_file_or_the_new_one(settings, request, step):
    path = make_file(settings)
    request.getfixturevalue("with_one_more_migration")

    def crash(reached: str) -> None:
        if reached == step:
            raise KeyboardInterrupt

    broken = Store(settings, on_step=crash)
    broken._journal.append("calls", '{"call_id": "x"}')
    with pytest.raises(KeyboardInterrupt):
        broken.ingest()
    assert versions(path) in ([(NEWEST,)], [(NEXT,)])
    store = Store(settings)
    store.ingest()
    assert store.rows("SELECT count(*) AS n, count(colour) AS coloured FROM calls") == [
        {"n": 2, "coloured": 0}
    ]
    store.close()


def test_a_file_of_a_newer_schema_is_refused_and_byte_identical(settings):
    path = make_file(settings)
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    before = digest(path)
    store = Store(settings)
    store.append("calls", call_row())
    for use in (store.ingest, lambda: store.rows("SELECT 1"), lambda: store.user_frame("SELECT 1")):
        with pytest.raises(StoreTooNew, match="schema version 99"):
            use()
    store.close()
    assert digest(path) == before
    assert store._journal.count() == 1, "the record waits in the journal"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"no database at all\n" * 500, id="text"),
        pytest.param(lambda data: data[: len(data) // 2], id="half"),
        pytest.param(lambda data: data[:4096] + b"\xff" * 8192 + data[12288:], id="overwritten"),
    ],
)
def test_a_damaged_file_is_told_with_what_to_do_and_left_alone(settings, damage):
    path = make_file(settings)
    path.write_bytes(damage(path.read_bytes()))
    before = digest(path)
    store = Store(settings)
    store.append("calls", call_row())
    for use in (store.ingest, lambda: store.rows("SELECT count(*) FROM calls")):
        with pytest.raises(StoreCorrupt, match="restore"):
            use()
    assert store._journal.count() == 1, "the record waits in the journal"
    store.close()
    assert digest(path) == before


def test_leftovers_of_a_build_that_died_do_not_hinder_the_next(settings):
    settings.make_home()
    aside = settings.store_path.with_name(settings.store_path.name + ".new")
    aside.write_bytes(b"half")
    make_file(settings)
    assert not aside.exists()
