"""Embeddings in OpenAI's and Google's form: one vector for each text, or the reason why not.

A vector with a hole, a NaN or another length than its neighbours is worse than none: it goes
into an index and spoils every search after it. So an answer is taken whole or not at all.
"""

from __future__ import annotations

import array
import base64
import binascii
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from toolkit.calls.parsers.error_messages import find_error
from toolkit.calls.parsers.parsed_response import Piece, ResponseParser

Vector = tuple[float, ...]
MAX_DIMENSIONS: Final = 65_536
_SMALLEST: Final = 1e-20
_LARGEST: Final = 1e6
_ROWS_LOOKED_AT: Final = 8
_NUMBERS_NEEDED: Final = 16


class NoVectors(ValueError):
    """The answer holds no usable vectors; the message says why."""


class EmbeddingsParser(ResponseParser):
    """Reads one answer to `expected` texts.

    Attributes:
        reading: model, usage and vectors as far as they could be read.
        problem: why the vectors cannot be used, or None.
    """

    def __init__(self, expected: int) -> None:
        super().__init__()
        self.problem: str | None = None
        self._expected = expected

    def parse_event(self, name: str | None, value: Mapping[str, Any]) -> Sequence[Piece]:
        """Embeddings are never streamed, nor a list of bodies."""
        self.problem = "the body is a list, not an answer of this API"
        return ()

    def parse_body(self, value: Mapping[str, Any]) -> None:
        """Take a whole body."""
        reading = self.reading
        rows = value.get("data", value.get("embeddings"))
        if rows is None:
            reading.error = find_error(value)
            return
        reading.is_recognised = reading.is_ended = reading.has_other = True
        reading.response_model = _text(value.get("model"))
        reading.response_id = _text(value.get("id"))
        self._read_usage(value.get("usage") or value.get("usageMetadata"))
        try:
            reading.vectors = self._read_rows(rows)
        except NoVectors as why:
            self.problem = str(why)

    def _read_rows(self, rows: Any) -> tuple[Vector, ...]:
        if _are_bytes(rows):
            self.reading.flags.add("vectors_int8")
            return _read_vectors(rows, self._expected, decode=decode_int8)
        return _read_vectors(rows, self._expected)

    def _read_usage(self, usage: Any) -> None:
        """An embedding has no output: where the input was counted, that is all there is."""
        if not isinstance(usage, dict):
            return
        names = ("prompt_tokens", "input_tokens", "promptTokenCount", "total_tokens")
        asked = next((usage[name] for name in names if usage.get(name) is not None), None)
        if self.reading.count("input_tokens", asked) is not None:
            self.reading.count("output_tokens", 0)
        if usage.get("cost") is not None:
            self.reading.cost(usage["cost"])


def _read_vectors(
    rows: Any, expected: int, decode: Callable[[str], Vector] | None = None
) -> tuple[Vector, ...]:
    if not isinstance(rows, list):
        raise NoVectors("`data` is not a list")
    if len(rows) != expected:
        raise NoVectors(f"{len(rows)} vectors came for {expected} texts")
    vectors = tuple(_read_vector(row, decode or decode_vector) for row in _in_order(rows))
    if len(lengths := {len(vector) for vector in vectors}) > 1:
        raise NoVectors(f"the vectors have different lengths: {sorted(lengths)}")
    return vectors


def _in_order(rows: Sequence[Any]) -> list[Any]:
    """The rows by their `index`; as they came where the provider numbers none."""
    numbers = [row.get("index") for row in rows if isinstance(row, dict)]
    if all(number is None for number in numbers):
        return list(rows)
    places = [number for number in numbers if type(number) is int]
    if sorted(places) != list(range(len(rows))):
        raise NoVectors("the indexes of the vectors are not those of the texts")
    return [row for _, row in sorted(zip(places, rows, strict=True), key=lambda pair: pair[0])]


def _read_vector(row: Any, decode: Callable[[str], Vector]) -> Vector:
    values = row.get("embedding", row.get("values")) if isinstance(row, dict) else None
    if isinstance(values, str):
        values = decode(values)
    if not isinstance(values, list | tuple) or not 0 < len(values) <= MAX_DIMENSIONS:
        raise NoVectors("a vector is empty, too long or not a list")
    if any(type(value) not in (int, float) for value in values):
        raise NoVectors("a vector holds something that is not a number")
    try:
        vector = tuple(map(float, values))
    except OverflowError:
        raise NoVectors("a vector holds a number that is not finite") from None
    if not all(map(math.isfinite, vector)):
        raise NoVectors("a vector holds a number that is not finite")
    return vector


def decode_vector(text: str) -> Vector:
    """A vector from base64 of little-endian 32-bit floats, as OpenAI writes it.

    Raises:
        NoVectors: it is not.
    """
    data = _decode_base64(text)
    if len(data) % 4:
        raise NoVectors("a vector is not base64 of 32-bit floats")
    numbers = array.array("f", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return tuple(numbers)


def decode_int8(text: str) -> Vector:
    """A vector from base64 of signed bytes, as Perplexity writes it.

    Raises:
        NoVectors: it is not base64.
    """
    return tuple(float(number) for number in array.array("b", _decode_base64(text)))


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoVectors("a vector is not base64 of 32-bit floats") from None


def _are_bytes(rows: Any) -> bool:
    """Whether vectors in base64 hold bytes: read as floats, many of these are huge, tiny or NaN."""
    values = (
        [row.get("embedding") for row in rows if isinstance(row, dict)]
        if isinstance(rows, list)
        else []
    )
    texts = [value for value in values if isinstance(value, str)]
    if not texts or len(texts) != len(values):
        return False
    odd = total = 0
    for text in texts[:_ROWS_LOOKED_AT]:
        data = _decode_base64(text)
        numbers = array.array("f", data[: len(data) // 4 * 4])
        total += len(numbers)
        odd += sum(not (number == 0 or _SMALLEST < abs(number) < _LARGEST) for number in numbers)
    return total >= _NUMBERS_NEEDED and odd > total / 10


def encode_vector(vector: Sequence[float]) -> str:
    """A vector as base64 of little-endian 32-bit floats.

    Raises:
        OverflowError: a number does not fit into 32 bits.
    """
    numbers = array.array("f", vector)
    if not all(map(math.isfinite, numbers)):
        raise OverflowError("a number does not fit into 32 bits")
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
