"""A listing meets the rows known before: exactly the differences are told, nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.catalog.changes import describe
from toolkit.catalog.listings.listed_model import ListedModel, Listing
from toolkit.catalog.model_row import FLAPPING, mark_failed
from toolkit.catalog.sync_diff import SyncDiff, SyncInput, compare_listing
from toolkit.pricing.price import Rate
from toolkit.providers.provider import Provider

PROVIDER = Provider(name="acme", base_url="http://127.0.0.1:9/v1")
START = datetime(2026, 11, 1, tzinfo=UTC)

Rows = dict[str, dict[str, Any]]


def step(*models: ListedModel, day: int = 0, complete: bool = True) -> SyncInput:
    listing = Listing(models=models, complete=complete)
    return SyncInput(PROVIDER, listing, START + timedelta(days=day), f"sync-{day}")


def model(model_id: str, usd: str | None = None, **fields: Any) -> ListedModel:
    prices = ()
    if usd is not None:
        prices = (Rate(token_class="input", usd_per_million=Decimal(usd)),)
    return ListedModel(model_id=model_id, prices=prices, **fields)


def stored(known: Rows, outcome: SyncDiff) -> Rows:
    return {**known, **{row["model_id"]: row for row in outcome.rows}}


def told(outcome: SyncDiff) -> list[tuple[Any, ...]]:
    return [(i, c.kind, c.field, c.old, c.new) for i, c in outcome.changes]


def test_the_first_listing_is_all_new_and_enabled() -> None:
    outcome = compare_listing(step(model("a"), model("b")), {}, {})
    assert told(outcome) == [("a", "new", None, None, None), ("b", "new", None, None, None)]
    assert all(row["is_enabled"] and row["first_seen_at"] == START for row in outcome.rows)
    assert outcome.counts() == {"new": 2, "gone": 0, "back": 0, "changed": 0}


def test_the_same_listing_again_tells_nothing_and_moves_the_date() -> None:
    known = stored({}, compare_listing(step(model("a", "1")), {}, {}))
    outcome = compare_listing(step(model("a", "1"), day=1), known, {})
    assert told(outcome) == [] and outcome.prices == []
    (row,) = outcome.rows
    assert row["first_seen_at"] == START and row["last_seen_at"] == START + timedelta(days=1)


def test_each_difference_is_told_in_its_kind() -> None:
    before = model("a", "1", context_window_tokens=8000, capabilities={"tools": True})
    after = model(
        "a",
        "0.5",
        context_window_tokens=16000,
        max_output_tokens=100,
        capabilities={"vision": True, "tools": False},
        status="deprecated",
        retires_on=date(2026, 12, 31),
        successor="b",
    )
    known = stored({}, compare_listing(step(before), {}, {}))
    outcome = compare_listing(step(after, day=1), known, {})
    assert told(outcome) == [
        ("a", "price", "input", "1", "0.5"),
        ("a", "context", "context_window", "8000", "16000"),
        ("a", "context", "max_output_tokens", None, "100"),
        ("a", "capability", "tools", "yes", "no"),
        ("a", "capability", "vision", "no", "yes"),
        ("a", "status", "status", "active", "deprecated"),
        ("a", "status", "deprecation_date", None, "2026-12-31"),
        ("a", "status", "successor", None, "b"),
    ]
    assert outcome.counts()["changed"] == 1
    words = [
        describe({"kind": k, "field": f, "old": o, "new": n}) for _, k, f, o, n in told(outcome)
    ]
    assert words[:2] == ["input $1 → $0.5 per million (−50 %)", "context window 8,000 → 16,000"]


def test_a_vanished_model_is_kept_and_marked_and_its_switch_stays() -> None:
    known = stored({}, compare_listing(step(model("a", "1"), model("b")), {}, {}))
    known["a"]["is_enabled"] = False
    gone = compare_listing(step(model("b"), day=1), known, {})
    assert told(gone) == [("a", "gone", None, "active", None)]
    known = stored(known, gone)
    assert known["a"]["gone_at"] == START + timedelta(days=1)
    assert known["a"]["input_usd_per_mtok"] == 1 and known["a"]["is_enabled"] is False
    still = compare_listing(step(model("b"), day=2), known, {})
    assert told(still) == []
    assert stored(known, still)["a"]["gone_at"] == START + timedelta(days=1)
    back = compare_listing(step(model("a", "2"), model("b"), day=3), stored(known, still), {})
    assert told(back) == [("a", "back", None, "gone", "active"), ("a", "price", "input", "1", "2")]
    row = stored(known, back)["a"]
    assert row["is_enabled"] is False and row["gone_at"] is None and row["status"] == "active"


def test_an_incomplete_listing_makes_nothing_gone() -> None:
    known = stored({}, compare_listing(step(model("a"), model("b")), {}, {}))
    outcome = compare_listing(step(model("b"), day=1, complete=False), known, {})
    assert told(outcome) == []
    assert [row["model_id"] for row in outcome.rows] == ["b"]


def test_a_model_that_comes_and_goes_every_sync_is_flagged_as_flapping() -> None:
    known: Rows = {}
    flips = 0
    flagged = []
    for day in range(5):
        listed = (model("a"), model("b")) if day % 2 == 0 else (model("b"),)
        outcome = compare_listing(step(*listed, day=day), known, {"a": flips} if flips else {})
        flips += sum(c.kind in ("gone", "back") for _, c in outcome.changes)
        known = stored(known, outcome)
        flagged.append(FLAPPING in known["a"]["flags"])
        assert FLAPPING not in known["b"]["flags"]
    assert flagged == [False, False, False, True, True]
    calm = compare_listing(step(model("a"), model("b"), day=9), known, {})
    assert FLAPPING not in stored(known, calm)["a"]["flags"]


def test_a_failed_provider_keeps_its_rows_as_they_were() -> None:
    (row,) = compare_listing(step(model("a", "1")), {}, {}).rows
    failed = mark_failed(row, "no connection")
    differing = {name for name in row if row[name] != failed[name]}
    assert differing == {"sync_status", "sync_error"}
    assert failed["sync_status"] == "error" and failed["synced_at"] == START
    (again,) = compare_listing(step(model("a", "1"), day=1), {"a": failed}, {}).rows
    assert again["sync_status"] == "ok" and again["sync_error"] is None


_IDS = st.sampled_from("abcdef")
_MODELS = st.dictionaries(
    _IDS,
    st.tuples(
        st.none() | st.sampled_from(["0", "1", "2.5"]),
        st.none() | st.integers(1, 10**6),
        st.dictionaries(st.sampled_from(["tools", "vision"]), st.booleans()),
        st.sampled_from(["active", "deprecated"]),
    ),
)


def _listed(drawn: dict[str, Any]) -> list[ListedModel]:
    return [
        model(i, usd, context_window_tokens=window, capabilities=can, status=status)
        for i, (usd, window, can, status) in drawn.items()
    ]


@settings(max_examples=150)
@given(st.lists(_MODELS, min_size=2, max_size=5))
def test_replaying_the_changes_leads_from_each_listing_to_the_next(listings: list[Any]) -> None:
    """What is told is enough to rebuild who is there, their prices, windows and capabilities."""
    known: Rows = {}
    present: set[str] = set()
    price: dict[str, str | None] = {}
    window: dict[str, str | None] = {}
    for day, drawn in enumerate(listings):
        outcome = compare_listing(step(*_listed(drawn), day=day), known, {})
        known = stored(known, outcome)
        for i, change in outcome.changes:
            if change.kind in ("new", "back"):
                present.add(i)
            if change.kind == "new":
                row = known[i]
                usd = row["input_usd_per_mtok"]
                price[i] = None if usd is None else format(usd.normalize(), "f")
                window[i] = row["context_window"] and str(row["context_window"])
            elif change.kind == "gone":
                present.discard(i)
            elif change.kind == "price":
                assert price[i] == change.old
                price[i] = change.new
            elif change.field == "context_window":
                assert window[i] == change.old
                window[i] = change.new
        assert present == set(drawn)
        for i, (usd, tokens, can, status) in drawn.items():
            assert price[i] == (None if usd is None else usd)
            assert window[i] == (None if tokens is None else str(tokens))
            assert set(known[i]["capabilities"]) == {name for name, has in can.items() if has}
            assert known[i]["status"] == status and known[i]["gone_at"] is None
        again = compare_listing(step(*_listed(drawn), day=day), known, {})
        assert again.changes == [] and again.prices == []


@settings(max_examples=60)
@given(_MODELS)
def test_the_order_of_a_listing_does_not_matter(drawn: dict[str, Any]) -> None:
    known = stored({}, compare_listing(step(*_listed(drawn)), {}, {}))
    turned = step(*reversed(_listed(drawn)), day=1)
    assert compare_listing(turned, known, {}).changes == []


def test_one_change_is_frozen_and_comparable() -> None:
    outcome = compare_listing(step(model("a")), {}, {})
    change = outcome.changes[0][1]
    assert replace(change) == change
