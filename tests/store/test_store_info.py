"""The store tells what it is made of, and finds what is wrong with it."""

from __future__ import annotations

import duckdb
import pytest

from tests.store.rows import call_row
from toolkit.store.migrate import latest_version
from toolkit.store.store import Store


@pytest.fixture
def store(settings):
    """A store that moves rows only when told."""
    opened = Store(settings)
    opened._publisher.notice = lambda count=1: None
    yield opened
    opened.close()


def test_an_empty_home_has_an_empty_store(store, settings):
    info = store.info()
    assert (info.path, info.size_bytes, info.backlog) == (settings.store_path, 0, 0)
    assert set(info.rows.values()) == {0}
    assert info.duckdb_version == duckdb.__version__
    assert info.error is None
    assert not settings.home.exists()


def test_rows_and_backlog_are_counted(store):
    store.append("calls", call_row())
    store.ingest()
    store.append_many("calls", [call_row(), call_row()])
    info = store.info()
    assert (info.rows["calls"], info.backlog, info.schema_version) == (3, 2, latest_version())
    assert info.size_bytes > 0 and info.journal_size_bytes > 0
    assert info.holder_pid is None


def test_the_holder_of_the_file_is_named(start, store, settings):
    store.append("calls", call_row())
    store.ingest()
    other = start(
        "with Store(settings)._database.alone(1):\n"
        "    print('held', flush=True)\n    sys.stdin.read()"
    )
    assert other.stdout.readline() == "held\n"
    impatient = Store(settings.model_copy(update={"lock_wait_s": 0.05}))
    info = impatient.info()
    assert info.holder_pid == other.pid
    assert info.error is None and info.rows["calls"] == 1, "reads do not wait for it"


def test_a_damaged_file_is_told_and_not_raised(store, settings):
    settings.make_home()
    settings.store_path.write_bytes(b"no database" * 1000)
    info = store.info()
    assert info.error is not None and "damaged" in info.error
    assert not all(check.is_ok for check in store.verify())


def test_a_sound_store_passes_every_check(store):
    store.append("calls", call_row())
    store.ingest()
    store.append("calls", call_row())
    checks = store.verify()
    assert [check.name for check in checks] == [
        "journal",
        "losses",
        "values",
        "ids",
        "roll-ups",
        "mark",
    ]
    assert all(check.is_ok for check in checks)


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        ("INSERT INTO calls SELECT * FROM calls", "ids"),
        ("DELETE FROM calls", "roll-ups"),
        ("UPDATE journal_marks SET high_water = 999", "mark"),
    ],
)
def test_each_check_can_fail(store, settings, spoil, name):
    store.append("calls", call_row())
    store.ingest()
    store.append("calls", call_row())
    with duckdb.connect(str(settings.store_path)) as connection:
        connection.execute(spoil)
    assert name in [check.name for check in store.verify() if not check.is_ok]


def test_a_flipped_byte_in_the_file_is_found(store, settings):
    store.append_many("calls", [call_row(output_text=f"{n} " * 200) for n in range(500)])
    store.ingest()
    store.close()
    data = bytearray(settings.store_path.read_bytes())
    place = data.index(b"499 499 499") if b"499 499 499" in data else len(data) // 2
    data[place] ^= 0xFF
    settings.store_path.write_bytes(data)
    assert not all(check.is_ok for check in Store(settings).verify())
