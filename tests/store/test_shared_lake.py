"""DuckLake on a real PostgreSQL, with its files in a folder: many homes, each record once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.servers.s3_stand_in import S3StandIn
from tests.store.rows import call_row, model_row
from tests.store.shared_stores import (
    LakeService,
    find_postgres,
    free_port,
    require_same_answers,
    sample_rows,
)
from toolkit.errors import StoreError
from toolkit.secret import hide_password
from toolkit.settings import Settings
from toolkit.store.backends.lake_backend import LakeBackend
from toolkit.store.store import Store

pytest.importorskip("duckdb_extension_ducklake", reason="the extra `shared` is not installed")
pytestmark = [
    pytest.mark.skipif(find_postgres() is None, reason="PostgreSQL's initdb is not installed"),
    # starts PostgreSQL, and each home loads three extensions
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeService]:
    running = LakeService(tmp_path_factory.mktemp("lake"))
    try:
        running.create()
        yield running
    finally:
        running.remove()


def opened(settings: Settings) -> Store:
    """A store that commits only when told."""
    settings.make_home()
    store = Store(settings)
    store._publisher.notice = lambda count=1: None
    return store


@pytest.fixture(scope="module")
def homes(
    service: LakeService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, Store]]:
    """Two homes that record into one lake."""
    folder = tmp_path_factory.mktemp("homes")
    one, two = (opened(service.settings(folder / name)) for name in ("one", "two"))
    yield one, two
    one.close()
    two.close()


def test_what_one_home_records_another_reads_and_the_files_are_parquet(homes, service):
    one, two = homes
    one.append_many("calls", [call_row(origin="two homes", input_tokens=n) for n in range(40)])
    assert one.rows("SELECT count(*) AS n FROM calls WHERE origin = 'two homes'") == [{"n": 40}]
    assert two.rows("SELECT count(*) AS n FROM calls WHERE origin = 'two homes'") == [{"n": 0}]
    assert one.ingest().rows == {"calls": 40}
    assert one._journal.count() == 0
    found = two.rows("SELECT sum(input_tokens)::INT AS n FROM calls WHERE origin = 'two homes'")
    assert found == [{"n": 780}]
    assert list(service.files.rglob("calls/*.parquet"))


def test_a_row_comes_out_as_it_went_in(homes):
    row = call_row(
        origin="values",
        cost_usd=Decimal("0.000000037500"),
        started_at=datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC),
        messages=[{"role": "user", "content": "Grüße \u2028 😀 'quoted' \"twice\" \\"}],
        output_text="a\r\nb",
        tags={"team": "α", "empty": ""},
        flags=("truncated_by_limit",),
        chunk_offsets_us=(1, 2, 2**40),
        ttft_ms=0.1 + 0.2,
        input_tokens=2**63 - 1,
    )
    homes[0].append("calls", row)
    homes[0].ingest()
    (found,) = homes[1].rows("SELECT * FROM calls WHERE origin = 'values'")
    for name in ("cost_usd", "started_at", "output_text", "tags", "ttft_ms", "input_tokens"):
        assert found[name] == row[name], name
    assert found["chunk_offsets_us"] == [1, 2, 2**40]


def test_newer_rows_replace_older_ones_from_whichever_home(homes):
    for number, store in enumerate(homes):
        store.append("models", model_row(model_id="replaced", context_window=number))
        store.ingest()
    found = homes[0].rows("SELECT context_window AS n FROM models WHERE model_id = 'replaced'")
    assert found == [{"n": 1}]


@pytest.mark.parametrize("step", ["ingest:begun", "ingest:marked", "ingest:committed"])
def test_a_commit_that_breaks_off_counts_once(service, tmp_path, step):
    def fail(name: str) -> None:
        if name == step and not failed:
            failed.append(name)
            raise StoreError("broken off", cause="away")

    failed: list[str] = []
    settings = service.settings(tmp_path / "home")
    settings.make_home()
    store = Store(settings, on_step=fail)
    store._publisher.notice = lambda count=1: None
    store.append_many("calls", [call_row(origin=step) for _ in range(5)])
    store.ingest()
    assert failed == [step]
    counted = f"SELECT count(*) AS n FROM calls WHERE origin = '{step}'"
    assert store.rows(counted) == [{"n": 5}]
    rolled = f"SELECT sum(calls)::INT AS n FROM rollup_hourly WHERE origin = '{step}'"
    assert store.rows(rolled) == [{"n": 5}]
    store.close()


def test_every_query_answers_as_over_a_file(service, tmp_path):
    settings = service.settings(
        tmp_path / "client",
        store=service.new_database("queries"),
        store_files=str(tmp_path / "files"),
    )
    file, shared = opened(Settings(home=tmp_path / "file")), opened(settings)
    for table, rows in sample_rows():
        file.append_many(table, rows)
        shared.append_many(table, rows)
        shared.ingest()
    file.ingest()
    assert require_same_answers(file, shared) > 20
    shared.close()


def test_user_sql_reads_the_lake_and_nothing_else(homes):
    store = homes[0]
    assert store.user_frame("SELECT count(*) AS n FROM calls")["n"][0] > 0
    for sql in (
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM postgres_query('__ducklake_metadata_ledger', 'SELECT 1')",
    ):
        with pytest.raises(StoreError) as failure:
            store.user_frame(sql)
        assert failure.value.cause == "not_allowed"


def test_maintenance_sums_up_and_changes_no_result(homes):
    store = homes[0]
    for _ in range(3):
        store.append_many("calls", [call_row(origin="maintained", output_tokens=2)] * 1)
        store.ingest()
    sums = (
        "SELECT count(*) AS calls, (SELECT sum(calls)::INT FROM rollup_hourly) AS rolled, "
        "(SELECT sum(output_tokens)::INT FROM rollup_hourly) AS tokens FROM calls"
    )
    before = store.rows(sums)
    report = store.maintain(keep_days=0)
    assert report is not None
    assert store.rows(sums) == before
    rows = store.rows("SELECT count(*) AS n FROM rollup_hourly WHERE origin = 'maintained'")
    assert rows == [{"n": 1}]
    store.append("calls", call_row(origin="after"))
    store.ingest()
    assert all(check.is_ok for check in store.verify()), store.verify()


def test_one_host_does_the_maintenance(homes):
    from toolkit.store.backends.lake import MAINTENANCE_LOCK

    backend = homes[1]._backend
    assert isinstance(backend, LakeBackend)
    with backend._lake.holding(MAINTENANCE_LOCK, 1.0):
        assert homes[0].maintain() is None


def test_while_postgresql_is_away_records_wait(tmp_path):
    store = opened(
        Settings(
            home=tmp_path,
            store=f"ducklake:postgres:host=127.0.0.1 port={free_port()} dbname=lake password=hush",
            store_files=str(tmp_path / "files"),
        )
    )
    store.append("calls", call_row())
    info = store.info()
    assert info.backlog == 1
    assert "does not answer" in (info.error or "")
    assert "hush" not in f"{info.path} {info.error}"


def test_the_files_can_be_in_object_storage(service, tmp_path, monkeypatch):
    with S3StandIn("AKIDTEST") as storage:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", storage.url)
        url = service.new_database("objects")
        store = opened(service.settings(tmp_path, store=url, store_files="s3://bucket/team"))
        store.append_many("calls", [call_row(input_tokens=n) for n in range(40)])
        store.ingest()
        sums = "SELECT count(*) AS n, sum(input_tokens)::INT AS tokens FROM calls"
        assert store.rows(sums) == [{"n": 40, "tokens": 780}]
        assert store.user_frame(sums)["n"][0] == 40
        with pytest.raises(StoreError, match="files, network and extensions"):
            store.user_frame("SELECT * FROM read_text('s3://bucket/other')")
        assert any(name.startswith("bucket/team/main/calls/") for name in storage.objects)
        assert not storage.unsigned
        store.close()


def test_a_refusal_of_postgresql_is_told_in_words(service, tmp_path):
    url = service.url.replace("dbname=lake", "dbname=nowhere")
    store = opened(service.settings(tmp_path, store=url))
    store.append("calls", call_row())
    with pytest.raises(StoreError, match="PostgreSQL refuses"):
        store.ingest()
    assert store._journal.count() == 1


def test_passwords_are_in_no_text():
    hidden = hide_password("host=h password='a b' x; postgres://me:hush@h/db PASSWORD = hush")
    assert "hush" not in hidden and "a b" not in hidden
    assert "host=h" in hidden and "@h/db" in hidden
