"""Every read sees the journal too; a person's SQL can read the tables and nothing else."""

from __future__ import annotations

import os
import sys
import warnings

import duckdb
import pytest

from tests.store.rows import call_row, model_row
from toolkit.errors import StoreError
from toolkit.settings import Settings
from toolkit.store import reader as reader_module
from toolkit.store.store import Store


@pytest.fixture
def store(settings):
    """A store that moves rows only when told."""
    opened = Store(settings)
    opened._publisher.notice = lambda count=1: None
    yield opened
    opened.close()


def test_an_empty_home_reads_as_empty_tables_and_stays_empty(store, settings):
    assert store.rows("SELECT * FROM calls") == []
    assert list(store.frame("SELECT call_id, ttft_ms FROM calls").columns) == ["call_id", "ttft_ms"]
    assert not settings.store_path.exists()
    assert not settings.journal_path.exists()


def test_what_is_only_in_the_journal_is_seen(store, settings):
    store.append("calls", call_row(call_id="a"))
    assert store.rows("SELECT call_id FROM calls") == [{"call_id": "a"}]
    assert not settings.store_path.exists()


def test_journal_and_ledger_are_one_table(store):
    store.append("calls", call_row(call_id="a"))
    store.ingest()
    store.append_many("calls", [call_row(call_id="b"), call_row(call_id="a")])
    assert store.rows("SELECT call_id FROM calls ORDER BY 1") == [
        {"call_id": "a"},
        {"call_id": "b"},
    ]


def test_a_newer_row_in_the_journal_replaces_the_ledgers(store):
    store.append("models", model_row(context_window=1))
    store.ingest()
    store.append("models", model_row(context_window=2))
    store.append("models", model_row(context_window=3))
    assert store.rows("SELECT context_window FROM models") == [{"context_window": 3}]


def test_roll_ups_count_what_waits_in_the_journal(store):
    store.append("calls", call_row(ttft_ms=10.0))
    store.ingest()
    store.append("calls", call_row(ttft_ms=20.0))
    assert store.rows("SELECT sum(calls) AS n FROM rollup_hourly") == [{"n": 2}]
    assert store.rows("SELECT max(highest) AS ms FROM rollup_daily_histogram") == [{"ms": 20.0}]


def test_several_questions_to_one_picture_see_the_same_rows(store, settings):
    store.append("calls", call_row())
    with store.reading() as picture:
        Store(settings).append("calls", call_row())
        assert picture.rows("SELECT count(*) AS n FROM calls") == [{"n": 1}]
        assert picture.frame("SELECT count(*) AS n FROM calls")["n"].item() == 1
    assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": 2}]


def test_values_are_bound(store):
    store.append("calls", call_row(model="x' OR 1=1 --"))
    assert store.rows("SELECT model FROM calls WHERE model = ?", ("x' OR 1=1 --",))
    assert not store.rows("SELECT model FROM calls WHERE model = ?", ("' OR '1'='1",))


def test_rows_need_no_pandas(run, store):
    """As long as no value is bound and nothing is pending: there DuckDB itself imports it."""
    store.append("calls", call_row())
    store.ingest()
    out = run(
        "store = Store(settings)\n"
        "assert len(store.rows('SELECT * FROM calls')) == 1\n"
        "print('pandas' in sys.modules)"
    )
    assert out == "False\n"


def test_a_frame_comes_without_a_warning_even_where_warnings_are_errors(store):
    store.append("calls", call_row())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(store.frame("SELECT * FROM calls")) == 1
        assert len(store.user_frame("SELECT * FROM calls")) == 1


def test_appending_needs_neither_duckdb_nor_arrow_nor_pandas(run):
    out = run(
        "store = Store(settings)\nstore._publisher.notice = lambda count=1: None\n"
        "store.append('calls', call_row())\n"
        "print({'duckdb', 'pyarrow', 'pandas'} & set(sys.modules))"
    )
    assert out == "set()\n"


def test_wrong_sql_is_told_without_a_traceback_through_duckdb(store):
    with pytest.raises(StoreError, match="nothere") as caught:
        store.rows("SELECT nothere FROM calls")
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_folder_that_may_only_be_read_can_be_read(run, store, home):
    """Journal entries, too; and an append says what to do."""
    if not hasattr(os, "setuid") or os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    store.append("calls", call_row(call_id="a"))
    store.ingest()
    store.append("calls", call_row(call_id="b"))
    store._journal.close()
    store.append("calls", call_row(call_id="c"))
    out = run(
        "import duckdb, pyarrow, pandas, tempfile, sqlite3\n"
        "warm = Store(Settings(home=Path(sys.argv[2])))\n"
        "warm.append('calls', call_row()); warm.ingest(); warm.frame('SELECT * FROM calls')\n"
        "warm.user_frame('SELECT 1'); warm.close()\n"
        "for part in [home, *home.parents][:5]:\n"
        "    if str(part) not in ('/', '/tmp'): os.chmod(part, 0o755)\n"
        "for part in home.iterdir():\n"
        "    if part.is_file(): os.chmod(part, 0o644)\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "assert not os.access(home, os.W_OK)\n"
        "store = Store(settings)\n"
        "print(store.rows('SELECT call_id FROM calls ORDER BY 1'))\n"
        "print(len(store.user_frame('SELECT call_id FROM calls')))\n"
        "try:\n    store.append('calls', call_row())\n"
        "except Exception as error:\n    print(type(error).__name__, error.hint)\n"
        "store.close()\n",
        str(home.parent / "warm"),
    )
    lines = out.splitlines()
    assert lines[0] == str([{"call_id": name} for name in "abc"])
    assert lines[1] == "3"
    assert lines[2].startswith("StoreError") and "TOOLKIT_HOME" in lines[2]


