"""`toolkit calls`: list, show, summarize and export recorded calls."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from toolkit.catalog.parsing import read_moment
from toolkit.charts.numbers import count, duration, duration_unit, money, rate
from toolkit.cli.output import (
    Column,
    JsonFlag,
    RawCells,
    console,
    json_ready,
    new_app,
    notice,
    opened_toolkit,
    plain,
    show_facts,
    show_rows,
)
from toolkit.errors import InvalidInput
from toolkit.files import csv_of
from toolkit.store.queries import CallFilter
from toolkit.store.queries.calls import call_statistics, find_calls, list_calls

app: typer.Typer = new_app("Inspect recorded calls: one row per attempt.")

Provider = Annotated[str | None, typer.Option("--provider", "-p", help="Only this provider.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Only this provider/model_id.")]
Status = Annotated[str | None, typer.Option(help="ok, error or cancelled.")]
Origin = Annotated[str | None, typer.Option(help="What made the call: chat, compare, eval, ...")]
Since = Annotated[str | None, typer.Option(help="30min, 6h, 7d, or a date.")]

_LONG_COLUMNS = ("messages", "output_text", "reasoning_text")


@app.command("list")
def list_(
    provider: Provider = None,
    model: Model = None,
    status: Status = None,
    origin: Origin = None,
    since: Since = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Maximum number of rows.")
    ] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List calls, newest first."""
    which = _filter(provider, model, status, origin, since)
    with opened_toolkit() as toolkit:
        rows = list_calls(toolkit.store, which, limit)
    failed = any(row["error_code"] for row in rows)
    columns = (
        Column("started_at", "UTC", _short_time, is_number=True),
        Column("call_id", "Call", lambda call_id: str(call_id)[-8:]),
        Column("model", "Model"),
        Column("origin", "From", is_optional=True),
        Column("status", "Status"),
        _durations("ttft_ms", "TTFT", rows),
        Column("output_tps", "Speed", rate, is_number=True, is_optional=True),
        Column("input_tokens", "In", count, is_number=True, is_optional=True),
        Column("output_tokens", "Out", count, is_number=True),
        Column("cost_usd", "Cost", money, is_number=True),
        Column("error_code", "Error", lambda code: str(code or ""), is_optional=not failed),
    )
    empty = "No calls match." if which != CallFilter() else "No calls yet. Try `toolkit demo`."
    show_rows(rows, columns, as_json=as_json, empty=empty)


@app.command()
def show(
    call: Annotated[str, typer.Argument(help="A call's id, or its first or last characters.")],
    as_json: JsonFlag = False,
) -> None:
    """Show everything about one call."""
    with opened_toolkit() as toolkit:
        found = find_calls(toolkit.store, call)
    if not found:
        raise InvalidInput(f"no call {call!r}", hint="List them with `toolkit calls list`.")
    if len({row["request_id"] for row in found}) > 1:
        ids = ", ".join(row["call_id"] for row in found)
        raise InvalidInput(
            f"{call!r} matches several calls: {ids}", hint="Give a longer part of the id."
        )
    if as_json:
        show_facts(found[-1], as_json=True)
        return
    for row in found:
        _show_one(row)


@app.command()
def stats(
    provider: Provider = None,
    model: Model = None,
    origin: Origin = None,
    since: Since = None,
    as_json: JsonFlag = False,
) -> None:
    """Summarize calls by model: answers, errors, latency, speed, tokens, cost (live calls only)."""
    which = _filter(provider, model, None, origin, since, is_user_only=True)
    with opened_toolkit() as toolkit:
        rows = call_statistics(toolkit.store, which)
    shown = [{**row, "ttft_high": _high(row)} for row in rows]
    columns = (
        Column("model", "Model"),
        Column("calls", "Calls", count, is_number=True),
        Column("answers", "Answers", count, is_number=True),
        Column("errors", "Errors", count, is_number=True),
        _durations("ttft_p50_ms", "TTFT p50", rows),
        Column("ttft_high", "TTFT p95", is_number=True),
        _durations("tpot_p50_ms", "TPOT p50", rows, is_optional=True),
        Column("output_tps_p50", "Speed p50", rate, is_number=True),
        Column("input_tokens", "In", count, is_number=True, is_optional=True),
        Column("output_tokens", "Out", count, is_number=True),
        Column("cost_usd", "Cost", money, is_number=True),
    )
    show_rows(rows if as_json else shown, columns, as_json=as_json, empty="No live calls yet.")


