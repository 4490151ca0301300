"""From the journal into the ledger: exactly once, whatever dies on the way."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import pytest

from tests.store.rows import call_row, model_row
from toolkit.errors import StoreCorrupt, StoreLocked
from toolkit.store import ingest as ingest_module
from toolkit.store.database import Database
from toolkit.store.store import Store

STEPS = [
    *("migrate:applied", "migrate:replaced"),
    *("ingest:begun", "ingest:inserted", "ingest:marked", "ingest:committed"),
    *("ingest:checkpointed", "ingest:dropped"),
]

# A process that appends 7 calls and a model, then dies at a named step of moving them.
DIES = """
store = Store(settings, on_step=lambda step: step == sys.argv[2] and os._exit(9))
store._publisher.notice = lambda count=1: None
for number in range(7):
    store.append("calls", call_row(call_id=f"{sys.argv[3]}-{number}", input_tokens=number))
store.append("models", model_row(model_id=sys.argv[3], context_window=8))
store.ingest()
"""


def moved(store, *rows, table="calls"):
    store.append_many(table, list(rows))
    return store.ingest()


@pytest.fixture
def store(settings):
    """A store that moves rows only when told."""
    opened = Store(settings)
    opened._publisher.notice = lambda count=1: None
    yield opened
    opened.close()


def test_nothing_to_move_makes_no_file(store, settings):
    assert store.ingest().entries == 0
    assert not settings.store_path.exists()


def test_rows_move_and_the_journal_is_empty_after(store):
    report = moved(store, call_row(), call_row())
    assert (report.entries, report.rows, report.repeated) == (2, {"calls": 2}, 0)
    assert store._journal.count() == 0
    assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": 2}]


def test_a_row_comes_out_as_it_went_in(store):
    row = call_row(
        cost_usd=Decimal("0.000000037500"),
        started_at=datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC),
        messages=[{"role": "user", "content": "Grüße\x00 \u2028 😀 'quoted' \"twice\" \\ "}],
        output_text="a\x00b\r\n",
        params={"temperature": 0.1, "stop": ["\n"], "seed": 2**63},
        tags={"team": "α", "empty": ""},
        flags=("truncated_by_limit",),
        chunk_offsets_us=(1, 2, 2**40),
        tool_calls=[{"name": "f", "arguments": '{"x": 1}'}],
        ttft_ms=0.1 + 0.2,
        stream=True,
        input_tokens=2**63 - 1,
    )
    moved(store, row)
    found = store.rows("SELECT * FROM calls")[0]
    for name in ("cost_usd", "started_at", "output_text", "tags", "ttft_ms", "input_tokens"):
        assert found[name] == row[name], name
    assert found["flags"] == ["truncated_by_limit"]
    assert found["chunk_offsets_us"] == [1, 2, 2**40]
    assert store.rows(
        "SELECT messages->0->>'content' AS said, params->>'seed' AS seed FROM calls"
    ) == [{"said": row["messages"][0]["content"], "seed": str(2**63)}]


def test_the_same_id_twice_is_one_row_the_first(store):
    twice = [call_row(call_id="a", input_tokens=n) for n in (1, 2)]
    assert moved(store, *twice).repeated == 1
    assert moved(store, call_row(call_id="a", input_tokens=3)).repeated == 1
    assert store.rows("SELECT input_tokens FROM calls") == [{"input_tokens": 1}]


def test_of_rows_that_replace_the_newest_of_each_key_stays(store):
    moved(store, *(model_row(context_window=n) for n in (1, 2)), table="models")
    moved(store, model_row(model_id="m2", context_window=9), table="models")
    moved(store, model_row(context_window=3), table="models")
    assert store.rows("SELECT model_id, context_window FROM models ORDER BY 1") == [
        {"model_id": "m1", "context_window": 3},
        {"model_id": "m2", "context_window": 9},
    ]


def test_a_newer_row_replaces_the_whole_older_one(store):
    moved(store, model_row(display_name="M", context_window=1), table="models")
    moved(store, model_row(context_window=2), table="models")
    assert store.rows("SELECT display_name FROM models") == [{"display_name": None}]


def test_many_batches_all_arrive(store, monkeypatch):
    monkeypatch.setattr(ingest_module, "BATCH_ROWS", 10)
    assert moved(store, *(call_row() for _ in range(35))).rows == {"calls": 35}
    assert store.rows("SELECT count(DISTINCT call_id) AS n FROM calls") == [{"n": 35}]


def test_others_get_the_file_between_two_turns_of_a_long_move(settings, monkeypatch):
    monkeypatch.setattr(ingest_module, "BATCH_ROWS", 10)
    monkeypatch.setattr(ingest_module, "LONGEST_TURN_S", 0.0)
    other = Database(settings.store_path, 0, lambda step: None)
    store = Store(settings)
    store._publisher.notice = lambda count=1: None
    writing, held = store._database.writing, []

    def noting(wait_s=None):
        if held:  # a turn is over: the file is free for a moment
            with other.writing(0) as connection:
                held.append(connection.execute("SELECT count(*) FROM calls").fetchone()[0])
        else:
            held.append(0)
        return writing(wait_s)

    monkeypatch.setattr(store._database, "writing", noting)
    report = moved(store, *(call_row() for _ in range(35)))
    store.close()
    assert held == [0, 10, 20, 30, 35]
    assert (report.entries, report.rows, report.repeated) == (35, {"calls": 35}, 0)


def test_a_store_file_that_was_removed_is_made_anew(store, settings):
    moved(store, call_row())
    settings.store_path.unlink()
    moved(store, call_row(call_id="later"))
    assert store.rows("SELECT call_id FROM calls") == [{"call_id": "later"}]


@pytest.mark.parametrize("step", STEPS)
def test_a_mover_that_dies_at_any_step_loses_and_doubles_nothing(run, store, step):
    run(DIES, step, "first", exit_code=9)
    seen = store.rows("SELECT count(*) AS n, sum(input_tokens) AS tokens FROM calls")
    assert seen == [{"n": 7, "tokens": 21}], "readers see every record at once"
    store.append("calls", call_row(call_id="after", input_tokens=100))
    store.ingest()
    assert store.rows("SELECT count(*) AS n, sum(input_tokens) AS tokens FROM calls") == [
        {"n": 8, "tokens": 121}
    ]
    assert store.rows("SELECT sum(calls) AS n FROM rollup_hourly") == [{"n": 8}]
    assert store.rows("SELECT count(*) AS n FROM models") == [{"n": 1}]
    assert store._journal.count() == 0
    assert all(check.is_ok for check in store.verify()), store.verify()


def test_rows_that_the_ledger_lost_are_moved_again_from_the_journal(run, store, settings):
    """A damaged WAL can lose committed rows without a word: the journal still has them."""
    run(DIES, "ingest:checkpointed", "first", exit_code=9)
    with duckdb.connect(str(settings.store_path)) as connection:
        connection.execute("DELETE FROM calls WHERE input_tokens >= 5")
    report = store.ingest()
    assert (report.settled, report.recovered) == (8, 2)
    assert store.rows("SELECT sum(input_tokens) AS tokens FROM calls") == [{"tokens": 21}]


def test_rows_that_differ_from_what_was_put_in_are_not_dropped(store, monkeypatch):
    insert = ingest_module._insert

    def spoil(connection, table):
        count = insert(connection, table)
        connection.execute("UPDATE calls SET input_tokens = 0")
        return count

    monkeypatch.setattr(ingest_module, "_insert", spoil)
    store.append("calls", call_row(input_tokens=5))
    with pytest.raises(StoreCorrupt, match="differ from the journal"):
        store.ingest()
    assert store._journal.count() == 1


def test_a_failure_in_one_batch_leaves_the_ledger_as_it_was(store, settings):
    moved(store, call_row())

    def fail(step):
        if step == "ingest:marked":
            raise OSError(28, "No space left on device")

    broken = Store(settings, on_step=fail)
    broken._publisher.notice = lambda count=1: None
    broken.append("calls", call_row())
    with pytest.raises(Exception, match="No space left"):
        broken.ingest()
    with Database(settings.store_path, 1, lambda step: None).reading() as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (1,)
    assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": 2}]


def test_a_program_that_holds_the_file_is_named(start, store, settings):
    moved(store, call_row())
    other = start(
        "import duckdb\n"
        "held = duckdb.connect(str(settings.store_path))\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    assert other.stdout.readline() == "held\n"
    store.append("calls", call_row())
    with pytest.raises(StoreLocked, match=str(other.pid)):
        store.ingest(wait_s=0.1)
    assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": 2}], "reads do not wait for it"
    other.stdin.close()


def test_what_comes_while_rows_are_moved_waits_for_the_next_time(settings):
    def append_one_more(step):
        if step == "ingest:committed":
            busy.append("calls", call_row())

    busy = Store(settings, on_step=append_one_more)
    busy._publisher.notice = lambda count=1: None
    busy.append_many("calls", [call_row() for _ in range(3)])

    assert busy.ingest().rows == {"calls": 3}
    assert busy.rows("SELECT count(*) AS n FROM calls") == [{"n": 4}]
    assert busy.ingest().rows == {"calls": 1}
    busy.close()
