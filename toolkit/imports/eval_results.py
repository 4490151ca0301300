"""The answers in promptfoo results and Inspect AI logs; `toolkit eval import` keeps the scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from toolkit.evals.exchange.run_files import read_file
from toolkit.imports.foreign_file import ForeignFile
from toolkit.imports.imported_call import Findings, ImportedCall

_ANSWER: Final = ("sample_id", "model", "variant", "epoch")


def recognizes(file: ForeignFile) -> bool:
    """Whether a file is such a result or log."""
    if file.path.suffix.lower() == ".eval":
        return True
    document = file.document
    if not isinstance(document, Mapping):
        return False
    return "evalId" in document or {"eval", "samples"} <= document.keys()


def read(file: ForeignFile) -> Findings:
    """Each answer once, however many scorers judged it.

    Raises:
        InvalidInput: the file is damaged.
    """
    imported = read_file(file.path)
    tool = str(imported.run["tags"]["source"])
    found = Findings(tool)
    answers = {tuple(row[name] for name in _ANSWER): row for row in imported.rows}
    run = str(imported.run["run_id"])
    found.read_each(answers.values(), lambda row: _read_answer(row, run))
    cached = sum(1 for row in answers.values() if row["is_cached"])
    if cached:
        found.skipped["answers from a cache, for which no provider was called"] += cached
    return found


def _read_answer(row: Mapping[str, Any], run: str) -> ImportedCall | None:
    if row["is_cached"]:
        return None
    failed = row["status"] == "error" and row["output"] is None
    asked = row["input"]
    messages = asked if isinstance(asked, list) else [{"role": "user", "content": str(asked)}]
    return ImportedCall(
        key="|".join([run, *(str(row[name]) for name in _ANSWER)]),
        started_at=row["scored_at"],
        model=str(row["model"]),
        status="error" if failed else "ok",
        error_code=row["error_code"] if failed else None,
        error_message=row["error_message"] if failed else None,
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        cost_usd=row["cost_usd"],
        duration_ms=row["duration_ms"],
        params=row["params"] or {},
        messages=messages,
        output_text=row["output"],
        tags={"run": run, "sample": str(row["sample_id"])},
    )
