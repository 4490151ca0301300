"""Spend: exact sums by every grouping, what is missing counted beside, one figure everywhere."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

import toolkit as tk
from toolkit.errors import InvalidInput
from toolkit.pricing.budget import Cap
from toolkit.pricing.spend import COLUMNS, forecast_month, read_spend, read_spent
from toolkit.store.queries.app_pages import SPEND_BY, spend_by_day
from toolkit.toolkit import current

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def record(number, cost=None, reported=None, **fields):
    row = {
        "call_id": f"c{number}", "source": "live", "status": "ok", "origin": "api",
        "provider": "p", "model": "p/m", "started_at": NOON, "input_tokens": 10,
        "output_tokens": 5, "tags": {}, "unpriced_classes": [], "cost_source": "computed",
    }  # fmt: skip
    computed = None if cost is None else Decimal(cost)
    charged = computed if reported is None else Decimal(reported)
    row |= {"cost_computed_usd": computed, "cost_usd": charged}
    row |= {"cost_reported_usd": None if reported is None else Decimal(reported)}
    current().store.append("calls", row | fields)


@pytest.fixture
def recorded(home):
    record(1, "0.1")
    record(2, "0.2", tags={"team": "red", "env": "dev"}, model="p/n")
    record(3, "0.001", reported="0.4", provider="q", model="q/m")
    record(4, None, provider="q", model="q/x")
    record(5, "0.0000000001", started_at=NOON + timedelta(days=1), origin="gateway",
           tags={"token": "alice"})  # fmt: skip
    record(6, "5", source="replay")
    record(7, None, status="error", output_tokens=None)
    record(8, "0.05", unpriced_classes=["web_search"])
    return current()


def test_sums_are_exact_and_what_is_missing_is_counted_beside(recorded):
    frame = tk.spend("provider").set_index("provider")
    assert frame.loc["p", "cost_usd"] == Decimal("0.3500000001")
    assert frame.loc["q", "cost_usd"] == Decimal("0.4"), "the provider's own figure counts"
    assert frame.loc["q", "computed_usd"] == Decimal("0.001")
    assert (frame.loc["q", "unpriced_calls"], frame.loc["q", "mismatched_calls"]) == (1, 1)
    assert (frame.loc["p", "unpriced_calls"], frame.loc["p", "partial_calls"]) == (0, 1)


def test_every_grouping_has_the_same_total_and_tags_have_one_row_each(recorded):
    whole = Decimal("0.7500000001")
    for by in ("provider", "model", "day", "origin", "token", ["provider", "day"]):
        assert sum(tk.spend(by)["cost_usd"]) == whole
    by_tag = tk.spend("tag").set_index("tag")["cost_usd"]
    assert by_tag["team=red"] == by_tag["env=dev"] == Decimal("0.2")
    assert by_tag["token=alice"] == Decimal("0.0000000001")
    assert sum(tk.spend("day", since="2026-11-21")["cost_usd"]) == Decimal("0.0000000001")
    with pytest.raises(InvalidInput, match="'weather'"):
        tk.spend("weather")


def test_in_a_notebook_it_says_what_the_sums_leave_out(recorded):
    shown = tk.spend("provider")
    html, text = shown._repr_html_(), shown._repr_mimebundle_()["text/plain"]
    for view in (html, text, shown._repr_markdown_()):
        assert "Spend by provider" in view and "$0.4" in view
        assert "1 answered without a known price" in view
    assert "unknown" in tk.spend("model")._repr_html_(), "q/x has no price, and so no sum"
    assert "$0.000001" in tk.spend("day", since="2026-11-21")._repr_html_()
    assert "No live call" in tk.spend(since="2030-01-01")._repr_html_()
    assert "several rows" in tk.spend("tag")._repr_html_()
    assert type(shown[["provider", "calls"]]).__name__ == "DataFrame"
    shown.columns = [f"<b>{name}" for name in shown.columns]
    assert "<b>" not in shown._repr_html_() and "Spend by" not in shown._repr_html_()


def test_names_on_the_view_are_text(home):
    record(1, "0.1", provider="<script>", model="<script>/m")
    for by in ("provider", "model", ["provider", "model"]):
        assert "<script" not in tk.spend(by)._repr_html_()


def test_calls_of_earlier_versions_count_with_their_reported_cost(home):
    record(1, None, cost_usd=Decimal("0.1"), cost_source=None, cost_reported_usd=Decimal("0.3"))
    frame = tk.spend("provider")
    assert frame["cost_usd"][0] == Decimal("0.3")
    assert frame["computed_usd"][0] == Decimal("0.1")
    assert frame["mismatched_calls"][0] == 1


@pytest.mark.parametrize(
    ("cap", "usd"),
    [
        (Cap(kind="day", limit_usd=Decimal(1)), "0.7500000001"),
        (Cap(kind="provider", name="q", limit_usd=Decimal(1)), "0.4"),
        (Cap(kind="model", name="p/n", limit_usd=Decimal(1)), "0.2"),
        (Cap(kind="tag", name="team=red", limit_usd=Decimal(1)), "0.2"),
        (Cap(kind="token", name="alice", limit_usd=Decimal(1)), "0.0000000001"),
    ],
)
def test_a_budget_reads_the_same_figures(recorded, cap, usd):
    until = NOON + timedelta(days=9)
    assert read_spent(recorded.store, cap, None, until) == Decimal(usd)


@pytest.mark.parametrize("by", SPEND_BY)
def test_the_page_shows_the_same_sums(recorded, by):
    sums: dict[str, Decimal] = {}
    with recorded.store.reading() as reader:
        rows = spend_by_day(by, NOON - timedelta(days=1)).rows(reader)
    for row in rows:
        sums[row["name"]] = sums.get(row["name"], Decimal(0)) + row["cost_usd"]
    if by == "key":
        assert sum(sums.values()) == Decimal("0.7500000001")
        return
    frame = read_spend(recorded.store, by)
    charged = frame[(frame["cost_usd"] > 0) & (frame[by].notna() | (by == "token"))]
    expected = dict(zip(charged[by].fillna("no token"), charged["cost_usd"], strict=True))
    assert sums == expected


def test_a_forecast_has_an_interval_and_needs_days_to_go_by(home):
    store = current().store
    assert forecast_month(store, NOON).expected_usd is None
    for day in range(10):
        record(day, "1.00" if day % 2 else "3.00", started_at=NOON - timedelta(days=day + 1))
    found = forecast_month(store, NOON)
    assert (found.days, found.spent_usd) == (10, Decimal(20))
    assert float(found.expected_usd) == pytest.approx(20 + 2 * 10.5)
    assert found.spent_usd < found.low_usd < found.expected_usd < found.high_usd


def test_nothing_spent_is_an_empty_frame(home):
    assert read_spend(current().store, "model").empty


def test_hours_of_the_roll_up_and_calls_at_the_edges_make_the_same_sums(home):
    rng = random.Random(7)
    rows = []
    for number in range(300):
        at = NOON + timedelta(minutes=rng.randrange(-2000, 2000), microseconds=number)
        cost = rng.choice([None, Decimal("0.25"), Decimal("0.000000000001")])
        reported = rng.choice([None, None, Decimal("0.3"), Decimal("0.25")])
        rows.append(
            {
                "call_id": f"r{number}", "source": "live", "status": rng.choice(["ok", "error"]),
                "origin": rng.choice(["api", "eval"]), "provider": rng.choice(["p", "q", None]),
                "model": rng.choice(["p/m", "p/n"]), "started_at": at, "tags": {},
                "input_tokens": rng.choice([None, 7]), "output_tokens": rng.choice([None, 3]),
                "unpriced_classes": rng.choice([[], ["web_search"]]), "attempt": 1,
                "cost_source": rng.choice([None, "computed"]), "cost_computed_usd": cost,
                "cost_usd": cost if reported is None else reported, "cost_reported_usd": reported,
            }
        )  # fmt: skip
    store = current().store
    store.append_many("calls", rows[:200])
    store.ingest()
    store.append_many("calls", rows[200:])  # only in the journal
    spans = [(None, None), (NOON, None), (NOON - timedelta(minutes=90), NOON)]
    spans += [(NOON + timedelta(minutes=5), NOON + timedelta(minutes=50))]
    spans += [(NOON - timedelta(minutes=777), NOON + timedelta(minutes=777))]
    for since, until in spans:
        for by in (["provider"], ["model", "day"], ["origin", "provider"]):
            got = read_spend(store, by, since=since, until=until)
            # Tags are in the calls only, so this reads no roll-up.
            slow = read_spend(store, [*by, "tag"], since=since, until=until)
            columns = [*by, *COLUMNS]
            order = [*by]
            assert (
                got[columns].sort_values(order).astype(str).to_numpy().tolist()
                == slow[columns].sort_values(order).astype(str).to_numpy().tolist()
            )


def test_spend_by_token_reads_the_calls_of_the_gateway_and_hours_of_the_others(home):
    rng = random.Random(8)
    store = current().store
    rows = [
        {
            "call_id": f"t{number}", "source": "live", "status": "ok", "attempt": 1,
            "origin": (origin := rng.choice(["api", "gateway", None])), "provider": "p",
            "model": rng.choice(["p/m", "p/n"]), "input_tokens": 7, "output_tokens": 3,
            "started_at": NOON + timedelta(minutes=rng.randrange(-300, 300)),
            "tags": {"token": rng.choice("ab")} if origin else {},
            "unpriced_classes": [], "cost_source": "computed", "cost_usd": Decimal(number),
            "cost_computed_usd": Decimal(number),
        }
        for number in range(200)
    ]  # fmt: skip
    store.append_many("calls", rows)
    store.ingest()
    spans = [(None, None), (NOON - timedelta(minutes=95), NOON + timedelta(minutes=50))]
    for since, until in spans:
        expected: dict[tuple[str | None, str], list[Decimal]] = {}
        for row in rows:
            if (since is None or row["started_at"] >= since) and (
                until is None or row["started_at"] < until
            ):
                token = row["tags"]["token"] if row["origin"] == "gateway" else None
                expected.setdefault((token, row["model"]), []).append(row["cost_usd"])
        frame = read_spend(store, ["token", "model"], since=since, until=until)
        found = {
            (row["token"] if isinstance(row["token"], str) else None, row["model"]): (
                row["calls"],
                row["cost_usd"],
            )
            for row in frame.to_dict("records")
        }
        assert found == {key: (len(usd), sum(usd)) for key, usd in expected.items()}
        assert len(found) == 6
