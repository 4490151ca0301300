"""The ledger from the shell: lists, sums and files say what the rows say."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import call
from tests.cli.shell import run, run_json
from toolkit import toolkit as toolkit_module
from toolkit.records import CALL_COLUMNS
from toolkit.toolkit import current


def test_the_newest_call_stands_first_with_every_column(ledger):
    rows = run_json("calls", "list")
    assert [row["call_id"] for row in rows] == [call.call_id for call in ledger]
    assert set(CALL_COLUMNS) <= set(rows[0])
    assert rows[0]["cost_usd"] == 0.000412
    assert rows[1]["cost_usd"] is None
    assert rows[0]["messages"] == [{"role": "user", "content": "question 1"}]
    assert rows[0]["started_at"].endswith("Z")


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--provider", "zeta"], [4]),
        (["--model", "acme/small"], [1, 2, 3, 5]),
        (["--model", "large"], [4]),
        (["--status", "error"], [4]),
        (["--origin", "chat"], [3]),
        (["--since", "150s"], None),
        (["--since", "3min", "--limit", "1"], [1]),
        (["--provider", "x' OR 1=1 --"], []),
    ],
)
def test_filters_narrow_and_are_never_sql(ledger, options, numbers):
    done = run("calls", "list", "--json", *options)
    if numbers is None:
        assert done.returncode == 2
        return
    assert [int(row["call_id"][-12:]) for row in json.loads(done.stdout)] == numbers


def test_the_table_has_units_and_no_zero_for_unknown(ledger):
    out = run("calls", "list").stdout
    assert "101 ms" in out
    assert "$0.000412" in out
    assert "unpriced" in out
    assert "TIMEOUT" in out
    assert "$0 " not in out


def test_statistics_count_live_calls_only(ledger):
    acme, zeta = run_json("calls", "stats")
    assert (acme["model"], acme["calls"], acme["answers"]) == ("acme/small", 3, 3)
    assert acme["ttft_p50_ms"] == 102.0
    assert acme["ttft_p95_ms"] is None, "three answers are too few for a 95th percentile"
    assert acme["ttft_max_ms"] == 103.0
    assert acme["cost_usd"] == 0.000412
    assert acme["unpriced"] == 2
    assert (zeta["errors"], zeta["answers"], zeta["cost_usd"]) == (1, 0, None)
    assert "max 103 ms" in run("calls", "stats").stdout


@pytest.mark.parametrize("part", ["000000000003", "01a1fc9f-0000-7000-8000-000000000003"])
def test_one_call_is_found_by_a_part_of_its_id(ledger, part):
    assert run_json("calls", "show", part)["output_text"] == "answer 3"
    out = run("calls", "show", part).stdout
    assert "user: question 3" in out
    assert "answer 3" in out


def test_a_part_of_several_ids_or_of_none_is_refused(ledger):
    several = run("calls", "show", "01a1fc9f")
    assert several.returncode == 2
    assert ledger[0].call_id in several.stderr
    assert run("calls", "show", "nope").returncode == 2


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_an_export_holds_every_row_oldest_first_and_is_private(ledger, tmp_path, kind):
    file = tmp_path / f"calls.{kind}"
    assert run_json("calls", "export", str(file))["rows"] == 5
    read = {
        "jsonl": lambda: [json.loads(line) for line in file.read_text().splitlines()],
        "csv": lambda: list(csv.DictReader(file.open(newline=""))),
        "parquet": lambda: pd.read_parquet(file).to_dict("records"),
    }
    rows = read[kind]()
    assert [row["call_id"] for row in rows] == [call.call_id for call in ledger[::-1]]
    assert rows[-1]["output_text"] == "answer 1"
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600


def test_cells_that_a_spreadsheet_runs_are_escaped_unless_told_not_to(ledger, tmp_path):
    toolkit = current()
    toolkit.record(call(6, provider="sheet", output_text="=1+1"))
    toolkit.close()
    toolkit_module._open.cache_clear()
    for options, text in (((), "'=1+1"), (("--raw-cells",), "=1+1")):
        file = tmp_path / f"{len(options)}.csv"
        assert run("calls", "export", str(file), "--provider", "sheet", *options).returncode == 0
        (row,) = csv.DictReader(file.open(newline=""))
        assert row["output_text"] == text


def test_an_export_that_fails_leaves_nothing(ledger, tmp_path):
    assert run("calls", "export", str(tmp_path / "calls.xlsx")).returncode == 2
    assert run("calls", "export", str(tmp_path / "no" / "calls.csv")).returncode == 2
    assert not [path for path in Path(tmp_path).iterdir() if "calls" in path.name]


def test_an_empty_ledger_tells_what_to_do_first():
    done = run("calls", "list")
    assert done.returncode == 0
    assert "toolkit demo" in done.stderr
