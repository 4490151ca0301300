"""What JSON or UTF-8 cannot hold is made readable and flagged; a wrong row is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.store.rows import call_row
from toolkit.errors import StoreError
from toolkit.store.tables import TABLES, encode_row, require_table

CALLS = TABLES["calls"]


def decoded(**changes: object) -> dict[str, object]:
    return json.loads(encode_row(CALLS, call_row(**changes)))


def test_unknown_values_are_left_out():
    assert not {"ttft_ms", "cost_usd", "messages"} & decoded().keys()


def test_money_keeps_its_digits_and_times_their_zone():
    row = decoded(
        cost_usd=Decimal("0.000000037500"), started_at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    )
    assert row["cost_usd"] == "3.7500E-8"
    assert row["started_at"] == "2026-01-02T03:04:05.000006+00:00"


def test_a_naive_time_is_taken_as_utc():
    assert str(decoded(started_at=datetime(2026, 1, 2))["started_at"]).endswith("+00:00")


def test_a_lone_surrogate_becomes_the_replacement_character_and_is_flagged():
    row = decoded(output_text="a\ud800b", flags=("odd",))
    assert row["output_text"] == "a\ufffdb"
    assert row["flags"] == ["odd", "surrogates_replaced"]


def test_two_halves_of_one_character_are_joined():
    assert decoded(output_text="\ud83d\ude00")["output_text"] == "😀"


def test_surrogates_deep_in_a_conversation_are_found():
    row = decoded(messages=[{"role": "user", "content": [{"text\udc00": "x\udfff"}]}])
    assert row["messages"] == [{"role": "user", "content": [{"text\ufffd": "x\ufffd"}]}]
    assert row["flags"] == ["surrogates_replaced"]


@pytest.mark.parametrize("huge", [2**63, -(2**63) - 1, 10**40])
def test_a_count_beyond_64_bits_is_unknown_and_flagged(huge):
    row = decoded(input_tokens=huge)
    assert "input_tokens" not in row
    assert row["flags"] == ["number_out_of_range"]


def test_the_largest_64_bit_number_is_kept():
    assert decoded(input_tokens=2**63 - 1)["input_tokens"] == 2**63 - 1


def test_a_huge_number_within_parameters_is_kept_as_text():
    assert decoded(params={"seed": 10**30})["params"] == {"seed": str(10**30)}


def test_nan_is_unknown():
    assert decoded(ttft_ms=float("nan"))["ttft_ms"] is None


def test_mappings_sets_paths_and_keys_that_are_no_text_find_a_form():
    params = MappingProxyType({"stop": {"b", "a"}, "file": Path("x"), "logit_bias": {7: 1}})
    assert decoded(params=params)["params"] == {
        "stop": ["a", "b"],
        "file": "x",
        "logit_bias": {"7": 1},
    }


def test_a_value_without_any_form_is_refused():
    with pytest.raises(StoreError, match="cannot be written as JSON"):
        encode_row(CALLS, call_row(params={"callback": object()}))


def test_a_value_that_contains_itself_is_refused():
    loop: dict[str, object] = {}
    loop["again"] = loop
    with pytest.raises(StoreError, match="cannot be written as JSON"):
        encode_row(CALLS, call_row(params=loop))


def test_an_unknown_column_is_refused_by_name():
    with pytest.raises(StoreError, match="no column colour"):
        encode_row(CALLS, {**call_row(), "colour": 1})


@pytest.mark.parametrize("key", [None, 5, float("nan"), {}])
def test_a_row_without_a_text_as_its_key_is_refused(key):
    """Such a row could never move into the ledger, and everything behind it would wait."""
    with pytest.raises(StoreError, match="needs a text for call_id"):
        encode_row(CALLS, {"provider": "acme", "call_id": key})


def test_an_unknown_table_is_refused():
    with pytest.raises(StoreError, match="no table 'cals'"):
        require_table("cals")
