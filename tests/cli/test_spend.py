"""`toolkit spend` end to end: the same figures as `tk.spend`, and budgets with what is left."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from toolkit.cli import main
from toolkit.pricing.budget import Cap
from toolkit.toolkit import current


@pytest.fixture
def recorded(home):
    now = datetime.now(UTC)
    shared = {"source": "live", "status": "ok", "origin": "api", "started_at": now, "tags": {}}
    usage = {"input_tokens": 1, "output_tokens": 1}
    calls = [("p", "p/m", "0.1"), ("p", "p/m", "0.2"), ("q", "q/m", None)]
    for number, (provider, model, cost) in enumerate(calls):
        row = {"call_id": f"c{number}", "provider": provider, "model": model, **shared, **usage}
        usd = None if cost is None else Decimal(cost)
        current().store.append("calls", {**row, "cost_usd": usd, "cost_computed_usd": usd})


def run(capsys, *args):
    code = main(["spend", *args])
    return code, *capsys.readouterr()


def test_spend_by_model_with_unpriced_calls_beside(recorded, capsys):
    code, out, _ = run(capsys, "--json")
    rows = {row["model"]: row for row in json.loads(out)}
    assert code == 0
    assert Decimal(str(rows["p/m"]["cost_usd"])) == Decimal("0.3")
    assert rows["q/m"]["unpriced_calls"] == 1


def test_a_table_has_the_month_below_it(recorded, capsys):
    code, out, err = run(capsys, "--by", "provider", "--by", "day")
    assert code == 0
    assert "Provider" in out
    assert "Spent this month: $0.300" in err


def test_an_unknown_grouping_is_a_usage_error_that_names_the_known_ones(recorded, capsys):
    code, _, err = run(capsys, "--by", "weather")
    assert code != 0
    assert "provider, model, day, token, origin, tag" in err


def test_budgets_show_what_is_left(recorded, capsys):
    current().budgets.set(Cap(kind="day", limit_usd=Decimal("1.5")))
    code, out, _ = run(capsys, "--budgets", "--json")
    (row,) = json.loads(out)
    assert code == 0
    assert row["budget"] == "day"
    assert Decimal(str(row["left_usd"])) == Decimal("1.2")


def test_a_figure_that_nobody_gave_is_not_called_unpriced(recorded, capsys):
    """A provider that reports no cost may well have a known price."""
    _, out, _ = run(capsys, "--by", "provider")
    assert "Unpriced" in out  # the column
    assert "unpriced" not in out
