"""Import another tool's log: recognize its format, and keep the calls that are new.

Imported rows have `source = 'import'`: they are in `tk.calls()`, `tk.sql()` and the list of calls,
and in no figure of latency, health or spend, which are over live calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from toolkit.errors import InvalidInput
from toolkit.imports import eval_results, litellm_spend, llm_logs, openai_exports
from toolkit.imports.foreign_file import ForeignFile
from toolkit.imports.imported_call import Findings
from toolkit.settings import Recording
from toolkit.store.queries.calls import imported_ids
from toolkit.store.store import Store

_Format = tuple[Callable[[ForeignFile], bool], Callable[[ForeignFile], Findings]]
FORMATS: Final[tuple[_Format, ...]] = (
    (llm_logs.recognizes, llm_logs.read),
    (litellm_spend.recognizes, litellm_spend.read),
    (openai_exports.recognizes, openai_exports.read),
    (eval_results.recognizes, eval_results.read),
)
_HINT: Final = (
    "Supported: the SQLite log of llm, litellm's spend logs (JSON, JSON lines, CSV), OpenAI's "
    "usage and cost exports (CSV, JSON), promptfoo results and Inspect AI logs."
)
_BATCH: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What came of an import.

    Attributes:
        tool: which tool wrote the file.
        imported: calls that were new.
        known: calls that had been imported before.
        skipped: entries that were not read, counted by reason.
        fields_not_read: fields of the file that have no place in a row.
        first_at, last_at: times of the first and the last call of the file.
        has_content: whether prompts and answers were kept, by the recording policy.
    """

    tool: str
    imported: int
    known: int
    skipped: Mapping[str, int]
    fields_not_read: tuple[str, ...]
    first_at: datetime | None
    last_at: datetime | None
    has_content: bool


def import_calls(store: Store, path: Path, recording: Recording) -> ImportReport:
    """Keep the calls of another tool's file that are not in the store yet.

    Raises:
        InvalidInput: no supported tool wrote the file, or it is damaged.
        StoreError: the store cannot be read or written.
    """
    file = ForeignFile(path)
    found = next((read(file) for recognizes, read in FORMATS if recognizes(file)), None)
    if found is None:
        raise InvalidInput(f"{path.name} is not a log of a supported tool", hint=_HINT)
    has_content = recording == "full"
    rows = {}
    for seq, call in enumerate(found.calls, start=1):
        row = call.as_row(found.tool, seq, has_content=has_content)
        rows[row["call_id"]] = row
    known = imported_ids(store, list(rows))
    new = [row for call_id, row in rows.items() if call_id not in known]
    for at in range(0, len(new), _BATCH):
        store.append_many("calls", new[at : at + _BATCH])
    times = [call.started_at for call in found.calls]
    return ImportReport(
        tool=found.tool,
        imported=len(new),
        known=len(rows) - len(new),
        skipped=dict(found.skipped),
        fields_not_read=tuple(sorted(found.fields_not_read)),
        first_at=min(times, default=None),
        last_at=max(times, default=None),
        has_content=has_content,
    )
