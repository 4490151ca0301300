"""Runs as files: import from several tools, export in several formats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from toolkit.errors import InvalidInput
from toolkit.evals.exchange.eval_report import render_report
from toolkit.evals.exchange.imported import Imported, build_import
from toolkit.evals.exchange.inspect_log import read_inspect_archive, read_inspect_json
from toolkit.evals.exchange.junit import write_junit
from toolkit.evals.exchange.promptfoo import read_promptfoo
from toolkit.evals.exchange.row_files import read_table, write_csv, write_jsonl, write_parquet

Format = Literal["csv", "parquet", "jsonl", "junit", "html"]
MAX_FILE_BYTES: Final = 2_000_000_000
_HINT: Final = (
    "Supported files: Inspect AI logs (.eval, .json), promptfoo results (.json), and exports of "
    "runs "
    "(.csv, .jsonl, .parquet)."
)
_LM_EVAL_RESULT: Final = frozenset({"lm_eval_version", "n-shot", "task_hashes"})
_LM_EVAL_SAMPLE: Final = frozenset({"doc_id", "doc", "resps"})


def read_file(path: Path) -> Imported:
    """Read a run from a file; its extension and content show which tool wrote it.

    Raises:
        InvalidInput: the file is missing, or no supported tool wrote it.
    """
    if not path.is_file():
        what = f"{path} is a folder" if path.is_dir() else f"there is no file {path.name}"
        raise InvalidInput(what, hint="Check the path.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InvalidInput(f"{path.name} is larger than {MAX_FILE_BYTES:,} bytes")
    if path.suffix == ".eval":
        return read_inspect_archive(path)
    if path.suffix == ".json":
        return _read_json(path)
    if path.suffix in (".csv", ".jsonl", ".parquet"):
        return _read_export(path)
    raise InvalidInput(f"{path.name} is not a supported file type", hint=_HINT)


def write_run(
    run: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    format: Format,
    *,
    escape: bool = True,
) -> bytes:
    """A run as the content of a file: `csv`, `parquet`, `jsonl`, `junit` or `html`.

    With `escape`, a cell of CSV that a spreadsheet would run as a formula gets an apostrophe.
    """
    if format == "junit":
        return write_junit(run, rows)
    if format == "html":
        return render_report(run, rows).encode()
    if format == "csv":
        return write_csv(rows, escape=escape)
    return write_jsonl(rows) if format == "jsonl" else write_parquet(rows)


def _read_json(path: Path) -> Imported:
    try:
        file = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path.name} is not valid JSON: {error}", hint=_HINT) from None
    if isinstance(file, dict) and "eval" in file and "samples" in file:
        return read_inspect_json(file, path.name)
    if isinstance(file, dict) and _LM_EVAL_RESULT & file.keys():
        raise _refuse_lm_eval(path)
    if isinstance(file, dict) and isinstance(file.get("results"), dict):
        return read_promptfoo(file, path.stem)
    raise InvalidInput(f"{path.name} is not the output of a supported tool", hint=_HINT)


def _read_export(path: Path) -> Imported:
    if path.suffix == ".jsonl" and _is_lm_eval_samples(path):
        raise _refuse_lm_eval(path)
    try:
        rows = read_table(path)
    except (ValueError, KeyError, ArithmeticError) as error:
        raise InvalidInput(f"{path.name} is not an export of a run: {error}", hint=_HINT) from None
    ids = {str(row["run_id"]) for row in rows}
    if len(ids) > 1:
        raise InvalidInput(f"{path.name} holds {len(ids)} runs", hint="Export them one by one.")
    return build_import(rows, run_id=ids.pop() if ids else "", name=path.stem, source="export")


def _is_lm_eval_samples(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(file.readline())
    except (ValueError, RecursionError):
        return False  # the reader of exports says what is wrong
    return isinstance(first, dict) and first.keys() >= _LM_EVAL_SAMPLE


def _refuse_lm_eval(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path.name} was written by lm-evaluation-harness, whose logs cannot be imported",
        hint=f"{_HINT} To use its questions, write them as a dataset (.csv or .jsonl) with "
        "`input` and `target`.",
    )
