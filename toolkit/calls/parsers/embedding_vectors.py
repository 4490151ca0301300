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
from collections.abc import Mapping, Sequence
from typing import Any, Final

from toolkit.calls.parsers.error_messages import find_error
from toolkit.calls.parsers.parsed_response import Piece, ResponseParser

Vector = tuple[float, ...]
MAX_DIMENSIONS: Final = 65_536


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
        self.problem = "the body is a list and no answer of this API"
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
            reading.vectors = _read_vectors(rows, self._expected)
        except NoVectors as why:
            self.problem = str(why)

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


def _read_vectors(rows: Any, expected: int) -> tuple[Vector, ...]:
    if not isinstance(rows, list):
        raise NoVectors("`data` is no list")
    if len(rows) != expected:
        raise NoVectors(f"{len(rows)} vectors came for {expected} texts")
    vectors = tuple(_read_vector(row) for row in _in_order(rows))
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


def _read_vector(row: Any) -> Vector:
    values = row.get("embedding", row.get("values")) if isinstance(row, dict) else None
    if isinstance(values, str):
        values = decode_vector(values)
    if not isinstance(values, list | tuple) or not 0 < len(values) <= MAX_DIMENSIONS:
        raise NoVectors("a vector is empty, too long or no list")
    if any(type(value) not in (int, float) for value in values):
        raise NoVectors("a vector holds something that is no number")
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
        NoVectors: it is none.
    """
    try:
        data = base64.b64decode(text, validate=True)
        numbers = array.array("f", data)
    except (binascii.Error, ValueError):
        raise NoVectors("a vector is no base64 of 32-bit floats") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return tuple(numbers)


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
