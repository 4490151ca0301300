"""When requests are sent: schedules fixed before the first one, and traces read from files.

An open loop does not wait for answers, as users do not wait for each other: a slow server meets the
same load as a fast one. The schedule depends on the seed alone.
"""

from __future__ import annotations

import csv
import json
import math
import random
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from toolkit.errors import InvalidInput

Arrival = Literal["poisson", "constant", "trace"]

BURST_WINDOW_S: Final = 10.0
_MOST_TRACE_BYTES: Final = 64 << 20
# The names of Mooncake's traces, of Azure's LLM inference traces, and plain ones.
_TIME: Final = ("timestamp", "timestamp_ms")
_SECONDS: Final = ("at_s", "offset_s")
_INPUT: Final = ("input_length", "input_tokens", "contexttokens")
_OUTPUT: Final = ("output_length", "output_tokens", "generatedtokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The moments at which requests are due, seconds after the step begins, in order.

    Attributes:
        offsets_s: one moment for each request.
        lengths: of each request, its input and output tokens where a trace says them.
    """

    offsets_s: tuple[float, ...]
    lengths: tuple[tuple[int | None, int | None], ...] = ()

    def __len__(self) -> int:
        return len(self.offsets_s)

    def length_of(self, index: int) -> tuple[int | None, int | None]:
        """Input and output tokens of one request; None where the trace does not say."""
        return self.lengths[index] if self.lengths else (None, None)

    @property
    def peak_rate(self) -> float:
        """The most requests per second over any ten seconds (over all, where it is shorter)."""
        offsets = self.offsets_s
        if len(offsets) < 2:
            return 0.0
        window = min(BURST_WINDOW_S, max(offsets[-1] - offsets[0], 1.0))
        busiest = max(
            bisect_left(offsets, at + window, lo=first) - first for first, at in enumerate(offsets)
        )
        return busiest / window


def constant_schedule(rate: float, count: int) -> Schedule:
    """Requests at equal distances, the first one at once."""
    return Schedule(offsets_s=tuple(index / rate for index in range(count)))


def poisson_schedule(rate: float, count: int, seed: int | str) -> Schedule:
    """Requests of a Poisson process: independent, exponentially distributed gaps of mean 1/rate.

    The first request comes at once; figures begin with it.
    """
    rng = random.Random(seed)  # noqa: S311 - a schedule, not a secret
    at, offsets = 0.0, list[float]()
    for _ in range(count):
        offsets.append(at)
        at += rng.expovariate(rate)
    return Schedule(offsets_s=tuple(offsets))


def make_schedule(kind: Arrival, rate: float, count: int, seed: int | str) -> Schedule:
    """Schedule of a kind that is defined by its rate."""
    if kind == "poisson":
        return poisson_schedule(rate, count, seed)
    return constant_schedule(rate, count)


def read_trace(file: Path, *, speed: float = 1.0) -> Schedule:
    """Read the schedule of a trace: JSON lines or CSV, one request a line.

    A line has a time, `timestamp` in milliseconds (as in Mooncake's traces; ISO times, as in
    Azure's, are read too) or `at_s` in seconds, and may have `input_length` and `output_length` in
    tokens. The first request of the trace is sent at once.

    Args:
        file: `.jsonl` or `.csv`.
        speed: 2 replays it twice as fast.

    Raises:
        InvalidInput: the file cannot be read, or a line has no time; the message names the line.
    """
    if not (math.isfinite(speed) and speed > 0):
        raise InvalidInput(f"the speed of a trace must be above 0, not {speed:g}")
    rows = _read_rows(file)
    if not rows:
        raise InvalidInput(f"the trace {file.name} has no request")
    found = sorted(
        (_read_time(file, number, row), index, row) for index, (number, row) in enumerate(rows)
    )
    began = found[0][0]
    return Schedule(
        offsets_s=tuple((at - began) / speed for at, _, _ in found),
        lengths=tuple((_read_length(row, _INPUT), _read_length(row, _OUTPUT)) for *_, row in found),
    )


def _read_rows(file: Path) -> Sequence[tuple[int, Mapping[str, Any]]]:
    """The lines with their numbers; keys in lower case."""
    try:
        if file.stat().st_size > _MOST_TRACE_BYTES:
            raise InvalidInput(f"the trace {file.name} is larger than 64 MB", hint="Cut it.")
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the trace {file} cannot be read: {error}") from None
    if file.suffix.lower() == ".csv":
        rows: Iterable[tuple[int, Any]] = enumerate(csv.DictReader(text.splitlines()), 2)
    else:
        lines = enumerate(text.splitlines(), 1)
        rows = ((n, _read_json(file, n, line)) for n, line in lines if line.strip())
    return [
        (number, {str(key).strip().lower(): value for key, value in row.items()})
        for number, row in rows
    ]


def _read_json(file: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise InvalidInput(
            f"line {number} of {file.name} is not a JSON object",
            hint='Write one request a line, such as {"timestamp": 1500, "input_length": 800}.',
        )
    return row


def _read_time(file: Path, number: int, row: Mapping[str, Any]) -> float:
    """The moment of one line, seconds."""
    for names, scale in ((_TIME, 1000.0), (_SECONDS, 1.0)):
        for name in names:
            value = row.get(name)
            at = _as_number(value)
            if at is not None:
                return at / scale
            if isinstance(value, str) and (moment := _as_moment(value)) is not None:
                return moment
    raise InvalidInput(
        f"line {number} of {file.name} has no time",
        hint="Give `timestamp` in milliseconds, `at_s` in seconds, or an ISO time.",
    )


def _as_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _as_moment(text: str) -> float | None:
    """An ISO time as seconds; Azure's traces have seven digits of a second."""
    head, dot, fraction = text.strip().partition(".")
    try:
        moment = datetime.fromisoformat(head + dot + fraction[:6])
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read_length(row: Mapping[str, Any], names: Sequence[str]) -> int | None:
    for name in names:
        length = _as_number(row.get(name))
        if length is not None and length >= 1:
            return int(length)
    return None
