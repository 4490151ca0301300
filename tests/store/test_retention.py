"""Old prompts and answers, or old calls, are removed for good; counts and costs stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.store.rows import call_row, model_row
from toolkit.errors import InvalidInput, StoreError
from toolkit.store.parquet_export import export_parquet
from toolkit.store.retention import BODIES, Retention, find_affected
from toolkit.store.store import Store

NOW = datetime(2026, 11, 28, 12, 34, 56, tzinfo=UTC)
SECRET = "the-old-prompt-that-must-not-remain-anywhere"


def fill(store: Store) -> None:
    """One call each 10 days, for 200 days."""
    store.append_many(
        "calls",
        [
            call_row(
                started_at=NOW - timedelta(days=age),
                origin="eval" if age % 20 else "api",
                messages=[{"role": "user", "content": f"{SECRET} {age}"}],
                output_text=f"answer {age}",
                reasoning_text="thought",
                cost_usd=Decimal("0.5"),
                tags={"age": str(age)},
                duration_ms=12.5,
            )
            for age in range(0, 200, 10)
        ],
    )


def pruned(store: Store, bodies: int | None, calls: int | None) -> Any:
    ages = [None if days is None else timedelta(days=days) for days in (bodies, calls)]
    return store.prune(Retention.of_ages(*ages, now=NOW))


def test_bodies_go_and_everything_else_stays(store: Store) -> None:
    fill(store)
    before = store.rows(f"SELECT * EXCLUDE ({', '.join(BODIES)}) FROM calls ORDER BY started_at")
    result = pruned(store, 30, None)
    assert (result.bodies, result.calls) == (16, 0)
    rows = store.rows("SELECT started_at, messages, output_text, reasoning_text FROM calls")
    for row in rows:
        is_old = row["started_at"] < NOW - timedelta(days=30)
        assert [row[name] is None for name in BODIES[:3]] == [is_old] * 3
    after = store.rows(f"SELECT * EXCLUDE ({', '.join(BODIES)}) FROM calls ORDER BY started_at")
    assert after == before
    assert pruned(store, 30, None).bodies == 0
    assert all(check.is_ok for check in store.verify())


def test_nothing_of_what_was_removed_remains_in_the_home(store: Store, home: Path) -> None:
    fill(store)
    pruned(store, 5, None)
    store.close()
    for path in home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert f"{SECRET} 10".encode() not in content, path
    assert any(f"{SECRET} 0".encode() in p.read_bytes() for p in home.rglob("*") if p.is_file())


def test_calls_go_and_the_rollups_keep_their_counts_and_costs(store: Store) -> None:
    fill(store)
    spent = "SELECT sum(calls) AS calls, sum(cost_usd) AS usd FROM rollup_hourly"
    before = store.rows(spent)
    assert before == [{"calls": 20, "usd": Decimal("10")}]
    result = pruned(store, None, 100)
    assert (result.bodies, result.calls) == (0, 9)
    assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": 11}]
    assert store.rows(spent) == before
    assert all(check.is_ok for check in store.verify())
    store.append("calls", call_row(started_at=NOW))
    store.ingest()
    assert store.rows(spent)[0]["calls"] == 21
    assert all(check.is_ok for check in store.verify())
    kept = store.rows("SELECT calls, bodies FROM retention")
    assert kept == [{"calls": 9, "bodies": 0}]


def test_a_lost_call_is_still_found_after_calls_were_removed(store: Store) -> None:
    fill(store)
    pruned(store, None, 100)
    with store._database.writing() as connection:
        connection.execute("DELETE FROM calls WHERE tags['age'] = '20'")
    assert [check.name for check in store.verify() if not check.is_ok] == ["roll-ups"]


def test_what_would_be_removed_is_counted_and_nothing_changes(store: Store) -> None:
    fill(store)
    retention = Retention.of_ages(timedelta(days=30), timedelta(days=100), now=NOW)
    with store.reading() as reader:
        found = [(row.what, row.origin, row.calls) for row in find_affected(reader, retention)]
    assert found == [
        *(("bodies", "api", 8), ("bodies", "eval", 8)),
        *(("calls", "api", 4), ("calls", "eval", 5)),
    ]
    assert store.rows("SELECT count(*) AS n FROM calls WHERE messages IS NOT NULL") == [{"n": 20}]


def test_calls_are_kept_for_a_month_at_least() -> None:
    with pytest.raises(InvalidInput, match="at least 32 days"):
        Retention.of_ages(None, timedelta(days=31))
    with pytest.raises(InvalidInput, match="nothing to remove"):
        Retention.of_ages(None, None)
    assert Retention.of_ages(None, timedelta(days=40), now=NOW).calls_before == datetime(
        2026, 10, 19, 12, tzinfo=UTC
    )


def test_a_removal_that_is_interrupted_changes_nothing_or_everything(settings: Any) -> None:
    def crash(step: str) -> None:
        if step == "prune:removed":
            raise KeyboardInterrupt

    store = Store(settings, crash)
    fill(store)
    with pytest.raises(KeyboardInterrupt):
        pruned(store, None, 100)
    assert store.rows("SELECT count(*) AS n FROM calls") == [{"n": 11}]
    assert all(check.is_ok for check in store.verify())
    store.close()


def test_each_month_is_a_file_that_pandas_and_polars_read(store: Store, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    fill(store)
    store.append("models", model_row(capabilities=["tools", "vision"], facts={"a": 1}))
    store.append("calls", call_row(started_at=datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)))
    folder = tmp_path / "export"
    written = export_parquet(store, folder, ["calls", "models"])
    assert [file.path.name for file in written] == [
        *(f"calls-2026-{month:02}.parquet" for month in range(5, 12)),
        "models.parquet",
    ]
    assert sum(file.rows for file in written) == 22
    assert not list(folder.glob(".*"))
    assert {file.path.stat().st_mode & 0o777 for file in written} == {0o600}
    frame = pandas.concat(pandas.read_parquet(file.path) for file in written[:-1])
    assert len(frame) == 21 and frame["call_id"].is_unique
    assert float(frame["cost_usd"].dropna().sum()) == 10
    assert {'{"age":"0"}'} <= set(frame["tags"].dropna())
    models = pandas.read_parquet(written[-1].path)
    assert list(models["capabilities"][0]) == ["tools", "vision"]
    polars = pytest.importorskip("polars")
    assert polars.read_parquet(folder / "calls-*.parquet").height == 21
    assert polars.read_parquet(folder / "models.parquet")["model"].to_list() == ["acme/m1"]


def test_later_months_alone_and_tables_that_do_not_exist(store: Store, tmp_path: Path) -> None:
    fill(store)
    since = datetime(2026, 10, 1, tzinfo=UTC)
    written = export_parquet(store, tmp_path, ["calls", "calls"][:1], since=since)
    assert [file.month for file in written] == ["2026-10", "2026-11"]
    with pytest.raises(StoreError, match="no table 'nowhere'"):
        export_parquet(store, tmp_path, ["nowhere"])
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(InvalidInput, match="cannot be written"):
        export_parquet(store, blocked, ["calls"])
