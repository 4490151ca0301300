"""JSON from outside: strict where a lenient parser would let nonsense pass, and never recursive."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

_MAX_CHECKED = 512 * 1024
_SURROGATE = re.compile("[\ud800-\udfff]")
_BOM = b"\xef\xbb\xbf"


class BadJson(ValueError):
    """The bytes are no JSON that can be trusted; the message says why."""


def decode_json(data: bytes, *, whole: bool = False) -> tuple[Any, bool]:
    """Decode JSON.

    Args:
        data: UTF-8, perhaps with a byte order mark.
        whole: the bytes are a whole body or event; then an object with a doubled key is
            refused, because which of the two was meant cannot be known.

    Returns:
        The value, and whether lone surrogates in it were replaced by U+FFFD.

    Raises:
        BadJson: not UTF-8, not JSON, NaN or Infinity, nested too deep, a doubled key.
    """
    data = data.removeprefix(_BOM)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _decode_odd(data, error)
    if whole and len(data) <= _MAX_CHECKED and _may_have_doubled_keys(data, value):
        _refuse_doubled_keys(data)
    return value, False


def _decode_odd(data: bytes, why: orjson.JSONDecodeError) -> tuple[Any, bool]:
    """What orjson refuses is accepted only for a lone surrogate escape."""
    if b"\\u" not in data:
        raise BadJson(str(why)) from None
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadJson(str(error)) from None
    return _replace_surrogates(value), True


def _refuse_constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not valid JSON")


def _may_have_doubled_keys(data: bytes, value: Any) -> bool:
    """Whether `data` may hold more keys than `value`; a fraction of the cost of looking closely.

    Texts have the same colons in both, so a colon more in `data` belongs to a key that is gone.
    """
    try:
        return data.count(b":") > orjson.dumps(value).count(b":")
    except orjson.JSONEncodeError:  # nested deeper than it writes
        return True


def _refuse_doubled_keys(data: bytes) -> None:
    def check(pairs: list[tuple[str, Any]]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) != len(keys):
            raise BadJson("an object has the same key twice")

    try:
        json.loads(data, object_pairs_hook=check)
    except RecursionError:
        raise BadJson("nested too deep") from None


def _replace_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_replace_surrogates(key): _replace_surrogates(item) for key, item in value.items()}
    return value
