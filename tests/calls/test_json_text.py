"""JSON from outside is refused where it cannot be trusted and mended where it can."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.calls.parsers.json_text import BadJson, decode_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_good_json_comes_back_as_it_was(value: Any) -> None:
    assert decode_json(json.dumps(value).encode(), whole=True) == (value, False)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_bad_json(data: bytes) -> None:
    with contextlib.suppress(BadJson):
        decode_json(data, whole=True)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"a": NaN}', b"[Infinity]", b'{"a": 1, "a": 2}', b'"\xff"', b"[" * 100_000,
     b'{"a":' * 100_000 + b'"\\ud800"' + b"}" * 100_000],
)  # fmt: skip
def test_what_cannot_be_trusted_is_refused(data: bytes) -> None:
    with pytest.raises(BadJson):
        decode_json(data, whole=True)


def test_a_lone_surrogate_is_replaced_and_told() -> None:
    assert decode_json(b'{"a": ["x\\ud800y"]}') == ({"a": ["x\ufffdy"]}, True)


def test_a_surrogate_pair_is_left_alone() -> None:
    assert decode_json(b'"\\ud83d\\ude42"') == ("🙂", False)


def test_a_byte_order_mark_is_no_part_of_it() -> None:
    assert decode_json(b"\xef\xbb\xbf[1]") == ([1], False)
