"""Write rows to a file whose extension names its format; readable by its owner only."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from toolkit.cli.output import json_ready
from toolkit.errors import InvalidInput
from toolkit.files import csv_of


def write_rows(file: Path, rows: Sequence[Mapping[str, Any]], *, escape_cells: bool = True) -> None:
    """Write rows as Parquet, CSV or JSON lines, whole or not at all.

    With `escape_cells`, a cell of CSV that a spreadsheet would run as a formula gets an apostrophe.

    Raises:
        InvalidInput: the extension is not supported, or the file cannot be written.
    """
    write = _WRITERS.get(file.suffix.lower())
    if write is None:
        kinds = ", ".join(_WRITERS)
        raise InvalidInput(
            f"{file} does not end in one of {kinds}", hint="Use a supported file extension."
        )
    with _replaced(file) as stream:
        if write is _write_csv:
            _write_csv(stream, rows, escape=escape_cells)
        else:
            write(stream, rows)


def write_otlp(file: Path, rows: Sequence[Mapping[str, Any]], *, has_content: bool) -> None:
    """Write recorded calls as OTLP spans: JSON, JSON lines (one request each) or protobuf.

    Raises:
        InvalidInput: the extension is not supported, the package for it is missing, or the file
            cannot be written.
    """
    kind = file.suffix.lower()
    if kind not in _OTLP_SUFFIXES:
        raise InvalidInput(
            f"{file} does not end in one of {', '.join(_OTLP_SUFFIXES)}",
            hint="Use a supported file extension.",
        )
    if find_spec("opentelemetry.exporter") is None:
        raise InvalidInput(
            "the package that writes OpenTelemetry's format is missing",
            hint="Install it with: pip install 'llm-provider-toolkit[otel]'",
        )
    # requests looks for a package for SOCKS proxies, and warns when there is none.
    warnings.filterwarnings("ignore", message="SOCKS support in urllib3")
    from toolkit.calls.otel.exporters import encode_calls, merge

    is_json = kind != ".pb"
    requests = list(encode_calls(rows, as_json=is_json, has_content=has_content))
    with _replaced(file) as stream:
        if kind == ".jsonl":
            stream.write(b"".join(request + b"\n" for request in requests))
        else:
            stream.write(merge(requests, as_json=is_json))


@contextmanager
def _replaced(file: Path) -> Iterator[IO[bytes]]:
    """A stream whose content becomes the file when the block ends well."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
        beside.replace(file)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


def _write_jsonl(stream: IO[bytes], rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        line = json.dumps(json_ready(row), ensure_ascii=False, allow_nan=False)
        stream.write(line.encode("utf-8", "replace") + b"\n")


def _write_csv(
    stream: IO[bytes], rows: Sequence[Mapping[str, Any]], *, escape: bool = True
) -> None:
    flat = [
        {name: json.dumps(v) if isinstance(v, dict | list) else v for name, v in row.items()}
        for row in (json_ready(row) for row in rows)
    ]
    stream.write(csv_of(_frame(flat), escape=escape))


def _write_parquet(stream: IO[bytes], rows: Sequence[Mapping[str, Any]]) -> None:
    # Maps and JSON as text: Parquet wants one type for each column, and these have many.
    flat = [
        {name: json.dumps(json_ready(v)) if isinstance(v, dict) else v for name, v in row.items()}
        for row in rows
    ]
    _frame(flat).to_parquet(stream, index=False)


def _frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    import pandas as pd

    return pd.DataFrame(list(rows))


_OTLP_SUFFIXES = (".json", ".jsonl", ".pb")
_WRITERS = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_jsonl}