@app.command()
def export(  # noqa: PLR0913, PLR0917 - each option is a flag of its own
    file: Annotated[
        Path,
        typer.Argument(
            help="Output file: .parquet, .csv or .jsonl; with --otlp .json, .jsonl or .pb."
        ),
    ],
    provider: Provider = None,
    model: Model = None,
    status: Status = None,
    origin: Origin = None,
    since: Since = None,
    otlp: Annotated[
        bool, typer.Option("--otlp", help="Write OpenTelemetry spans, one trace per request.")
    ] = False,
    content: Annotated[
        bool,
        typer.Option(help="With --otlp: include recorded prompts and answers."),
    ] = False,
    raw_cells: RawCells = False,
    as_json: JsonFlag = False,
) -> None:
    """Write calls to a file, oldest first, with recorded prompts and answers."""

    which = _filter(provider, model, status, origin, since)
    with opened_toolkit() as toolkit:
        rows = list_calls(toolkit.store, which, limit=2**53)
        servers = toolkit.tracing.servers_of(row["provider"] for row in rows) if otlp else {}
    if otlp:
        write_otlp(file, rows[::-1], servers, has_content=content)
    else:
        write_rows(file, rows[::-1], escape_cells=not raw_cells)
    if as_json:
        show_facts({"file": str(file), "rows": len(rows)}, as_json=True)
    else:
        notice(f"{len(rows):,} calls written to {file}.")


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            help="Log of llm (SQLite), spend logs of litellm, usage or costs of OpenAI, results of "
            "promptfoo, or a log of Inspect AI."
        ),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Import calls that another tool recorded; they stay apart from live figures.

    A file can be imported again at any time: what was imported before is left alone.
    """
    from toolkit.imports import import_calls

    with opened_toolkit() as toolkit:
        report = import_calls(toolkit.store, file, toolkit.settings.recording)
    if as_json:
        show_facts(asdict(report), as_json=True)
        return
    known = f", {report.known:,} were there already" if report.known else ""
    notice(f"{report.imported:,} calls imported from {report.tool}{known}.")
    if not report.has_content:
        notice("Prompts and answers were left out, as the setting `recording` wants.")
    for reason, number in report.skipped.items():
        notice(f"Not imported: {number:,} x {reason}.")
    if report.fields_not_read:
        notice(f"Fields that were not read: {', '.join(report.fields_not_read)}.")


def _filter(
    provider: str | None,
    model: str | None,
    status: str | None,
    origin: str | None,
    since: str | None,
    *,
    is_user_only: bool = False,
) -> CallFilter:
    if status not in (None, "ok", "error", "cancelled"):
        raise InvalidInput(
            f"invalid status: {status!r}", hint="Must be one of: ok, error, cancelled."
        )
    return CallFilter(
        provider=provider,
        model=model,
        status=status,
        origin=origin,
        since=read_moment(since),
        is_user_only=is_user_only,
    )


def _durations(
    key: str, title: str, rows: list[dict[str, Any]], *, is_optional: bool = False
) -> Column:
    """A column of durations, all in the unit of the largest."""
    unit = duration_unit([row[key] for row in rows])
    return Column(key, title, lambda ms: duration(ms, unit), True, is_optional)


def _high(row: Mapping[str, Any]) -> str | None:
    """The 95th percentile; with too few answers, the maximum (n is in the next column)."""
    if row["ttft_p95_ms"] is not None:
        return duration(row["ttft_p95_ms"])
    if row["ttft_max_ms"] is None:
        return None
    return f"max {duration(row['ttft_max_ms'])}"


def _show_one(row: Mapping[str, Any]) -> None:
    title = f"{row['model']}  {row['status']}  {row['call_id']}"
    offsets = row.get("chunk_offsets_us") or ()
    facts = {k: v for k, v in row.items() if k not in (*_LONG_COLUMNS, "chunk_offsets_us")}
    known = {name: value for name, value in facts.items() if value not in (None, "", [], {})}
    show_facts({**known, "chunks": len(offsets)}, as_json=False, title=title)
    for name in _LONG_COLUMNS:
        if row.get(name):
            console().print(f"{name}:\n{plain(_text(row[name]))}\n")


def _text(value: Any) -> str:
    """Return text unchanged, and a conversation as lines of `role: content`."""
    if isinstance(value, str):
        return value
    return "\n".join(f"{m.get('role')}: {m.get('content') or ''}" for m in value)


def _short_time(when: datetime) -> str:
    utc = when.astimezone(UTC)
    is_today = utc.date() == datetime.now(UTC).date()
    return utc.strftime("%H:%M:%S" if is_today else "%m-%d %H:%M")


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


def write_otlp(
    file: Path,
    rows: Sequence[Mapping[str, Any]],
    servers: Mapping[str, tuple[str, int]],
    *,
    has_content: bool,
) -> None:
    """Write recorded calls as OTLP spans: JSON, JSON lines (one request each) or protobuf.

    `servers` has the host and port of the providers that are still known.

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
    requests = list(encode_calls(rows, servers, as_json=is_json, has_content=has_content))
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
