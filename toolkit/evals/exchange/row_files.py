"""The rows of a run as CSV, JSON lines or Parquet, and back again.

Parquet and JSON lines come back exactly as they were; CSV has no difference between an empty text
and an unknown one, and reads both as unknown.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from toolkit.evals.exchange.imported import COLUMNS
from toolkit.evals.results.cell_values import as_value
from toolkit.files import escape_cell, unescape_cell

_JSON: Final = frozenset({"input", "target", "scores", "metadata", "params"})
_INTEGERS: Final = frozenset({"epoch", "input_tokens", "output_tokens"})
_FLOATS: Final = frozenset({"score", "duration_ms", "ttft_ms"})
_BOOLEANS: Final = frozenset({"is_pass", "is_cached"})
_MONEY: Final = frozenset({"cost_usd", "judge_cost_usd"})
_TIMES: Final = frozenset({"scored_at"})
_LONGEST_FIELD: Final = 100_000_000


def write_csv(rows: Iterable[Mapping[str, Any]], *, escape: bool = True) -> bytes:
    """Rows as CSV with a header; JSON columns as JSON text, times in ISO 8601 UTC.

    Args:
        rows: of `eval_samples`.
        escape: put an apostrophe before what a spreadsheet would run as a formula.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in rows:
        cells = ("" if v is None else v for v in map(_as_text, COLUMNS, _values(row)))
        writer.writerow(escape_cell(v) if escape and isinstance(v, str) else v for v in cells)
    return text.getvalue().encode("utf-8", "replace")


def write_jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as JSON lines; money as text, so that no digit is lost; unknown values left out."""
    lines = []
    for row in rows:
        pairs = zip(COLUMNS, _values(row), strict=True)
        known = {name: _as_json(name, value) for name, value in pairs if value is not None}
        lines.append(json.dumps(known, ensure_ascii=False, allow_nan=False) + "\n")
    return "".join(lines).encode("utf-8", "replace")


def write_parquet(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as Parquet with a type for each column, whatever the rows hold."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {name: _arrow_type(pa, name) for name in COLUMNS}
    values = [_values(row) for row in rows]
    columns = {
        name: pa.array(
            [_as_text(name, row[i]) if name in _JSON else row[i] for row in values], types[name]
        )
        for i, name in enumerate(COLUMNS)
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a file that one of the writers here made.

    Raises:
        ValueError: it is not such a file.
    """
    if path.suffix == ".parquet":
        rows = _read_parquet(path)
    elif path.suffix == ".jsonl":
        lines = path.read_text("utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line.strip()]
    else:
        rows = _read_csv(path)
    wanted = {"run_id", "sample_id", "model", "scored_at"}
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not all(row.get(name) for name in wanted):
            raise ValueError(f"row {number} has no {', '.join(sorted(wanted))}")
    is_text = path.suffix != ".jsonl"
    return [{name: _read_value(name, row.get(name), is_text) for name in COLUMNS} for row in rows]


def _values(row: Mapping[str, Any]) -> list[Any]:
    return [as_value(row.get(n)) if n in _JSON else row.get(n) for n in COLUMNS]


def _as_text(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _JSON:
        return json.dumps(value, ensure_ascii=False, default=str)
    if name in _TIMES:
        return value.astimezone(UTC).isoformat()
    return f"{value:f}" if name in _MONEY else value


def _as_json(name: str, value: Any) -> Any:
    return value if name in _JSON else _as_text(name, value)


def _read_csv(path: Path) -> list[dict[str, Any]]:
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file, strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    finally:
        csv.field_size_limit(before)
    return [{k: None if v == "" else unescape_cell(v) for k, v in row.items()} for row in found]


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    return rows


def _read_value(name: str, value: Any, is_text: bool) -> Any:
    if value is None or (is_text and value == "" and name not in ("output", "variant")):
        return None
    if name in _JSON:
        return json.loads(value) if is_text else value
    read = _reader_of(name)
    return value if read is None else read(value)


def _reader_of(name: str) -> Callable[[Any], Any] | None:
    readers: Sequence[tuple[frozenset[str], Callable[[Any], Any]]] = (
        (_INTEGERS, int),
        (_FLOATS, float),
        (_BOOLEANS, _read_boolean),
        (_MONEY, lambda value: Decimal(str(value))),
        (_TIMES, _read_time),
    )
    return next((read for names, read in readers if name in names), None)


def _read_boolean(value: Any) -> bool:
    if value in (True, False):
        return bool(value)
    if value in ("True", "False"):
        return bool(value == "True")
    raise ValueError(f"{value!r} is neither True nor False")


def _read_time(value: Any) -> datetime:
    when = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(when, datetime):
        raise ValueError(f"{value!r} is not a time")
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _arrow_type(pa: Any, name: str) -> Any:
    if name in _INTEGERS:
        return pa.int64()
    if name in _FLOATS:
        return pa.float64()
    if name in _BOOLEANS:
        return pa.bool_()
    if name in _MONEY:
        return pa.decimal128(24, 12)
    return pa.timestamp("us", tz="UTC") if name in _TIMES else pa.string()
