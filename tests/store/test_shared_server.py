"""One server, several homes: what is recorded anywhere is read everywhere, exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.store.rows import call_row, model_row
from tests.store.shared_stores import (
    QuackService,
    free_port,
    require_same_answers,
    sample_rows,
)
from toolkit.errors import StoreError, StoreLocked, StoreTooNew
from toolkit.settings import Settings
from toolkit.store import migrate
from toolkit.store.backends.quack_client import QuackClient, inline, write_literal
from toolkit.store.store import Store

pytest.importorskip("duckdb_extension_quack", reason="the extra `shared` is not installed")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuackService]:
    running = QuackService(tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.stop()


def opened(service: QuackService, home: Path, **changes: object) -> Store:
    """A client's store that sends only when told."""
    home.mkdir(exist_ok=True)
    store = Store(service.settings(home, **changes))
    store._publisher.notice = lambda count=1: None
    return store


def test_what_one_home_records_another_reads(service, tmp_path):
    one, two = opened(service, tmp_path / "one"), opened(service, tmp_path / "two")
    rows = [call_row(origin="two homes", input_tokens=n) for n in (1, 2, 3)]
    one.append_many("calls", rows)
    assert one.ingest().rows == {"calls": 3}
    assert one._journal.count() == 0
    found = two.rows("SELECT sum(input_tokens) AS n FROM calls WHERE origin = ?", ["two homes"])
    assert found == [{"n": 6}]


def test_a_home_reads_what_it_has_just_recorded(service, tmp_path):
    store = opened(service, tmp_path / "own")
    store.append("calls", call_row(origin="own"))
    assert len(store.frame("SELECT * FROM calls WHERE origin = 'own'")) == 1


def test_a_row_comes_out_as_it_went_in(service, tmp_path):
    store = opened(service, tmp_path / "values")
    row = call_row(
        origin="values",
        cost_usd=Decimal("0.000000037500"),
        started_at=datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC),
        messages=[{"role": "user", "content": "Grüße\x00 \u2028 😀 'quoted' \"twice\" \\ ?"}],
        output_text="a\x00b\r\n",
        tags={"team": "α", "empty": ""},
        flags=("truncated_by_limit",),
        chunk_offsets_us=(1, 2, 2**40),
        ttft_ms=0.1 + 0.2,
        input_tokens=2**63 - 1,
    )
    store.append("calls", row)
    (found,) = store.rows("SELECT * FROM calls WHERE origin = 'values'")
    for name in ("cost_usd", "started_at", "output_text", "tags", "ttft_ms", "input_tokens"):
        assert found[name] == row[name], name
    assert found["chunk_offsets_us"] == [1, 2, 2**40]
    said = store.rows("SELECT messages->0->>'content' AS t FROM calls WHERE origin = 'values'")
    assert said[0]["t"] == row["messages"][0]["content"]


def test_newer_rows_replace_older_ones_from_whichever_home(service, tmp_path):
    for number, name in enumerate(("first", "second")):
        store = opened(service, tmp_path / name)
        store.append("models", model_row(model_id="replaced", context_window=number))
        store.ingest()
    assert store.rows("SELECT context_window AS n FROM models WHERE model_id = 'replaced'") == [
        {"n": 1}
    ]


def test_a_batch_sent_twice_counts_once(service, tmp_path):
    store = opened(service, tmp_path / "twice")
    store.append_many("calls", [call_row(origin="twice") for _ in range(4)])
    entries, journal_id = store._journal.read(), store._journal.identity()
    client = QuackClient(store._backend._address, service.token)
    for batch in ("a", "b"):  # a process that died before it could drop what it had sent
        client.send(batch, journal_id, entries)
    store.ingest()
    counted = "SELECT count(*) AS n FROM calls WHERE origin = 'twice'"
    assert store.rows(counted) == [{"n": 4}]
    rolled = "SELECT sum(calls)::INT AS n FROM rollup_hourly WHERE origin = 'twice'"
    assert store.rows(rolled) == [{"n": 4}]


def test_every_query_answers_as_over_a_file(tmp_path):
    service = QuackService(tmp_path / "server")
    service.home.mkdir()
    service.start()
    try:
        file, shared = Store(Settings(home=tmp_path / "file")), opened(service, tmp_path / "client")
        for table, rows in sample_rows():
            file.append_many(table, rows)
            shared.append_many(table, rows)
        file.ingest()
        shared.ingest()
        assert require_same_answers(file, shared) > 20
    finally:
        service.stop()


