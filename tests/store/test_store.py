"""The ledger as the rooms above use it: several processes at once, full disks, no exits blocked."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.store.rows import call_row, model_row
from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store.store import Store


def eventually(question, wanted, within_s=20.0):
    deadline = time.monotonic() + within_s
    while (found := question()) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    assert found == wanted


def test_making_a_store_touches_nothing(settings, home):
    Store(settings).close()
    assert not home.exists()


def test_what_is_appended_is_published_without_being_asked(store, settings):
    store.append("calls", call_row())
    eventually(store._journal.count, 0)
    assert settings.store_path.exists()


def test_closing_publishes_and_the_store_can_be_used_again(settings):
    store = Store(settings)
    store.append("calls", call_row())
    store.close()
    assert store._journal.count() == 0
    store.append("calls", call_row())
    store.close()
    assert Store(settings).rows("SELECT count(*) AS n FROM calls") == [{"n": 2}]


def test_a_process_that_just_ends_leaves_its_records_to_the_next(run, store):
    run("store = Store(settings)\nfor _ in range(3): store.append('calls', call_row())")
    assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": 3}]


def test_a_busy_ledger_does_not_keep_a_process_from_ending(start, run, store):
    store.append("calls", call_row())
    store.ingest()
    holder = start(
        "import duckdb\nheld = duckdb.connect(str(settings.store_path))\n"
        "print('held', flush=True)\nsys.stdin.read()"
    )
    assert holder.stdout.readline() == "held\n"
    run("Store(settings).append('calls', call_row())\ntime.sleep(0.6)")
    holder.kill()
    holder.wait()
    assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": 2}]


def test_appending_inside_an_event_loop_and_from_threads(store):
    async def ask() -> None:
        store.append("calls", call_row())

    async def many() -> None:
        await asyncio.gather(*(ask() for _ in range(20)))

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": 80}]


def test_threads_may_read_while_others_append_and_move(store):
    problems: list[BaseException] = []

    def guarded(work) -> None:
        try:
            for _ in range(10):
                work()
        except BaseException as error:
            problems.append(error)

    works = [
        lambda: store.append("calls", call_row()),
        lambda: store.append("models", model_row()),
        lambda: store.rows("SELECT count(*) FROM calls"),
        lambda: store.user_frame("SELECT count(*) FROM models"),
        store.ingest,
    ]
    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": 10}]


APP = """
import threading
store = Store(settings)
for number in range(30):
    store.append("calls", call_row(call_id=f"{sys.argv[2]}-{number}"))
    if number % 5 == 0:
        seen = {row["call_id"] for row in store.rows("SELECT call_id FROM calls")}
        assert {f"{sys.argv[2]}-{n}" for n in range(number + 1)} <= seen, "own records are missing"
        assert len(store.user_frame("SELECT provider, count(*) FROM calls GROUP BY 1")) == 1
store.close()
print("done")
"""


def test_app_notebook_and_command_line_work_at_once(start, store):
    programs = [start(APP, name) for name in ("app", "notebook", "cli")]
    for program in programs:
        out, err = program.communicate(timeout=170)
        assert (out, err) == ("done\n", "")
    assert store.rows("SELECT count(*) AS n, count(DISTINCT call_id) AS ids FROM calls") == [
        {"n": 90, "ids": 90}
    ]


FULL = """
import resource, signal
store = Store(settings)
store._publisher.notice = lambda count=1: None
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
done = 0
store.append("calls", call_row())
store.ingest()
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
try:
    while True:
        store.append("calls", call_row(call_id=f"c{done}", output_text="x" * 3000))
        done += 1
except Exception as error:
    print(type(error).__name__, "|", error)
try:
    store.ingest()
except Exception as error:
    print(type(error).__name__)