READABLE = [
    "SELECT count(*) AS n FROM calls",
    "FROM calls LIMIT 1",
    "WITH c AS (SELECT * FROM calls) SELECT provider FROM c",
    "DESCRIBE calls",
    "SUMMARIZE calls",
    "SHOW TABLES",
    "VALUES (1)",
    "SELECT params->>'temperature' FROM calls",
    "SELECT quantile_cont(ttft_ms, 0.5) FROM calls WHERE started_at > now() - INTERVAL 1 DAY",
    "SELECT provider, unnest(flags) FROM calls; ",
    "-- a remark\nSELECT 1",
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One store with one call, for questions that change nothing."""
    opened = Store(Settings(home=tmp_path_factory.mktemp("shared")))
    opened._publisher.notice = lambda count=1: None
    opened.append("calls", call_row(params={"temperature": 0.5}))
    opened.ingest()
    yield opened
    opened.close()


MADE = [
    ("repeat('ab', 3)", "ababab"),
    ("repeat([1, 2], 2)", [1, 2, 1, 2]),
    ("repeat('ab'::BLOB, 2)", b"abab"),
    ("repeat(NULL, 2)", None),
    ("lpad('x', 3, 'y') || rpad('x', 3, 'y')", "yyxxyy"),
    ("bitstring('101'::BIT, 5)::VARCHAR", "00101"),
    ("range(3)", [0, 1, 2]),
    ("range(10, 0, -3)", [10, 7, 4, 1]),
    ("generate_series(1, 3)", [1, 2, 3]),
    ("len(range(DATE '2026-01-01', DATE '2026-01-04', INTERVAL 1 DAY))", 3),
    ("(SELECT count(*) FROM range(1000000))", 1_000_000),
    ("list_transform(range(3), x -> repeat('a', x))", ["", "a", "aa"]),
]


@pytest.mark.parametrize(("expression", "expected"), MADE)
def test_functions_that_make_values_work_as_ever(shared, expression, expected):
    assert shared.user_arrow(f"SELECT {expression} AS made")["made"].to_pylist() == [expected]


@pytest.mark.parametrize(
    "expression",
    [
        "length(repeat('x', 4000000000))",
        "length(repeat('x', 3000000000 + input_tokens))",
        "repeat(repeat('x', 9000), 9000)",
        "len(repeat([1, 2, 3], 1000000000))",
        *("lpad('x', 2000000000, 'y')", "rpad('x', 2000000000, 'y')"),
        *("bitstring('1', 2000000000)", "list_sum(range(300000000))", "range(0, 300000000, 1)"),
        *("generate_series(300000000, 0, -1)", "list_transform([300000000], x -> range(x))"),
    ],
)
def test_no_function_makes_a_value_of_any_size(shared, expression):
    """DuckDB neither counts such a value as memory nor stops while it makes it."""
    with pytest.raises(StoreError, match="may make no value of more than"):
        shared.user_frame(f"SELECT {expression} FROM (SELECT 1::BIGINT AS input_tokens)")


@pytest.mark.parametrize("name", ["system.main.repeat", "main.repeat", "system.repeat"])
def test_a_bounded_function_cannot_be_reached_by_its_full_name(shared, name):
    with pytest.raises(StoreError, match="repeat is not allowed"):
        shared.user_frame(f"SELECT {name}('x', 3)")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT " + "abs(" * 900 + "1" + ")" * 900, "nested"),
        ("SELECT " + "[" * 900 + "]" * 900, "nested"),
        ("SELECT '" + "x" * reader_module.USER_SQL_LENGTH + "'", "more than 1,000,000 characters"),
    ],
)
def test_a_text_that_cannot_be_parsed_is_a_clear_error(shared, sql, reason):
    with pytest.raises(StoreError, match=reason):
        shared.user_frame(sql)


def test_a_result_of_large_values_is_given_up_early(shared, monkeypatch):
    monkeypatch.setattr(reader_module, "USER_SQL_BYTES", 50_000_000)
    sizes = []
    require_bounds = reader_module._require_bounds
    monkeypatch.setattr(
        reader_module,
        "_require_bounds",
        lambda rows, size, deadline: (sizes.append(size), require_bounds(rows, size, deadline)),
    )
    with pytest.raises(StoreError, match="more than 5,000,000 rows"):
        shared.user_frame("SELECT repeat('x', 9000) FROM range(100000)")
    assert max(sizes) < 150_000_000, "the first pieces are small"


def test_why_pandas_cannot_be_imported_is_shown(shared, monkeypatch):
    """DuckDB says "not installed", whatever the reason."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="import of pandas halted"):
        shared.frame("SELECT 1")


@pytest.mark.parametrize("sql", READABLE)
def test_a_person_may_ask(shared, sql):
    assert shared.user_frame(sql) is not None


REFUSED = [
    *("", "-- nothing", "SELECT 1; SELECT 2", "not sql at all"),
    *("INSERT INTO calls (call_id) VALUES ('x')", "DELETE FROM calls", "DROP TABLE calls"),
    *("UPDATE calls SET model = 'x'", "CREATE TABLE x (a INT)", "CREATE VIEW v AS SELECT 1"),
    *("COPY calls TO '{folder}/out.csv'", "COPY (SELECT 1) TO '{folder}/out.parquet'"),
    *("EXPORT DATABASE '{folder}/out'", "ATTACH '{folder}/other.duckdb'", "DETACH ledger"),
    *("INSTALL httpfs", "LOAD httpfs", "PRAGMA enable_profiling", "CALL pragma_version()"),
    *("SET memory_limit = '100GB'", "RESET memory_limit", "SET enable_external_access = true"),
    *("CHECKPOINT", "BEGIN", "PREPARE p AS SELECT 1", "EXPLAIN ANALYZE SELECT 1"),
    *("SELECT * FROM read_text('{folder}/file.txt')", "SELECT * FROM '{folder}/file.csv'"),
    *("SELECT * FROM read_csv('{folder}/file.csv')", "FROM glob('{folder}/*')"),
    *("SELECT * FROM read_blob('{folder}/file.txt')", "FROM sniff_csv('{folder}/file.csv')"),
    *("SELECT * FROM parquet_scan('http://127.0.0.1:1/x.parquet')", "FROM duckdb_secrets()"),
    *("SELECT * FROM enable_logging(storage = 'file')", "SELECT * FROM checkpoint()"),
    *("SELECT * FROM query('SELECT 1')", "SELECT write_log('x')"),
    "SELECT * FROM (SELECT (SELECT max(x) FROM query('SELECT 1 AS x')) AS y)",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    *("SELECT * FROM a_python_variable", "SELECT getenv('HOME')"),
]


@pytest.mark.parametrize("sql", REFUSED)
def test_a_person_may_not_do_anything_else(shared, tmp_path, sql):
    import pandas as pd

    a_python_variable = pd.DataFrame({"secret": [1]})
    assert len(a_python_variable) == 1
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file.txt").write_text("outside")
    (folder / "file.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StoreError) as caught:
        shared.user_frame(sql.format(folder=folder))
    assert "outside" not in str(caught.value).replace(str(folder), "")
    assert sorted(os.listdir(folder)) == ["file.csv", "file.txt"]
    assert shared.rows("SELECT count(*) AS n FROM calls") == [{"n": 1}]


@pytest.mark.parametrize(
    "sql",
    ["SET memory_limit = '100GB'", "SET enable_external_access = true", "RESET memory_limit"],
)
def test_the_connection_itself_refuses_settings_should_a_statement_get_past_the_check(store, sql):
    with (
        reader_module.reading_locked_down(store._journal, store._database) as picture,
        pytest.raises(duckdb.InvalidInputException, match="configuration has been locked"),
    ):
        picture._connection.execute(sql)


def test_a_query_without_end_is_stopped(store):
    with (
        reader_module.reading_locked_down(store._journal, store._database) as picture,
        pytest.raises(StoreError, match="took too long"),
    ):
        picture.frame("SELECT count(*) FROM range(100000000) a, range(1000000) b", timeout_s=0.2)


def test_a_users_sql_has_its_own_limit_of_memory(store, monkeypatch):
    monkeypatch.setattr(reader_module, "USER_SQL_MEMORY", "64MiB")
    with reader_module.reading_locked_down(store._journal, store._database) as picture:
        frame = picture.frame("SELECT current_setting('memory_limit') AS most")
    assert frame["most"][0] == "64.0 MiB"


def test_a_query_that_wants_too_much_memory_is_told_so(store, monkeypatch):
    monkeypatch.setattr(reader_module, "USER_SQL_MEMORY", "50MB")
    with pytest.raises(StoreError, match="memory"):
        store.user_frame("SELECT list(a.range || b.range) FROM range(30000) a, range(30000) b")