def test_user_sql_reads_the_tables_and_nothing_else(service, tmp_path):
    store = opened(service, tmp_path / "user")
    store.append("calls", call_row(origin="user sql"))
    assert len(store.user_frame("FROM calls WHERE origin = $name", {"name": "user sql"})) == 1
    assert store.user_arrow("SELECT 1 AS one WHERE 'a?' <> ?", ["b"]).to_pylist() == [{"one": 1}]
    with pytest.raises(StoreError, match="files, network and extensions"):
        store.user_frame("SELECT * FROM read_text('/etc/hostname')")
    with pytest.raises(StoreError) as failure:
        store.user_frame("SELECT no_such_column FROM calls")
    assert "no_such_column" in str(failure.value)
    assert "quack_query" not in str(failure.value)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM calls",
        "DROP TABLE calls",
        "SELECT 1; DROP TABLE calls",
        "WITH old AS (SELECT 1) DELETE FROM calls",
        "INSERT INTO calls (call_id) VALUES ('x')",
        "INSERT INTO shared.incoming SELECT 'a', 'b', 1, 'c'; DROP TABLE calls",
        "SET GLOBAL enable_external_access = true",
        "COPY calls TO '/tmp/calls.csv'",
        "ATTACH ':memory:' AS other",
    ],
)
def test_a_client_can_only_read_and_add(service, tmp_path, statement):
    store = opened(service, tmp_path / "limits")
    with pytest.raises(StoreError, match="read and add records, and nothing else"):
        store._backend._client.run(statement)


def test_checks_and_numbers_come_from_the_server(service, tmp_path):
    store = opened(service, tmp_path / "checks")
    store.append("calls", call_row())
    info = store.info()
    assert (info.error, info.backlog, info.schema_version) == (None, 1, migrate.latest_version())
    assert str(info.path) == service.url
    assert info.rows["calls"] >= 1
    assert all(check.is_ok for check in store.verify()), store.verify()


def test_a_wrong_token_is_refused_in_words(service, tmp_path):
    store = opened(service, tmp_path / "token", store_token="wrong-wrong-wrong")
    store.append("calls", call_row())
    with pytest.raises(StoreError, match="refuses the token"):
        store.ingest()
    assert store._journal.count() == 1


def test_without_a_token_it_says_where_to_get_one(tmp_path):
    store = Store(Settings(home=tmp_path, store="quack:127.0.0.1:9494"))
    with pytest.raises(StoreError, match="TOOLKIT_STORE_TOKEN"):
        store.rows("SELECT 1")


def test_while_the_server_is_away_records_wait_and_the_status_says_so(tmp_path):
    store = Store(
        Settings(home=tmp_path, store=f"quack:127.0.0.1:{free_port()}", store_token="t" * 32)
    )
    store._publisher.notice = lambda count=1: None
    store.append("calls", call_row())
    info = store.info()
    assert info.backlog == 1
    assert "does not answer" in (info.error or "")
    store.close()


@pytest.mark.parametrize(
    ("attribute", "error", "words"),
    [
        ("latest_version", StoreTooNew, "Update the toolkit here"),
        ("duckdb", StoreError, "runs DuckDB"),
    ],
)
def test_another_version_is_refused(service, tmp_path, monkeypatch, attribute, error, words):
    import duckdb

    store = opened(service, tmp_path / "version")
    store.append("calls", call_row())
    if attribute == "duckdb":
        store._backend._client.run("SELECT 1")  # loads the extensions of the real version
        store._backend._client.close()
        monkeypatch.setattr(duckdb, "__version__", "9.9.9")
    else:
        monkeypatch.setattr(migrate, "latest_version", lambda: 1)
    with pytest.raises(error, match=words):
        store.ingest()
    assert store._journal.count() == 1


def test_a_killed_server_loses_nothing_and_is_found_again(tmp_path):
    service = QuackService(tmp_path / "server")
    service.home.mkdir()
    service.start()
    store = opened(service, tmp_path / "client")
    try:
        store.append_many("calls", [call_row() for _ in range(20)])
        store.ingest()
        service.kill()
        store.append_many("calls", [call_row() for _ in range(20)])
        with pytest.raises(StoreError, match="does not answer"):
            store.ingest()
        service.start()
        assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": 40}]
        assert store._journal.count() == 0
    finally:
        store.close()
        service.stop()


def test_the_file_of_a_server_is_held_and_named(service):
    store = Store(Settings(home=service.home, lock_wait_s=0.1))
    store._publisher.notice = lambda count=1: None
    store.append("calls", call_row())
    with pytest.raises(StoreLocked):
        store.ingest()


@pytest.mark.parametrize(
    "url", ["quack:", "quack:host:0", "quack:host:99999", "quack:a b:1", "quack:h:1?tls=on"]
)
def test_a_url_of_another_form_is_refused_in_words(tmp_path, url):
    with pytest.raises(StoreError, match="quack:HOST:PORT"):
        Store(Settings(home=tmp_path, store=url)).rows("SELECT 1")


def test_values_are_written_into_a_statement_where_its_parameters_are():
    sql = "SELECT ?, '?', \"?\", $b -- ?\n/* ? */, $$?$$, ?"
    with pytest.raises(StoreError, match="other parameters"):
        inline(sql, [1, 2, 3])
    assert inline("SELECT ?, '?''?', \"?\" -- ?\n, ?", [1, "it's"]) == (
        "SELECT 1, '?''?', \"?\" -- ?\n, 'it''s'::VARCHAR"
    )
    assert inline("SELECT $a, $b, $a", {"a": 1, "b": None}) == "SELECT 1, NULL, 1"
    assert write_literal(Decimal("0.10")) == "0.10"
    with pytest.raises(StoreError, match="cannot be sent"):
        write_literal(object())
