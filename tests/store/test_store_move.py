"""Copying a store into one of another kind, with every row compared."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.rows import call_row, model_row
from tests.store.shared_stores import LakeService, QuackService, find_postgres
from toolkit.errors import StoreCorrupt, StoreError
from toolkit.settings import Settings
from toolkit.store.backends import move as move_module
from toolkit.store.store import Store

SUMS = (
    "SELECT count(*) AS n, sum(input_tokens)::INT AS tokens, sum(cost_usd)::VARCHAR AS cost, "
    "bit_xor(hash(messages::VARCHAR))::VARCHAR AS texts, "
    "(SELECT sum(calls)::INT FROM rollup_hourly) AS rolled, "
    "(SELECT count(*) FROM models) AS models FROM calls"
)


@pytest.fixture
def filled(home: Path) -> Iterator[Store]:
    """A home with calls of all types, and some still in the journal."""
    store = Store(Settings(home=home))
    store._publisher.notice = lambda count=1: None
    store.append_many(
        "calls",
        [
            call_row(
                input_tokens=n,
                cost_usd=f"0.{n:012d}",
                messages=[{"role": "user", "content": f"'{n}' ?\x00 \u2028"}],
                tags={"n": str(n)},
                chunk_offsets_us=(n, n + 1),
                ttft_ms=n / 3,
            )
            for n in range(30)
        ],
    )
    store.append_many("models", [model_row(model_id=f"m{n}", aliases=["a"]) for n in range(3)])
    store.ingest()
    store.append("calls", call_row(input_tokens=7))
    yield store
    store.close()


def test_a_file_is_copied_into_another_and_again_without_doubles(filled, tmp_path):
    target = str(tmp_path / "copy.duckdb")
    first = filled.move("", target)
    assert (first.rows, first.added) == ({"calls": 31, "models": 3},) * 2
    again = filled.move("", target)
    assert again.rows == first.rows
    assert set(again.added.values()) == {0}
    copied = Store(Settings(home=filled.settings.home, store=target))
    assert copied.rows(SUMS) == filled.rows(SUMS)


def test_rows_that_the_target_has_already_stay(filled, tmp_path):
    target = Store(Settings(home=tmp_path / "other"))
    target._publisher.notice = lambda count=1: None
    target.append("models", model_row(model_id="m0", display_name="theirs"))
    target.ingest()
    report = filled.move("", str(target.settings.store_path))
    assert report.added["models"] == 2
    found = target.rows("SELECT display_name AS name FROM models WHERE model_id = 'm0'")
    assert found == [{"name": "theirs"}]


def test_the_same_store_twice_and_a_missing_one_are_refused(filled, tmp_path):
    with pytest.raises(StoreError, match="the same store"):
        filled.move("", str(filled.settings.store_path))
    with pytest.raises(StoreError, match="no database at"):
        filled.move(str(tmp_path / "none.duckdb"), "")


def test_a_copy_that_differs_is_refused(filled, tmp_path, monkeypatch):
    typed = move_module._typed

    def damaged(connection, table):
        return typed(connection, table).replace("output_text::VARCHAR", "'other'")

    monkeypatch.setattr(move_module, "_typed", damaged)
    with pytest.raises(StoreCorrupt, match="differ"):
        filled.move("", str(tmp_path / "copy.duckdb"))


@pytest.mark.skipif(find_postgres() is None, reason="PostgreSQL's initdb is not installed")
def test_a_store_goes_round_all_kinds_unchanged(filled, tmp_path, monkeypatch):
    pytest.importorskip("duckdb_extension_quack", reason="the extra `shared` is not installed")
    server, lake = QuackService(tmp_path / "server"), LakeService(tmp_path / "lake")
    server.home.mkdir()
    server.start()
    try:
        lake.create()
        monkeypatch.setenv("TOOLKIT_STORE_TOKEN", server.token)
        monkeypatch.setenv("TOOLKIT_STORE_FILES", str(lake.files))
        home = filled.settings.home
        mover = Store(Settings(home=home))
        back = str(tmp_path / "back.duckdb")
        for source, target in (("", server.url), (server.url, lake.url), (lake.url, back)):
            report = mover.move(source, target)
            assert (report.rows, report.added) == ({"calls": 31, "models": 3},) * 2, target
        assert Store(Settings(home=home, store=back)).rows(SUMS) == filled.rows(SUMS)
        assert set(mover.move(back, server.url).added.values()) == {0}
    finally:
        server.stop()
        lake.remove()


def test_the_command_shows_what_was_copied(filled, tmp_path, capsys):
    from toolkit.cli.commands.store import move

    filled.close()
    move("", str(tmp_path / "copy.duckdb"), as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert {row["table"]: row["added"] for row in shown} == {"calls": 31, "models": 3}