print(store.rows("SELECT count(*) AS n FROM calls")[0]["n"] - 1 - done)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.append("calls", call_row())
store.ingest()
print(store.rows("SELECT count(*) AS n FROM calls")[0]["n"] - 2 - done)
store.close()
"""


def test_a_full_disk_is_told_loses_nothing_acknowledged_and_heals(run):
    pytest.importorskip("resource")
    told, moving, missing_while_full, missing_after = run(FULL).splitlines()
    assert told.startswith("StoreError") and "free some space" in told
    assert moving in ("StoreError", "0")
    assert missing_while_full == missing_after == "0"


def test_a_row_that_fits_no_table_is_refused_at_once(store):
    for table, row in (("cals", call_row()), ("calls", {"call_id": "x", "colour": 1})):
        with pytest.raises(StoreError):
            store.append(table, row)
    assert store._journal.count() == 0


def test_many_rows_with_one_bad_one_are_all_refused(store):
    with pytest.raises(StoreError):
        store.append_many("calls", [call_row(), {"provider": "acme"}])
    assert store._journal.count() == 0


@pytest.mark.parametrize("url", ["md:team", "ducklake:sqlite:x.db"])
def test_a_store_of_another_kind_is_refused_in_words(home, url):
    store = Store(Settings(home=home, store=url))
    with pytest.raises(StoreError, match="not supported"):
        store.rows("SELECT 1")


def test_two_stores_of_one_home_do_not_mix(home, tmp_path):
    first = Store(Settings(home=home))
    second = Store(Settings(home=home, store=str(tmp_path / "second.duckdb")))
    first.append("calls", call_row(call_id="first"))
    second.append("calls", call_row(call_id="second"))
    second.close()
    first.close()
    assert first.rows("SELECT call_id FROM calls") == [{"call_id": "first"}]
    assert second.rows("SELECT call_id FROM calls") == [{"call_id": "second"}]


def test_full_synchronous_journal_works_too(home):
    store = Store(Settings(home=home, journal_sync="full"))
    store.append("calls", call_row())
    assert store._journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


TEXT = st.text(st.characters(codec=None), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NUMBERS = st.none() | st.integers() | st.integers(-(2**63), 2**63 - 1)
FLOATS = st.none() | st.floats()
CALLS = st.fixed_dictionaries(
    {
        "output_text": st.none() | TEXT,
        "error_message": st.none() | TEXT,
        "input_tokens": NUMBERS,
        "output_tokens": NUMBERS,
        "ttft_ms": FLOATS,
        "duration_ms": FLOATS,
        "params": st.dictionaries(TEXT, JSON, max_size=3),
        "tags": st.dictionaries(TEXT, TEXT, max_size=3),
        "flags": st.lists(TEXT, max_size=2).map(tuple),
        "messages": st.none() | st.lists(st.dictionaries(TEXT, JSON, max_size=2), max_size=2),
    }
)


def plain(value: str | None) -> str | None:
    """What a text looks like once lone surrogates are replaced."""
    if value is None:
        return None
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(CALLS, min_size=1, max_size=8))
def test_any_call_comes_back_as_it_was_or_flagged(tmp_path_factory, rows):
    store = Store(Settings(home=tmp_path_factory.mktemp("home")))
    store._publisher.notice = lambda count=1: None
    for number, row in enumerate(rows):
        store.append("calls", call_row(call_id=str(number), **row))
    pending = store.rows("SELECT * FROM calls ORDER BY CAST(call_id AS INT)")
    store.ingest()
    stored = store.rows("SELECT * FROM calls ORDER BY CAST(call_id AS INT)")
    store.close()
    assert pending == stored
    assert len(stored) == len(rows)
    for row, found in zip(rows, stored, strict=True):
        for name in ("output_text", "error_message"):
            assert found[name] == plain(row[name])
        for name in ("input_tokens", "output_tokens"):
            fits = row[name] is None or -(2**63) <= row[name] < 2**63
            assert found[name] == (row[name] if fits else None)
            assert fits or "number_out_of_range" in found["flags"]
        for name in ("ttft_ms", "duration_ms"):
            wanted = row[name]
            finite = wanted is not None and abs(wanted) < float("inf")
            assert found[name] == (wanted if finite else None)
        assert set(map(plain, row["flags"])) <= set(found["flags"])
        assert found["tags"] == {plain(k): plain(v) for k, v in row["tags"].items()}
        if any(text != plain(text) for text in (row["output_text"], row["error_message"])):
            assert "surrogates_replaced" in found["flags"]
